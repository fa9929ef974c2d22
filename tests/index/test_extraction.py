"""Features into one file: what is in it, what stays in memory, what happens on a bad disk."""

from __future__ import annotations

import errno
import gc
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind, read_canvas
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.features import Features
from sketchfusion.fusion.extractor import as_kind
from sketchfusion.images import Picture
from sketchfusion.index import extraction
from sketchfusion.index.extraction import check_out, explain, extract_to_file, list_pictures
from sketchfusion.index.scan import Failure

STROKES = '{"drawing": [[[10, 200, 120], [10, 40, 200]]]}\n'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1 L8 8" stroke="black"/></svg>'


class LargeMaps:
    """An extractor that makes large maps and counts how many of its tensors are alive when it is called."""

    fingerprint, name, overrides, descriptor_size, canvas_size = "large", "large", (), 4, 16

    def __init__(self) -> None:
        self.made: list[weakref.ref[Any]] = []
        self.alive: list[int] = []
        self.calls: list[str] = []

    def read(self, picture: Picture, kind: Kind) -> Canvas:
        return read_canvas(as_kind(picture, kind), self.canvas_size, (0, 0, 0))

    def features_of(self, canvas: Canvas) -> Features:
        self.calls.append("features")
        maps, descriptors = torch.randn(len(canvas), 4, 32, 32), self.numbers(canvas)
        return Features(self.watched(maps), self.watched(descriptors))

    def describe_canvas(self, canvas: Canvas) -> Tensor:
        self.calls.append("descriptors")
        return self.watched(self.numbers(canvas))

    def numbers(self, canvas: Canvas) -> Tensor:
        self.alive.append(sum(reference() is not None for reference in self.made))
        return canvas.images_01[:, :, 8, 8] @ torch.eye(3, 4)

    def watched(self, tensor: Tensor) -> Tensor:
        """Of the memory itself: a view would keep it alive, and so does an array made from it."""
        array = tensor.numpy()
        self.made.append(weakref.ref(array))
        return torch.from_numpy(array)


@pytest.fixture
def colours(tmp_path: Path) -> list[str]:
    """Nine plain pictures, each of another red."""
    folder = tmp_path / "colours"
    folder.mkdir()
    for index in range(9):
        Image.new("RGB", (8, 8), (index * 20, 100, 200)).save(folder / f"{index}.png")
    return [str(folder / f"{index}.png") for index in range(9)]


def read(file: Path) -> dict[str, np.ndarray]:
    if file.suffix.lower() == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    with safe_open(file, "np") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, it is no dictionary


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", ["out.npz", "out.safetensors"])
def test_no_batch_outlives_its_turn(colours: list[str], tmp_path: Path, name: str, dense: bool) -> None:
    model = LargeMaps()
    extract_to_file(model, colours, tmp_path / name, dense=dense, batch_size=2)
    assert model.alive == [0] * 5
    gc.collect()
    assert all(reference() is None for reference in model.made)
    assert set(model.calls) == {"features" if dense else "descriptors"}
    found = read(tmp_path / name)
    np.testing.assert_allclose(found["descriptors"][:, 0], np.arange(9) * 20 / 255, atol=1e-6)
    assert ("feature_maps" in found) == dense


