"""``sketchfusion extract`` from end to end, with the tiny extractor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from safetensors import safe_open
from typer.testing import CliRunner

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.fusion.extractor import SketchFusion

SVG = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 90">'
       '<path d="M10 20 L80 20 L45 80 Z" fill="none" stroke="black" stroke-width="3"/></svg>')


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> None:
    """The model of all tests instead of one each; ``tiny`` is the only one there is."""
    def open_model(model: str, *arguments: Any) -> SketchFusion:
        assert model == "tiny"
        return tiny_model

    monkeypatch.setattr(common, "open_model", open_model)


def extract(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extract", "--preset", "tiny", *map(str, arguments)])


def read(file: Path) -> tuple[list[str], str, dict[str, np.ndarray]]:
    """Paths, fingerprint and arrays."""
    if file.suffix.lower() == ".npz":
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        return arrays.pop("paths").tolist(), str(arrays.pop("fingerprint")), arrays
    with safe_open(file, "np") as stored:
        facts = stored.metadata()
        names = list(stored.keys())
        return json.loads(facts["paths"]), facts["fingerprint"], {name: stored.get_tensor(name) for name in names}


@pytest.mark.parametrize(("name", "what"), [
    ("out.safetensors", "descriptors"), ("out.npz", "features"), ("new/folder/OUT.NPZ", "descriptors"),
    ("OUT.SafeTensors", "features")])
def test_rows_are_what_the_model_gives(photo_folder: Path, tmp_path: Path, tiny_model: SketchFusion, name: str,
                                       what: str) -> None:
    out = tmp_path / name
    result = extract(photo_folder, "-o", out, "--what", what, "--batch-size", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"7 pictures -> {out}\n"
    paths, fingerprint, arrays = read(out)
    names = ["photo0.jpg", "photo1.jpg", "photo2.jpg", "photo3.jpg", "photo4.jpg", "tall.png", "album/square.webp"]
    assert paths == [str(photo_folder / name) for name in names]
    assert fingerprint == tiny_model.fingerprint
    descriptors = arrays.pop("descriptors")
    assert descriptors.shape == (7, 64)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    expected = tiny_model.features(paths, batch_size=3)
    np.testing.assert_allclose(descriptors, expected.descriptor.numpy(), atol=1e-6)
    np.testing.assert_allclose(descriptors, tiny_model.describe(paths, batch_size=3).numpy(), atol=1e-6)
    if what == "features":
        maps = arrays.pop("feature_maps")
        assert maps.shape == (7, 64, 16, 16)
        assert maps.dtype == np.float32
        np.testing.assert_allclose(maps, expected.feature_map.numpy(), atol=1e-5)
    assert not arrays
    assert [file.name for file in out.parent.iterdir() if "partial" in file.name] == []


def test_a_broken_picture_is_left_out_and_named_once(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    result = extract(album, "-o", out)
    assert result.exit_code == 0
    assert result.stdout == f"3 pictures -> {out}\n"
    assert result.stderr.startswith("left out: ")
    assert result.stderr.count(str(album / "broken.jpg")) == 1
    assert read(out)[0] == [str(album / f"{number}.png") for number in range(3)]


def test_json(album: Path, tmp_path: Path, tiny_model: SketchFusion) -> None:
    result = extract(album, "-o", tmp_path / "out.npz", "--json")
    report = json.loads(result.stdout)
    assert report["out"] == str(tmp_path / "out.npz")
    assert report["fingerprint"] == tiny_model.fingerprint
    assert report["paths"] == [str(album / f"{number}.png") for number in range(3)]
    assert [failure["path"] for failure in report["failures"]] == [str(album / "broken.jpg")]
    assert result.stderr == ""


@pytest.mark.parametrize(("pictures", "out", "exit_code", "message"), [
    ("album", "out.pt", 2, "expected a name ending in .safetensors or .npz"),
    ("album", "album/notes.txt/out.npz", 2, "Not a directory; name a file in a folder that is writable"),
    ("album", "album.npz", 2, "it is a folder"),
    ("album/broken.jpg", "out.npz", 3, "none of the 1 pictures could be read; nothing was written"),
    ("nothing.jpg", "out.npz", 3, "there is no file"),
    ("x" * 300, "out.npz", 3, "File name too long"),
    ("empty", "out.npz", 3, "there are no photo files in"),
])
def test_what_goes_wrong(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: str, out: str,
                         exit_code: int, message: str) -> None:
    for folder in ("empty", "album.npz"):
        (tmp_path / folder).mkdir()
    if exit_code == 2:
        monkeypatch.setattr(common, "open_model", lambda *arguments: pytest.fail("it was told too late"))
    result = extract(tmp_path / pictures, "-o", tmp_path / out, "--json")
    assert result.exit_code == exit_code
    error = json.loads(result.stdout)["error"]
    assert message in error["message"]
    assert error["exit_code"] == exit_code
    assert message in result.stderr
    assert not (tmp_path / out).is_file()


def test_sketches_of_every_kind(sketch_file: Path, tmp_path: Path, tiny_model: SketchFusion) -> None:
    folder = tmp_path / "sketches"
    folder.mkdir()
    sketch_file.rename(folder / "a.png")
    (folder / "b.svg").write_text(SVG)
    (folder / "c.ndjson").write_text('{"drawing": [[[10, 200, 120], [10, 40, 200]]]}\n'
                                     '{"drawing": [[[0, 250, 9], [9, 0, 250]]]}\n')
    out = tmp_path / "out.npz"
    result = extract(folder, f"{folder / 'c.ndjson'}#2", "-o", out, "--kind", "sketch", "--json")
    assert result.exit_code == 0, result.output
    paths, _, arrays = read(out)
    assert paths == [str(folder / name) for name in ("a.png", "b.svg", "c.ndjson", "c.ndjson#2")]
    assert json.loads(result.stdout)["failures"] == []
    np.testing.assert_allclose(arrays["descriptors"], tiny_model.describe(paths, kind="sketch").numpy(), atol=1e-6)
    assert len(np.unique(arrays["descriptors"].round(4), axis=0)) == 4


def test_the_help_tells_which_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert "FILE.ndjson#12 is its 12th line" in extract("--help").stdout
