"""Imports go down only, siblings are strangers, and third parties stay behind their fences."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sketchfusion

ROOT = Path(sketchfusion.__file__).parent
LAYERS = {  # package or module -> layer
    "errors": 0, "images": 0, "canvas": 0, "features": 0, "config": 0, "drawing": 0, "presets": 0, "sketches": 0,
    "svg": 0, "backbones": 1, "fusion": 2, "tasks": 3, "data": 3, "metrics": 3, "engine": 4, "pretrain": 5,
    "index": 5, "figures": 5, "analysis": 5, "batch": 5, "apps": 6,
}
# all that the fusion may see of the backbones
SEAM = {"backbones.base", "backbones.build", "backbones.noise", "backbones.weights"}
FENCES = {  # third party -> where it may be imported
    "diffusers": ("backbones/", "pretrain/"), "transformers": ("backbones/", "pretrain/"),
    "huggingface_hub": ("backbones/",),
    "lancedb": ("index/lance.py", "index/store"), "pyarrow": ("index/",),
    "typer": ("apps/",), "rich": ("apps/",), "matplotlib": ("analysis/",), "gradio": ("apps/",),
    "fastapi": ("apps/",), "starlette": ("apps/",), "uvicorn": ("apps/",), "prometheus_client": ("apps/",),
}
FILES = sorted(ROOT.rglob("*.py"))


@cache
def imports(file: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, wherever in the file; for type checkers only as well."""
    return list(find_imports(file))


def find_imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def home(file: Path) -> str:
    """The package or module directly below ``sketchfusion`` that a file belongs to; empty for the root."""
    first = file.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def test_every_module_has_a_layer() -> None:
    assert {home(file) for file in FILES} - {""} <= LAYERS.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down_only(file: Path) -> None:
    own = home(file)
    if not own:
        return  # the root gives the public names, on first use
    for line, name in imports(file):
        if not name.startswith("sketchfusion."):
            continue
        other = name.split(".")[1]
        if other in (own, "__version__"):
            continue
        where = f"{file.relative_to(ROOT)}:{line} imports {name}"
        assert other in LAYERS, where
        assert LAYERS[other] <= LAYERS[own], f"{where}: upwards"
        assert LAYERS[other] != LAYERS[own] or LAYERS[own] == 0, f"{where}: sideways"
        if own == "fusion" and other == "backbones":
            assert any(name.startswith(f"sketchfusion.{seam}.") for seam in SEAM), f"{where}: a concrete backbone"


def test_the_lowest_modules_do_not_go_in_circles() -> None:
    below = {own: {name.split(".")[1] for file in FILES if home(file) == own for _, name in imports(file)
                   if name.startswith("sketchfusion.")} - {own}
             for own, layer in LAYERS.items() if layer == 0}
    order: list[str] = []
    while below:
        free = [own for own, needs in below.items() if needs <= set(order)]
        assert free, f"circle among {sorted(below)}"
        order += free
        below = {own: needs for own, needs in below.items() if own not in free}


@pytest.mark.parametrize("third_party", FENCES)
def test_third_parties_stay_behind_their_fences(third_party: str) -> None:
    for file in FILES:
        place = str(file.relative_to(ROOT).as_posix())
        for line, name in imports(file):
            if name.split(".")[0] == third_party:
                assert place.startswith(FENCES[third_party]), f"{place}:{line} imports {name}"


@pytest.mark.parametrize("statement", ["import sketchfusion",
                                       "from sketchfusion.canvas import make_canvas",
                                       "from sketchfusion.config import load_preset; load_preset('tiny')"])
def test_importing_the_package_is_light(statement: str) -> None:
    heavy = ("diffusers", "transformers", "lancedb", "pyarrow", "typer")
    code = f"{statement}\nimport sys; print([name for name in {heavy!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch() -> None:
    code = "import sketchfusion.apps.cli.main, sys; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False", "torch takes seconds to import, and `sketchfusion --help` needs none"


def test_public_names_are_all_there() -> None:
    for name in sketchfusion.__all__:
        assert getattr(sketchfusion, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = sketchfusion.Nothing
