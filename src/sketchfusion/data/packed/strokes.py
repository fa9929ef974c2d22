"""Strokes of many drawings into equally many points each, which a GPU can draw in one go."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

DOT_LENGTH = 0.02  # of the drawing's extent: so that a dot gets a point too


def resample(points: np.ndarray, stroke_sizes: np.ndarray, num_strokes: np.ndarray,
             count: int) -> tuple[Tensor, Tensor]:
    """Evenly spaced points along the strokes of every drawing.

    Args:
        points: (M, 2) of all strokes of all drawings, one after the other.
        stroke_sizes: points per stroke.
        num_strokes: strokes per drawing.
        count: points wanted per drawing.
    Returns:
        (N, count, 2) half precision, each drawing centred at 0 with its longer extent 1; (N, count) uint8, the number
        of the stroke, 255 for all later ones.
    """
    stroke_of = np.repeat(np.arange(len(stroke_sizes)), stroke_sizes)
    drawing_of_stroke = np.repeat(np.arange(len(num_strokes)), num_strokes)
    drawing_of = drawing_of_stroke[stroke_of]
    starts = np.searchsorted(drawing_of, np.arange(len(num_strokes)))
    low, high = np.minimum.reduceat(points, starts).astype(float), np.maximum.reduceat(points, starts).astype(float)
    extent = np.maximum((high - low).max(axis=1), 1.0)
    unit = (points - ((low + high) / 2)[drawing_of]) / extent[drawing_of][:, None]

    # From each point to the next of its stroke; the last one stands for a dot.
    following = np.minimum(np.arange(len(points)) + 1, len(points) - 1)
    joined = (stroke_of[following] == stroke_of) & (following != np.arange(len(points)))
    step = np.where(joined[:, None], unit[following] - unit, 0.0)
    is_dot = (stroke_sizes == 1)[stroke_of]
    length = np.linalg.norm(step, axis=1) + np.where(is_dot, DOT_LENGTH, 1e-9)
    ends = np.cumsum(length)
    begin, total = ends[starts] - length[starts], np.add.reduceat(length, starts)
    wanted = begin[:, None] + (np.arange(count) + 0.5) / count * total[:, None]       # (N, count)
    segment = np.searchsorted(ends, wanted.ravel()).clip(max=len(points) - 1)
    share = 1 - (ends[segment] - wanted.ravel()) / length[segment]
    placed = unit[segment] + share[:, None].clip(0, 1) * step[segment]
    first = np.cumsum(num_strokes) - num_strokes
    number = stroke_of[segment] - first[drawing_of[segment]]
    shape = (len(num_strokes), count)
    return (torch.from_numpy(placed.astype(np.float16)).view(*shape, 2),
            torch.from_numpy(number.clip(max=255).astype(np.uint8)).view(shape))
