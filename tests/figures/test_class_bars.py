"""Guesses as bars."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from sketchfusion.errors import ConfigError
from sketchfusion.figures.class_bars import BAR_WIDTH, OTHERS, GuessedSketch, class_bars
from sketchfusion.figures.layout import ACCENT, TRACK

SKETCH = Image.new("RGB", (80, 60), "white")


def lengths(figure: Image.Image, color: str) -> list[int]:
    """Length of each horizontal bar of a colour, from the top."""
    here = (np.asarray(figure) == ImageColor.getrgb(color)).all(axis=2).sum(axis=1)
    starts = np.flatnonzero((here > 0) & (np.roll(here, 1) == 0))
    return [int(here[start:start + 12].max()) for start in starts]


def test_bars_are_as_long_as_the_guesses_are_probable() -> None:
    figure = class_bars([GuessedSketch(SKETCH, "a.png", [("guitar", 0.7), ("a violin", 0.25), ("cello", 0.0)]),
                         GuessedSketch(SKETCH, "b.png", [("dog", 1.0)])])
    assert lengths(figure, ACCENT) == pytest.approx([0.7 * BAR_WIDTH, BAR_WIDTH], abs=3)
    assert lengths(figure, OTHERS) == pytest.approx([0.25 * BAR_WIDTH], abs=3)
    assert lengths(figure, TRACK)[2] == pytest.approx(BAR_WIDTH, abs=3)  # of the cello


def test_a_row_is_as_high_as_it_needs_to_be() -> None:
    def height(rows: int, guesses: int) -> int:
        return class_bars([GuessedSketch(SKETCH, "a", [("dog", 0.1)] * guesses)] * rows).height

    assert height(1, 1) == height(1, 3) < height(1, 12)
    assert height(3, 1) - height(2, 1) == height(2, 1) - height(1, 1) > 160


def test_names_of_any_kind_fit() -> None:
    plain = class_bars([GuessedSketch(SKETCH, "a", [("dog", 0.5)])])
    odd = class_bars([GuessedSketch(SKETCH, "名前\n" * 40, [("a most peculiar musical instrument " * 3, 0.5)])])
    assert odd.size == plain.size
    assert lengths(odd, ACCENT) == lengths(plain, ACCENT)


def test_no_sketch_is_an_error() -> None:
    with pytest.raises(ConfigError, match="there is no sketch to draw"):
        class_bars([])
