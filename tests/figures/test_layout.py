"""Smooth shapes on a sheet, and rows put together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sketchfusion.figures.layout import EDGE, Overlay, stack


def drawn(overlay: Overlay) -> np.ndarray:
    sheet = Image.new("RGB", overlay.size, "white")
    overlay.onto(sheet)
    return 1 - np.asarray(sheet).astype(float).mean(axis=2) / 255


def test_a_disc_has_its_area_and_a_smooth_edge() -> None:
    overlay = Overlay((60, 40))
    overlay.disc((20, 15), 10, "black")
    ink = drawn(overlay)
    assert ink.sum() == pytest.approx(np.pi * 10**2, rel=0.03)
    assert ((ink > 0.1) & (ink < 0.9)).sum() > 20
    rows, columns = np.mgrid[:40, :60] + 0.5
    assert ((ink * columns).sum() / ink.sum(), (ink * rows).sum() / ink.sum()) == pytest.approx((20, 15), abs=0.3)


def test_a_line_has_its_length_and_width() -> None:
    overlay = Overlay((60, 40))
    overlay.line((10, 10), (40, 30), "black", 2)
    assert drawn(overlay).sum() == pytest.approx(2 * np.hypot(30, 20), rel=0.2)


def test_bars_round_where_there_is_room() -> None:
    overlay = Overlay((60, 40))
    overlay.bar((10, 10), (50, 20), "black")
    assert drawn(overlay).sum() == pytest.approx(30 * 10 + np.pi * 5**2, rel=0.03)
    narrow = Overlay((60, 40))
    narrow.bar((10, 10), (12, 20), "black")
    assert 0.8 * 20 < drawn(narrow).sum() < 1.15 * 20


def test_nothing_but_the_shapes_is_changed() -> None:
    sheet = Image.effect_noise((30, 20), 50).convert("RGB")
    before = np.asarray(sheet)
    overlay = Overlay(sheet.size)
    overlay.text((22, 10), "8", "red", 9)
    overlay.onto(sheet)
    assert (np.asarray(sheet)[:, :15] == before[:, :15]).all()
    assert (np.asarray(sheet) != before).any(axis=2).sum() > 15


def test_rows_below_one_another() -> None:
    sheet = stack([Image.new("RGB", (50, 20), "red"), Image.new("RGB", (30, 10), "blue")], 5)
    assert sheet.size == (50 + 2 * EDGE, 35 + 2 * EDGE)
    assert sheet.getpixel((EDGE, EDGE)) == (255, 0, 0)
    assert sheet.getpixel((EDGE + 29, EDGE + 25)) == (0, 0, 255)
    assert sheet.getpixel((EDGE + 30, EDGE + 25)) == sheet.getpixel((EDGE, EDGE + 22)) == (255, 255, 255)
