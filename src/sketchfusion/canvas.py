"""The square canvas that every backbone sees.

One preprocessing for all: an upright RGB picture is scaled so that its longer side fills the canvas and centred on the
padding colour. Diffusion model and patch encoder then see the *same* canvas, so that the features added together cover
the same pixels.

Sizes are ``(height, width)``, points ``(x, y)`` pixels, boxes ``(left, top, right, bottom)`` pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sketchfusion.errors import ImageError
from sketchfusion.images import Picture, as_image, decode, open_image, upright_size

Kind = Literal["photo", "sketch"]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class InputSpec:
    """What a backbone wants to be fed: side of its square input, value range, mean and std."""

    size: int
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    value_range: tuple[float, float] = (0.0, 1.0)

    def apply(self, images_01: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, size, size), scaled to ``value_range``, then normalised by mean and std."""
        low, high = self.value_range
        resized = resize_images(images_01, self.size) * (high - low) + low
        mean = torch.tensor(self.mean, dtype=resized.dtype, device=resized.device).view(-1, 1, 1)
        std = torch.tensor(self.std, dtype=resized.dtype, device=resized.device).view(-1, 1, 1)
        return (resized - mean) / std


def resize_images(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C, size, size), bicubic with antialiasing; the same tensor where it already fits."""
    if images.shape[-2:] == (size, size):
        return images
    resized = torch.nn.functional.interpolate(
        images.float(), (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.to(images.dtype)


@dataclass(frozen=True)
class Canvas:
    """Square canvases and where the pictures lie on them.

    Attributes:
        pixels: (B, 3, S, S) uint8.
        content: (B, 4) float, box (left, top, right, bottom) of the picture on the canvas, in canvas pixels.
        sizes: (B, 2) int, (height, width) of the upright original, in its own pixels.
    """

    pixels: Tensor
    content: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def side(self) -> int:
        """S, pixels."""
        return int(self.pixels.shape[-1])

    @property
    def images_01(self) -> Tensor:
        """(B, 3, S, S) float in [0, 1]."""
        return self.pixels.float() / 255

    def to_image_frame(self, points_px: Tensor, index: int) -> Tensor:
        """(N, 2) canvas pixels -> (N, 2) pixels of the original picture ``index``; pixel centres are at +0.5."""
        left, top, right, bottom = self.content[index].tolist()
        height, width = self.sizes[index].tolist()
        scale = torch.tensor([width / (right - left), height / (bottom - top)])
        return (points_px - torch.tensor([left, top])) * scale

    def to_canvas_frame(self, points_px: Tensor, index: int) -> Tensor:
        """(N, 2) pixels of the original picture ``index`` -> (N, 2) canvas pixels; inverse of ``to_image_frame``."""
        left, top, right, bottom = self.content[index].tolist()
        height, width = self.sizes[index].tolist()
        scale = torch.tensor([(right - left) / width, (bottom - top) / height])
        return points_px * scale + torch.tensor([left, top])

    @staticmethod
    def stack(parts: Sequence[Canvas]) -> Canvas:
        """One batch from several, in order."""
        return Canvas(*(torch.cat([getattr(part, name) for part in parts])
                        for name in ("pixels", "content", "sizes")))


def place_on_canvas(image: Image.Image, side: int, padding: Color, *, size: tuple[int, int] | None = None) -> Canvas:
    """The picture scaled so that its longer side fills the canvas, centred on a square of the padding colour.

    Args:
        image: RGB, any size and aspect ratio.
        side: side of the canvas in pixels.
        padding: colour of the bars, 8-bit RGB.
        size: (height, width) of the upright original, where ``image`` was decoded at a smaller one.
    Returns:
        Canvas of one picture.
    """
    full_height, full_width = size or (image.height, image.width)
    left, top, right, bottom = content_box((full_height, full_width), side)
    canvas = Image.new("RGB", (side, side), padding)
    canvas.paste(image.resize((right - left, bottom - top), Image.Resampling.LANCZOS), (left, top))
    pixels = torch.from_numpy(np.array(canvas)).permute(2, 0, 1)
    content = torch.tensor([left, top, right, bottom], dtype=torch.float32)
    return Canvas(pixels[None], content[None], torch.tensor([[full_height, full_width]]))


def content_box(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Where a picture of (height, width) lies on a canvas: (left, top, right, bottom) in canvas pixels.

    Raises:
        ImageError: the picture has no pixels.
    """
    full_height, full_width = size
    if full_height < 1 or full_width < 1:
        raise ImageError(f"the picture has {full_height} x {full_width} pixels; expected at least one")
    scale = side / max(full_height, full_width)
    width, height = max(1, round(full_width * scale)), max(1, round(full_height * scale))
    left, top = (side - width) // 2, (side - height) // 2
    return left, top, left + width, top + height


def blank_canvas(sizes: Sequence[tuple[int, int]], side: int) -> Canvas:
    """Where photos of these sizes lie on the canvas, without the photos: enough to read a stored map in their pixels.

    Args:
        sizes: (height, width) of the upright originals, at least one.
        side: side of the canvas in pixels.
    Returns:
        Canvas whose pixels are all black and take no memory; content and sizes are those of ``place_on_canvas``.
    Raises:
        ImageError: there is no size, or a picture has no pixels.
    """
    if not sizes:
        raise ImageError("no picture size was given; expected at least one")
    content = torch.tensor([content_box(size, side) for size in sizes], dtype=torch.float32)
    pixels = torch.zeros((1, 1, 1, 1), dtype=torch.uint8).expand(len(sizes), 3, side, side)
    return Canvas(pixels, content, torch.tensor([list(size) for size in sizes]))


INK_QUANTILE = 0.98  # of a sketch's pixels by darkness: what counts as its full ink
FAINTEST = 0.2  # of ink; what is fainter still is not brought up to black


def even_ink(canvas: Canvas) -> Canvas:
    """Sketches with their lines as dark as ink can be: thin lines of a large drawing grow faint when it is scaled.

    The ink of each sketch is multiplied so that its darkest pixels, 2 in 100, are black; nothing becomes fainter.
    """
    ink = 1 - canvas.images_01
    full = ink.flatten(1).quantile(INK_QUANTILE, dim=1).clamp(FAINTEST, 1)
    darkened = (ink / full[:, None, None, None]).clamp(0, 1)
    return replace(canvas, pixels=((1 - darkened) * 255).round().to(torch.uint8))


def read_canvas(picture: Picture, side: int, padding: Color) -> Canvas:
    """One picture (see ``as_image``) on its canvas; files are decoded no larger than needed."""
    if not isinstance(picture, (str, os.PathLike)):
        return place_on_canvas(as_image(picture), side, padding)
    opened = open_image(picture)
    size = upright_size(opened)
    return place_on_canvas(decode(opened, canvas_side=side), side, padding, size=size)


def make_canvas(pictures: Iterable[Picture], side: int, padding: Color) -> Canvas:
    """Batch of canvases, in order.

    Raises:
        ImageError: a picture is unreadable, or there is none.
    """
    parts = [read_canvas(picture, side, padding) for picture in pictures]
    if not parts:
        raise ImageError("no picture was given; expected at least one")
    return Canvas.stack(parts)

