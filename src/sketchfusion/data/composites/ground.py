"""The plain ground of a photo: a smooth colour model of its border, and the flood from the border over it.

Arrays are ``(H, W, ...)``; colours are CIE L*a*b* (``colour.to_lab``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sketchfusion.data.composites.colour import Array, Flags

STRIP_COLOUR = 5.0  # L*a*b* distance within which a line along a side has one colour
STRIP_STEP = 0.6  # share of the line behind a strip that must have another colour
RING = 0.03  # of the shorter side: width of the border strip that the model is fitted to
INLIER = 6.0  # L*a*b* distance that a border pixel of the ground may always have from the model
MIN_TOLERANCE, MAX_TOLERANCE = 4.5, 12.0
DEEPEST_SHADOW = 45.0  # L* below the ground
SHADOW_SLOPE = 3.2  # L* per pixel; steeper is an edge of the object
FOUR = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Ground:
    """Colour of the ground everywhere, as the border tells it.

    Attributes:
        lab: (H, W, 3) colour of the ground at each pixel.
        noise: robust standard deviation of the border from it, L*a*b* units.
        plain_share: share of the border that it explains, in [0, 1].
    """

    lab: Array
    noise: float
    plain_share: float

    @property
    def tolerance(self) -> float:
        """L*a*b* distance within which a pixel counts as ground."""
        return float(np.clip(3.0 * self.noise + 2.0, MIN_TOLERANCE, MAX_TOLERANCE))


def within_margins(lab: Array) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the picture without one-coloured strips along its sides.

    A strip is taken off where most of the line behind it has another colour, so that a plain ground stays.
    """
    box = [0, 0, lab.shape[1], lab.shape[0]]
    for side in (0, 1, 2, 3) * 2:
        lines = lab[box[1] : box[3], box[0] : box[2]]
        lines = lines.swapaxes(0, 1) if side % 2 == 0 else lines
        thick = strip_thickness(lines if side < 2 else lines[::-1])
        box[side] += thick if side < 2 else -thick
    return box[0], box[1], box[2], box[3]


def strip_thickness(lines: Array) -> int:
    """Lines to take off at the start of (L, N, 3): those of one colour and two of transition; 0 without a strip."""
    most = len(lines) // 3
    if most < 2:
        return 0
    distance = np.linalg.norm(lines[: most + 3] - np.median(lines[0], axis=0), axis=-1)
    alike = distance[:most].mean(axis=1) < STRIP_COLOUR
    count = most if alike.all() else int(np.argmin(alike))
    if count in (0, most) or (distance[count + 1] > 2 * STRIP_COLOUR).mean() < STRIP_STEP:
        return 0
    return count + 2


def border_ring(height: int, width: int) -> Flags:
    """(H, W) bool: the strip along the border."""
    thick = max(2, round(RING * min(height, width)))
    ring = np.ones((height, width), dtype=bool)
    ring[thick : height - thick, thick : width - thick] = False
    return ring


def fit_ground(lab: Array) -> Ground:
    """Quadratic colour surface through the border strip, fitted so that an object that crosses it does not count.

    Iteratively reweighted least squares with Cauchy weights: first a plane, then the quadratic.
    """
    height, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    ring = border_ring(height, width)
    design, colours = basis[ring], lab[ring]
    residual = np.linalg.norm(colours - np.median(colours, axis=0), axis=1)
    for terms in (1, 3, 3, 3, 6, 6, 6, 6):
        scale = max(1.4826 * float(np.median(residual)), 0.5)
        weight = 1 / (1 + (residual / (2.5 * scale)) ** 2)
        normal = design[:, :terms].T * weight @ design[:, :terms] + 1e-6 * np.eye(terms)
        factors = np.linalg.solve(normal, design[:, :terms].T * weight @ colours)
        residual = np.linalg.norm(colours - design[:, :terms] @ factors, axis=1)
    noise = 1.4826 * float(np.median(residual))
    share = float((residual < max(INLIER, 3 * noise)).mean())
    return Ground(basis @ factors, noise, share)


def flood(lab: Array, ground: Ground, tolerance: float) -> Flags:
    """(H, W) bool: ground reached from the border, soft shadows on it included.

    First over pixels that look like the ground; from there on over smooth slopes of lightness that keep its hue, which
    is what a soft shadow or a vignette is. An edge stops both.
    """
    smooth = ndimage.gaussian_filter(lab, (0.6, 0.6, 0))
    difference = smooth - ground.lab
    like = np.linalg.norm(difference, axis=-1) < tolerance
    reached = reachable(like, like)
    soft = ndimage.gaussian_filter(lab[..., 0], 1.0)
    slope = np.hypot(ndimage.sobel(soft, 0), ndimage.sobel(soft, 1)) / 8
    same_hue = np.hypot(difference[..., 1], difference[..., 2]) < 0.75 * tolerance
    darker = (difference[..., 0] < tolerance) & (difference[..., 0] > -DEEPEST_SHADOW)
    shadow = same_hue & darker & (slope < SHADOW_SLOPE)
    ground_area: Flags = ndimage.binary_propagation(reached, FOUR, mask=reached | shadow)
    return ground_area


def reachable(area: Flags, start: Flags) -> Flags:
    """(H, W) bool: the parts of ``area`` that are joined, edge to edge, with a border pixel that is in ``start``."""
    seed = np.zeros_like(area)
    for edge in (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]):
        seed[edge] = start[edge]
    joined: Flags = ndimage.binary_propagation(seed & area, FOUR, mask=area)
    return joined
