"""Polylines: length, resampling, smoothing and simplification. Points are ``(N, 2)`` float ``(x, y)``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sketchfusion.data.composites.colour import Array, Flags


def along(points: Array) -> Array:
    """(N,) distance from the start along the line."""
    steps = points[1:] - points[:-1]
    result = np.zeros(len(points))
    np.cumsum(np.hypot(steps[:, 0], steps[:, 1]), out=result[1:])
    return result


def length(points: Array) -> float:
    """Length of the line."""
    return float(along(points)[-1])


def pick(points: Array, positions: Array, wanted: Array) -> Array:
    """(M, 2) points between the (N, 2) ones, which lie at (N,) rising positions, at the (M,) wanted ones."""
    result = np.empty((len(wanted), 2))
    for axis in (0, 1):
        result[:, axis] = np.interp(wanted, positions, points[:, axis])
    return result


def resample(points: Array, count: int) -> Array:
    """The line through ``count`` points, at least 2, evenly apart; both ends stay."""
    travelled = along(points)
    return pick(points, travelled, np.arange(count) * (travelled[-1] / (count - 1)))


def smooth(points: Array, sigma: float, *, closed: bool = False) -> Array:
    """Gaussian smoothing over neighbouring points, ``sigma`` in points; the ends of an open line stay.

    An open line is continued by point reflection at its ends; a closed one, whose last point repeats the first, goes
    round.
    """
    count = len(points)
    if sigma <= 0 or count < 3:
        return points
    sigma = min(sigma, (count - 1) / 4)
    reach = max(1, min(int(np.ceil(3 * sigma)), count - 1))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    if closed:
        ring = points[:-1]
        longer = np.concatenate([ring[-reach:], ring, ring[:reach]])
    else:
        before, after = 2 * points[0] - points[reach:0:-1], 2 * points[-1] - points[-2 : -reach - 2 : -1]
        longer = np.concatenate([before, points, after])
    result = np.empty_like(points[:-1] if closed else points)
    for axis in (0, 1):
        result[:, axis] = np.convolve(longer[:, axis], kernel, mode="valid")
    return np.concatenate([result, result[:1]]) if closed else result


def simplify(points: Array, tolerance: float) -> Array:
    """Ramer-Douglas-Peucker: the vertices that keep every point within ``tolerance`` of the line; see ``keep``."""
    return points[keep(points, tolerance)]


def keep(points: Array, tolerance: float) -> Flags:
    """(N,) bool: the vertices that Ramer-Douglas-Peucker keeps; the two ends always.

    Source: D. Douglas, T. Peucker, Algorithms for the reduction of the number of points, 1973.
    """
    kept = np.zeros(len(points), dtype=bool)
    kept[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        inner = points[first + 1 : last] - points[first]
        chord = points[last] - points[first]
        size = float(np.hypot(*chord))
        if size > 1e-9:
            share = np.clip(inner @ chord / size**2, 0, 1)
            inner = inner - share[:, None] * chord
        distance = np.hypot(inner[:, 0], inner[:, 1])
        furthest = int(distance.argmax())
        if distance[furthest] > tolerance:
            middle = first + 1 + furthest
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return kept


def corners(points: Array, window: int, least: float) -> npt.NDArray[np.int64]:
    """Indices of the sharpest points: the line turns there by ``least`` radians or more, over ``window`` points.

    Of turns less than a window apart only the sharpest counts; the ends are none.
    """
    window = max(1, min(window, (len(points) - 1) // 3))
    if len(points) < 2 * window + 1 or len(points) < 3:
        return np.zeros(0, dtype=np.int64)
    before = points[window:-window] - points[: -2 * window]
    after = points[2 * window :] - points[window:-window]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.abs(np.arctan2(cross, (before * after).sum(axis=1)))
    if not (turn >= least).any():
        return np.zeros(0, dtype=np.int64)
    padded = np.zeros(len(turn) + 2 * window)
    padded[window:-window] = turn
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1).max(axis=1)
    peaks = np.flatnonzero((turn >= least) & (turn >= around))
    return peaks[np.diff(peaks, prepend=-window) >= window] + window


def curve_through(knots: Array, sharp: Flags, per_span: int) -> Array:
    """Smooth curve through (K, 2) knots: ((K - 1) * per_span + 1, 2); at sharp ones, (K,) bool, it has a corner.

    Cubic Hermite spans with centripetal Catmull-Rom tangents, which make no loops.
    Source: C. Yuksel, S. Schaefer, J. Keyser, Parameterization and applications of Catmull-Rom curves, 2011.
    """
    if len(knots) < 3 or per_span < 2:
        return knots
    steps = knots[1:] - knots[:-1]
    span = np.maximum(np.sqrt(np.hypot(steps[:, 0], steps[:, 1])), 1e-6)[:, None]
    slope = steps / span
    mean = (span[:-1] * slope[1:] + span[1:] * slope[:-1]) / (span[:-1] + span[1:])
    corner = sharp[1:-1, None]
    leave = np.concatenate([slope[:1], np.where(corner, slope[1:], mean)]) * span
    arrive = np.concatenate([np.where(corner, slope[:-1], mean), slope[-1:]]) * span
    t = (np.arange(per_span) / per_span)[None, :, None]
    start, end, leave, arrive = knots[:-1, None], knots[1:, None], leave[:, None], arrive[:, None]
    curve = ((1 + 2 * t) * (1 - t) ** 2 * start + t * (1 - t) ** 2 * leave
             + t**2 * (3 - 2 * t) * end + t**2 * (t - 1) * arrive)
    return np.concatenate([curve.reshape(-1, 2), knots[-1:]])
