"""Sketch-RNN's files: equal to their twins in ndjson, their own split, and pickles that are refused and not run."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.sets import check
from sketchfusion.data.sets.base import Picture
from sketchfusion.data.sets.quickdraw import count_drawings, read_drawing, read_drawings, read_sketchrnn
from sketchfusion.data.sets.sketchrnn import from_offsets
from sketchfusion.errors import DataError, ImageError

Plant = Callable[..., Path]
Strokes = list[list[tuple[int, int]]]
ONE: Strokes = [[(0, 0), (3, 4)], [(9, 9)]]
TWO: Strokes = [[(0, 0), (5, 5), (6, 7), (8, 8)]]
bytes_ = st.integers(0, 255)
strokes = st.lists(st.lists(st.tuples(bytes_, bytes_), min_size=1, max_size=5), min_size=1, max_size=4)


def as_offsets(drawing: list[list[tuple[int, int]]]) -> np.ndarray:
    """Sketch-RNN's form, by hand."""
    rows, last = [], (0, 0)
    for stroke in drawing:
        for number, (x, y) in enumerate(stroke):
            rows.append((x - last[0], y - last[1], int(number == len(stroke) - 1)))
            last = (x, y)
    return np.array(rows, dtype=np.int16)


def objects(*drawings: Strokes) -> np.ndarray:
    """An array of arrays, as published."""
    array = np.empty(len(drawings), dtype=object)
    for number, drawing in enumerate(drawings):
        array[number] = as_offsets(drawing)
    return array


def as_lists(file: Path, first: int = 1) -> list[list[list[list[float]]]]:
    return [[stroke.tolist() for stroke in drawing.strokes] for drawing in read_drawings(file, first)]


def as_npy(pickled: bytes, count: int = 1) -> bytes:
    """A .npy of an array of objects with any pickle in it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (count,)})
    return stream.getvalue() + pickled


def zipped(file: Path, **parts: bytes) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"{name}.npy", content)
    return file


@given(strokes)
def test_offsets_come_back_moved_to_the_corner(drawing: list[list[tuple[int, int]]]) -> None:
    left = min(x for stroke in drawing for x, _ in stroke)
    top = min(y for stroke in drawing for _, y in stroke)
    expected = [[[x - left, y - top] for x, y in stroke] for stroke in drawing]
    assert [stroke.tolist() for stroke in from_offsets(as_offsets(drawing)).strokes] == expected


def test_offsets_without_a_last_lift() -> None:
    assert [stroke.tolist() for stroke in from_offsets(np.array([[5, 5, 0], [1, 0, 1], [0, 2, 0]])).strokes] == [
        [[0, 0], [1, 0]], [[1, 2]]]


@pytest.mark.parametrize("offsets", [np.zeros((0, 3)), np.array([[np.nan, 0, 0]])])
def test_offsets_of_nothing(offsets: np.ndarray) -> None:
    with pytest.raises(ImageError, match="finite steps of a drawing"):
        from_offsets(offsets)


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
def test_published_npz_equals_its_ndjson(tmp_path: Path, protocol: int | None) -> None:
    parts = {"test": objects(TWO), "train": objects(ONE, TWO), "valid": objects(ONE)}
    file = tmp_path / "cat.npz"
    if protocol is None:
        np.savez_compressed(file, **parts)  # type: ignore[arg-type]
    else:
        zipped(file, **{name: as_npy(pickle.dumps(array, protocol), len(array)) for name, array in parts.items()})
    twin = tmp_path / "cat.ndjson"
    twin.write_text("".join(json.dumps({"drawing": [list(zip(*stroke, strict=True)) for stroke in drawing]}) + "\n"
                            for drawing in (ONE, TWO, ONE, TWO)))
    assert as_lists(file) == as_lists(twin)
    assert count_drawings(file) == 4
    assert [as_lists(path, 4) for path in (file, twin)] == [as_lists(twin)[3:]] * 2
    assert [stroke.tolist() for stroke in read_drawing(Picture(file, "cat", "", 3)).strokes] == as_lists(twin)[2]


def test_pickles_of_python_2_have_bytes_as_text(tmp_path: Path) -> None:
    offsets = as_offsets([[(0, 0), (200, 200)]])
    text = offsets.tobytes()
    inner = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02K\x03t"
             b"cnumpy\ndtype\n(U\x02i2K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
             b"\x89U" + bytes([len(text)]) + text + b"tb")
    outer = (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x01t"
             b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89]"
             + inner + b"atb.")
    assert as_lists(zipped(tmp_path / "cat.npz", test=as_npy(outer))) == [[[[0, 0], [200, 200]]]]


class Call:
    """Pickled as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("function", "argument", "named"), [
    (os.system, "touch ran", f"{os.name}.system"), (eval, "open('ran', 'w')", "eval"),
    (np.load, "ran", "load"), (Path, "ran", r"pathlib.*Path")])
def test_a_pickle_that_calls_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int,
                                                    function: Any, argument: str, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.empty(1, dtype=object)
    array[0] = Call(function, argument)
    file = zipped(tmp_path / "cat.npz", train=as_npy(pickle.dumps(array, protocol)))
    with pytest.raises(DataError, match=rf"cat.npz: train is not read: it is a pickle that asks for \S*{named}; only"):
        next(read_drawings(file))
    assert not (tmp_path / "ran").exists()


ARRAY = as_offsets(ONE)


@pytest.mark.parametrize(("item", "text"), [
    (ARRAY[:, :2], r"shape \(3, 2\)"), (ARRAY.astype(complex), "type 'c16'"), (ARRAY.ravel(), r"shape \(9,\)"),
    ("text", "something else than arrays"), (None, "something else"), (objects(ONE, TWO), r"shape \(2,\)"),
    ([1, 2, 3], "something else")])
