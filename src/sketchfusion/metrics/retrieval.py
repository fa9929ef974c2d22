"""Measures of retrieval: mAP@all, mAP@k, P@k and Acc@k, and how sure their means are.

Queries are rows and the gallery is columns. ``relevant`` is always in the order of the ranking, best first:
``relevant = truth.gather(1, rank(scores))``. Published numbers differ in what average precision is divided by and in
whether precision is interpolated, so both are arguments; name them beside every number.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics.bootstrap import check_groups, drawn_means

Denominator = Literal["relevant", "min_rk", "hits"]
Interpolation = Literal["none", "voc"]
CHUNK = 4_000_000  # numbers in a working copy: 32 MB of float64, few enough to hold several


def rank(scores: Tensor) -> Tensor:
    """The gallery in the order of falling scores, for each query; equal scores stay in the order of the gallery.

    Args:
        scores: (Q, G) float, higher is better, any range; give distances with a minus.
    Returns:
        (Q, G) long, columns of ``scores``, best first.
    Raises:
        DataError: not (Q, G) floats, or a score is not a number.
    Source: own; the papers leave ties open.
    """
    if scores.ndim != 2 or not scores.is_floating_point():
        raise DataError(f"cannot rank scores of shape {tuple(scores.shape)} and type {scores.dtype}; expected (Q, G) "
                        "floats, a row per query")
    order = torch.empty(scores.shape, dtype=torch.long, device=scores.device)
    for rows in _chunks(*scores.shape):
        part = scores[rows]
        if bool(torch.isnan(part).any()):
            query, item = torch.nonzero(torch.isnan(part))[0].tolist()
            raise DataError(f"the score of query {rows.start + query} and gallery item {item} is not a number, so it "
                            "has no rank; expected finite descriptors: look for blank pictures or an overflow")
        order[rows] = part.argsort(dim=1, descending=True, stable=True)
    return order


def average_precision(
    relevant: Tensor, *, k: int | None = None, denominator: Denominator = "min_rk",
    interpolation: Interpolation = "none",
) -> Tensor:
    """AP@k of each query: the precision at each hit in the top k, summed, over a denominator.

    Args:
        relevant: (Q, G) bool, best first.
        k: length at which the ranking is cut; all of it if not given, or if the gallery is smaller.
        denominator: "relevant", all R relevant items, so that R > k cannot reach 1; "min_rk", min(R, k), so that a
            perfect ranking is 1; "hits", those in the top k, which does not see what was missed.
        interpolation: "none", the precision at the rank of the hit; "voc", the best at this or any later rank of the
            top k, which is never lower.
    Returns:
        (Q,) float64 in [0, 1]; NaN where the denominator is 0.
    Raises:
        ConfigError: k is below 1, or a choice is unknown.
        DataError: ``relevant`` is not (Q, G) bool, or the gallery is empty.
    Source: "min_rk" with "voc" is what the code of ZSE-SBIR reports as mAP@200; "relevant" and k = None is plain
        average precision (mAP@all).
    """
    _check_choice("denominator", denominator, get_args(Denominator))
    _check_choice("interpolation", interpolation, get_args(Interpolation))
    top = _top(relevant, k)
    summed = torch.zeros(len(relevant), dtype=torch.float64, device=relevant.device)
    places = torch.arange(1, top.shape[1] + 1, dtype=torch.float64, device=relevant.device)
    for rows in _chunks(*top.shape):
        precision = top[rows].cumsum(1, dtype=torch.float64).div_(places)
        if interpolation == "voc":
            precision = precision.flip(1).cummax(1).values.flip(1)
        summed[rows] = precision.mul_(top[rows]).sum(1)
    counted = (top if denominator == "hits" else relevant).sum(1)
    if denominator == "min_rk":
        counted = counted.clamp(max=top.shape[1])
    return summed / counted  # 0 / 0 is NaN, as promised


def mean_average_precision(
    relevant: Tensor, *, k: int | None = None, denominator: Denominator = "min_rk",
    interpolation: Interpolation = "none",
) -> float:
    """mAP@k, or mAP@all without k: the mean of ``average_precision`` over the queries that have a value.

    Queries without anything relevant in the gallery are left out. With "hits" so are those without a hit in the top
    k, which raises the mean.

    Args:
        relevant, k, denominator, interpolation: see ``average_precision``.
    Returns:
        float in [0, 1].
    Raises:
        ConfigError: see ``average_precision``.
        DataError: see ``average_precision``; or no query has a value, since 0/0 must not read as a score.
    Source: mAP@all and mAP@200 of the paper's Sec. 6.1; how it treats queries without relevant items is not said.
    """
    values = average_precision(relevant, k=k, denominator=denominator, interpolation=interpolation)
    return float(_numbers(values, "average precision").mean())


def precision_at_k(relevant: Tensor, k: int) -> Tensor:
    """P@k of each query: the hits in the top k over k; over the size of the gallery if that is smaller.

    Args:
        relevant: (Q, G) bool, best first.
        k: at least 1.
    Returns:
        (Q,) float64 in [0, 1]; below 1 at best where fewer than k items are relevant.
    Raises:
        ConfigError: k is below 1.
        DataError: ``relevant`` is not (Q, G) bool, or the gallery is empty.
    Source: P@100 and P@200 of the paper's Sec. 6.1.
    """
    top = _top(relevant, k)
    return top.sum(1).double() / top.shape[1]


def accuracy_at_k(relevant: Tensor, k: int) -> Tensor:
    """Acc@k of each query: 1 where anything relevant is in the top k, otherwise 0.

    Args:
        relevant: (Q, G) bool, best first; in fine-grained retrieval only the very photo that was drawn is relevant.
        k: at least 1.
    Returns:
        (Q,) float64, 0 or 1.
    Raises:
        ConfigError: k is below 1.
        DataError: ``relevant`` is not (Q, G) bool, or the gallery is empty.
    Source: Acc@1, Acc@5 and Acc@10 of the paper's Sec. 6.1.
    """
    return _top(relevant, k).any(1).double()


def bootstrap_interval(
    values: Tensor, *, level: float = 0.95, draws: int = 2000, seed: int = 0, groups: Tensor | None = None,
) -> tuple[float, float]:
    """Between what the mean over queries lies, by drawing the queries anew: the percentile bootstrap.

    Args:
        values: (Q,) of one measure, one per query; NaN is left out.
        level: share of the drawn means within, in (0, 1).
        draws: of as many queries as there are, with replacement.
        seed: the same seed gives the same interval, on every device.
        groups: (Q,) numbers, equal where queries belong together and are drawn together, such as sketches of one photo;
            None: every query stands for itself.
    Returns:
        (low, high).
    Raises:
        ConfigError: level or draws is out of range.
        DataError: ``values`` is not (Q,), or holds no number.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if not 0 < level < 1 or draws < 1:
        raise ConfigError(f"cannot draw an interval with level={level} and draws={draws}; expected a level between 0 "
                          "and 1, such as 0.95, and at least one draw")
    known = _numbers(values, "the measure").cpu().double()
    check_groups(groups, len(values))
    own = None if groups is None else groups[~torch.isnan(values)]
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(drawn_means(known, draws, seed, own), tails).tolist()
    return low, high


