"""A server of the API over a small gallery of the tiny preset, and sketches to send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from sketchfusion.apps.demo.client import Client
from sketchfusion.apps.demo.server import ApiServer
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery

NUM_PHOTOS = 5


@pytest.fixture(scope="session")
def gallery_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: SketchFusion,
                   pictures: list[Image.Image]) -> Path:
    """A gallery of five photos of several shapes."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "photos").mkdir()
    for number, picture in enumerate(pictures[:NUM_PHOTOS]):
        picture.save(folder / "photos" / f"photo{number}.png")
    Gallery.create(folder / "my.gallery", tiny_model).update([folder / "photos"], tiny_model)
    return folder / "my.gallery"


@pytest.fixture(scope="session")
def server(gallery_folder: Path) -> Iterator[ApiServer]:
    """The API, for real: over HTTP, on a port of its own."""
    served = ApiServer(gallery_folder, device="cpu")
    yield served
    served.close()


@pytest.fixture
def client(server: ApiServer) -> Client:
    """A client of that server."""
    return Client(server.address)


@pytest.fixture
def sketch() -> Image.Image:
    """Black lines on transparent paper, as Gradio's sketch pad gives them."""
    paper = Image.new("RGBA", (120, 90), (0, 0, 0, 0))
    draw = ImageDraw.Draw(paper)
    draw.line([(20, 70), (35, 30), (60, 20), (90, 35), (100, 72), (20, 70)], fill=(0, 0, 0, 255), width=3)
    return paper
