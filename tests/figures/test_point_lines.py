"""Matched points as lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageColor

from sketchfusion.errors import ConfigError
from sketchfusion.figures.layout import EDGE
from sketchfusion.figures.point_lines import BETWEEN, SIDE, MatchedPhoto, point_colors, point_lines

SKETCH, PHOTO = Image.new("RGB", (100, 50), "white"), Image.new("RGB", (40, 80), "#808080")


def pixels_near(figure: Image.Image, color: str) -> np.ndarray:
    """(N, 2) places (x, y) of a colour."""
    rows, columns = np.nonzero(np.abs(np.asarray(figure).astype(int) - ImageColor.getrgb(color)).max(axis=2) < 12)
    return np.column_stack([columns, rows]) + 0.5


def has_one_near(places: np.ndarray, x: float, y: float, distance: float) -> bool:
    return bool((np.hypot(*(places - (x, y)).T) < distance).any())


def test_a_point_is_marked_in_both_pictures_and_linked() -> None:
    figure = point_lines(SKETCH, "s", [MatchedPhoto(PHOTO, "p", "f", [(25, 10)], [(30, 60)])])
    # The sketch is scaled to SIDE x SIDE / 2, the photo to SIDE / 2 x SIDE, both centred in their squares.
    start = EDGE + 1 + SIDE * 0.25, EDGE + 1 + SIDE * (0.25 + 0.1)
    end = EDGE + 1 + SIDE + BETWEEN + SIDE * (0.25 + 0.375), EDGE + 1 + SIDE * 0.75
    places = pixels_near(figure, point_colors(1)[0])
    for share in np.linspace(0, 1, 21):
        x, y = (1 - share) * np.array(start) + share * np.array(end)
        assert has_one_near(places, x, y, 5 if share in (0, 1) else 2)
    direction = np.subtract(end, start) / np.hypot(*np.subtract(end, start))
    away = places - start
    assert np.abs(away[:, 0] * direction[1] - away[:, 1] * direction[0]).max() < 9
    for x, y in (start, end):  # discs, with a digit left free
        assert 60 < (np.hypot(*(places - (x, y)).T) < 9).sum() < 200


@pytest.mark.parametrize("count", [1, 2, 12, 40])
def test_colors_differ_and_are_dark_enough_for_white_digits(count: int) -> None:
    colors = np.array([ImageColor.getrgb(color) for color in point_colors(count)])
    assert len(np.unique(colors, axis=0)) == count
    assert (colors @ (0.2126, 0.7152, 0.0722)).max() < 190
    if count == 12:
        gaps = np.abs(colors[:, None] - colors[None]).max(axis=2)
        assert gaps[~np.eye(count, dtype=bool)].min() > 25


def test_photos_are_read_one_by_one_and_stacked() -> None:
    drawn: list[int] = []

    def photos() -> Iterator[MatchedPhoto]:
        for number in range(3):
            drawn.append(number)
            yield MatchedPhoto(PHOTO, f"{number}.jpg", "", [(5, 5)], [(5, 5)])

    three = point_lines(SKETCH, "s", photos())
    assert drawn == [0, 1, 2]
    one = point_lines(SKETCH, "s", [MatchedPhoto(PHOTO, "p", "", [(5, 5)], [(5, 5)])])
    assert three.width == one.width
    assert three.height > 2.8 * (one.height - 2 * EDGE)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ConfigError, match="there is no photo to draw"):
        point_lines(SKETCH, "s", [])
    with pytest.raises(ConfigError, match=r"p\.jpg has 2 points for 1 of the sketch"):
        point_lines(SKETCH, "s", [MatchedPhoto(PHOTO, "p.jpg", "", [(1, 1)], [(1, 1), (2, 2)])])
