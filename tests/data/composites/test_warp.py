"""Warps: exact at the control points, precisely invertible, without folds, and composed as promised."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchfusion.data.composites import Correspondence, ThinPlateWarp, random_warp
from sketchfusion.data.composites.seeding import generator
from sketchfusion.data.composites.warp import MOST_STRAIN, apply_affine, compose, invert_affine, similarity
from sketchfusion.errors import DataError

LOW, HIGH = np.array([10.0, 20.0]), np.array([110.0, 90.0])


def slow_forward(warp: ThinPlateWarp, point: np.ndarray) -> list[float]:
    """The definition, term by term."""
    result = []
    for axis in (0, 1):
        value = warp.affine[axis, 0] * point[0] + warp.affine[axis, 1] * point[1] + warp.affine[axis, 2]
        for centre, weight in zip(warp.controls, warp.weights, strict=True):
            r = ((point[0] - centre[0]) ** 2 + (point[1] - centre[1]) ** 2) ** 0.5
            if r:
                value += weight[axis] * r * r * 2 * np.log(r)
        result.append(float(value))
    return result


def test_the_warp_takes_controls_to_targets_and_matches_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    controls = rng.uniform(0, 100, (9, 2))
    targets = controls + rng.normal(size=(9, 2)) * 4
    warp = ThinPlateWarp.fit(controls, targets)
    np.testing.assert_allclose(warp.forward(controls), targets, atol=1e-8)
    points = rng.uniform(0, 100, (20, 2))
    np.testing.assert_allclose(warp.forward(points), [slow_forward(warp, point) for point in points], atol=1e-8)


def test_the_jacobian_matches_differences() -> None:
    warp = random_warp(LOW, HIGH, 0.05, generator(1))
    points = np.random.default_rng(1).uniform(LOW, HIGH, (12, 2))
    for axis, step in enumerate(np.eye(2) * 1e-5):
        slope = (warp.forward(points + step) - warp.forward(points - step)) / 2e-5
        np.testing.assert_allclose(warp.jacobian(points)[:, :, axis], slope, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), strength=st.floats(0, 0.2), u=st.floats(-0.15, 1.15), v=st.floats(-0.15, 1.15))
def test_the_inverse_is_precise(seed: int, strength: float, u: float, v: float) -> None:
    warp = random_warp(LOW, HIGH, strength, generator(seed))
    point = LOW + np.array([[u, v]]) * (HIGH - LOW)
    np.testing.assert_allclose(warp.inverse(warp.forward(point)), point, atol=1e-5)
    np.testing.assert_allclose(warp.forward(warp.inverse(point)), point, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), strength=st.floats(0.01, 0.5))
def test_random_warps_do_not_fold(seed: int, strength: float) -> None:
    warp = random_warp(LOW, HIGH, strength, generator(seed))
    x, y = np.meshgrid(np.linspace(LOW[0], HIGH[0], 40), np.linspace(LOW[1], HIGH[1], 40))
    jacobian = warp.jacobian(np.column_stack([x.ravel(), y.ravel()]))
    assert np.linalg.det(jacobian).min() > 0.1
    assert np.linalg.norm(jacobian - np.eye(2), ord=2, axis=(1, 2)).max() < MOST_STRAIN + 0.15


def test_strain_is_the_spectral_norm() -> None:
    warp = random_warp(LOW, HIGH, 0.05, generator(7))
    x, y = np.meshgrid(np.linspace(LOW[0], HIGH[0], 13), np.linspace(LOW[1], HIGH[1], 13))
    jacobian = warp.jacobian(np.column_stack([x.ravel(), y.ravel()]))
    assert warp.strain(LOW, HIGH) == pytest.approx(np.linalg.norm(jacobian - np.eye(2), ord=2, axis=(1, 2)).max())


def test_affine_maps_compose_and_invert() -> None:
    first = np.concatenate([similarity(1.7, 30, flip=True), [[3], [4]]], axis=1)
    second = np.concatenate([similarity(0.4, -110), [[-2], [9]]], axis=1)
    points = np.random.default_rng(2).normal(size=(6, 2))
    both = apply_affine(compose(second, first), points)
    np.testing.assert_allclose(both, apply_affine(second, apply_affine(first, points)))
    np.testing.assert_allclose(apply_affine(invert_affine(first), apply_affine(first, points)), points)
    with pytest.raises(DataError, match="cannot be inverted"):
        invert_affine(np.zeros((2, 3)))


def test_a_correspondence_survives_json() -> None:
    fit = np.concatenate([similarity(1.2, 4), [[5], [-3]]], axis=1)
    exact = Correspondence(random_warp(LOW, HIGH, 0.04, generator(3)), fit)
    again = Correspondence.from_record(json.loads(json.dumps(exact.to_record())))
    points = np.random.default_rng(3).uniform(LOW, HIGH, (30, 2))
    np.testing.assert_array_equal(exact.to_sketch(points), again.to_sketch(points))
    np.testing.assert_allclose(again.to_photo(exact.to_sketch(points)), points, atol=1e-5)


def test_the_identity_and_bad_controls() -> None:
    points = np.array([[3.0, 4.0], [50.0, 60.0]])
    np.testing.assert_array_equal(ThinPlateWarp.identity(100, 80).forward(points), points)
    with pytest.raises(DataError, match="on one line"):
        ThinPlateWarp.fit(np.c_[np.arange(5.0), np.arange(5.0)], np.zeros((5, 2)))
    with pytest.raises(DataError, match="three or more"):
        ThinPlateWarp.fit(np.zeros((2, 2)), np.zeros((2, 2)))


def test_an_unreachable_point_is_an_error() -> None:
    # A fold: the middle is thrown far over the right side, so that no point is left of a certain line.
    corners = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 5.0]])
    folded = ThinPlateWarp(corners, np.zeros((5, 2)), np.array([[1.0, 0, 0], [0, 1.0, 0]]), 10.0)
    object.__setattr__(folded, "weights", np.array([[0.0, 0], [0, 0], [0, 0], [0, 0], [1.0, 1.0]]))
    with pytest.raises(DataError, match="no inverse"):
        folded.inverse(np.array([[-4000.0, -4000.0]]))
