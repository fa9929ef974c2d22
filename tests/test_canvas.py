"""The canvas: geometry, frames, what backbones are fed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchfusion.canvas import (
    InputSpec,
    blank_canvas,
    even_ink,
    make_canvas,
    place_on_canvas,
    read_canvas,
    resize_images,
)
from sketchfusion.errors import ImageError
from sketchfusion.images import as_image

Draw = Callable[[tuple[int, int], int], Image.Image]
GREY = (124, 116, 104)


@pytest.mark.parametrize(("size", "box"), [
    ((1000, 1), (0, 31, 64, 32)), ((1, 1000), (31, 0, 32, 64)), ((1, 1), (0, 0, 64, 64)),
    ((64, 64), (0, 0, 64, 64)), ((200, 100), (0, 16, 64, 48)), ((30, 40), (8, 0, 56, 64)), ((5, 4), (0, 6, 64, 57))])
def test_any_aspect_ratio_fills_the_longer_side_and_is_centred(size: tuple[int, int], box: tuple[int, ...]) -> None:
    canvas = place_on_canvas(Image.new("RGB", size, "red"), 64, GREY)
    assert canvas.content.tolist() == [list(box)]
    assert canvas.sizes.tolist() == [[size[1], size[0]]]
    left, top, right, bottom = box
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    expected = torch.where(inside, torch.tensor([255, 0, 0]).view(3, 1, 1), torch.tensor(GREY).view(3, 1, 1))
    assert torch.equal(canvas.pixels[0], expected.to(torch.uint8))


@settings(deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=4),
       side=st.integers(1, 80))
def test_a_blank_canvas_has_the_places_of_the_pictures(sizes: list[tuple[int, int]], side: int) -> None:
    drawn = make_canvas([Image.new("RGB", (width, height)) for height, width in sizes], side, GREY)
    blank = blank_canvas(sizes, side)
    assert len(blank) == len(sizes)
    assert blank.side == drawn.side == side
    assert blank.pixels.shape == drawn.pixels.shape
    assert blank.pixels.untyped_storage().nbytes() == 1
    for name in ("content", "sizes"):
        one, other = getattr(blank, name), getattr(drawn, name)
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


def test_a_blank_canvas_needs_pictures_with_pixels() -> None:
    with pytest.raises(ImageError, match="no picture size was given"):
        blank_canvas([], 64)
    with pytest.raises(ImageError, match="0 x 5 pixels"):
        blank_canvas([(0, 5)], 64)


@pytest.mark.parametrize("size", [(2400, 1600), (900, 2100)])
def test_a_large_jpeg_decoded_small_gives_nearly_the_same_canvas(size: tuple[int, int], tmp_path: Path,
                                                                 draw_picture: Draw) -> None:
    draw_picture(size, 5).save(tmp_path / "photo.jpg", quality=95)
    quick = read_canvas(tmp_path / "photo.jpg", 64, GREY)
    full = place_on_canvas(as_image(tmp_path / "photo.jpg"), 64, GREY)
    assert torch.equal(quick.content, full.content)
    assert torch.equal(quick.sizes, full.sizes)
    difference = (quick.pixels.float() - full.pixels.float()).abs()
    assert difference.mean() < 1
    assert difference.max() < 24


def test_canvases_are_stacked_in_order(pictures: list[Image.Image]) -> None:
    canvas = make_canvas(pictures, 64, GREY)
    assert len(canvas) == 7
    for index, picture in enumerate(pictures):
        assert torch.equal(canvas.pixels[index], make_canvas([picture], 64, GREY).pixels[0])
        assert canvas.sizes[index].tolist() == [picture.height, picture.width]
    assert canvas.images_01.min() >= 0
    assert canvas.images_01.max() <= 1


sides = st.integers(1, 3000)


@given(width=sides, height=sides, side=st.integers(8, 128), x=st.floats(0, 1), y=st.floats(0, 1))
def test_the_two_frames_are_inverse(width: int, height: int, side: int, x: float, y: float) -> None:
    scale = side / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = place_on_canvas(Image.new("RGB", shape), side, GREY, size=(height, width))
    points = torch.tensor([[x * width, y * height], [0.0, 0.0], [width, height]], dtype=torch.float32)
    on_canvas = canvas.to_canvas_frame(points, 0)
    torch.testing.assert_close(canvas.to_image_frame(on_canvas, 0), points, atol=1e-2, rtol=1e-4)
    left, top, right, bottom = canvas.content[0].tolist()
    torch.testing.assert_close(on_canvas[1:], torch.tensor([[left, top], [right, bottom]]), atol=1e-3, rtol=1e-4)


def test_a_point_stays_on_what_it_marks() -> None:
    """A bright square in the picture is found on the canvas where the frame conversion says."""
    picture = np.zeros((60, 120, 3), np.uint8)
    picture[40:44, 90:94] = 255
    canvas = make_canvas([picture], 64, (0, 0, 0))
    [[x, y]] = canvas.to_canvas_frame(torch.tensor([[92.0, 42.0]]), 0).tolist()
    bright = canvas.pixels[0].float().mean(0)
    rows, columns = torch.arange(64) + 0.5, torch.arange(64) + 0.5
    assert (bright.sum(1) * rows).sum() / bright.sum() == pytest.approx(y, abs=0.3)
    assert (bright.sum(0) * columns).sum() / bright.sum() == pytest.approx(x, abs=0.3)


def test_input_spec_scales_then_normalises() -> None:
    spec = InputSpec(4, mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0), value_range=(-1.0, 1.0))
    images = torch.rand(1, 3, 4, 4)
    found = spec.apply(images)
    for channel, (mean, std) in enumerate(((0.5, 0.5), (0.0, 1.0), (1.0, 2.0))):
        torch.testing.assert_close(found[:, channel], (images[:, channel] * 2 - 1 - mean) / std)


def test_resizing_keeps_what_fits_and_flat_areas() -> None:
    images = torch.rand(1, 3, 8, 8)
    assert resize_images(images, 8) is images
    torch.testing.assert_close(resize_images(torch.full((1, 3, 9, 9), 0.3), 5), torch.full((1, 3, 5, 5), 0.3))
    assert resize_images(images.bfloat16(), 5).dtype == torch.bfloat16


def test_faint_ink_is_darkened_and_dark_ink_stays() -> None:
    faint = np.full((64, 64), 255, np.uint8)
    faint[20:24, 5:60] = 155  # 100 levels of ink on some 3 % of the paper
    dark = np.where(faint < 255, 0, 255).astype(np.uint8)
    both = make_canvas([faint, dark], 64, (255, 255, 255))
    found = even_ink(both)
    assert found.pixels[0].min() == 0
    assert torch.equal(found.pixels[1], both.pixels[1])
    assert torch.equal(found.pixels[0] == 255, both.pixels[0] == 255)  # paper stays paper
    assert torch.equal(found.content, both.content)


def test_what_is_hardly_ink_is_not_made_black() -> None:
    paper = np.full((64, 64), 255, np.uint8)
    paper[20:24, 5:60] = 245
    assert even_ink(make_canvas([paper], 64, (255, 255, 255))).pixels.min() > 200
