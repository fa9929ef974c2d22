"""Shared by the tests of the commands: a quick model in place of the real one, and a way to run a command."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from sketchfusion.apps.cli import common, gallery, index, search


def load_fakes() -> Any:
    path = Path(__file__).parents[2] / "index" / "fake_describer.py"
    spec = importlib.util.spec_from_file_location("fake_describer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Loaded:
    """Which models the commands asked for."""

    calls: list[tuple[str, tuple[str, ...]]]
    describer: Any


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Models named ``fake-N`` are fakes of seed N; ``loaded.calls`` tells which were asked for."""
    fakes = load_fakes()
    loaded = Loaded([], None)

    def open_model(model: str, overrides: Any = (), device: str = "auto", dtype: str = "auto") -> Any:
        loaded.calls.append((model, tuple(overrides)))
        digits = model.rpartition("-")[2]
        loaded.describer = fakes.FakeDescriber(seed=int(digits) if digits.isdigit() else 0)
        loaded.describer.name, loaded.describer.overrides = model, tuple(overrides)
        return loaded.describer

    monkeypatch.setattr(common, "open_model", open_model)
    return loaded


@dataclass
class Ran:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(loaded: Loaded) -> Run:
    """``run("index", folder, ...)`` runs a command as the shell would."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("index")(index.index)
    app.command("search")(search.search)
    app.command("similar")(search.similar)
    app.add_typer(gallery.app, name="gallery")

    def run(*arguments: object, input: bytes | None = None) -> Ran:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of three photos, a broken one and a text."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number, color in enumerate(("red", "green", "blue")):
        image = Image.new("RGB", (60, 40), color)
        ImageDraw.Draw(image).ellipse((5 * number, 5, 30, 30), fill="white")
        image.save(folder / f"{number}.png")
    (folder / "broken.jpg").write_text("no")
    (folder / "notes.txt").write_text("no")
    return folder


@pytest.fixture
def indexed(run: Run, album: Path, tmp_path: Path) -> Path:
    """A gallery of ``album``."""
    assert run("index", album, "--gallery", tmp_path / "gallery", "--preset", "fake-0").exit_code == 0
    return tmp_path / "gallery"
