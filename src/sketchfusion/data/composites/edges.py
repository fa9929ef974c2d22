"""Edges of a picture as lines one pixel wide: gradient, non-maximum suppression, hysteresis, thinning.

Source: J. Canny, A computational approach to edge detection, 1986; T. Zhang, C. Suen, A fast parallel algorithm for
thinning digital patterns, 1984.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sketchfusion.data.composites.colour import Array, Flags

EIGHT = np.ones((3, 3), dtype=bool)


def gradient(lab: Array, sigma: float) -> tuple[Array, Array]:
    """Strength (H, W) in L*a*b* units per pixel, and direction (H, W, 2) as unit (x, y), of the strongest channel."""
    parts = [(ndimage.gaussian_filter(lab[..., c], sigma, order=(0, 1)),
              ndimage.gaussian_filter(lab[..., c], sigma, order=(1, 0))) for c in range(3)]
    slopes = np.stack([np.stack(part, axis=-1) for part in parts])  # (3, H, W, 2)
    slopes[1:] *= 0.7  # hue alone makes a weaker line than light and dark
    sizes = np.linalg.norm(slopes, axis=-1)
    best = sizes.argmax(axis=0)[None]
    strength = np.take_along_axis(sizes, best, axis=0)[0]
    slope = np.take_along_axis(slopes, best[..., None], axis=0)[0]
    return strength, slope / np.maximum(strength, 1e-9)[..., None]


def ridge(strength: Array, direction: Array) -> Flags:
    """(H, W) bool: where the strength is no less than one pixel ahead and behind across the edge."""
    rows, columns = np.indices(strength.shape)
    peaks = np.ones(strength.shape, dtype=bool)
    for sign in (1, -1):
        place = [rows + sign * direction[..., 1], columns + sign * direction[..., 0]]
        beside = ndimage.map_coordinates(strength, place, order=1, mode="nearest")
        peaks &= strength >= beside if sign > 0 else strength > beside
    return peaks


def edge_lines(lab: Array, area: Flags, *, sigma: float, low: float, high: float) -> tuple[Flags, Array]:
    """Edges within ``area``: (H, W) bool, one pixel wide, and the strength (H, W).

    Args:
        lab: (H, W, 3).
        area: (H, W) bool, where edges are looked for.
        sigma: pixels of smoothing.
        low, high: strengths; an edge is kept if all of it is above ``low`` and some of it above ``high``.
    """
    strength, direction = gradient(lab, sigma)
    candidates = ridge(strength, direction) & area & (strength > low)
    labels, count = ndimage.label(candidates, EIGHT)
    if not count:
        return candidates, strength
    peaks = ndimage.maximum(strength, labels, np.arange(1, count + 1))
    return thin(candidates & np.concatenate([[False], peaks > high])[labels]), strength


def thin(lines: Flags) -> Flags:
    """Zhang-Suen thinning: (H, W) bool -> (H, W) bool, lines one pixel wide with the same connections."""
    image = np.pad(lines, 1).astype(np.uint8)
    while True:
        changed = False
        for phase in (0, 1):
            north, south, west, east = image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]
            ring = [north, image[:-2, 2:], east, image[2:, 2:], south, image[2:, :-2], west, image[:-2, :-2]]
            count = sum(part.astype(np.int8) for part in ring)
            rises = sum(((a == 0) & (b == 1)).astype(np.int8) for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
            if phase == 0:
                open_side = (north & east & south) | (east & south & west)
            else:
                open_side = (north & east & west) | (north & south & west)
            drop = (image[1:-1, 1:-1] == 1) & (count >= 2) & (count <= 6) & (rises == 1) & (open_side == 0)
            if drop.any():
                image[1:-1, 1:-1][drop] = 0
                changed = True
        if not changed:
            return image[1:-1, 1:-1].astype(bool)
