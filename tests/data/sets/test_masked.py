"""Photos with masks and sketches: own folders, composites, the drawn world."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.sets.base import Findings
from sketchfusion.data.sets.masked import photo_of, read_composites_set, read_masked, read_world_set, scan_composites
from sketchfusion.data.world import write_world
from sketchfusion.errors import DataError

Plant = Callable[..., Path]


@pytest.fixture
def folder(plant: Plant) -> Path:
    """Two classes; one photo has two sketches, another none."""
    return plant("photos/dog/7.jpg", "photos/dog/7_b.jpg", "masks/dog/7.png", "masks/dog/7_b.png", "sketches/dog/7.png",
                 "sketches/dog/7-2.png", "sketches/dog/7_b-1.png", "photos/cat/x.jpg", "photos/cat/y.jpg",
                 "masks/cat/x.png", "masks/cat/y.png", "sketches/cat/x_1.png")


def test_sketches_photos_and_masks(folder: Path) -> None:
    found = read_masked(folder)
    assert found.class_names == ("cat", "dog")
    assert [(pair.sketch.path.name, pair.photo.path.name, pair.mask.relative_to(folder).as_posix())
            for pair in found.masked] == [
        ("x_1.png", "x.jpg", "masks/cat/x.png"), ("7-2.png", "7.jpg", "masks/dog/7.png"),
        ("7.png", "7.jpg", "masks/dog/7.png"), ("7_b-1.png", "7_b.jpg", "masks/dog/7_b.png")]
    assert len(found.pairs) == 4
    assert [len(part) for part in (found.part(["cat"]).masked, found.part(["cat"]).pairs)] == [1, 1]


@pytest.mark.parametrize(("sketch", "photo"), [
    ("7", "7"), ("7-1", "7"), ("7_b", "7_b"), ("7_b-1", "7_b"), ("7_bc", "7"), ("71", ""), ("", ""), ("_7", "")])
def test_the_longest_name_of_a_photo_wins(sketch: str, photo: str) -> None:
    assert photo_of(sketch, {"7", "7_b"}) == photo


@given(photo=st.text("ab-_", min_size=1, max_size=5), ending=st.text("ab-_", max_size=4))
def test_a_sketch_finds_its_photo_whatever_the_ending(photo: str, ending: str) -> None:
    assert photo_of(f"{photo}-{ending}", {photo}) == photo


def test_a_sketch_without_photo(folder: Path, plant: Plant) -> None:
    plant("sketches/dog/8-1.png")
    with pytest.raises(DataError, match=r"1 sketch\(es\) have no photo: dog/8-1.png; expected the name of a photo"):
        read_masked(folder)


def test_a_photo_without_mask(folder: Path) -> None:
    (folder / "masks/dog/7_b.png").unlink()
    with pytest.raises(DataError, match=r"has no mask of 1 photo\(s\): dog/7_b.jpg; expected masks/<class>/<id>.png"):
        read_masked(folder)


@pytest.mark.parametrize(("file", "text"), [
    ("photos/dog/7.png", r"1 photo\(s\) are there twice under one name: dog/7.jpg and 7.png; expected names"),
    ("masks/dog/7.jpg", r"1 mask\(s\) are there twice under one name: dog/7.jpg and 7.png; expected names")])
def test_one_name_for_two_files(folder: Path, plant: Plant, file: str, text: str) -> None:
    plant(file)
    with pytest.raises(DataError, match=text):
        read_masked(folder)
    assert len(read_masked(folder, classes=["cat"]).masked) == 1


def test_no_folder_of_masks(folder: Path) -> None:
    (folder / "masks").rename(folder / "mask")
    with pytest.raises(DataError, match="has no folder of masks; expected one of masks"):
        read_masked(folder)


def test_the_drawn_world(tmp_path: Path) -> None:
    write_world(tmp_path / "world", categories=["wine glass", "cat"], photos_per_class=2, sketches_per_photo=2, size=32)
    found = read_world_set(tmp_path / "world")
    assert found.class_names == ("cat", "wine glass")
    assert (len(found.photos), len(found.sketches), len(found.masked), len(found.key_points)) == (4, 8, 8, 8)
    records = [json.loads(line) for line in (tmp_path / "world/annotations.jsonl").read_text().splitlines()]
    record = next(record for record in records if record["instance_id"] == "wine_glass_00001")
    pair = next(pair for pair in found.key_points if pair.sketch.path.name == "wine_glass_00001_1.png")
    assert [list(point) for point in pair.photo_points] == record["keypoints_px"]
    assert [list(point) for point in pair.sketch_points] == record["sketches"][1]["keypoints_px"]
    assert list(pair.visible) == [one and other for one, other in
                                  zip(record["visible"], record["sketches"][1]["visible"], strict=True)]
    assert pair.sketch.instance == pair.photo.instance == "wine_glass_00001"


@pytest.fixture
def composites(plant: Plant) -> Path:
    """One photo with two sketches, as ``make-composites`` writes them."""
    root = plant("photos/dog/000001.jpg", "masks/dog/000001.png", "sketches/dog/000001_a20.png",
                 "sketches/dog/000001_a80.png", "prepared/records.jsonl")
    points = {"sketch_px": [[1.5, 2.5]], "photo_px": [[3.5, 4.5]], "visible": [False]}
    sketches: list[dict[str, Any]] = [{"file": f"sketches/dog/000001_a{level}.png", "keypoints": points}
                                      for level in (20, 80)]
    record = {"id": "000001", "class": "dog", "photo": "photos/dog/000001.jpg", "mask": "masks/dog/000001.png",
              "sketches": sketches, "cutout": "dog/image_0007.jpg"}
    (root / "samples.jsonl").write_text(json.dumps(record) + "\n")
    return root


def test_composites(composites: Path) -> None:
    found = read_composites_set(composites)
    assert (len(found.photos), len(found.sketches), len(found.masked)) == (1, 2, 2)
    assert [pair.sketch.path.name for pair in found.key_points] == ["000001_a20.png", "000001_a80.png"]
    assert found.key_points[0].sketch_points == ((1.5, 2.5),)
    assert found.key_points[0].photo_points == ((3.5, 4.5),)
    assert found.key_points[0].visible == (False,)
    assert {picture.origin for picture in (*found.photos, *found.sketches)} == {"dog/image_0007.jpg"}
    assert {part.origin for pair in found.masked for part in (pair.sketch, pair.photo)} == {"dog/image_0007.jpg"}


def test_composites_that_do_not_name_their_cut_out(composites: Path) -> None:
    table = composites / "samples.jsonl"
    table.write_text(table.read_text().replace('"cutout"', '"cut"'))
    with pytest.raises(DataError, match=r"does not say which cut-out is on 1 photo\(s\): 000001; make the folder"):
        read_composites_set(composites)


def test_a_composite_is_described_twice(composites: Path) -> None:
    table = composites / "samples.jsonl"
    table.write_text(table.read_text() * 2)
    with pytest.raises(DataError, match=r"samples.jsonl, line 2 repeats line 1, sketches/dog/000001_a20.png and "
                                        r"photos/dog/000001.jpg; expected each sketch once: make the folder again"):
        read_composites_set(composites)
    findings = Findings(collect=True)
    assert len(scan_composites(composites, findings).key_points) == 2
    assert [problem.kind for problem in findings.problems] == ["wrong", "wrong"]


def test_composites_with_a_lost_sketch(composites: Path) -> None:
    (composites / "sketches/dog/000001_a80.png").unlink()
    with pytest.raises(DataError, match=r"samples.jsonl names 1 sketch\(es\) that are not there, or whose photo"):
        read_composites_set(composites)


@pytest.mark.parametrize("content", [None, "no json\n", "{}\n", "[]\n", '{"sketches": [{"file": 3}]}\n'])
def test_composites_with_a_damaged_table(composites: Path, content: str | None) -> None:
    if content is None:
        (composites / "samples.jsonl").unlink()
    else:
        (composites / "samples.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"cannot read .*samples.jsonl \(.*make the folder again with `sketchfusion"):
        read_composites_set(composites)
