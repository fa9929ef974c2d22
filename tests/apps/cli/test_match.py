"""``sketchfusion match`` from end to end, with the tiny extractor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.correspondence import match_points


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: tiny_model)


def run(*arguments: object, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["match", "--preset", "tiny", *map(str, arguments)], input=input)


def test_points_of_ones_own(sketch_file: Path, album: Path, tiny_model: SketchFusion) -> None:
    result = run(sketch_file, album, "--point", "20,70", "--point", "60.5, 20", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert list(told) == ["sketch", "reverse", "results", "failures"]
    assert (told["sketch"], told["reverse"]) == (str(sketch_file), False)
    paths = [str(album / f"{number}.png") for number in range(3)]
    assert [row["photo"] for row in told["results"]] == paths
    assert [failure["path"] for failure in told["failures"]] == [str(album / "broken.jpg")]
    expected = match_points(tiny_model, sketch_file, paths, torch.tensor([[20, 70], [60.5, 20]]))
    for row, matches in zip(told["results"], expected, strict=True):
        assert [point["query"] for point in row["points"]] == [[20, 70], [60.5, 20]]
        assert [point["found"] for point in row["points"]] == \
            [pytest.approx(place, abs=0.011) for place in matches.found_px.tolist()]
        assert [point["score"] for point in row["points"]] == pytest.approx(matches.scores.tolist(), abs=1e-5)


def test_points_spread_over_the_ink(sketch_file: Path, album: Path) -> None:
    def queries(*arguments: object) -> list[list[float]]:
        told = json.loads(run(sketch_file, album / "0.png", "--json", *arguments).stdout)
        return [point["query"] for point in told["results"][0]["points"]]

    assert len(queries()) == 12
    few = queries("--points", 3)
    assert len(few) == 3
    ink = np.asarray(Image.open(sketch_file).convert("L")) < 128
    assert all(ink[int(y), int(x)] for x, y in few)


def test_a_table(sketch_file: Path, album: Path) -> None:
    result = run(sketch_file, album, "--point", "20,70")
    path, header, row = result.stdout.split("\n\n")[0].splitlines()
    assert path == str(album / "0.png")
    assert header.split() == ["sketch", "photo", "score"]
    assert row.split()[:3] == ["1", "20.0,", "70.0"]
    assert len(row) == len(header)
    assert result.stderr.startswith("left out: ")
    assert result.stderr.count(str(album / "broken.jpg")) == 1


def test_reverse(sketch_file: Path, album: Path, tiny_model: SketchFusion) -> None:
    result = run(sketch_file, album / "1.png", "--reverse", "--point", "58,39", "--json")
    told = json.loads(result.stdout)
    (point,) = told["results"][0]["points"]
    assert told["reverse"]
    assert point["query"] == [58, 39]
    (expected,) = match_points(tiny_model, sketch_file, album / "1.png", torch.tensor([[58.0, 39.0]]), reverse=True)
    assert point["found"] == pytest.approx(expected.found_px[0].tolist(), abs=0.011)
    header = run(sketch_file, album / "1.png", "--reverse", "--point", "58,39").stdout.splitlines()[1]
    assert header.split() == ["photo", "sketch", "score"]


def test_strokes_on_the_standard_input(album: Path) -> None:
    told = json.loads(run("-", album / "0.png", "--json", input=b'{"drawing": [[[0, 250, 9], [9, 0, 250]]]}').stdout)
    assert told["sketch"] == "sketch"
    assert len(told["results"][0]["points"]) == 12


@pytest.mark.parametrize("reverse", [[], ["--reverse", "--point", "30,20"]])
def test_the_picture(sketch_file: Path, album: Path, tmp_path: Path, reverse: list[str]) -> None:
    out = tmp_path / "lines.webp"
    photos = [album / "0.png"] if reverse else [album / "0.png", album / "2.png"]
    result = run(sketch_file, *photos, "--picture", out, *reverse)
    assert result.exit_code == 0, result.output
    assert f"Picture: {out}" in result.stderr
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert pixels.shape[0] > 360 * len(photos)
    assert pixels.shape[1] > 2 * 360
    assert (pixels[:, :390].max(axis=2) < 100).sum() > 500  # ink
    assert ((pixels[..., 0] - pixels[..., 2]) > 150).sum() > 20_000  # the red photo
    between = pixels[:, 400:480]
    assert (between.max(axis=2) - between.min(axis=2) > 80).sum() > 60  # lines


@pytest.mark.parametrize(("arguments", "exit_code", "message"), [
    (["sketch.png", "album/0.png", "--point", "12;30"], 2, "--point takes X,Y in pixels, such as --point 120,80.5"),
    (["sketch.png", "album/0.png", "--point", "1,2,3"], 2, "got '1,2,3'"),
    (["sketch.png", "album/0.png", "--point", "nan,2"], 2, "got 'nan,2'"),
    (["sketch.png", "album/0.png", "--point", "500,2"], 2, "lies outside the sketch, which is 120 pixels wide"),
    (["sketch.png", "album/0.png", "--point", "-5,2"], 2, "lies outside the sketch"),
    (["sketch.png", "album", "--reverse", "--point", "1,2"], 2, "the points lie on one photo, but 4 were given"),
    (["sketch.png", "album/0.png", "--reverse"], 2, "give --point X,Y in pixels of the photo"),
    (["sketch.png", "album/0.png", "--picture", "lines.gif"], 2, "use a name ending in one of .png"),
    (["none.png", "album/0.png"], 3, "cannot read the sketch none.png"),
    (["sketch.png", "album/broken.jpg", "none.jpg"], 3, "none of the 2 pictures could be read"),
    (["sketch.png", "album/broken.jpg", "--reverse", "--point", "1,2"], 3, "none of the 1 pictures could be read"),
])
def test_what_goes_wrong(sketch_file: Path, album: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
                         exit_code: int, message: str) -> None:
    monkeypatch.chdir(sketch_file.parent)
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    assert message in json.loads(result.stdout)["error"]["message"]
    assert message in result.stderr
