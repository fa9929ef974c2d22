"""Masks as a tint."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from sketchfusion.errors import ConfigError
from sketchfusion.figures.layout import ACCENT, EDGE, GAP, SIDE
from sketchfusion.figures.mask_overlay import MaskedPhoto, mask_overlay, tinted

SKETCH, PHOTO = Image.new("RGB", (90, 90), "white"), Image.new("RGB", (120, 60), (80, 100, 120))
HALF = np.zeros((60, 120), dtype=bool)
HALF[:, :60] = True


def redness(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture).astype(int)
    return pixels[..., 0] - pixels[..., 2]


def test_inside_is_tinted_outside_is_paler_and_the_edge_is_drawn() -> None:
    drawn = tinted(PHOTO, HALF)
    pixels = np.asarray(drawn).astype(int)
    inside, outside, before = pixels[30, 20], pixels[30, 100], np.array((80, 100, 120))
    assert redness(drawn)[30, 20] > redness(PHOTO)[30, 20] + 60
    assert outside.min() > before.min() + 50
    assert outside.max() - outside.min() < before.max() - before.min()
    assert inside.sum() < outside.sum()
    accent = (np.abs(pixels - ImageColor.getrgb(ACCENT)).max(axis=2) < 30)
    assert accent[5:-5, 57:61].any(axis=1).all()
    assert not accent[5:-5, 70:].any()


@pytest.mark.parametrize("full", [False, True])
def test_a_mask_of_all_or_nothing(full: bool) -> None:
    drawn = np.asarray(tinted(PHOTO, np.full((60, 120), full))).astype(int)
    assert (drawn[5:-5, 5:-5] == drawn[30, 60]).all()
    assert (drawn[30, 60, 0] > drawn[30, 60, 2] + 30) == full


def test_the_mask_lies_where_it_was_found() -> None:
    figure = mask_overlay(SKETCH, "s.png", [MaskedPhoto(PHOTO, "p.jpg", "50 %", HALF)])
    left, middle = EDGE + SIDE + EDGE + 1 + SIDE + GAP, EDGE + 1 + SIDE // 2
    row = redness(figure)[middle, left:left + SIDE]
    assert (row[:SIDE // 2 - 4] > 0).all()
    assert (row[SIDE // 2 + 4:] < 0).all()
    assert (redness(figure)[middle, left - GAP - SIDE:left - GAP] == -40).all()  # the photo as it is


def test_rows_are_stacked_beside_one_sketch() -> None:
    one = mask_overlay(SKETCH, "s", iter([MaskedPhoto(PHOTO, "p", "", HALF)]))
    two = mask_overlay(SKETCH, "s", [MaskedPhoto(PHOTO, "p", "", HALF)] * 2)
    assert two.width == one.width
    assert two.height > one.height + SIDE


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ConfigError, match="there is no photo to draw"):
        mask_overlay(SKETCH, "s", [])
    with pytest.raises(ConfigError, match=r"the mask of p\.jpg has the shape \(60, 120\), expected \(90, 90\)"):
        mask_overlay(SKETCH, "s", [MaskedPhoto(SKETCH, "p.jpg", "", HALF)])
