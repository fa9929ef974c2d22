"""What is behind the demo's parts, over a real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchfusion.apps.demo.client import Client
from sketchfusion.apps.demo.views import PHOTO_SIDE, search, why
from sketchfusion.errors import ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery


@pytest.fixture
def gallery(client: Client) -> str:
    """Its id."""
    return client.galleries()[0][1]


def test_a_search_gives_what_the_library_gives(client: Client, gallery: str, sketch: Image.Image,
                                               tiny_model: SketchFusion, gallery_folder: Path) -> None:
    found = search(client, gallery, sketch, top=3)
    expected = Gallery.open(gallery_folder).search(found.paper, tiny_model).hits[:3]
    assert [hit.id for hit in found.hits] == [hit.id for hit in expected]
    assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in expected], abs=1e-4)
    assert len(found.thumbnails) == 3
    assert found.paper.mode == "RGB"
    assert found.paper.getpixel((0, 0)) == (255, 255, 255)  # what was transparent


def test_guesses_or_the_reason_why_there_are_none(client: Client, gallery: str, sketch: Image.Image) -> None:
    found = search(client, gallery, sketch)
    assert bool(found.guesses) != bool(found.no_guesses)


def test_nothing_drawn_is_an_error(client: Client, gallery: str) -> None:
    with pytest.raises(ImageError, match="draw something first"):
        search(client, gallery, Image.new("RGBA", (64, 64), (0, 0, 0, 0)))


def test_reasons_of_each_result_are_pictures_of_it(client: Client, gallery: str, sketch: Image.Image) -> None:
    found = search(client, gallery, sketch)
    for index, hit in enumerate(found.hits):
        reasons = why(client, found, index)
        photo = client.photo(gallery, hit.id, PHOTO_SIDE)
        assert reasons.overlay.size == photo.size
        assert np.abs(np.asarray(reasons.overlay, int) - np.asarray(photo, int)).max() > 20  # tinted or paler
        assert reasons.lines.width > reasons.lines.height
