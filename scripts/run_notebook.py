"""Runs docs/tour.ipynb from top to bottom and writes what its cells give into it, without traces of the machine.

    python scripts/run_notebook.py [NOTEBOOK.ipynb]

tests/test_notebook.py fails where a cell does, or where the outputs in the repository are not those of a run.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"
SECONDS = 300  # that one cell may take
SHOWN = ("image/png", "text/plain")  # kinds of results that are kept, the first that there is
COLOURS = 56  # of a picture in the file, from a palette
LANGUAGE = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"}}


def run(path: Path) -> Any:
    """The notebook, with the outputs of a new kernel in its own folder; the file is left as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; its message has the cell and the traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", record_timing=False,
                            resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    notebook.metadata = nbformat.from_dict(LANGUAGE)  # without the version of this Python
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [tidied(output) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def tidied(output: Any) -> Any:
    """An output that is small; what libraries say on the standard error, with paths of this machine, is no output."""
    if "data" in output:
        output.data = nbformat.from_dict(smaller(output.data))
    return output


def smaller(data: dict[str, Any]) -> dict[str, Any]:
    """A result in one form, the first of ``SHOWN``; a picture with a palette."""
    kind = next(kind for kind in SHOWN if kind in data)
    return {kind: with_palette(data[kind]) if kind == "image/png" else data[kind]}


def with_palette(png: str) -> str:
    """PNG -> PNG with few colours, both in base64; drawings and lines stay sharp, as they would not in a JPEG."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        few = picture.convert("RGB").quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    few.save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def main(path: Path) -> None:
    """Run a notebook and save it."""
    notebook = run(path)
    nbformat.write(notebook, path)
    print(f"{path.name}: {len(notebook.cells)} cells, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK)
