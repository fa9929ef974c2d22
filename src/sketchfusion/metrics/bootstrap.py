"""Whether one method is better than another: both judged on the same queries, which are drawn anew in pairs.

Queries that have something in common, such as several sketches of one photo, are no independent evidence: they are a
group, and groups are drawn whole (the cluster bootstrap), which gives the wider interval that is due.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError

CHUNK = 4_000_000  # numbers in a working copy: 32 MB of float64
FEWEST = 5  # independent groups that an interval needs to say anything


@dataclass(frozen=True)
class PairedDifference:
    """How far two methods lie apart.

    Attributes:
        first, second: means over the common queries.
        difference: ``second - first``.
        low, high: the interval of the difference.
        share: of the drawn differences that lie on the other side of zero, or on it, times two and at most 1: small
            where the sign is sure. It reads like a two-sided p-value, but is no test of an exact level.
        queries: how many have a value in both.
        groups: how many independent ones they make; from fewer than ``FEWEST`` the interval says nothing.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    share: float
    queries: int
    groups: int


def paired_bootstrap(first: Tensor, second: Tensor, *, level: float = 0.95, draws: int = 2000, seed: int = 0,
                     groups: Tensor | None = None) -> PairedDifference:
    """The difference of two means over the same queries: the percentile bootstrap of the differences.

    What a query has in common for both methods, such as being hard, drops out, so that the interval is narrower than
    that of two separate bootstraps.

    Args:
        first, second: (Q,) of one measure, row r of both belonging to the same query; a query that is NaN in either
            is left out of both.
        level: share of the drawn differences within the interval, in (0, 1).
        draws: of as many queries as there are, with replacement.
        seed: the same seed gives the same interval, on every device; swapping both flips its signs.
        groups: (Q,) numbers, equal where queries belong together; None: every query stands for itself.
    Raises:
        ConfigError: level or draws is out of range.
        DataError: the shapes differ or are not (Q,), or no query has a value in both.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15; groups: Davison and
    Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
    """
    if not 0 < level < 1 or draws < 1:
        raise ConfigError(f"cannot draw an interval with level={level} and draws={draws}; expected a level between 0 "
                          "and 1, such as 0.95, and at least one draw")
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(f"cannot compare values of shapes {tuple(first.shape)} and {tuple(second.shape)}; expected "
                        "(Q,) twice, one value per query, in the same order")
    check_groups(groups, len(first))
    known = ~(torch.isnan(first) | torch.isnan(second))
    if not known.any():
        raise DataError(f"none of {len(first)} queries has a value in both; expected at least one")
    pair = [values[known].cpu().double() for values in (first, second)]
    together = None if groups is None else groups[known]
    drawn = drawn_means(pair[1] - pair[0], draws, seed, together)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(drawn, tails).tolist()
    below, above = float((drawn <= 0).double().mean()), float((drawn >= 0).double().mean())
    means = [float(values.mean()) for values in pair]
    return PairedDifference(means[0], means[1], float((pair[1] - pair[0]).mean()), low, high,
                            min(1.0, 2 * min(below, above)), len(pair[0]),
                            len(pair[0]) if together is None else len(together.unique()))


def drawn_means(values: Tensor, draws: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """(draws,) means of as many of the (Q,) values as there are, drawn with replacement; in their number format.

    With ``groups`` as many of them as there are, each with all of its values; their mean counts every value alike.
    """
    generator = torch.Generator().manual_seed(seed)
    sums, counts = grouped(values, groups)
    means = torch.empty(draws, dtype=values.dtype)
    step = max(1, CHUNK // len(sums))
    for start in range(0, draws, step):
        rows = torch.randint(len(sums), (min(step, draws - start), len(sums)), generator=generator)
        means[start:start + len(rows)] = sums[rows].sum(1) / counts[rows].sum(1)
    return means


def check_groups(groups: Tensor | None, queries: int) -> None:
    """Raise DataError: there is not one group for each query."""
    if groups is not None and groups.shape != (queries,):
        raise DataError(f"cannot draw groups of shape {tuple(groups.shape)}; expected ({queries},), one number for "
                        "each query")


def grouped(values: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """(G,) sum and number of the values of each group, both in their number format."""
    if groups is None:
        return values, torch.ones_like(values)
    numbers, place = groups.cpu().unique(return_inverse=True)
    sums, counts = (values.new_zeros(len(numbers)).index_add_(0, place, part)
                    for part in (values, torch.ones_like(values)))
    return sums, counts
