"""Tracing: outlines lie on the border, edges where they are, lines are linked and simplified as promised."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sketchfusion.data.composites import Trace, polyline, trace
from sketchfusion.data.composites.edges import thin
from sketchfusion.data.composites.link import link_pixels, trace_border
from sketchfusion.errors import DataError


def disc(radius: float, size: int = 80) -> np.ndarray:
    """(S, S) alpha of an antialiased disc in the middle."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.clip((radius - np.hypot(x - size / 2, y - size / 2)) * 255 + 127.5, 0, 255).astype(np.uint8)


def test_the_outline_of_a_disc_lies_on_its_circle() -> None:
    lines = trace_border(disc(25.0).astype(float) - 127.5)
    assert len(lines) == 1
    np.testing.assert_array_equal(lines[0][0], lines[0][-1])
    radius = np.hypot(*(lines[0] - 40).T)
    np.testing.assert_allclose(radius, 25, atol=0.5)


def test_borders_of_several_areas_are_closed_and_cross_where_the_level_is_zero() -> None:
    level = np.random.default_rng(3).normal(size=(20, 24))
    lines = trace_border(level)
    padded = np.pad(level, 1, constant_values=min(level.min(), -1.0))
    for line in lines:
        np.testing.assert_array_equal(line[0], line[-1])
        for x, y in line[:-1] + 0.5:
            row, column = int(np.floor(y)), int(np.floor(x))
            v, u = y - row, x - column
            there = padded[row, min(column + 1, 25)] if u else padded[min(row + 1, 21), column]
            assert padded[row, column] * (1 - u - v) + there * (u + v) == pytest.approx(0, abs=1e-9)


def test_inner_edges_and_outline_are_told_apart() -> None:
    alpha = disc(32.0)
    rgb = np.full((80, 80, 3), 220, dtype=np.uint8)
    rgb[:, 40:] = (60, 60, 120)
    traced = trace(rgb, alpha)
    outlines = [stroke for stroke in traced.strokes if stroke.outline]
    inner = [stroke for stroke in traced.strokes if not stroke.outline]
    assert len(outlines) == 1
    assert outlines[0].closed
    assert len(inner) == 1
    np.testing.assert_allclose(inner[0].points[:, 0], 40, atol=0.7)
    assert np.ptp(inner[0].points[:, 1]) > 50


def test_the_weak_come_last() -> None:
    alpha = np.zeros((90, 90), dtype=np.uint8)
    alpha[5:85, 5:85] = 255
    rgb = np.full((90, 90, 3), 128, dtype=np.uint8)
    rgb[:, 30:34], rgb[:, 60:64] = 150, 255
    inner = [stroke for stroke in trace(rgb, alpha).strokes if not stroke.outline]
    worth = [stroke.strength * polyline.length(stroke.points) for stroke in inner]
    assert worth == sorted(worth, reverse=True)
    assert inner[0].points[:, 0].mean() > 45


def test_json_brings_the_trace_back() -> None:
    traced = trace(np.full((80, 80, 3), 90, dtype=np.uint8), disc(20))
    again = Trace.from_json(traced.to_json())
    assert (again.width, again.height) == (80, 80)
    for old, new in zip(traced.strokes, again.strokes, strict=True):
        np.testing.assert_allclose(old.points, new.points, atol=0.006)
    with pytest.raises(DataError, match="not a traced cut-out"):
        Trace.from_json('{"width": 3}')


def test_nothing_opaque_gives_no_strokes() -> None:
    assert trace(np.zeros((40, 40, 3), dtype=np.uint8), np.zeros((40, 40), dtype=np.uint8)).strokes == ()


def test_a_crossing_is_walked_straight_on() -> None:
    cross = np.zeros((21, 21), dtype=bool)
    cross[10, :] = cross[:, 10] = True
    lines = link_pixels(cross)
    longest = sorted(lines, key=len)[-1]
    assert len(longest) == 21
    assert np.ptp(longest[:, 0]) in (0, 20)
    assert sum(len(line) for line in lines) >= 40


def test_thinning_leaves_one_pixel_and_keeps_the_connection() -> None:
    bar = np.zeros((20, 40), dtype=bool)
    bar[8:13, 4:36] = True
    line = thin(bar)
    assert line.sum(axis=0).max() == 1
    assert line.sum() > 24


def test_simplification_matches_a_slow_distance() -> None:
    rng = np.random.default_rng(0)
    points = np.cumsum(rng.normal(size=(120, 2)), axis=0)
    kept = polyline.keep(points, 1.5)
    vertices = np.flatnonzero(kept)
    assert kept.sum() < 100
    for a, b in pairwise(vertices):
        for k in range(a, b + 1):
            chord = points[b] - points[a]
            share = np.clip((points[k] - points[a]) @ chord / max(chord @ chord, 1e-12), 0, 1)
            assert np.hypot(*(points[k] - points[a] - share * chord)) <= 1.5 + 1e-9


def test_a_curve_passes_through_its_knots() -> None:
    knots = np.array([[0, 0], [10, 2], [12, 12], [3, 20], [1, 9.0]])
    curve = polyline.curve_through(knots, np.array([True, False, True, False, True]), 4)
    assert len(curve) == 17
    np.testing.assert_allclose(curve[::4], knots, atol=1e-12)


def test_corners_of_a_square_are_found() -> None:
    side = np.arange(20.0)
    square = np.concatenate([np.c_[side, 0 * side], np.c_[0 * side + 20, side], np.c_[20 - side, 0 * side + 20]])
    np.testing.assert_array_equal(polyline.corners(square, 4, 1.0), [20, 40])
