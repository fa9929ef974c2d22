"""Augmentation of whole batches on whatever device they live on: pure functions of tensors and a generator.

Pictures are floats in [0, 1]; every random number comes from the generator handed in, so a step can be repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from sketchfusion.config import Section

Share = Annotated[float, Field(ge=0, le=1)]
RADIUS_PX = 2  # of the square of pixels that one point of a stroke may darken


class ViewConfig(Section):
    """How much a picture is changed on its way into a batch.

    Attributes:
        whole: share of photos that are shown whole, on the canvas with its bars; the others are square crops.
        crop: smallest side of a crop, as a share of the picture's shorter side.
        shift, zoom: of whole pictures, as shares of the canvas side.
        rotate: of drawings and icons, in degrees either way.
        flip: share of mirrored pictures.
        brightness, contrast, saturation: either way, of photos and emoji.
        wobble: of drawings, how far points move at most, as a share of the side.
        drop: of drawings, share of strokes left out in half of the drawings.
        line_width: of drawings, in pixels for a canvas of 128.
    """

    whole: Share = 0.5
    crop: Share = 0.5
    shift: Share = 0.04
    zoom: Share = 0.1
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    flip: Share = 0.5
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    wobble: Share = 0.0
    drop: Share = 0.0
    line_width: tuple[float, float] = (1.2, 3.2)


PLAIN = ViewConfig(whole=1.0, shift=0.0, zoom=0.0, flip=0.0, line_width=(2.0, 2.0))
"""Nothing changed: what held-out pictures are judged by."""


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Floats in [low, high) on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def photo_boxes(content: Tensor, side: int, view: ViewConfig, generator: Generator) -> Tensor:
    """Which square of its canvas each photo shows: (B, 3) centre x, centre y and side in pixels.

    Args:
        content: (B, 4) box of the photo on the canvas, in canvas pixels.
        side: of the canvas, in pixels.
    """
    count = len(content)
    randoms = uniform((count, 6), 0, 1, generator)
    left, top, right, bottom = content.unbind(1)
    short = torch.minimum(right - left, bottom - top)
    cut = short * (view.crop + (1 - view.crop) * randoms[:, 0])
    crop = torch.stack([left + cut / 2 + (right - left - cut) * randoms[:, 1],
                        top + cut / 2 + (bottom - top - cut) * randoms[:, 2], cut], dim=1)
    centre = side / 2 + (randoms[:, 1:3] * 2 - 1) * view.shift * side
    whole = torch.cat([centre, side * (1 + (randoms[:, 3:4] * 2 - 1) * view.zoom)], dim=1)
    return torch.where(randoms[:, 4:5] < view.whole, whole, crop)


@dataclass(frozen=True)
class Placement:
    """Where each picture of a batch lies on the canvas that is shown.

    Attributes:
        theta: (B, 2, 3), the shown canvas -> the picture's own canvas, both from -1 to 1 (as ``affine_grid`` wants).
    """

    theta: Tensor

    @staticmethod
    def of(boxes: Tensor, side: int, *, flip: Tensor, angle: Tensor | None = None) -> Placement:
        """The chosen square of each picture, filling the canvas.

        Args:
            boxes: (B, 3) centre x, centre y, side in pixels; see ``photo_boxes``.
            side: of the canvas, in pixels.
            flip: (B,) bool, mirrored left to right.
            angle: (B,) radians, anticlockwise; None: upright.
        """
        turn = torch.zeros(len(boxes), device=boxes.device) if angle is None else angle
        scale, mirror = boxes[:, 2] / side, 1 - 2 * flip.float()
        cos, sin = torch.cos(turn) * scale, torch.sin(turn) * scale
        return Placement(torch.stack([torch.stack([cos * mirror, -sin, boxes[:, 0] * 2 / side - 1], dim=1),
                                      torch.stack([sin * mirror, cos, boxes[:, 1] * 2 / side - 1], dim=1)], dim=1))

    @staticmethod
    def unmoved(count: int, device: torch.device | str = "cpu") -> Placement:
        """Every picture as it is."""
        return Placement(torch.eye(2, 3, device=device).expand(count, 2, 3))

    def show(self, images_01: Tensor, fill: Tensor | float) -> Tensor:
        """(B, C, S, S) -> the same shape, in [0, 1]; ``fill`` (B, C, 1, 1) is the colour beyond the canvas."""
        if not len(images_01):
            return images_01  # affine_grid refuses them
        grid = F.affine_grid(self.theta, list(images_01.shape), align_corners=False)
        shown = F.grid_sample(images_01 - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return (shown + fill).clamp(0, 1)

    def move(self, points_px: Tensor, side: int) -> Tensor:
        """(B, K, 2) pixels on each picture's own canvas -> (B, K, 2) pixels where they are shown; NaN stays NaN."""
        centred = points_px * (2 / side) - 1 - self.theta[:, None, :, 2]
        shown = centred @ torch.linalg.inv(self.theta[:, :, :2]).transpose(1, 2)
        return (shown + 1) * (side / 2)


