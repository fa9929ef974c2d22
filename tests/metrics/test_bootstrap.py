"""The paired bootstrap against a slow loop, on data whose true difference is known, and swapped."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics import bootstrap
from sketchfusion.metrics.bootstrap import drawn_means, paired_bootstrap
from sketchfusion.metrics.retrieval import bootstrap_interval

FIRST = torch.tensor([0.1, 0.9, 0.4, 0.4, 0.7])
SECOND = torch.tensor([0.3, 0.8, 0.9, 0.4, 1.0])


def slow_draws(first: list[float], second: list[float], draws: int, seed: int) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(first), (draws, len(first)), generator=generator).tolist()
    return [sum(second[query] - first[query] for query in row) / len(row) for row in rows]


def test_equals_a_slow_loop() -> None:
    found = paired_bootstrap(FIRST, SECOND, draws=200, seed=3)
    drawn = sorted(slow_draws(FIRST.tolist(), SECOND.tolist(), 200, 3))
    place = 0.025 * (len(drawn) - 1)
    below = math.floor(place)
    assert found.low == pytest.approx(drawn[below] + (place - below) * (drawn[below + 1] - drawn[below]), abs=1e-6)
    assert found.difference == pytest.approx((0.2 - 0.1 + 0.5 + 0 + 0.3) / 5)
    assert (found.first, found.second) == pytest.approx((0.5, 0.68))
    sure = sum(difference <= 1e-9 for difference in drawn), sum(difference >= -1e-9 for difference in drawn)
    assert found.share == pytest.approx(2 * min(sure) / len(drawn))
    assert found.queries == 5


def test_interval_is_the_one_of_the_differences() -> None:
    found = paired_bootstrap(FIRST.double(), SECOND.double(), draws=300, seed=5)
    assert (found.low, found.high) == pytest.approx(bootstrap_interval((SECOND - FIRST).double(), draws=300, seed=5),
                                                    abs=1e-6)


def slow_groups(values: list[float], groups: list[int], draws: int, seed: int) -> list[float]:
    generator, names = torch.Generator().manual_seed(seed), sorted(set(groups))
    means = []
    for row in torch.randint(len(names), (draws, len(names)), generator=generator).tolist():
        drawn = [value for name in row for value, own in zip(values, groups, strict=True) if own == names[name]]
        means.append(sum(drawn) / len(drawn))
    return means


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=1, max_size=12))
def test_groups_are_drawn_whole(queries: list[tuple[float, int]]) -> None:
    values, groups = zip(*queries, strict=True)
    found = drawn_means(torch.tensor(values, dtype=torch.float64), 40, 2, torch.tensor(groups))
    assert found.tolist() == pytest.approx(slow_groups(list(values), list(groups), 40, 2))


def test_groups_of_one_change_nothing() -> None:
    alone = torch.tensor([3, 5, 6, 8, 9])
    assert torch.equal(drawn_means(SECOND, 50, 1, alone), drawn_means(SECOND, 50, 1))
    assert paired_bootstrap(FIRST, SECOND, groups=alone) == paired_bootstrap(FIRST, SECOND)
    holed = torch.cat([torch.tensor([float("nan")]), FIRST])
    assert bootstrap_interval(holed, groups=torch.arange(6)) == bootstrap_interval(FIRST)


def test_groups_have_to_fit() -> None:
    with pytest.raises(DataError, match=r"groups of shape \(4,\); expected \(5,\), one number for each query"):
        paired_bootstrap(FIRST, SECOND, groups=torch.arange(4))
    with pytest.raises(DataError, match=r"groups of shape \(5, 1\); expected \(5,\)"):
        bootstrap_interval(FIRST, groups=torch.arange(5)[:, None])


def test_only_drawn_whole_do_groups_give_an_honest_interval() -> None:
    """Eight sketches of each of 40 photos, some photos hard: 95 % hold the truth, query by query far fewer."""
    generator = torch.Generator().manual_seed(0)
    photos = torch.arange(40).repeat_interleave(8)
    held = {"whole": 0, "query by query": 0}
    for trial in range(200):
        values = torch.randn(40, generator=generator)[photos] + 0.5 * torch.randn(320, generator=generator)
        for way, groups in (("whole", photos), ("query by query", None)):
            low, high = bootstrap_interval(values, draws=300, seed=trial, groups=groups)
            held[way] += low <= 0 <= high
    assert 178 <= held["whole"] <= 198
    assert held["query by query"] < 130


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn_means(SECOND, 50, 1)
    monkeypatch.setattr(bootstrap, "CHUNK", 12)  # two draws at once
    torch.testing.assert_close(drawn_means(SECOND, 50, 1), whole)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12), st.integers(0, 5))
def test_swapping_flips_the_signs(pairs: list[tuple[float, float]], seed: int) -> None:
    first, second = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True))
    there, back = (paired_bootstrap(*sides, draws=100, seed=seed) for sides in ((first, second), (second, first)))
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert back.share == there.share
    assert (back.first, back.second) == (there.second, there.first)


def test_queries_without_a_value_are_left_out_of_both() -> None:
    holes = torch.tensor([float("nan"), 0.2]), torch.tensor([0.5, float("nan")])
    found = paired_bootstrap(torch.cat([holes[0], FIRST]), torch.cat([holes[1], SECOND]), seed=1)
    assert found == paired_bootstrap(FIRST, SECOND, seed=1)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    held, paired_width, single_width = 0, 0.0, 0.0
    for trial in range(200):
        hard = torch.randn(80, generator=generator)
        first = hard + 0.2 * torch.randn(80, generator=generator)
        second = hard + 0.1 + 0.2 * torch.randn(80, generator=generator)
        found = paired_bootstrap(first, second, draws=300, seed=trial)
        held += found.low <= 0.1 <= found.high
        low, high = bootstrap_interval(first, draws=300, seed=trial)
        paired_width, single_width = paired_width + found.high - found.low, single_width + high - low
    assert 180 <= held <= 198
    assert paired_width < single_width / 3  # how hard a query is drops out


@pytest.mark.parametrize(("shift", "least", "most"), [(0.0, 0.02, 1.0), (2.0, 0.0, 0.0)])
def test_share_is_small_where_the_sign_is_sure(shift: float, least: float, most: float) -> None:
    noise = torch.randn(60, generator=torch.Generator().manual_seed(2))
    assert least <= paired_bootstrap(torch.zeros(60), noise - noise.mean() + shift).share <= most
    assert paired_bootstrap(FIRST, FIRST).share == 1


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 0.0}, {"draws": 0}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected a level between 0 and 1"):
        paired_bootstrap(FIRST, SECOND, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "second", "message"), [
    (FIRST, SECOND[1:], r"shapes \(5,\) and \(4,\)"),
    (FIRST[None], SECOND[None], r"expected \(Q,\) twice"),
    (torch.tensor([math.nan, 1]), torch.tensor([1, math.nan]), "none of 2 queries has a value in both"),
    (torch.empty(0), torch.empty(0), "none of 0 queries"),
])
def test_values_that_cannot_be_compared(first: torch.Tensor, second: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        paired_bootstrap(first, second)
