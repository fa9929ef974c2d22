"""Whether one method is better than another: both judged on the same queries, which are drawn anew in pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError

CHUNK = 4_000_000  # numbers in a working copy: 32 MB of float64


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
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    share: float
    queries: int


def paired_bootstrap(first: Tensor, second: Tensor, *, level: float = 0.95, draws: int = 2000,
                     seed: int = 0) -> PairedDifference:
    """The difference of two means over the same queries: the percentile bootstrap of the differences.

    What a query has in common for both methods, such as being hard, drops out, so that the interval is narrower than
    that of two separate bootstraps. Queries count as independent of one another.

    Args:
        first, second: (Q,) of one measure, row r of both belonging to the same query; a query that is NaN in either
            is left out of both.
        level: share of the drawn differences within the interval, in (0, 1).
        draws: of as many queries as there are, with replacement.
        seed: the same seed gives the same interval, on every device; swapping both flips its signs.
    Raises:
        ConfigError: level or draws is out of range.
        DataError: the shapes differ or are not (Q,), or no query has a value in both.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15.
    """
    if not 0 < level < 1 or draws < 1:
        raise ConfigError(f"cannot draw an interval with level={level} and draws={draws}; expected a level between 0 "
                          "and 1, such as 0.95, and at least one draw")
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(f"cannot compare values of shapes {tuple(first.shape)} and {tuple(second.shape)}; expected "
                        "(Q,) twice, one value per query, in the same order")
    known = ~(torch.isnan(first) | torch.isnan(second))
    if not known.any():
        raise DataError(f"none of {len(first)} queries has a value in both; expected at least one")
    pair = [values[known].cpu().double() for values in (first, second)]
    drawn = drawn_means(pair[1] - pair[0], draws, seed)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(drawn, tails).tolist()
    below, above = float((drawn <= 0).double().mean()), float((drawn >= 0).double().mean())
    means = [float(values.mean()) for values in pair]
    return PairedDifference(means[0], means[1], float((pair[1] - pair[0]).mean()), low, high,
                            min(1.0, 2 * min(below, above)), int(known.sum()))


def drawn_means(values: Tensor, draws: int, seed: int) -> Tensor:
    """(draws,) means of as many of the (Q,) values as there are, drawn with replacement; in their number format."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.empty(draws, dtype=values.dtype)
    step = max(1, CHUNK // len(values))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        means[start:start + rows] = values[torch.randint(len(values), (rows, len(values)), generator=generator)].mean(1)
    return means