def test_assembling_holds_less_than_the_result(colours: list[str], tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that pass the copy at a time do not depend on the number of pictures."""
    sizes: list[int] = []
    copy = shutil.copyfileobj
    monkeypatch.setattr(shutil, "copyfileobj",
                        lambda source, target, length: (sizes.append(length), copy(source, target, length))[1])
    extract_to_file(LargeMaps(), colours, tmp_path / "out.npz", dense=True)
    assert sizes == [2**22, 2**22]


def test_what_was_there_stays_where_the_disk_fills_up(colours: list[str], tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "results" / "out.npz"
    out.parent.mkdir()
    out.write_text("earlier")
    monkeypatch.setattr(extraction.Rows, "copy_to", full)
    for file in (out, out.with_suffix(".safetensors")):
        with pytest.raises(ConfigError, match="No space left on device; name a file in a folder that is writable"):
            extract_to_file(LargeMaps(), colours, file, dense=True)
    assert out.read_text() == "earlier"
    assert [file.name for file in out.parent.iterdir()] == ["out.npz"]


def test_a_name_that_leaves_no_room_for_a_partial_file(colours: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="File name too long; name a file"):
        extract_to_file(LargeMaps(), colours, tmp_path / f"{'x' * 248}.npz", dense=False)


@pytest.mark.parametrize("kind", [str, Path])
def test_one_picture_is_as_good_as_many(colours: list[str], tmp_path: Path, kind: Any) -> None:
    report = extract_to_file(LargeMaps(), kind(colours[0]), tmp_path / "out.npz", dense=False)
    assert report["paths"] == list_pictures([Path(colours[0])], "photo")[0] == colours[:1]


def test_a_picture_whose_path_is_too_long_is_left_out(colours: list[str], tmp_path: Path) -> None:
    report = extract_to_file(LargeMaps(), ["x" * 300, colours[0]], tmp_path / "out.npz", dense=False)
    assert (len(report["paths"]), len(report["failures"])) == (1, 1)


def test_a_disk_too_small_is_told_after_one_batch(colours: list[str], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    row = 4 * (4 + 4 * 32 * 32)
    model, free = LargeMaps(), row * (2 * 9 - 2)  # 7 rows more, and all 9 again in the result
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free - 1))
    with pytest.raises(ConfigError, match="GB more on the disk"):
        extract_to_file(model, colours, tmp_path / "out.npz", dense=True, batch_size=2)
    assert len(model.calls) == 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    extract_to_file(model, colours, tmp_path / "out.npz", dense=True, batch_size=2)


@pytest.mark.parametrize(("name", "reason"), [
    ("out.pt", "ending in .safetensors or .npz"), ("out", "ending in"), ("folder.npz", "it is a folder"),
    ("file/out.npz", "Not a directory"), ("file/below/out.npz", "Not a directory")])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"cannot write .*{reason}"):
        check_out(tmp_path / name)


def test_the_check_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (Path("out.NPZ"), Path("new/folder/out.SafeTensors"), tmp_path / "new" / "out.npz"):
        check_out(out)
    assert not list(tmp_path.iterdir())


def test_a_denied_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**arguments: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(extraction.tempfile, "TemporaryFile", denied)
    with pytest.raises(ConfigError, match=r"cannot write .*Permission denied; name a file"):
        check_out(tmp_path / "out.npz")


def test_sketches_in_folders_may_be_drawings(tmp_path: Path) -> None:
    folder = tmp_path / "sketches"
    for name in ("b.svg", "a.png", "sub/c.NDJSON", ".hidden.svg", ".hidden/d.svg", "@eaDir/e.svg", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "directory.svg").mkdir()
    assert list_pictures([str(folder)], "sketch")[0] == [str(folder / name) for name in ("a.png", "b.svg",
                                                                                         "sub/c.NDJSON")]
    assert list_pictures([str(folder)], "photo")[0] == [str(folder / "a.png")]
    assert list_pictures([str(folder / "a.png"), str(folder)], "photo")[0] == [str(folder / "a.png")]


def test_a_line_of_ndjson(tmp_path: Path) -> None:
    (tmp_path / "cat.ndjson").write_text(STROKES + '{"drawing": [[[0, 0], [0, 255]]]}\n')
    (tmp_path / "line.svg").write_text(SVG)
    names = ["cat.ndjson", "cat.ndjson#1", "cat.ndjson#2", "cat.ndjson#3", "line.svg"]
    report = extract_to_file(LargeMaps(), [str(tmp_path / name) for name in names], tmp_path / "out.npz", dense=False,
                             kind="sketch")
    assert [Path(path).name for path in report["paths"]] == ["cat.ndjson", "cat.ndjson#1", "cat.ndjson#2", "line.svg"]
    (failure,) = report["failures"]
    assert explain(Failure(**failure)).count(str(tmp_path / "cat.ndjson")) == 1
    first, same, second, _ = read(tmp_path / "out.npz")["descriptors"]
    assert np.array_equal(first, same)
    assert not np.array_equal(first, second)


def test_nothing_found_and_nothing_readable(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "results" / "out.npz"
    with pytest.raises(ImageError, match=r"there are no photo files in .*empty \(SVG and ndjson count as sketches\)"):
        extract_to_file(LargeMaps(), [str(empty)], out, dense=False)
    (empty / "broken.png").write_text("no")
    with pytest.raises(ImageError, match="none of the 2 pictures could be read; nothing was written") as caught:
        extract_to_file(LargeMaps(), [str(empty), str(tmp_path / "gone.jpg")], out, dense=False)
    assert str(caught.value).count("broken.png") == str(caught.value).count("gone.jpg") == 1
    assert not list(out.parent.glob("*"))
    assert explain(Failure("a.png", "too dark")) == "a.png: too dark"


def test_progress_counts_every_picture(colours: list[str], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    (tmp_path / "broken.png").write_text("no")
    extract_to_file(LargeMaps(), [str(tmp_path / "broken.png"), *colours], tmp_path / "out.npz", dense=False,
                    batch_size=4, advance=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 10), (9, 10), (10, 10)]
