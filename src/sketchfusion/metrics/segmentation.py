"""Measures of segmentation by a sketch: IoU and pixel accuracy of each picture.

Published mIoU differ in what is averaged: the IoU of what was drawn alone, or the mean of its IoU and the background's,
which is higher for small things. Both are here, by name; name the one taken beside every number. Pictures of different
sizes are judged one at a time.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError

Regions = Literal["foreground", "both"]


def intersection_over_union(masks: Tensor, truth: Tensor) -> Tensor:
    """IoU of the foreground of each picture.

    Args:
        masks, truth: (N, H, W) bool, true on the foreground.
    Returns:
        (N,) float64 in [0, 1]; 1 where both are empty.
    Raises:
        DataError: not two (N, H, W) bool of one shape, or pictures without pixels.
    Source: Jaccard index; paper Sec. 6.4.
    """
    masks, truth = _flat(masks, truth)
    union = (masks | truth).sum(1)
    shared = (masks & truth).sum(1).double()
    return torch.where(union > 0, shared / union, 1.0)


def mean_iou(masks: Tensor, truth: Tensor, *, over: Regions) -> Tensor:
    """IoU of each picture, averaged over its regions; the mean over pictures is the data set's mIoU.

    Args:
        masks, truth: (N, H, W) bool, true on the foreground.
        over: "foreground", the IoU of the foreground alone; "both", the mean of foreground's and background's.
    Returns:
        (N,) float64 in [0, 1]; a region that is empty in both counts as 1.
    Raises:
        ConfigError: ``over`` is unknown.
        DataError: see ``intersection_over_union``.
    Source: mIoU of the paper's Sec. 6.4, which does not say which of the two it is.
    """
    if over not in get_args(Regions):
        raise ConfigError(f"unknown regions {over!r}; choose one of {', '.join(get_args(Regions))}")
    foreground = intersection_over_union(masks, truth)
    return foreground if over == "foreground" else (foreground + intersection_over_union(~masks, ~truth)) / 2


def pixel_accuracy(masks: Tensor, truth: Tensor) -> Tensor:
    """Share of each picture's pixels that are right, foreground and background together.

    Args:
        masks, truth: (N, H, W) bool, true on the foreground.
    Returns:
        (N,) float64 in [0, 1].
    Raises:
        DataError: see ``intersection_over_union``.
    Source: pAcc of the paper's Sec. 6.4.
    """
    masks, truth = _flat(masks, truth)
    return (masks == truth).double().mean(1)


def _flat(masks: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (N, H * W), checked."""
    if (masks.ndim != 3 or masks.shape != truth.shape or not masks.shape[1:].numel()
            or (masks.dtype, truth.dtype) != (torch.bool, torch.bool)):
        raise DataError(f"cannot compare masks of shape {tuple(masks.shape)} and type {masks.dtype} with the truth of "
                        f"shape {tuple(truth.shape)} and type {truth.dtype}; expected (N, H, W) bool of one size: "
                        "compare probabilities with the threshold first, and scale both to the same pixels")
    return masks.flatten(1), truth.flatten(1)
