"""The table of protocols: values by hand and by slow loops, splits that never touch, and the manual that agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchfusion.data.sets import SETS, Picture
from sketchfusion.data.sets.classes import load_split
from sketchfusion.engine.protocol_data import deal, read_split, split_classes, unit
from sketchfusion.engine.protocols import (
    GALLERIES,
    PROTOCOLS,
    SPLIT_RULES,
    AveragePrecision,
    Found,
    Iou,
    KeyPoints,
    Measure,
    PixelAccuracy,
    Precision,
    Protocol,
    Recognised,
    find_protocol,
    protocol_table,
)
from sketchfusion.errors import ConfigError, DataError

DOCS = Path(__file__).parents[2] / "docs" / "protocols.md"
KINDS: dict[str, tuple[type[Measure], ...]] = {
    "category retrieval": (AveragePrecision, Precision), "fine-grained retrieval": (Found,),
    "recognition": (Recognised,), "correspondence": (KeyPoints,), "segmentation": (Iou, PixelAccuracy)}


def test_the_manual_has_the_same_tables() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert protocol_table() in text
    for rule, meaning in SPLIT_RULES.items():
        assert f"| {rule} | {meaning} |" in text


@pytest.mark.parametrize("row", PROTOCOLS.values(), ids=lambda row: row.name)
def test_a_row_is_consistent(row: Protocol) -> None:
    assert row.data in SETS
    assert row.gallery in GALLERIES
    assert all(isinstance(measure, KINDS[row.task]) for measure in row.measures)
    names = [measure.name for measure in row.measures]
    assert len(set(names)) == len(names) > 0
    assert (row.gallery != "none") == row.task.endswith("retrieval")
    assert bool(row.lists) == (row.split_rule == "classes")
    assert row.title.startswith(row.task)


def test_one_name_in_two_protocols_is_told_by_its_definition() -> None:
    own, theirs = (find_protocol(name).measures for name in ("sketchy-21", "sketchy-21-zse"))
    for one, other in zip(own, theirs, strict=True):
        assert one.name == other.name
        assert one.definition != other.definition
    strict, loose = find_protocol("psc6k-code").measures[0], find_protocol("psc6k").measures[0]
    assert strict.name == loose.name == "PCK@5"
    assert "off by < 5 %" in strict.definition
    assert "off by <= 5 %" in loose.definition


# hits at ranks 1, 3 and 4 of 5; R = 3
BY_HAND = torch.tensor([[True, False, True, True, False]])


@pytest.mark.parametrize(("measure", "value"), [
    (AveragePrecision(), (1 + 2 / 3 + 3 / 4) / 3),
    (AveragePrecision(3), (1 + 2 / 3) / 3),
    (AveragePrecision(2), 1 / 2),
    (AveragePrecision(2, "relevant"), 1 / 3),
    (AveragePrecision(2, "hits"), 1.0),
    (AveragePrecision(interpolation="voc"), (1 + 3 / 4 + 3 / 4) / 3),
    (Precision(2), 1 / 2), (Precision(4), 3 / 4), (Precision(5), 3 / 5),
    (Precision(5, short=True), 2 / 3), (Precision(2, short=True), 1 / 2), (Found(1), 1.0)])
def test_values_by_hand(measure: AveragePrecision | Precision | Found, value: float) -> None:
    assert measure.values(BY_HAND).tolist() == pytest.approx([value])


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.integers(1, 14))
def test_short_precision_is_that_of_a_slow_loop(hits: list[bool], k: int) -> None:
    length = min(k, sum(hits))
    assert Precision(k, short=True).values(torch.tensor([hits])).item() == pytest.approx(sum(hits[:length]) / length)


@pytest.mark.parametrize("lists", ["sketchy-21", "sketchy-25", "tuberlin-30", "quickdraw-30", "caltech-10"])
def test_splits_of_classes_do_not_touch_and_miss_none(lists: str) -> None:
    splits = split_classes(lists)
    seen, unseen = load_split(lists)
    assert set(splits["test"]) == set(unseen)
    assert len(splits["validation"]) == len(unseen)
    assert sorted(splits["train"] + splits["validation"]) == sorted(seen)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 3))
def test_dealing_keeps_the_sketches_of_a_photo_together(photos: int, each: int) -> None:
    sketches = [Picture(Path(f"{photo}-{number}.png"), "cat", str(photo)) for photo in range(photos)
                for number in range(each)]
    dealt = deal(sketches)
    assert len(dealt) == photos
    assert deal(reversed(sketches)) == dealt
    counts = {split: list(dealt.values()).count(split) for split in ("train", "validation", "test")}
    assert counts["test"] >= 1
    assert counts["test"] == pytest.approx(0.2 * photos, abs=1)
    assert counts["validation"] == pytest.approx(0.15 * photos, abs=1)
    assert {unit(sketch) for sketch in sketches} == set(dealt)


@pytest.fixture
def psc6k(tmp_path: Path) -> Path:
    """Two classes with ten photos and five sketches each; pictures are only names."""
    rows = []
    for name in ("ant", "bat"):
        for number in range(10):
            photo = f"photo/tx_000000000000/{name}/n{number:02d}.jpg"
            rows += [f"{photo},sketch/tx_000000000000/{name}/n{number:02d}-{which}.png,1" + ",1;2;3;4;5;6;7;8" * 4
                     for which in range(5)]
    for row in rows:
        for place in row.split(",")[:2]:
            (tmp_path / "Sketchy" / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "Sketchy" / place).touch()
    (tmp_path / "test_pairs_ps.csv").write_text("\n".join(["photo,sketch,class,XA,YA,XB,YB", *rows]) + "\n")
    return tmp_path


def test_the_released_codes_rows(psc6k: Path) -> None:
    row = find_protocol("psc6k-code")
    found = {split: read_split(row, psc6k, split) for split in ("train", "validation", "test")}
    instances = {split: {pair.photo.instance for pair in data.key_points} for split, data in found.items()}
    assert instances == {"train": {f"n0{number}" for number in range(5)}, "validation": {"n05"},
                         "test": {f"n0{number}" for number in range(6, 10)}}
    assert len(found["validation"].pairs) == len(found["validation"].key_points) == 10
    assert all(data.sketches[sketch].instance == data.photos[photo].instance
               for data in found.values() for sketch, photo in data.pairs)
    assert len(read_split(find_protocol("psc6k"), psc6k).key_points) == 100
    assert len(read_split(find_protocol("psc6k"), psc6k, classes=["bat"]).key_points) == 50


def test_what_has_no_validation_split_says_so(psc6k: Path) -> None:
    with pytest.raises(ConfigError, match="psc6k has no validation split, all of it is test"):
        read_split(find_protocol("psc6k"), psc6k, "validation")


@pytest.fixture
def sketchy(tmp_path: Path) -> Callable[[tuple[str, ...]], Path]:
    """``sketchy(classes)``: a photo and a sketch of each, with the extension."""

    def make(classes: tuple[str, ...]) -> Path:
        for name in classes:
            for place in (f"256x256/photo/tx_000000000000/{name}/n1_1.jpg",
                          f"256x256/sketch/tx_000000000000/{name}/n1_1-1.png", f"EXTEND_image_sketchy/{name}/e.jpg",
                          f"EXTEND_image_sketchy/{name}/n1_1.jpg"):
                (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / place).touch()
        return tmp_path

    return make


def test_unseen_classes_are_all_that_the_test_needs(sketchy: Callable[[tuple[str, ...]], Path]) -> None:
    splits = split_classes("sketchy-21")
    folder = sketchy(splits["test"])
    data = read_split(find_protocol("sketchy-21"), folder)
    assert data.class_names == splits["test"]
    assert len(data.photos) == 2 * 21
    assert len(read_split(find_protocol("sketchy-21-zse"), folder).photos) == 3 * 21  # copies kept
    assert len(read_split(find_protocol("sketchy-21"), folder, classes=["bat", "cow"]).photos) == 4
    with pytest.raises(DataError, match="sketchy-21, test has no class airplane"):
        read_split(find_protocol("sketchy-21"), folder, classes=["airplane"])
    with pytest.raises(DataError, match=r"lacks 21 of 21 classes"):
        read_split(find_protocol("sketchy-21"), folder, "validation")


def test_a_missing_class_is_no_smaller_gallery(sketchy: Callable[[tuple[str, ...]], Path]) -> None:
    folder = sketchy(split_classes("sketchy-21")["test"][1:])
    with pytest.raises(DataError, match=r"lacks 1 of 21 classes: bat; .* sketchy-21 needs Sketchy .* from http"):
        read_split(find_protocol("sketchy-21"), folder)


def test_unknown_protocols_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no protocol 'sketchy-12'; did you mean sketchy-2"):
        find_protocol("sketchy-12")
