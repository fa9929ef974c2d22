"""Shapes and chance: the geometry that parts are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.world.dice import Dice, tint
from sketchfusion.data.world.hand import Warp, corners_of, lengths, resample
from sketchfusion.data.world.shapes import (
    box,
    ellipse,
    lathe,
    lens,
    offset,
    poly,
    ribbon,
    rotate,
    spline,
    star,
    toward,
    wavy,
)


def test_spline_passes_through_its_points():
    points = np.array([(0.0, 0.0), (1.0, 0.5), (2.0, -1.0), (0.5, -2.0)])
    for closed in (True, False):
        curve = spline(points, closed=closed, steps=5)
        np.testing.assert_allclose(curve[::5][:4], points, atol=1e-12)


def test_spline_matches_a_slow_loop():
    points = np.array([(0.0, 0.0), (1.0, 0.5), (2.0, -1.0), (0.5, -2.0), (-1.0, 0.3)])
    slow = []
    for k in range(5):
        a, b, c, d = (points[(k + j) % 5] for j in (-1, 0, 1, 2))
        for t in (0.0, 0.25, 0.5, 0.75):
            slow.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
                + (3 * b - a - 3 * c + d) * t**3))
    np.testing.assert_allclose(spline(points, closed=True, steps=4), slow, atol=1e-12)


def test_ellipse_has_its_radii_and_box_its_corners():
    round_ = ellipse(1.0, -2.0, 3.0, 0.5).points
    np.testing.assert_allclose([np.ptp(round_[:, 0]), np.ptp(round_[:, 1])], [6.0, 1.0], atol=1e-6)
    soft = box(-1, -2, 3, 4, corner=0.5).points
    np.testing.assert_allclose([*soft.min(axis=0), *soft.max(axis=0)], [-1, -2, 3, 4], atol=1e-9)


def test_lathe_is_symmetric():
    points = lathe((0.1, -1), (0.5, 0), (0.2, 1)).points
    np.testing.assert_allclose(points, points[::-1] * [-1, 1], atol=1e-12)


def test_ribbon_has_its_width_and_a_spine_if_slim():
    slim = ribbon([(0, 0), (0, 1), (0, 2)], [0.2, 0.2, 0.2])
    assert np.ptp(slim.points[:, 0]) == pytest.approx(0.2)
    assert slim.spine[:, 0] == pytest.approx(0)
    assert len(ribbon([(0, 0), (0, 0.3)], [1.0, 1.0]).spine) == 0


def test_moved_shape_moves_everything():
    moved = ribbon([(0, 0), (1, 0)], [0.1, 0.1]).moved(dx=2, dy=3, scale=2, turn=90)
    np.testing.assert_allclose(moved.spine[-1], [2, 5], atol=1e-9)


def test_star_lens_and_wavy():
    assert len(star(0, 0, 1, 0.4, tips=6).points) == 12
    tip = toward(0.2, 0.1, 0.7, 130)
    assert np.abs(lens(0.2, 0.1, 0.7, 0.2, 130).points - tip).sum(axis=1).min() < 1e-6
    bumpy = wavy(ellipse(0, 0, 1, steps=40), np.array([0.1, -0.1]))
    radii = np.sqrt((bumpy.points**2).sum(axis=1))
    assert radii.max() == pytest.approx(1.1, abs=0.01)
    assert radii.min() == pytest.approx(0.9, abs=0.01)


def test_offset_of_a_circle_is_a_wider_circle():
    circle = ellipse(0, 0, 1, steps=60).points
    radii = np.sqrt((offset(circle, 0.1, closed=True) ** 2).sum(axis=1))
    assert np.allclose(radii, 0.9, atol=1e-3) or np.allclose(radii, 1.1, atol=1e-3)


@given(st.floats(-360, 360), st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=5))
def test_rotation_keeps_lengths(degrees, points):
    array = np.array(points)
    np.testing.assert_allclose((rotate(array, degrees) ** 2).sum(axis=1), (array**2).sum(axis=1), atol=1e-6)


def test_corners_are_found_where_a_border_turns():
    assert corners_of(poly((0, 0), (1, 0), (1, 1), (0, 1)).points, closed=True).tolist() == [0, 1, 2, 3]
    assert len(corners_of(ellipse(0, 0, 1).points, closed=True)) == 0


def test_resampling_keeps_ends_and_length():
    line = ellipse(0.5, 0.5, 0.3).points
    thin = resample(line, 0.02)
    np.testing.assert_allclose([thin[0], thin[-1]], [line[0], line[-1]], atol=1e-12)
    assert lengths(thin)[-1] == pytest.approx(lengths(line)[-1], rel=0.02)


def test_two_warps_in_one():
    first, second = (Warp.part(Dice("warp", k), np.array([0.3, 0.6 * k]), 1.0) for k in (1, 2))
    points = Dice("points").uniforms(5, 2)
    np.testing.assert_allclose(second.after(first).apply(points), second.apply(first.apply(points)),
        atol=1e-12)


def test_dice_are_the_same_everywhere():
    dice = Dice(3, "cup", 14)
    values = [dice.between(0, 1), dice.whole(1, 6), dice.pick("abcdef"), dice.spread(1.0)]
    assert values == [0.19240249381079833, 1, "f", -0.03525311679344467]
    assert dice.fork("a").bytes(4).tolist() == Dice(3, "cup", 14, "a").bytes(4).tolist()


@given(st.integers(-5, 5), st.integers(0, 5), st.integers())
def test_dice_stay_in_range(low, more, seed):
    dice = Dice("range", seed)
    assert low <= dice.whole(low, low + more) <= low + more
    assert all(0 <= value <= 255 for value in dice.color((250, 4, 128), spread=60))
    assert all(0 <= value <= 255 for value in tint((250, 4, 128), 1.9))
