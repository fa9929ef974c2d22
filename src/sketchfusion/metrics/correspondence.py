"""Measures of correspondence: how far key points are off, and PCK@k, the share that is near enough.

The mean over all key points (``pck``) and the mean over pairs (``pck_per_pair``) are the same number only where every
pair shows as many points; say beside every number which of the two it is, and which comparison it was made with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sketchfusion.errors import ConfigError, DataError

Size = float | Tensor


def keypoint_errors(predicted_px: Tensor, true_px: Tensor) -> Tensor:
    """How far each key point was found from where it is.

    Args:
        predicted_px, true_px: (..., 2) points (x, y) in pixels of one frame; N of them, or (P, N, 2) for P pairs.
    Returns:
        (...) float64, Euclidean distances in pixels; NaN where a coordinate is.
    Raises:
        DataError: the shapes differ, or the last dimension is not 2.
    Source: paper Sec. 6.3; PSC6K's benchmark rounds the points to whole pixels before, which is left to the caller.
    """
    if predicted_px.shape != true_px.shape or not true_px.ndim or true_px.shape[-1] != 2:
        raise DataError(f"cannot compare points of shape {tuple(predicted_px.shape)} with points of shape "
                        f"{tuple(true_px.shape)}; expected the same shape, ending in (x, y): (N, 2) or (P, N, 2)")
    apart = predicted_px.double() - true_px.double()
    return torch.hypot(apart[..., 0], apart[..., 1])


def pck(errors_px: Tensor, size_px: Size, k: float, *, strict: bool = False) -> float:
    """PCK@k over key points: the share of all of them that lie within k % of their picture's size.

    Every point counts the same, so that a pair with more visible points counts for more; see ``pck_per_pair``.

    Args:
        errors_px: (N,) distances in pixels, of visible points alone.
        size_px: of the picture that the points were looked for in, in the same pixels: the side of a square one, or
            max(height, width); a number, or (N,).
        k: in percent, such as 5 or 10.
        strict: whether a point at exactly k % is too far.
    Returns:
        float in [0, 1].
    Raises:
        ConfigError: k is not between 0 and 100.
        DataError: ``errors_px`` is not (N,) of numbers, holds none, or the sizes do not fit.
    Source: paper Sec. 6.3, k = 5 and 10. The released code compares with < (``strict``), PSC6K's benchmark with <=.
    """
    if errors_px.ndim != 1 or not len(errors_px):
        raise DataError(f"cannot count errors of shape {tuple(errors_px.shape)}; expected (N,), at least one key point")
    if bool(torch.isnan(errors_px).any()):
        raise DataError(f"the error of key point {int(torch.isnan(errors_px).int().argmax())} is not a number; leave "
                        "out the points that are not visible: errors_px[visible]")
    return float(_near(errors_px, _sizes(size_px, errors_px), k, strict).double().mean())


def pck_per_pair(errors_px: Tensor, visible: Tensor, size_px: Size, k: float, *, strict: bool = False) -> Tensor:
    """PCK@k of each pair: the share of its visible key points that lie within k % of the picture's size.

    The mean of these (``nanmean``) gives every pair the same weight; see ``pck`` for the mean over points.

    Args:
        errors_px: (P, N) distances in pixels; where a point is not visible, anything.
        visible: (P, N) bool, the points that both pictures show.
        size_px: see ``pck``; a number, or (P,).
        k, strict: see ``pck``.
    Returns:
        (P,) float64 in [0, 1]; NaN where no point is visible.
    Raises:
        ConfigError: see ``pck``.
        DataError: the shapes or sizes do not fit, or the error of a visible point is not a number.
    Source: the mean over pairs is what PSC6K's benchmark and the released code report, of both directions together.
    """
    if errors_px.ndim != 2 or visible.shape != errors_px.shape or visible.dtype != torch.bool:
        raise DataError(f"cannot count errors of shape {tuple(errors_px.shape)} with visible points of shape "
                        f"{tuple(visible.shape)} and type {visible.dtype}; expected (P, N) and (P, N) bool")
    unknown = torch.isnan(errors_px) & visible
    if bool(unknown.any()):
        pair, point = torch.nonzero(unknown)[0].tolist()
        raise DataError(f"the error of key point {point} of pair {pair} is not a number, but the point is said to be "
                        "visible; expected a distance, or visible = false there")
    near = _near(errors_px, _sizes(size_px, errors_px)[:, None], k, strict) & visible
    return near.sum(1).double() / visible.sum(1)  # 0 / 0 is NaN, as promised


def _near(errors_px: Tensor, sizes_px: Tensor, k: float, strict: bool) -> Tensor:
    if not 0 < k <= 100:
        raise ConfigError(f"k must be a percentage above 0 and at most 100, such as 5 or 10, got {k!r}")
    limits = k * sizes_px / 100
    return errors_px.double() < limits if strict else errors_px.double() <= limits


def _sizes(size_px: Size, errors_px: Tensor) -> Tensor:
    """One size, or one for each row of the errors; float64."""
    sizes = torch.as_tensor(size_px, dtype=torch.float64, device=errors_px.device)
    if sizes.ndim and sizes.shape != errors_px.shape[:1]:
        raise DataError(f"{tuple(sizes.shape)} sizes do not fit {len(errors_px)} rows of errors; expected one number, "
                        f"or ({len(errors_px)},)")
    if not bool(((sizes > 0) & (sizes < math.inf)).all()):
        raise DataError("the size of a picture must be a number of pixels above 0; give the side of a square picture, "
                        f"or max(height, width), got {sizes.flatten().tolist()[:8]}")
    return sizes.reshape(-1)
