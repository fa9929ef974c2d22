"""``sketchfusion data check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sketchfusion.apps.cli.main import app
from sketchfusion.data.sets import SETS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes; equal files on the side of the photos."""
    for name in ("photos/cat/1.jpg", "photos/dog/1.jpg", "sketches/cat/1.png", "sketches/dog/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("same" if name.startswith("photos") else name)
    return tmp_path


def test_a_sound_folder(folder: Path) -> None:
    result = run("folders", folder)
    assert result.exit_code == 0
    assert f"folders in {folder}: 2 classes, 2 photos, 2 sketches" in result.stdout
    assert "doubled: 1 files have the content of another, such as\n    photos/cat/1.jpg = photos/dog/1" in result.stdout
    assert "Nothing is missing or wrong; --deep decodes every file too." in result.stdout


def test_a_broken_folder(folder: Path) -> None:
    (folder / "sketches/dog/1.png").unlink()
    result = run("folders", folder)
    assert result.exit_code == 6
    assert "missing: " in result.stdout
    assert "has no pictures of 1 class(es): dog" in result.stdout
    assert "Expected photos/<class> and sketches/<class>" in result.stdout


def test_deep(folder: Path) -> None:
    result = run("folders", folder, "--deep", "--json")
    assert result.exit_code == 6
    told = json.loads(result.stdout)
    assert told["deep"]
    assert [problem["kind"] for problem in told["problems"]] == ["unreadable"] * 4


def test_json(folder: Path) -> None:
    told = json.loads(run("folders", folder, "--json").stdout)
    assert told["ok"]
    assert told["doubled_files"] == 1


def test_long_reports_are_cut(folder: Path) -> None:
    for number in range(30):
        (folder / f"photos/dog/{number + 10}.jpg").write_text("no")
    assert "and 14 more; --json has all" in run("folders", folder, "--deep").stdout


def test_the_list() -> None:
    result = run("--list")
    assert result.exit_code == 0
    assert all(f"{name}: " in result.stdout for name in SETS)
    assert "licence: CC BY 4.0" in result.stdout
    rows = {row["name"]: row for row in json.loads(run("--list", "--json").stdout)}
    assert list(rows) == list(SETS)
    assert rows["sketchy"]["published"]["sketches"] == [75471, 75481]


@pytest.mark.parametrize("arguments", [(), ("sketchy",), ("nothing", "somewhere")])
def test_wrong_arguments(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "data set" in result.stderr


def test_no_such_folder(tmp_path: Path) -> None:
    result = run("sketchy", tmp_path / "nowhere")
    assert result.exit_code == 6
    assert "there is no folder" in result.stdout
    assert "From http://sketchy.eye.gatech.edu" in result.stdout
