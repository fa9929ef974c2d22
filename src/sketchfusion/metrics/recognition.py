"""Measure of recognition: whether the true class is among the k most likely ones."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError


def top_k_accuracy(logits: Tensor, targets: Tensor, k: int) -> Tensor:
    """Acc@k of each picture: 1 where its class is among the k with the highest logits, otherwise 0.

    Of equal logits the lower class comes first, so that the same logits give the same figure on every machine.

    Args:
        logits: (N, K) float, a column for each class; any range.
        targets: (N,) whole numbers, the true classes in [0, K).
        k: at least 1; with K or more every picture is right.
    Returns:
        (N,) float64, 0 or 1.
    Raises:
        ConfigError: k is below 1.
        DataError: the shapes or types do not fit, a logit is not a number, or a target is no class.
    Source: Acc@1 of the paper's Sec. 6.2.
    """
    _check(logits, targets)
    try:
        whole = operator.index(k)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ConfigError(f"k must be a whole number of at least 1, got {k!r}")
    targets = targets.long()[:, None]
    own = logits.gather(1, targets)
    lower = torch.arange(logits.shape[1], device=logits.device) < targets
    ahead = ((logits > own) | ((logits == own) & lower)).sum(1)
    return (ahead < whole).double()


def _check(logits: Tensor, targets: Tensor) -> None:
    if logits.ndim != 2 or not logits.is_floating_point() or targets.shape != logits.shape[:1]:
        raise DataError(f"cannot judge logits of shape {tuple(logits.shape)} and type {logits.dtype} with targets of "
                        f"shape {tuple(targets.shape)}; expected (N, K) floats and (N,) classes")
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise DataError(f"targets must be whole numbers, the columns of the true classes, got {targets.dtype}")
    if bool(torch.isnan(logits).any()):
        row, column = torch.nonzero(torch.isnan(logits))[0].tolist()
        raise DataError(f"the logit of picture {row} and class {column} is not a number; expected finite logits: look "
                        "for an overflow")
    outside = (targets < 0) | (targets >= logits.shape[1])
    if bool(outside.any()):
        row = int(outside.int().argmax())
        raise DataError(f"the target of picture {row} is {int(targets[row])}, but the logits are of "
                        f"{logits.shape[1]} classes; expected 0 to {logits.shape[1] - 1}: compare the class names of "
                        "data and head")
