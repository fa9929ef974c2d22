"""HOG of edges: what is alike, what is blank, what is missing."""

from __future__ import annotations

import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchfusion.canvas import Kind
from sketchfusion.engine.hog import edge_descriptor
from sketchfusion.errors import ConfigError, ImageError

SHAPES = {
    "house": [(0.2, 0.45), (0.5, 0.15), (0.8, 0.45), (0.8, 0.85), (0.2, 0.85)],
    "arrow": [(0.1, 0.4), (0.6, 0.4), (0.6, 0.2), (0.9, 0.5), (0.6, 0.8), (0.6, 0.6), (0.1, 0.6)],
    "star": [(0.5, 0.1), (0.6, 0.4), (0.9, 0.4), (0.66, 0.58), (0.75, 0.88), (0.5, 0.7), (0.25, 0.88), (0.34, 0.58),
             (0.1, 0.4), (0.4, 0.4)],
}


def corners(shape: str, side: int) -> list[tuple[float, float]]:
    return [(x * side, y * side) for x, y in SHAPES[shape]]


def photo(shape: str, side: int = 200) -> Image.Image:
    """The shape filled, on a ground with a soft slope and some noise."""
    slope = np.linspace(150, 190, side)[:, None, None] + np.random.default_rng(0).normal(size=(side, side, 3)) * 4
    image = Image.fromarray(np.broadcast_to(slope, (side, side, 3)).astype(np.uint8))
    ImageDraw.Draw(image).polygon(corners(shape, side), fill=(120, 40, 30))
    return image


def sketch(shape: str, side: int = 240, width: int = 4) -> Image.Image:
    """Its outline, dark on white."""
    image = Image.new("L", (side, side), 255)
    points = corners(shape, side)
    ImageDraw.Draw(image).line([*points, points[0]], fill=30, width=width, joint="curve")
    return image


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize(("side", "size"), [(32, 36), (64, 3 * 3 * 36), (128, 7 * 7 * 36)])
def test_descriptors_are_finite_and_of_unit_length(kind: Kind, side: int, size: int) -> None:
    found = edge_descriptor(photo("star") if kind == "photo" else sketch("star"), kind, side=side)
    assert found.shape == (size,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("width", [2, 4, 9])
def test_an_outline_is_nearest_to_the_photo_of_its_shape(width: int) -> None:
    photos = np.stack([edge_descriptor(photo(shape), "photo") for shape in SHAPES])
    sketches = np.stack([edge_descriptor(sketch(shape, width=width), "sketch") for shape in SHAPES])
    similarity = sketches @ photos.T
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2]
    assert (np.diag(similarity) > 0.2 + np.where(np.eye(3), -1, similarity).max(axis=1)).all()


@pytest.mark.parametrize(("size", "box"), [((200, 120), (0, 40, 200, 160)), ((120, 200), (40, 0, 160, 200))])
def test_the_bars_beside_a_photo_leave_no_edge(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """A light picture on the darker padding: only the small shape in the middle has edges."""
    image = Image.new("RGB", size, (245, 245, 245))
    middle = (size[0] // 2 - 12, size[1] // 2 - 12, size[0] // 2 + 12, size[1] // 2 + 12)
    ImageDraw.Draw(image).rectangle(middle, fill=(200, 30, 30))
    cells = edge_descriptor(image, "photo").reshape(7, 7, -1)
    outer = np.concatenate([cells[[0, 1, 5, 6]].ravel(), cells[:, [0, 1, 5, 6]].ravel()])
    assert np.abs(outer).max() < 1e-3
    assert cells.max() > 0.05


def test_faint_pictures_are_stretched() -> None:
    faint = photo("house").point(lambda value: 120 + value // 8)
    assert edge_descriptor(faint, "photo") @ edge_descriptor(photo("house"), "photo") > 0.8
    pencil = sketch("house").point(lambda value: 200 if value < 128 else 230)
    assert edge_descriptor(pencil, "sketch") @ edge_descriptor(sketch("house"), "sketch") > 0.95


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_is_refused(kind: Kind, level: int) -> None:
    with pytest.raises(ImageError, match=f"the {kind} is blank: no line was found.*leave it out, or choose another"):
        edge_descriptor(Image.new("RGB", (90, 60), (level,) * 3), kind)


@pytest.mark.parametrize("side", [16, 0, 100])
def test_a_side_that_holds_no_blocks_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=f"side must be a multiple of 16 of at least 32 pixels, got {side}"):
        edge_descriptor(sketch("star"), "sketch", side=side)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown kind of picture 'painting'"):
        edge_descriptor(sketch("star"), "painting")  # type: ignore[arg-type]


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("skimage", "skimage.feature", "skimage.filters"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"needs scikit-image.*pip install 'sketchfusion\[eval\]'"):
        edge_descriptor(sketch("star"), "sketch")
