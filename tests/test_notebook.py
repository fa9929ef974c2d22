"""The tour as a notebook: it runs, and what is in the repository is what a run gives."""

from __future__ import annotations

import base64
import io
import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "tour.ipynb"
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "run_notebook.py"))
AGAIN = "run python scripts/run_notebook.py"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
FILE_BYTES, PICTURE_BYTES = 600_000, 60_000


@pytest.fixture(autouse=True)
def _own_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels leave their files where they are removed, and read no settings of the user's."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def committed() -> Any:
    """The notebook of the repository."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return notebook


def texts(cell: Any) -> str:
    """What a cell prints."""
    return "".join(output.text for output in cell.get("outputs", ()) if output.output_type == "stream")


def pictures(cell: Any) -> list[bytes]:
    """The pictures that a cell shows."""
    shown = [output.data for output in cell.get("outputs", ()) if "data" in output]
    return [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]


def size(png: bytes) -> tuple[int, int]:
    """(width, height)."""
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


@pytest.mark.thorough
def test_every_cell_runs_and_gives_what_the_repository_has() -> None:
    for old, new in zip(committed().cells, SCRIPT["run"](NOTEBOOK).cells, strict=True):
        where = f"cell {old.id}: {AGAIN}"
        assert NUMBER.sub("", texts(new)) == NUMBER.sub("", texts(old)), where
        numbers = [[float(number) for number in NUMBER.findall(texts(cell))] for cell in (new, old)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1.01 if old.id == "match" else 0.02), where  # pixels there
        assert [size(png) for png in pictures(new)] == [size(png) for png in pictures(old)], where


def test_every_code_cell_was_run_and_in_order() -> None:
    cells = [cell for cell in committed().cells if cell.cell_type == "code"]
    assert len(cells) >= 8
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), AGAIN
    assert sum(len(pictures(cell)) for cell in cells) >= 6


def test_the_file_is_small_and_tells_nothing_of_the_machine_that_ran_it() -> None:
    notebook = committed()
    assert NOTEBOOK.stat().st_size < FILE_BYTES
    for cell in notebook.cells:
        assert all(len(png) < PICTURE_BYTES for png in pictures(cell)), cell.id
        assert not re.search(r"(?:^|[\s'\"(])(?:/\w|[A-Z]:\\|~/)", texts(cell)), cell.id
        assert all(output.get("name") != "stderr" for output in cell.get("outputs", ()))
        assert not cell.metadata
    assert notebook.metadata == SCRIPT["LANGUAGE"]


def test_every_link_leads_to_a_file() -> None:
    prose = "\n".join(cell.source for cell in committed().cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", prose)
    assert targets
    for target in targets:
        assert (NOTEBOOK.parent / target).exists(), target


def saved(path: Path, *cells: Any) -> Path:
    """A notebook of one's own."""
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def test_a_cell_that_fails_is_an_error_and_the_file_stays(tmp_path: Path) -> None:
    path = saved(tmp_path / "bad.ipynb", new_code_cell("1 / 0"))
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        SCRIPT["main"](path)
    assert path.read_bytes() == before


def test_a_run_keeps_pictures_small_and_leaves_the_standard_error_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "good.ipynb", new_markdown_cell("# Head"), new_code_cell(
        "import sys\nfrom PIL import Image\nprint('seen')\nprint('not seen', file=sys.stderr)\n"
        "Image.radial_gradient('L').convert('RGB')"))
    SCRIPT["main"](path)
    first, second = nbformat.read(path, as_version=4).cells
    assert "outputs" not in first
    assert texts(second) == "seen\n"
    (png,) = pictures(second)
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.mode, picture.size) == ("P", (256, 256))
        colours = picture.getcolors()
    assert colours is not None
    assert len(colours) <= SCRIPT["COLOURS"]
    assert [sorted(output.data) for output in second.outputs if "data" in output] == [["image/png"]]