def test_a_pickle_of_something_else(tmp_path: Path, item: Any, text: str) -> None:
    array = np.empty(1, dtype=object)
    array[0] = item
    np.savez(tmp_path / "cat.npz", train=array)
    with pytest.raises(DataError, match=f"cannot read .*{text}"):
        next(read_drawings(tmp_path / "cat.npz"))


@pytest.mark.parametrize("pickled", [
    b"", b"\x80\x04N.", b"\x80\x02Nr\xff\xff\xff\x7f.", b"\x80\x04\x8e" + b"\xff" * 8 + b".",
    b"\x80\x02cnumpy\nndarray\nK\x01b.", b"(" * 50, b"\x80\x02P1\n."])
def test_hostile_pickles(tmp_path: Path, pickled: bytes) -> None:
    with pytest.raises(DataError, match=r"cannot read .*cat.npz"):
        next(read_drawings(zipped(tmp_path / "cat.npz", train=as_npy(pickled))))


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    file = zipped(tmp_path / "cat.npz", train=as_npy(pickle.dumps(objects(ONE), 4), 5))
    assert count_drawings(file) == 5
    with pytest.raises(DataError, match="something else than 5 drawings"):
        next(read_drawings(file))


def test_a_truncated_file_and_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "cat.npz", train=objects(ONE, TWO))
    content = (tmp_path / "cat.npz").read_bytes()
    (tmp_path / "cat.npz").write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"no npz archive|cannot read"):
        next(read_drawings(tmp_path / "cat.npz"))
    whole = pickle.dumps(objects(ONE), 4)
    with pytest.raises(DataError, match=r"cannot read .*cat.npz"):
        next(read_drawings(zipped(tmp_path / "cat.npz", train=as_npy(whole[:len(whole) // 2]))))
    monkeypatch.setattr("sketchfusion.data.sets.sketchrnn.MAX_MEMBER", 100)
    with pytest.raises(DataError, match="more than the 100 allowed"):
        next(read_drawings(zipped(tmp_path / "cat.npz", train=as_npy(whole))))


def write_npz(file: Path, **drawings: list[Strokes]) -> Path:
    arrays: dict[str, np.ndarray] = {}
    for part, every in drawings.items():
        offsets = [as_offsets(drawing) for drawing in every]
        arrays[part] = np.concatenate(offsets)
        arrays[f"{part}_lengths"] = np.array([len(rows) for rows in offsets])
    np.savez(file, **arrays)
    return file


def test_npz_of_numbers_alone(tmp_path: Path) -> None:
    one, two = [[(0, 0), (3, 4)], [(9, 9)]], [[(0, 0)]]
    file = write_npz(tmp_path / "cat.npz", valid=[two], train=[one, two])
    assert [len(drawing.strokes) for drawing in read_drawings(file)] == [2, 1, 1]  # train comes first
    assert count_drawings(file) == 3


@pytest.mark.parametrize(("arrays", "text"), [
    ({"other": np.zeros(3)}, "has no arrays train, valid, test"),
    ({"train": np.zeros((4, 3))}, "has no array train_lengths"),
    ({"train": np.zeros((4, 3)), "train_lengths": np.array([2, 1])}, "add up to 3; expected Sketch-RNN's arrays"),
    ({"train": np.zeros((4, 2)), "train_lengths": np.array([4])}, r"train is float64 \(4, 2\)"),
    ({"train": np.zeros((4, 3)), "train_lengths": np.array([5, -1])}, "lengths int64"),
])
def test_malformed_npz(tmp_path: Path, arrays: dict[str, np.ndarray], text: str) -> None:
    np.savez(tmp_path / "cat.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=text):
        list(read_drawings(tmp_path / "cat.npz"))


@pytest.mark.parametrize("content", [b"", b"no", b'{"drawing": []}\n'])
def test_no_npz(plant: Plant, content: bytes) -> None:
    with pytest.raises(DataError, match="is no npz archive"):
        list(read_drawings(plant("cat.npz", content=content) / "cat.npz"))


def test_the_files_own_split(plant: Plant, tmp_path: Path) -> None:
    np.savez(tmp_path / "cat.npz", train=objects(ONE, TWO, ONE), valid=objects(ONE), test=objects(TWO, ONE))
    np.savez(tmp_path / "sketchrnn_dog.full.npz", train=objects(ONE), valid=objects(ONE), test=objects(TWO))
    found = {part: [(sketch.class_name, sketch.line) for sketch in read_sketchrnn(
        tmp_path, part=part, classes=["cat", "dog"]).sketches] for part in ("train", "valid", "test")}  # type: ignore
    assert found == {"train": [("cat", 1), ("cat", 2), ("cat", 3), ("dog", 1)], "valid": [("cat", 4), ("dog", 2)],
                     "test": [("cat", 5), ("cat", 6), ("dog", 3)]}
    assert len(read_sketchrnn(tmp_path, classes=["cat"]).sketches) == 6
    assert len(read_sketchrnn(tmp_path, part="train", per_class=2, classes=["cat"]).sketches) == 2
    np.savez(tmp_path / "cat.npz", train=objects(ONE))
    with pytest.raises(DataError, match=r"cat.npz has no drawings in the part test; download it again"):
        read_sketchrnn(tmp_path, part="test", classes=["cat"])
    with pytest.raises(DataError, match=r"lacks 343 of 345 classes: .* expected files such as cat.npz"):
        read_sketchrnn(tmp_path)
    assert [problem.kind for problem in check("quickdraw-sketchrnn", tmp_path).problems] == ["missing"]
