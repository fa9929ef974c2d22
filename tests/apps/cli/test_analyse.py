"""``sketchfusion analyse`` from end to end, with the tiny extractor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.analysis.sources import DEFAULT_TAP
from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.analyse import TAP, spread
from sketchfusion.apps.cli.main import app
from sketchfusion.fusion.extractor import SketchFusion


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: tiny_model)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["analyse", *map(str, arguments)])


def test_pca(photo_folder: Path, sketch_file: Path, tmp_path: Path, tiny_model: SketchFusion) -> None:
    out = tmp_path / "pca.png"
    given = [photo_folder / "photo0.jpg", photo_folder / "tall.png", tmp_path / "none.jpg", "--sketch", sketch_file]
    result = run("pca", *given, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["fingerprint"] == tiny_model.fingerprint
    assert told["pictures"] == [str(given[0]), str(given[1]), str(sketch_file)]
    assert list(told["sources"]) == ["patches", "up2", "fused"]
    assert [failure["path"] for failure in told["failures"]] == [str(tmp_path / "none.jpg")]
    first = Image.open(out)
    assert first.height > 3 * 148
    assert run("pca", *given, "--out", tmp_path / "again.png").exit_code == 0
    assert Image.open(tmp_path / "again.png").tobytes() == first.tobytes()


def test_pca_as_text(photo_folder: Path, tmp_path: Path) -> None:
    result = run("pca", photo_folder, "--out", tmp_path / "pca.webp", "--tap", "up3")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["features", "patches", "up3", "fused"]
    assert f"Picture: {tmp_path / 'pca.webp'}" in result.stderr


def test_spectrum(photo_folder: Path, sketch_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "spectrum.png"
    given = ["--photos", photo_folder, "--sketches", sketch_file, "--out", out, "--limit", 4]
    told = json.loads(run("spectrum", *given, "--json").stdout)
    assert (told["low_up_to"], told["high_up_to"]) == (2, 4)
    assert list(told["sources"]) == ["patches", "up2", "fused"]
    for source in told["sources"].values():
        assert source["photo"]["pictures"] == 4
        assert source["sketch"]["pictures"] == 1
        assert 0 < source["photo"]["low_share"]["mean"] < 1
    assert Image.open(out).width > 3 * 208
    text = run("spectrum", *given)
    rows = [line.split() for line in text.stdout.splitlines()[3:]]
    assert [row[4] for row in rows] == ["photo", "sketch"] * 3
    assert [row[-1] == "-" for row in rows] == [False, True] * 3  # one sketch has nothing in common with another
    share = told["sources"]["fused"]["photo"]["low_share"]["mean"]
    assert float(rows[4][6]) == pytest.approx(100 * share, abs=0.06)


@pytest.mark.parametrize(("count", "limit", "expected"), [
    (7, 3, ["0", "2", "4"]), (3, 3, ["0", "1", "2"]), (2, None, ["0", "1"]), (5, 1, ["0"]), (100, 2, ["0", "50"])])
def test_spread(count: int, limit: int | None, expected: list[str]) -> None:
    assert spread([str(number) for number in range(count)], limit) == expected


def test_weights_side_by_side(photo_folder: Path, sketch_file: Path) -> None:
    given = ["weights", "tiny", "tiny", "--photo", photo_folder, "--sketch", sketch_file, "--limit", 2]
    told = json.loads(run(*given, "--json").stdout)
    assert [model["model"] for model in told["models"]] == ["tiny", "tiny"]
    assert told["models"][0] == told["models"][1]
    assert len(told["pictures"]) == 3
    model = told["models"][0]
    assert sum(model["branch_weights"][0]["taps"].values()) == pytest.approx(1, abs=1e-3)
    assert list(model["injection"]) == ["down1", "down2", "down3", "down4", "up1", "up2", "up3"]
    assert model["injection"]["up1"] == {"norm": 0, "strength": 0}
    rows = run(*given).stdout.splitlines()
    assert [row.split()[-2:] for row in rows if row.startswith("branch weight")] == [["0.3333", "0.3333"]] * 3
    assert len([row for row in rows if row.startswith("strength ")]) == 7


def test_weights_without_pictures() -> None:
    told = json.loads(run("weights", "tiny", "--json").stdout)
    assert {block["strength"] for block in told["models"][0]["injection"].values()} == {None}
    assert "strength" not in run("weights", "tiny").stdout


@pytest.mark.parametrize(("arguments", "exit_code", "message"), [
    (["pca", "a.png", "--out", "a.pdf"], 2, "use a name ending in one of .png"),
    (["pca", "a.png", "--out", "b.png"], 3, "none of the 1 pictures could be read"),
    (["pca", "sketch.png", "--out", "b.png", "--tap", "up9"], 2, "reads no tap 'up9'"),
    (["spectrum", "--photos", "none.png", "--sketches", "sketch.png"], 3, "none of the 1 pictures"),
])
def test_what_goes_wrong(sketch_file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], exit_code: int,
                         message: str) -> None:
    monkeypatch.chdir(sketch_file.parent)
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    assert message in json.loads(result.stdout)["error"]["message"]


def test_the_default_tap_is_that_of_the_library() -> None:
    assert TAP == DEFAULT_TAP
