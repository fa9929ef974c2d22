"""Matched points: the sketch beside each photo, with a line from every point to its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sketchfusion.drawing import PAPER, Box, place
from sketchfusion.errors import ConfigError
from sketchfusion.figures.layout import CAPTION, EDGE, GAP, Overlay, Point, caption, stack

SIDE = 360  # pixels; larger than elsewhere, since points lie close together
BETWEEN = 3 * EDGE  # where the lines can be told apart
RADIUS, RING, LINE_WIDTH, HALO, DIGITS = 7.5, 1.25, 1.5, 0.75, 10


@dataclass(frozen=True, eq=False)
class MatchedPhoto:
    """One row.

    Attributes:
        picture: RGB.
        name: what to write below it.
        facts: what else to write there.
        sketch_px, photo_px: N points (x, y) each, in pixels of the sketch and of ``picture``; point i of both belong
            together.
    """

    picture: Image.Image
    name: str
    facts: str
    sketch_px: Sequence[Point]
    photo_px: Sequence[Point]


def point_lines(sketch: Image.Image, title: str, photos: Iterable[MatchedPhoto]) -> Image.Image:
    """A row per photo: the sketch on the left, the photo on the right, their points numbered, coloured and linked.

    Args:
        sketch: RGB.
        title: what to write below it.
        photos: read one by one, so that only one needs to be in memory.
    Returns:
        RGB picture, white, as high as it needs to be.
    Raises:
        ConfigError: there is no photo, or the points are not as many in sketch and photo.
    """
    rows = [_row(sketch, title, photo) for photo in photos]
    if not rows:
        raise ConfigError("there is no photo to draw; give at least one with its points")
    return stack(rows, GAP)


def point_colors(count: int) -> list[str]:
    """``count`` different colours, dark enough for white digits; neighbours in the order differ the most."""
    return [f"hsl({360 * index / count:.1f}, {80 - 15 * (index % 2)}%, {40 + 8 * (index % 2)}%)"
            for index in range(count)]


def _row(sketch: Image.Image, title: str, photo: MatchedPhoto) -> Image.Image:
    if len(photo.sketch_px) != len(photo.photo_px):
        raise ConfigError(f"{photo.name} has {len(photo.photo_px)} points for {len(photo.sketch_px)} of the sketch; "
                          "give one for each")
    right = 1 + SIDE + BETWEEN
    sheet = Image.new("RGB", (right + SIDE + 1, 1 + SIDE + CAPTION + 10), PAPER)
    draw = ImageDraw.Draw(sheet)
    starts = _on_sheet(photo.sketch_px, sketch, place(sheet, draw, sketch, (1, 1), SIDE, enlarge=True))
    ends = _on_sheet(photo.photo_px, photo.picture, place(sheet, draw, photo.picture, (right, 1), SIDE, enlarge=True))
    count = len(starts)
    caption(draw, (1, SIDE + 10), title, f"{count} point{'s' if count != 1 else ''}", SIDE)
    caption(draw, (right, SIDE + 10), photo.name, photo.facts, SIDE)
    shapes, colors = Overlay(sheet.size), point_colors(count)
    for start, end, color in zip(starts, ends, colors, strict=True):
        shapes.line(start, end, PAPER, LINE_WIDTH + 2 * HALO)
        shapes.line(start, end, color, LINE_WIDTH)
    for points in (starts, ends):
        for number, (point, color) in enumerate(zip(points, colors, strict=True), start=1):
            shapes.disc(point, RADIUS + RING, PAPER)
            shapes.disc(point, RADIUS, color)
            shapes.text(point, str(number), PAPER, DIGITS)
    shapes.onto(sheet)
    return sheet


def _on_sheet(points: Sequence[Point], picture: Image.Image, box: Box) -> list[Point]:
    """Points of a picture where it covers a box of the sheet."""
    left, top, right, bottom = box
    return [(left + x * (right - left) / picture.width, top + y * (bottom - top) / picture.height) for x, y in points]
