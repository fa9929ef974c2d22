"""What sketches were taken for: each sketch with its guesses as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sketchfusion.drawing import INK, PAPER, SOFT, fit, place
from sketchfusion.errors import ConfigError
from sketchfusion.figures.layout import ACCENT, EDGE, GAP, TRACK, Overlay, large, small, stack

CELL, TITLE, PITCH, THICKNESS = 160, 36, 26, 12  # pixels
NAME_WIDTH, BAR_WIDTH, NUMBER_WIDTH = 150, 300, 64
OTHERS = "#f0a57f"  # bars after the first


@dataclass(frozen=True, eq=False)
class GuessedSketch:
    """One row.

    Attributes:
        picture: RGB.
        name: what to write beside it.
        guesses: (class name, probability in [0, 1]), the first is marked.
    """

    picture: Image.Image
    name: str
    guesses: Sequence[tuple[str, float]]


def class_bars(sketches: Sequence[GuessedSketch]) -> Image.Image:
    """A row per sketch: the sketch on the left, on the right a bar per guess; a full bar is 100 %.

    Returns:
        RGB picture, white, as high as it needs to be.
    Raises:
        ConfigError: there is no sketch.
    """
    if not sketches:
        raise ConfigError("there is no sketch to draw; give at least one with its guesses")
    return stack([_row(sketch) for sketch in sketches], EDGE)


def _row(sketch: GuessedSketch) -> Image.Image:
    left = CELL + EDGE
    width = left + NAME_WIDTH + BAR_WIDTH + NUMBER_WIDTH
    sheet = Image.new("RGB", (width, 2 + max(CELL, TITLE + PITCH * len(sketch.guesses))), PAPER)
    draw = ImageDraw.Draw(sheet)
    place(sheet, draw, sketch.picture, (1, 1), CELL, enlarge=True)
    draw.text((left, 0), fit(draw, sketch.name, large(), width - left), fill=INK, font=large())
    bars = Overlay(sheet.size)
    start, end = left + NAME_WIDTH, left + NAME_WIDTH + BAR_WIDTH
    for index, (name, probability) in enumerate(sketch.guesses):
        middle = TITLE + PITCH * index + PITCH / 2
        top, bottom = middle - THICKNESS / 2, middle + THICKNESS / 2
        bars.bar((start, top), (end, bottom), TRACK)
        if probability * BAR_WIDTH >= 1:
            bars.bar((start, top), (start + probability * BAR_WIDTH, bottom), OTHERS if index else ACCENT)
        color = SOFT if index else INK
        draw.text((start - GAP // 2, middle), fit(draw, name, small(), NAME_WIDTH - GAP // 2), fill=color,
                  font=small(), anchor="rm")
        draw.text((width, middle), f"{100 * probability:.1f} %", fill=color, font=small(), anchor="rm")
    bars.onto(sheet)
    return sheet
