"""``sketchfusion classify`` from end to end, with the tiny extractor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli import classify as verb
from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.recognition import classify

STROKES = '{"drawing": [[[10, 200, 120], [10, 40, 200]]]}\n{"drawing": [[[0, 250, 9], [9, 0, 250]]]}\n'
CLASSES = ("cat", "dog", "hot air balloon")


@pytest.fixture(scope="module")
def model() -> SketchFusion:
    """A tiny model with an untrained recognition head."""
    model = SketchFusion.from_pretrained("tiny", device="cpu")
    model.learn_anew(3, CLASSES)
    return model.eval()


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: model)


def run(*arguments: object, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["classify", "--preset", "tiny", *map(str, arguments)], input=input)


@pytest.fixture
def sketches(sketch_file: Path, tmp_path: Path) -> list[str]:
    """A picture, the second line of an ndjson file, and one that is missing."""
    (tmp_path / "many.ndjson").write_text(STROKES)
    return [str(sketch_file), f"{tmp_path / 'many.ndjson'}#2", str(tmp_path / "none.png")]


def test_json(sketches: list[str], model: SketchFusion) -> None:
    result = run(*sketches, "--top", 2, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert list(told) == ["results", "failures"]
    assert [row["sketch"] for row in told["results"]] == sketches[:2]
    expected = classify(model, sketches[:2], top=2)
    for row, guesses in zip(told["results"], expected, strict=True):
        assert [guess["name"] for guess in row["guesses"]] == [guess.name for guess in guesses]
        assert [guess["probability"] for guess in row["guesses"]] == \
            pytest.approx([guess.probability for guess in guesses], abs=1e-5)
    assert [failure["path"] for failure in told["failures"]] == sketches[2:]
    assert result.stderr == ""


def test_lines_with_bars(sketches: list[str], sketch_file: Path) -> None:
    result = run(*sketches)
    first, *guesses = result.stdout.split("\n\n")[0].splitlines()
    assert first == str(sketch_file)
    assert len(guesses) == 3
    shares = [float(line.split()[-2]) for line in guesses]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert len({line.index("%") for line in guesses}) == 1
    assert result.stderr.startswith("left out: cannot read the sketch ")
    assert result.stderr.count("none.png") == 1


@pytest.mark.parametrize(("encoding", "share", "bar"), [
    ("utf-8", 1.0, "█" * 24), ("utf-8", 0.0, ""), ("UTF8", 0.5, "█" * 12), ("utf-8", 0.01, "▎"),
    ("utf-8", 0.53125, "█" * 12 + "▊"), ("cp1252", 0.5, "#" * 12), ("ascii", 0.0, "")])
def test_bars_of_letters(monkeypatch: pytest.MonkeyPatch, encoding: str, share: float, bar: str) -> None:
    class Output:
        pass

    output: Any = Output()
    output.encoding = encoding
    monkeypatch.setattr(verb.sys, "stdout", output)
    shown = verb.text_bar(share)
    monkeypatch.undo()
    assert shown == bar.ljust(24)


def test_the_standard_input(tmp_path: Path) -> None:
    (tmp_path / "one.ndjson").write_text(STROKES)
    piped = json.loads(run("-", "--json", input=STROKES.encode()).stdout)["results"]
    named = json.loads(run(tmp_path / "one.ndjson", "--json").stdout)["results"]
    assert piped[0]["sketch"] == "sketch"
    assert piped[0]["guesses"] == named[0]["guesses"]


def test_a_folder(sketches: list[str], sketch_file: Path) -> None:
    found = json.loads(run(sketch_file.parent, "--json").stdout)["results"]
    assert [Path(row["sketch"]).name for row in found] == ["many.ndjson", "sketch.png"]


def test_the_picture(sketches: list[str], tmp_path: Path) -> None:
    result = run(*sketches, "--picture", tmp_path / "bars.png")
    assert result.exit_code == 0
    assert f"Picture: {tmp_path / 'bars.png'}" in result.stderr
    pixels = np.asarray(Image.open(tmp_path / "bars.png").convert("RGB")).astype(int)
    assert pixels.shape[0] > 2 * 160
    assert pixels.shape[1] > 600
    assert (pixels[:, :200].max(axis=2) < 100).sum() > 500  # ink of both
    assert ((pixels[..., 0] - pixels[..., 2]) > 100).sum() > 1000  # bars


def test_a_model_without_a_head_asks_for_labels(sketch_file: Path, monkeypatch: pytest.MonkeyPatch,
                                                tiny_model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: tiny_model)
    result = run(sketch_file)
    assert result.exit_code == 2
    assert "no recognition head" in result.stderr


def test_labels(sketch_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = SketchFusion.from_pretrained("mini", device="cpu")
    monkeypatch.setattr(common, "open_model", lambda *arguments: mini)
    told = json.loads(run(sketch_file, "--labels", "fish, teapot,hot air balloon", "--json").stdout)
    guesses = told["results"][0]["guesses"]
    assert {guess["name"] for guess in guesses} == {"fish", "teapot", "hot air balloon"}
    assert sum(guess["probability"] for guess in guesses) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("arguments", "exit_code", "message"), [
    (["none.png"], 3, "none of the 1 pictures could be read: cannot read the sketch"),
    (["sketch.png", "--labels", "cat,,dog"], 2, "--labels takes names with commas between them"),
    (["sketch.png", "--labels", "cat,Cat"], 2, "labels must differ"),
    (["sketch.png", "--picture", "bars.pdf"], 2, "use a name ending in one of .png"),
    (["sketch.png", "--top", "0"], 2, None),
])
def test_what_goes_wrong(sketch_file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], exit_code: int,
                         message: str | None) -> None:
    monkeypatch.chdir(sketch_file.parent)
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    if message is not None:
        assert message in json.loads(result.stdout)["error"]["message"]
        assert message in result.stderr


def test_no_result_is_printed_where_the_picture_cannot_be_written(sketch_file: Path, tmp_path: Path) -> None:
    for name, exit_code in (("folder.png", 2), (f"{'x' * 300}.png", 3)):
        (tmp_path / "folder.png").mkdir(exist_ok=True)
        result = run(sketch_file, "--picture", tmp_path / name, "--json")
        assert result.exit_code == exit_code
        assert json.loads(result.stdout)["error"]["exit_code"] == exit_code


def test_a_name_that_is_too_long() -> None:
    result = run("x" * 300, "--json")
    assert result.exit_code == 3
    assert "File name too long" in json.loads(result.stdout)["error"]["message"]
