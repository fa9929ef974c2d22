"""The shape of all data sets: parts, pairs, directions."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.sets.base import (
    Findings,
    KeyPointPair,
    MaskedPair,
    Picture,
    SketchPhotoSet,
    named,
    order,
    pair_by_instance,
)
from sketchfusion.errors import DataError

CLASSES = ("ant", "bee", "cat")
pictures = st.lists(st.builds(Picture, st.sampled_from([Path("a.png"), Path("b.png"), Path("c.png")]),
                              st.sampled_from(CLASSES), st.sampled_from(["", "1", "2"]), st.integers(0, 3)),
                    max_size=8, unique=True)


def make_set(photos: list[Picture], sketches: list[Picture]) -> SketchPhotoSet:
    one, other = order(photos), order(sketches)
    return SketchPhotoSet("toy", Path("toy"), CLASSES, one, other, pair_by_instance(other, one, Findings(collect=True)),
                          ("ant",), ("bee", "cat"))


@given(photos=pictures, sketches=pictures, wanted=st.sets(st.sampled_from(CLASSES)))
def test_a_part_has_the_pictures_and_pairs_of_its_classes(photos: list[Picture], sketches: list[Picture],
                                                          wanted: set[str]) -> None:
    whole = make_set(photos, sketches)
    part = whole.part(wanted)

    def named_pairs(data: SketchPhotoSet) -> list[tuple[Picture, Picture]]:
        return [(data.sketches[sketch], data.photos[photo]) for sketch, photo in data.pairs]

    assert part.photos == tuple(photo for photo in whole.photos if photo.class_name in wanted)
    assert part.sketches == tuple(sketch for sketch in whole.sketches if sketch.class_name in wanted)
    assert named_pairs(part) == [pair for pair in named_pairs(whole) if pair[0].class_name in wanted]
    assert set(part.class_names) == wanted == {*part.seen, *part.unseen}  # type: ignore[misc]
    assert part.part(wanted) == part


@given(photos=pictures, sketches=pictures)
def test_pairs_are_of_one_class_and_instance(photos: list[Picture], sketches: list[Picture]) -> None:
    pairs = pair_by_instance(sketches, photos, Findings(collect=True))
    for sketch, photo in pairs:
        assert sketches[sketch].instance == photos[photo].instance != ""
        assert sketches[sketch].class_name == photos[photo].class_name
    keys = {(photo.class_name, photo.instance) for photo in photos if photo.instance}
    assert [sketch for sketch, _ in pairs] == [
        number for number, sketch in enumerate(sketches) if (sketch.class_name, sketch.instance) in keys]


def test_a_sketch_of_either_of_two_photos_is_wrong() -> None:
    """Only where there is such a sketch."""
    photos = [Picture(Path(name), "cat", name[0]) for name in ("0.jpg", "0.png", "1.jpg", "2.jpg", "2.png")]
    sketches = [Picture(Path("0-1.png"), "cat", "0"), Picture(Path("1-1.png"), "cat", "1")]
    with pytest.raises(DataError, match=r"1 photo\(s\) are there twice under one name: cat/0.jpg and 0.png; expected "
                                        "names that differ by more than their ending"):
        pair_by_instance(sketches, photos, Findings())
    assert pair_by_instance(sketches[1:], photos, Findings()) == ((0, 2),)


@given(st.permutations([Picture(Path(path), name, "", line) for path in ("a", "b") for name in ("x", "y")
                        for line in (1, 2, 10)]))
def test_the_order_does_not_depend_on_the_file_system(shuffled: list[Picture]) -> None:
    assert [(picture.class_name, picture.path.name, picture.line) for picture in order(shuffled)] == sorted(
        (name, path, line) for path in ("a", "b") for name in ("x", "y") for line in (1, 2, 10))


def test_a_part_keeps_masks_and_key_points() -> None:
    photo, sketch = Picture(Path("p.jpg"), "ant", "p"), Picture(Path("p-1.png"), "ant", "p")
    pair = KeyPointPair(sketch, photo, ((1.0, 2.0),), ((3.0, 4.0),), (True,))
    whole = SketchPhotoSet("toy", Path("toy"), CLASSES, (photo,), (sketch,), ((0, 0),),
                           masked=(MaskedPair(sketch, photo, Path("m.png")),), key_points=(pair,))
    assert whole.part(["ant"]).masked == whole.masked
    assert whole.part(["ant"]).key_points == (pair,)
    assert whole.part(["bee"]).masked == whole.part(["bee"]).key_points == ()
    assert whole.part(["bee"]).seen is None


def test_both_directions() -> None:
    photo, sketch = Picture(Path("p.jpg"), "ant"), Picture(Path("s.png"), "ant")
    pair = KeyPointPair(sketch, photo, ((1.0, 2.0),), ((3.0, 4.0),), (True,))
    assert pair.directed() == ((photo, sketch, ((3.0, 4.0),), ((1.0, 2.0),)),
                               (sketch, photo, ((1.0, 2.0),), ((3.0, 4.0),)))


def test_a_part_of_no_such_class() -> None:
    with pytest.raises(DataError, match="toy has no class dog; expected some of ant, bee, cat"):
        make_set([], []).part(["dog", "ant"])


def test_nothing_can_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        make_set([], []).name = "other"  # type: ignore[misc]


def test_findings_are_raised_or_collected() -> None:
    with pytest.raises(DataError, match="it is gone"):
        Findings().add("missing", "it is gone")
    findings = Findings(collect=True)
    findings.add("missing", "it is gone")
    assert [(problem.kind, problem.text) for problem in findings.problems] == [("missing", "it is gone")]


def test_long_lists_are_cut() -> None:
    assert named("abc") == "a, b, c"
    assert named("abcd") == "a, b, c, ..."
