"""A drawing sent as strokes, drawn on paper of its own size."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any

from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sketchfusion.errors import ImageError

MAX_SIDE = 10_000  # of the paper
DRAWN_SIDE = 1024  # a larger paper is drawn smaller
OVERSAMPLING = 3
PRESSURE_SHARE = 0.7  # of the pen's width that pressure decides
MOST_FIELDS = 16  # of an object, known or not: each that is unknown is one more error to be told
MAX_INK = 400_000_000  # pixels that may be drawn, one over another; a page full of scribble has a hundredth

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Pressure = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate] | tuple[Coordinate, Coordinate, Pressure]
Side = Annotated[float, Field(ge=1, le=MAX_SIDE, allow_inf_nan=False)]


class Checked(BaseModel):
    """An object whose errors are few, whatever was sent: an error takes a hundred times the memory of what it is about.

    Of a list only the first item that does not fit is told.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def has_few_fields(cls, value: Any) -> Any:
        """What was sent. Raises PydanticCustomError: it has far more fields than are known."""
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise PydanticCustomError("too_many_fields", "It has {count} fields; expected {names} and nothing else",
                                      {"count": len(value), "names": ", ".join(cls.model_fields)})
        return value


class PenStroke(Checked):
    """One stroke: the pen's width in pixels, and points (x, y) or (x, y, pressure)."""

    width: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 6.0
    points: Annotated[list[Point], Field(min_length=1, fail_fast=True)]


class PenDrawing(Checked):
    """A drawing of one's own: paper of so many pixels and strokes in these pixels, y downwards; ink is black."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {"width": 512, "height": 512, "strokes": [{"width": 8, "points": [[100, 380], [256, 90], [410, 380]]}]}]})

    width: Side
    height: Side
    strokes: Annotated[list[PenStroke], Field(fail_fast=True)]


def draw(drawing: PenDrawing) -> tuple[Image.Image, tuple[int, int]]:
    """The drawing in smooth round black lines on white paper.

    Returns:
        RGB picture, its longer side at most ``DRAWN_SIDE``, and the (height, width) of the paper.
    Raises:
        ImageError: so much ink would take too long to draw.
    """
    size = max(1, round(drawing.height)), max(1, round(drawing.width))
    scale = min(1.0, DRAWN_SIDE / max(size))
    height, width = (max(1, round(length * scale)) for length in size)
    paper = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING), 255)
    pen = ImageDraw.Draw(paper)
    if ink(drawing, scale * OVERSAMPLING, math.hypot(*paper.size)) > MAX_INK:
        raise ImageError("the drawing has too much ink: many long strokes with a very wide pen; simplify it")
    for stroke in drawing.strokes:
        draw_stroke(pen, stroke, scale * OVERSAMPLING)
    return paper.resize((width, height), Image.Resampling.BOX).convert("RGB"), size


def draw_stroke(pen: ImageDraw.ImageDraw, stroke: PenStroke, scale: float) -> None:
    """One stroke with round ends and joints, as wide as the pen was pressed."""
    before: tuple[float, float] | None = None
    for point in stroke.points:
        x, y = point[0] * scale, point[1] * scale
        pressure = point[2] if len(point) == 3 else 1.0
        radius = max(0.5, stroke.width * scale * (1 - PRESSURE_SHARE + PRESSURE_SHARE * pressure) / 2)
        if before is not None:
            pen.line([before, (x, y)], fill=0, width=max(1, round(2 * radius)))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
        before = (x, y)


def ink(drawing: PenDrawing, scale: float, diagonal: float) -> float:
    """Pixels that drawing it touches, those drawn several times counted as often; at most ``diagonal`` of a line."""
    total = 0.0
    for stroke in drawing.strokes:
        width = max(1.0, stroke.width * scale)
        points = stroke.points
        lengths = (math.dist(start[:2], end[:2]) for start, end in pairwise(points))
        total += len(points) * width ** 2 + width * sum(min(length * scale, diagonal) for length in lengths)
    return total
