"""Measures of retrieval against slow loops, hand-worked examples and torchmetrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics import retrieval
from sketchfusion.metrics.retrieval import (
    Denominator,
    Interpolation,
    accuracy_at_k,
    average_precision,
    bootstrap_interval,
    mean_average_precision,
    precision_at_k,
    rank,
)

DENOMINATORS: tuple[Denominator, ...] = ("relevant", "min_rk", "hits")
INTERPOLATIONS: tuple[Interpolation, ...] = ("none", "voc")
ROW = torch.tensor([[True, False, True, False, False, True]])  # hits at ranks 1, 3 and 6: precisions 1, 2/3, 1/2
LATE = torch.tensor([[False, True, True]])  # precisions 1/2, 2/3


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "CHUNK", 20)


def slow_average_precision(row: list[bool], k: int | None, denominator: str, interpolation: str) -> float:
    top = row if k is None else row[:k]
    precisions = [sum(top[: place + 1]) / (place + 1) for place in range(len(top))]
    total = 0.0
    for place, hit in enumerate(top):
        if hit:
            total += max(precisions[place:]) if interpolation == "voc" else precisions[place]
    counts = {"relevant": sum(row), "min_rk": min(sum(row), len(top)), "hits": sum(top)}
    return total / counts[denominator] if counts[denominator] else math.nan


rankings = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=1, max_size=5))


@settings(deadline=None)  # the first call is slow
@given(rows=rankings, k=st.none() | st.integers(1, 15))
def test_average_precision_equals_a_slow_loop(rows: list[list[bool]], k: int | None) -> None:
    for denominator, interpolation in product(DENOMINATORS, INTERPOLATIONS):
        found = average_precision(torch.tensor(rows), k=k, denominator=denominator, interpolation=interpolation)
        expected = [slow_average_precision(row, k, denominator, interpolation) for row in rows]
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)


@settings(deadline=None)
@given(rows=rankings, k=st.integers(1, 15))
def test_counts_in_the_top_equal_a_slow_loop(rows: list[list[bool]], k: int) -> None:
    relevant = torch.tensor(rows)
    assert precision_at_k(relevant, k).tolist() == [sum(row[:k]) / min(k, len(row)) for row in rows]
    assert accuracy_at_k(relevant, k).tolist() == [float(any(row[:k])) for row in rows]


@settings(deadline=None)
@given(rows=rankings)
def test_all_lies_between_0_and_1_and_voc_is_never_lower(rows: list[list[bool]]) -> None:
    relevant = torch.tensor(rows)
    for k, denominator in product((None, 1, 3), DENOMINATORS):
        plain = average_precision(relevant, k=k, denominator=denominator)
        voc = average_precision(relevant, k=k, denominator=denominator, interpolation="voc")
        known = ~plain.isnan()
        assert ((plain >= 0) & (voc >= plain) & (voc <= 1 + 1e-12))[known].all()
        assert torch.equal(plain.isnan(), voc.isnan())


@pytest.mark.usefixtures("small_chunks")
def test_chunks_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(-3, 3, (9, 11), generator=generator).float()
    relevant = torch.rand(9, 11, generator=generator) < 0.3
    order = rank(scores)
    for row, found in zip(scores.tolist(), order.tolist(), strict=True):
        assert found == sorted(range(11), key=lambda item: -row[item])
    found = average_precision(relevant.gather(1, order), k=5)
    expected = [slow_average_precision(row, 5, "min_rk", "none") for row in relevant.gather(1, order).tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)


@pytest.mark.parametrize(("denominator", "expected"), [
    ("relevant", (1 + 2 / 3) / 3),  # R = 3
    ("min_rk", (1 + 2 / 3) / 3),    # min(3, 4) = 3
    ("hits", (1 + 2 / 3) / 2),      # two of them in the top 4
])
def test_denominators_by_hand_at_4(denominator: Denominator, expected: float) -> None:
    assert average_precision(ROW, k=4, denominator=denominator).item() == pytest.approx(expected)


@pytest.mark.parametrize(("denominator", "expected"), [("relevant", 1 / 3), ("min_rk", 1 / 2), ("hits", 1.0)])
def test_denominators_by_hand_at_2(denominator: Denominator, expected: float) -> None:
    assert average_precision(ROW, k=2, denominator=denominator).item() == pytest.approx(expected)


def test_without_k_all_denominators_agree() -> None:
    for denominator in DENOMINATORS:
        found = average_precision(ROW, denominator=denominator).item()
        assert found == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)


def test_interpolation_by_hand() -> None:
    assert average_precision(LATE).item() == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision(LATE, interpolation="voc").item() == pytest.approx(2 / 3)
    # What lies behind rank k lifts nothing.
    assert average_precision(LATE, k=2, interpolation="voc").item() == pytest.approx(1 / 2 / 2)


def test_queries_without_anything_relevant_are_nan_and_left_out_of_the_mean() -> None:
    relevant = torch.tensor([[True, False], [False, False], [False, True]])
    assert average_precision(relevant).isnan().tolist() == [False, True, False]
    assert mean_average_precision(relevant) == pytest.approx((1 + 1 / 2) / 2)
    # A query whose relevant items all lie behind rank k counts as 0, except by "hits", which leaves it out.
    assert mean_average_precision(relevant, k=1) == pytest.approx(1 / 2)
    assert mean_average_precision(relevant, k=1, denominator="hits") == pytest.approx(1.0)
    with pytest.raises(DataError, match=r"no value for any of 1 queries.*compare the labels"):
        mean_average_precision(relevant[1:2])


def test_precision_and_accuracy_by_hand() -> None:
    assert precision_at_k(ROW, 4).item() == pytest.approx(2 / 4)
    assert precision_at_k(ROW, 200).item() == pytest.approx(3 / 6)
    assert [accuracy_at_k(LATE, k).item() for k in (1, 2, 10)] == [0.0, 1.0, 1.0]


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.sampled_from([-2.0, -0.5, -0.0, 0.0, 1.0, math.inf, -math.inf]), min_size=6,
                              max_size=6), min_size=1, max_size=4))
def test_ranks_fall_and_ties_stay_in_the_order_of_the_gallery(rows: list[list[float]]) -> None:
    expected = [sorted(range(6), key=lambda item: -row[item]) for row in rows]
    assert rank(torch.tensor(rows)).tolist() == expected


def test_only_the_order_of_the_scores_matters() -> None:
    scores = torch.rand(5, 40)
    order = rank(scores)
    assert order.dtype == torch.long
    assert torch.equal(order, rank(scores - 10))
    assert torch.equal(order, rank(scores.double() * 3))
    # So many ties that an unstable sort would show.
    assert torch.equal(rank(-torch.ones(2, 5000)), torch.arange(5000).expand(2, -1))


@pytest.mark.usefixtures("small_chunks")
def test_scores_that_cannot_be_ranked() -> None:
    scores = torch.zeros(9, 11)
    scores[7, 4] = math.nan
    with pytest.raises(DataError, match=r"query 7 and gallery item 4 is not a number.*look for blank pictures"):
        rank(scores)
    with pytest.raises(DataError, match=r"shape \(3,\).*expected \(Q, G\) floats"):
        rank(torch.zeros(3))
    with pytest.raises(DataError, match=r"int64.*expected \(Q, G\) floats"):
        rank(torch.zeros(3, 2, dtype=torch.long))


def test_agreement_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(20, 50, generator=generator) + 0.1  # positive: torchmetrics looks at 0 in its own way
    truth = torch.rand(20, 50, generator=generator) < 0.2
    relevant = truth.gather(1, rank(scores))
    plain, at_ten = average_precision(relevant, denominator="relevant"), precision_at_k(relevant, 10)
    for query in range(20):
        torch.testing.assert_close(plain[query].float(), retrieval_average_precision(scores[query], truth[query]))
        torch.testing.assert_close(at_ten[query].float(),
                                   retrieval_precision(scores[query], truth[query], top_k=10))


Measure = Callable[[torch.Tensor, int], torch.Tensor]
MEASURES: tuple[Measure, ...] = (
    precision_at_k, accuracy_at_k, lambda relevant, k: average_precision(relevant, k=k))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_bad_k_or_ranking_is_refused(measure: Measure) -> None:
    for k in (0, -1, 1.5):
        with pytest.raises(ConfigError, match=f"k must be a whole number of at least 1, got {k}"):
            measure(ROW, k)  # type: ignore[arg-type]
    for ranking in (ROW.float(), ROW[0], ROW[:, :0]):
        with pytest.raises(DataError, match=r"expected \(Q, G\) bool with at least one gallery item"):
            measure(ranking, 1)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown denominator 'all'; choose one of relevant, min_rk, hits"):
        average_precision(ROW, denominator="all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown interpolation 'linear'; choose one of none, voc"):
        mean_average_precision(ROW, interpolation="linear")  # type: ignore[arg-type]


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(2)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(torch.randn(80, generator=generator) + 3, level=0.9, draws=300, seed=seed)
        covered += low <= 3 <= high
    assert 0.82 <= covered / 200 <= 0.96


def test_the_interval_has_the_width_of_the_normal_one() -> None:
    values = torch.linspace(0, 1, 400, dtype=torch.float64)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std().item() / math.sqrt(400)
    assert (low, high) == (pytest.approx(0.5 - half, abs=0.005), pytest.approx(0.5 + half, abs=0.005))


def test_the_interval_is_the_same_for_the_same_seed_and_leaves_nan_out() -> None:
    values = torch.rand(30)
    holed = torch.cat([values[:7], torch.tensor([math.nan, math.nan]), values[7:]])
    assert bootstrap_interval(values) == bootstrap_interval(values) == bootstrap_interval(holed)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)
    assert bootstrap_interval(torch.tensor([0.25])) == (0.25, 0.25)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no value for any of 2 queries"):
        bootstrap_interval(torch.tensor([math.nan, math.nan]))
    with pytest.raises(DataError, match=r"expected \(Q,\)"):
        bootstrap_interval(torch.zeros(2, 2))
    for level, draws in ((0.0, 10), (1.0, 10), (95, 10), (0.95, 0)):
        with pytest.raises(ConfigError, match=f"level={level} and draws={draws}; expected a level between 0 and 1"):
            bootstrap_interval(torch.zeros(3), level=level, draws=draws)
