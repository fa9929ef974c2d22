"""With ``--json`` a verb that also draws prints one document, whatever goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.main import app
from sketchfusion.fusion.extractor import SketchFusion

VERBS = pytest.mark.parametrize("verb", ["match", "segment"])


@pytest.fixture(autouse=True)
def _shared_model(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> None:
    monkeypatch.setattr(common, "open_model", lambda *arguments: tiny_model)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--preset", "tiny", "--json"])


@VERBS
@pytest.mark.parametrize(("name", "exit_code"), [("folder.png", 2), (f"{'x' * 300}.png", 3)])
def test_no_result_is_printed_where_the_picture_cannot_be_written(verb: str, name: str, exit_code: int, album: Path,
                                                                  sketch_file: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    result = run(verb, sketch_file, album, "--picture", tmp_path / name)
    assert result.exit_code == exit_code
    assert json.loads(result.stdout)["error"]["exit_code"] == exit_code


@VERBS
def test_a_name_that_is_too_long(verb: str, sketch_file: Path) -> None:
    result = run(verb, sketch_file, "x" * 300)
    assert result.exit_code == 3
    assert "File name too long" in json.loads(result.stdout)["error"]["message"]