def jitter_colour(images_01: Tensor, view: ViewConfig, generator: Generator) -> Tensor:
    """(B, 3, H, W): brightness, contrast and saturation changed, each picture by its own amounts."""
    if not (view.brightness or view.contrast or view.saturation):
        return images_01
    amounts = uniform((3, len(images_01), 1, 1, 1), -1, 1, generator)
    images = images_01 * (1 + view.brightness * amounts[0])
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + view.contrast * amounts[1])
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * (1 + view.saturation * amounts[2])).clamp(0, 1)


def vary_line(images_01: Tensor, generator: Generator) -> Tensor:
    """(B, 1, H, W) dark lines on white -> some of them bolder, by up to a pixel on either side."""
    bold = -F.max_pool2d(-images_01, 3, stride=1, padding=1)
    amount = uniform((len(images_01), 1, 1, 1), -0.5, 1, generator).clamp(min=0)
    return images_01 + (bold - images_01) * amount


def on_ground(images_01: Tensor, generator: Generator, *, plain: float = 0.5) -> Tensor:
    """(B, 4, H, W) colour and alpha -> (B, 3, H, W) on white, or, all but a share of ``plain``, on some colour."""
    count = len(images_01)
    randoms = uniform((count, 4, 1, 1), 0, 1, generator)
    ground = torch.where(randoms[:, :1] < plain, torch.ones_like(randoms[:, 1:]), randoms[:, 1:])
    alpha = images_01[:, 3:]
    return images_01[:, :3] * alpha + ground * (1 - alpha)


def move_points(points: Tensor, side: int, view: ViewConfig, generator: Generator) -> Tensor:
    """Points of whole drawings -> pixels on the canvas, each drawing moved in its own way.

    Args:
        points: (B, P, 2) (x, y), the drawing centred at 0 and its longer extent 1.
    Returns:
        (B, P, 2) pixels.
    """
    count = len(points)
    randoms = uniform((count, 5), 0, 1, generator)
    scale = 0.84 * (1 - 2 * view.zoom * randoms[:, 0])
    angle = (randoms[:, 1] * 2 - 1) * math.radians(view.rotate)
    mirror = torch.where(randoms[:, 2] < view.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cos * mirror, sin], dim=1), torch.stack([-sin * mirror, cos], dim=1)], dim=1)
    moved = points.float() @ turn.transpose(1, 2)
    room = (0.84 - scale)[:, None] / 2 + view.shift
    moved = moved + ((randoms[:, 3:5] * 2 - 1) * room)[:, None]
    if view.wobble:  # a smooth field of displacements, as a hand that drew the same thing again
        field = uniform((count, 2, 5, 5), -view.wobble, view.wobble, generator)
        push = F.grid_sample(field, moved[:, None] * 2, mode="bilinear", padding_mode="border", align_corners=True)
        moved = moved + push[:, :, 0].transpose(1, 2)
    return (moved + 0.5) * side


def draw(points_px: Tensor, widths_px: Tensor, side: int, shown: Tensor | None = None) -> Tensor:
    """Black lines on white: every point is a round dab of the pen, with soft edges.

    Args:
        points_px: (B, P, 2) (x, y), close together along the strokes.
        widths_px: (B,) of the line.
        shown: (B, P) bool, which points are drawn; all if None.
    Returns:
        (B, 1, side, side) in [0, 1].
    """
    batch = len(points_px)
    steps = torch.arange(-RADIUS_PX, RADIUS_PX + 1, device=points_px.device)
    offsets = torch.cartesian_prod(steps, steps)                                 # (K, 2)
    cells = points_px.floor().long()[:, :, None] + offsets                       # (B, P, K, 2)
    distance = (cells + 0.5 - points_px[:, :, None]).square().sum(-1).sqrt()
    ink = (widths_px[:, None, None] / 2 + 0.5 - distance).clamp(0, 1)
    inside = ((cells >= 0) & (cells < side)).all(-1)
    if shown is not None:
        inside &= shown[:, :, None]
    index = (cells[..., 1] * side + cells[..., 0]).clamp(0, side * side - 1)
    paper = torch.zeros(batch, side * side, device=points_px.device)
    paper.scatter_reduce_(1, index.flatten(1), (ink * inside).flatten(1), "amax")
    return 1 - paper.view(batch, 1, side, side)


def draw_strokes(points: Tensor, stroke_ids: Tensor, side: int, view: ViewConfig, generator: Generator) -> Tensor:
    """Drawings as pictures, each drawn in its own way.

    Args:
        points: (B, P, 2) as in ``move_points``.
        stroke_ids: (B, P) whole numbers, which stroke a point belongs to.
    Returns:
        (B, 1, side, side) in [0, 1].
    """
    moved = move_points(points, side, view, generator)
    low, high = (max(width * side / 128, 0.8) for width in view.line_width)
    widths = uniform((len(points),), low, high, generator)
    shown = None
    if view.drop:
        lots = uniform((len(points), 256), 0, 1, generator)
        careless = uniform((len(points), 1), 0, 1, generator) < 0.5
        stroke_ids = stroke_ids.long()
        # The first stroke stays, so that no drawing becomes blank.
        shown = (lots.gather(1, stroke_ids) >= view.drop) | ~careless | (stroke_ids == 0)
    return draw(moved, widths, side, shown)
