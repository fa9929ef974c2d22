"""Quick, Draw! as ndjson and in its binary format, and files that are malformed; npz has a file of its own."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.sets.base import Picture
from sketchfusion.data.sets.caltech import read_caltech_quickdraw
from sketchfusion.data.sets.quickdraw import (
    count_drawings,
    read_drawing,
    read_drawings,
    read_quickdraw,
)
from sketchfusion.errors import DataError

Strokes = list[list[list[int]]]
Plant = Callable[..., Path]
CAT: Strokes = [[[0, 10, 255], [5, 0, 7]], [[3], [4]]]
DOG: Strokes = [[[1, 2], [3, 4]]]
bytes_ = st.integers(0, 255)
strokes = st.lists(st.lists(st.tuples(bytes_, bytes_), min_size=1, max_size=5), min_size=1, max_size=4)


def as_ndjson(*drawings: Any) -> bytes:
    return b"".join(json.dumps({"word": "cat", "drawing": drawing}).encode() + b"\n" for drawing in drawings)


def as_bin(*drawings: Strokes) -> bytes:
    packed = b""
    for drawing in drawings:
        packed += struct.pack("<Q2sbIH", 5891796615823360, b"AE", 1, 1488400000, len(drawing))
        for xs, ys in drawing:
            packed += struct.pack("<H", len(xs)) + bytes(xs) + bytes(ys)
    return packed


def points(drawing: Any) -> list[list[list[float]]]:
    return [stroke.T.tolist() for stroke in drawing.strokes]


@pytest.mark.parametrize(("name", "write"), [("cat.ndjson", as_ndjson), ("cat.bin", as_bin)])
def test_published_formats(plant: Plant, name: str, write: Callable[..., bytes]) -> None:
    file = plant(name, content=write(CAT, DOG)) / name
    drawings = list(read_drawings(file))
    assert [points(drawing) for drawing in drawings] == [CAT, DOG]
    assert (drawings[0].width, drawings[0].height) == (256, 256)
    assert [count_drawings(file, limit) for limit in (None, 1, 5)] == [2, 1, 2]
    assert points(read_drawing(Picture(file, "cat", "", 2))) == DOG
    with pytest.raises(DataError, match="has no drawing 3; it has changed since"):
        read_drawing(Picture(file, "cat", "", 3))


def test_raw_ndjson_has_times_and_larger_paper(plant: Plant) -> None:
    file = plant("cat.ndjson", content=as_ndjson([[[0.5, 800.0], [1.0, 2.0], [0, 17]]])) / "cat.ndjson"
    (drawing,) = read_drawings(file)
    assert points(drawing) == [[[0.5, 800.0], [1.0, 2.0]]]
    assert drawing.width == 801


@given(strokes)
def test_the_binary_format_comes_back(tmp_path_factory: pytest.TempPathFactory,
                                      drawing: list[list[tuple[int, int]]]) -> None:
    file = tmp_path_factory.mktemp("bin") / "cat.bin"
    lists = [[list(axis) for axis in zip(*stroke, strict=True)] for stroke in drawing]
    file.write_bytes(as_bin(lists, lists))
    assert [points(found) for found in read_drawings(file)] == [lists, lists]


@pytest.mark.parametrize("cut", [1, 5, 18, 20, -1])
def test_cut_off_binary(plant: Plant, cut: int) -> None:
    file = plant("cat.bin", content=as_bin(CAT)[:cut]) / "cat.bin"
    with pytest.raises(DataError, match=r"cat.bin, drawing 1 is cut off; expected Quick, Draw!'s binary format"):
        list(read_drawings(file))


@pytest.mark.parametrize("line", [b"{\n", b'{"word": "cat"}\n', b'{"drawing": []}\n', b"\xff\xfe\n", b"[1, 2]\n"])
def test_malformed_ndjson_names_the_line(plant: Plant, line: bytes) -> None:
    file = plant("cat.ndjson", content=as_ndjson(CAT) + line) / "cat.ndjson"
    with pytest.raises(DataError, match=r"cat.ndjson, line 2 is "):
        list(read_drawings(file))


def test_the_data_set(plant: Plant) -> None:
    plant("cat.ndjson", content=as_ndjson(CAT, DOG, CAT))
    root = plant("full_simplified_alarm clock.ndjson", content=as_ndjson(DOG))
    plant("notes.txt")
    found = read_quickdraw(root, classes=["cat", "alarm clock"])
    assert [(sketch.class_name, sketch.line) for sketch in found.sketches] == [
        ("alarm clock", 1), ("cat", 1), ("cat", 2), ("cat", 3)]
    assert len(read_quickdraw(root, classes=["cat"], per_class=2).sketches) == 2
    with pytest.raises(DataError, match=r"lacks 343 of 345 classes: The Eiffel Tower, The Great Wall of China, "):
        read_quickdraw(root)
    plant("unicorn.ndjson", content=as_ndjson(DOG))
    with pytest.raises(DataError, match=r"1 file\(s\) of no class of Quick, Draw!: unicorn.ndjson"):
        read_quickdraw(root, classes=["cat"])


def test_folders_that_say_things_twice(plant: Plant) -> None:
    root = plant("cat.ndjson", "full_raw_cat.ndjson", content=as_ndjson(CAT))
    with pytest.raises(DataError, match=r"holds the class cat twice, in cat.ndjson and full_raw_cat.ndjson"):
        read_quickdraw(root, classes=["cat"])
    plant("cat.bin", content=as_bin(CAT))
    with pytest.raises(DataError, match=r"holds .bin, .ndjson files; expected one format a folder"):
        read_quickdraw(root, classes=["cat"])


def test_an_empty_file_and_a_wrong_cap(plant: Plant) -> None:
    root = plant("cat.ndjson", content=b"\n")
    with pytest.raises(DataError, match=r"cat.ndjson has no drawings; download it again"):
        read_quickdraw(root, classes=["cat"])
    with pytest.raises(DataError, match="per_class must be at least 1, got 0"):
        read_quickdraw(root, per_class=0)
    with pytest.raises(DataError, match=r"notes.txt is no file of drawings; expected an ending of .ndjson, .bin, .npz"):
        read_drawings(root / "notes.txt")


def test_caltech_with_drawings(plant: Plant) -> None:
    root = plant("caltech101/Motorbikes/image_0001.jpg", "caltech101/crocodile/image_0001.jpg",
                 "caltech101/crocodile_head/image_0001.jpg", "caltech101/BACKGROUND_Google/image_0001.jpg")
    plant("quickdraw/motorbike.ndjson", "quickdraw/crocodile.ndjson", content=as_ndjson(CAT, DOG))
    found = read_caltech_quickdraw(root, classes=["motorbike", "crocodile"], per_class=1)
    assert [(photo.class_name, photo.path.parent.name) for photo in found.photos] == [
        ("crocodile", "crocodile"), ("crocodile", "crocodile_head"), ("motorbike", "Motorbikes")]
    assert [(sketch.class_name, sketch.line) for sketch in found.sketches] == [("crocodile", 1), ("motorbike", 1)]
    assert (found.seen, found.unseen) == (("motorbike",), ("crocodile",))
    with pytest.raises(DataError, match="caltech101 has no photos in airplanes, which show the class airplane"):
        read_caltech_quickdraw(root)
    (root / "quickdraw/motorbike.ndjson").unlink()
    with pytest.raises(DataError, match=r"quickdraw has no motorbike.ndjson, which holds the class motorbike"):
        read_caltech_quickdraw(root, classes=["motorbike"])


@pytest.mark.realdata
def test_real_drawings_and_photos(data_root: Path) -> None:
    if not (data_root / "quickdraw").is_dir() or not (data_root / "caltech101").is_dir():
        pytest.skip(f"{data_root} holds no quickdraw or caltech101")
    assert len(read_quickdraw(data_root / "quickdraw", per_class=1).class_names) == 345
    found = read_caltech_quickdraw(data_root)
    assert (len(found.class_names), len(found.seen or ()), len(found.unseen or ())) == (45, 35, 10)
    assert len(found.photos) > 4_000
    assert {"face", "car", "watch"} <= set(found.class_names)
    drawing = read_drawing(found.sketches[-1])
    assert drawing.bounds[0] >= 0