def _top(relevant: Tensor, k: int | None) -> Tensor:
    """(Q, min(k, G)) of a checked ``relevant``; all of it without k."""
    if relevant.ndim != 2 or relevant.dtype != torch.bool or not relevant.shape[1]:
        raise DataError(f"cannot judge a ranking of shape {tuple(relevant.shape)} and type {relevant.dtype}; expected "
                        "(Q, G) bool with at least one gallery item, best first: truth.gather(1, rank(scores))")
    if k is None:
        return relevant
    try:
        whole = operator.index(k)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ConfigError(f"k must be a whole number of at least 1, got {k!r}; average precision over the "
                          "whole ranking is what it gives without k")
    return relevant[:, :whole]


def _check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ConfigError(f"unknown {name} {given!r}; choose one of {', '.join(known)}")


def _numbers(values: Tensor, name: str) -> Tensor:
    """The values that are numbers."""
    if values.ndim != 1:
        raise DataError(f"cannot average values of shape {tuple(values.shape)}; expected (Q,), one per query")
    known = values[~torch.isnan(values)]
    if not len(known):
        raise DataError(f"{name} has no value for any of {len(values)} queries; expected at least one query with "
                        "something relevant in the gallery: compare the labels of queries and gallery")
    return known


def _chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows with at most ``CHUNK`` numbers each, and at least one row."""
    step = max(1, CHUNK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
