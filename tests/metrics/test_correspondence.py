"""Key-point errors and PCK against slow loops and hand-worked examples."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.pairwise import pairwise_euclidean_distance

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics.correspondence import keypoint_errors, pck, pck_per_pair

ERRORS = torch.tensor([[0.0, 10.0, 12.8, 13.0], [5.0, 30.0, 30.0, 40.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
VISIBLE = torch.tensor([[True, True, True, True], [True, True, False, False], [False, False, False, False]])

coordinates = st.floats(-500, 500, width=32)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=6)
pairs = st.integers(1, 5).flatmap(lambda size: st.lists(
    st.lists(st.tuples(st.floats(0, 60), st.booleans()), min_size=size, max_size=size), min_size=1, max_size=4))


@settings(deadline=None)
@given(predicted=points, true=points)
def test_errors_equal_a_slow_loop(predicted: list[tuple[float, float]], true: list[tuple[float, float]]) -> None:
    size = min(len(predicted), len(true))
    found = keypoint_errors(torch.tensor(predicted[:size]), torch.tensor(true[:size]))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([math.dist(one, other) for one, other in
                                            zip(predicted[:size], true[:size], strict=True)])


def test_errors_agree_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(20, 2, generator=generator).double() * 300 for _ in range(2))
    torch.testing.assert_close(keypoint_errors(one, other), pairwise_euclidean_distance(one, other).diagonal())


def test_errors_of_pairs_are_those_of_their_points() -> None:
    one, other = torch.rand(3, 4, 2), torch.rand(3, 4, 2)
    flat = keypoint_errors(one.flatten(0, 1), other.flatten(0, 1))
    assert torch.equal(keypoint_errors(one, other), flat.view(3, 4))


@pytest.mark.parametrize(("strict", "expected"), [(False, 3 / 4), (True, 2 / 4)])
def test_a_point_at_exactly_k_percent(strict: bool, expected: float) -> None:
    """5 % of 256 pixels are 12.8."""
    assert pck(ERRORS[0], 256, 5, strict=strict) == expected


def test_each_point_may_have_a_size_of_its_own() -> None:
    assert pck(torch.tensor([10.0, 10.0, 10.0]), torch.tensor([200, 199, 400]), 5) == pytest.approx(2 / 3)


def test_by_hand_per_pair() -> None:
    found = pck_per_pair(ERRORS, VISIBLE, 256, 5)
    assert found.dtype == torch.float64
    assert found[:2].tolist() == [3 / 4, 1 / 2]
    assert found[2].isnan()
    sizes = torch.tensor([256.0, 600.0, 256.0])
    assert pck_per_pair(ERRORS, VISIBLE, sizes, 5)[:2].tolist() == [3 / 4, 2 / 2]
    assert pck_per_pair(ERRORS, VISIBLE, sizes, 5, strict=True)[:2].tolist() == [2 / 4, 1 / 2]


def test_the_mean_over_pairs_is_not_the_mean_over_points() -> None:
    assert pck_per_pair(ERRORS, VISIBLE, 256, 5).nanmean().item() == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert pck(ERRORS[VISIBLE], 256, 5) == pytest.approx((3 + 1) / 6)


@settings(deadline=None)
@given(rows=pairs, size=st.floats(1, 900), k=st.floats(0.1, 100), strict=st.booleans())
def test_pck_equals_a_slow_loop(rows: list[list[tuple[float, bool]]], size: float, k: float, strict: bool) -> None:
    errors = torch.tensor([[error for error, _ in row] for row in rows], dtype=torch.float64)
    visible = torch.tensor([[shown for _, shown in row] for row in rows])
    hits = [[error < k * size / 100 if strict else error <= k * size / 100 for error, shown in row if shown]
            for row in rows]
    expected = [sum(row) / len(row) if row else math.nan for row in hits]
    found = pck_per_pair(errors.where(visible, math.nan), visible, size, k, strict=strict)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)
    everyone = [hit for row in hits for hit in row]
    if everyone:
        assert pck(errors[visible], size, k, strict=strict) == pytest.approx(sum(everyone) / len(everyone))


@settings(deadline=None)
@given(errors=st.lists(st.floats(0, 100), min_size=1, max_size=8), scale=st.sampled_from([0.25, 2.0, 8.0]))
def test_pck_grows_with_k_and_knows_no_unit(errors: list[float], scale: float) -> None:
    given_errors = torch.tensor(errors, dtype=torch.float64)
    values = [pck(given_errors, 256, k) for k in (1, 5, 10, 40)]
    assert values == sorted(values)
    assert [pck(given_errors * scale, 256 * scale, k) for k in (1, 5, 10, 40)] == values
    assert values[1] >= pck(given_errors, 256, 5, strict=True)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(3, 2\) with points of shape \(2, 2\); expected the same shape"):
        keypoint_errors(torch.zeros(3, 2), torch.zeros(2, 2))
    with pytest.raises(DataError, match=r"ending in \(x, y\)"):
        keypoint_errors(torch.zeros(3, 3), torch.zeros(3, 3))
    for k in (0, -5, 101, math.nan):
        with pytest.raises(ConfigError, match=f"k must be a percentage above 0 and at most 100.*got {k}"):
            pck(torch.zeros(3), 256, k)
    for size in (0, -1, math.nan, math.inf):
        with pytest.raises(DataError, match=r"must be a number of pixels above 0.*max\(height, width\)"):
            pck(torch.zeros(3), size, 5)
    with pytest.raises(DataError, match=r"\(2,\) sizes do not fit 3 rows of errors; expected one number, or \(3,\)"):
        pck_per_pair(ERRORS, VISIBLE, torch.tensor([1.0, 2.0]), 5)
    for errors in (torch.zeros(0), torch.zeros(2, 2)):
        with pytest.raises(DataError, match=r"expected \(N,\), at least one key point"):
            pck(errors, 256, 5)
    with pytest.raises(DataError, match=r"expected \(P, N\) and \(P, N\) bool"):
        pck_per_pair(ERRORS, VISIBLE.float(), 256, 5)


def test_an_error_that_is_no_number_does_not_count_as_a_miss() -> None:
    errors = torch.tensor([[1.0, math.nan]])
    with pytest.raises(DataError, match=r"key point 1 is not a number.*errors_px\[visible\]"):
        pck(errors[0], 256, 5)
    with pytest.raises(DataError, match=r"key point 1 of pair 0 is not a number.*said to be visible"):
        pck_per_pair(errors, torch.ones(1, 2, dtype=torch.bool), 256, 5)
    assert pck_per_pair(errors, torch.tensor([[True, False]]), 256, 5).tolist() == [1.0]
