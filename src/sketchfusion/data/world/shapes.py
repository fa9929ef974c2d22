"""Shapes that parts are made of: polygons, splines, ellipses and wires in object coordinates.

Object coordinates are ``(x, y)`` with x to the right and y down; an object spans about [-1, 1] on each axis.
Only additions, products and square roots act on coordinates, and sines come from a rounded table, so that the
same shape comes out on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sketchfusion.data.world.dice import Array

Point = tuple[float, float]
SLIM = 5.0  # a ribbon is slim if it is longer than this many times its half width


@dataclass(frozen=True)
class Shape:
    """An area (``width`` 0, closed) or a wire: a line of this width, open or closed.

    Attributes:
        points: (N, 2) float, the border of the area or the centre line of the wire.
        width: thickness of the wire in object coordinates; 0 for an area.
        closed: whether the last point joins the first.
        spine: (M, 2) middle line of a slim limb, which a doodle may draw in its place; (0, 2) if none.
    """

    points: Array
    width: float = 0.0
    closed: bool = True
    spine: Array = field(default_factory=lambda: np.zeros((0, 2)))

    def moved(self, dx: float = 0.0, dy: float = 0.0, scale: float = 1.0, turn: float = 0.0) -> Shape:
        """The shape scaled and turned (degrees, clockwise on screen) about the origin, then moved."""
        points, spine = (rotate(line, turn) * scale + np.array([dx, dy]) for line in (self.points,
            self.spine))
        return replace(self, points=points, spine=spine, width=self.width * scale)


def cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine of an angle in degrees, rounded to nine digits."""
    radians = math.radians(degrees)
    return round(math.cos(radians), 9), round(math.sin(radians), 9)


def rotate(points: Array, degrees: float) -> Array:
    """(N, 2) points turned about the origin, clockwise on screen."""
    if degrees == 0:
        return points
    c, s = cos_sin(degrees)
    return np.stack([points[:, 0] * c - points[:, 1] * s, points[:, 0] * s + points[:, 1] * c], axis=1)


def spline(points: Array, *, closed: bool, steps: int = 6) -> Array:
    """Catmull-Rom curve through the points; (N * steps, 2) closed, ((N - 1) * steps + 1, 2) open."""
    if closed:
        before, here, after, later = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        before, here, after, later = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    bend = 2 * before - 5 * here + 4 * after - later
    twist = 3 * here - before - 3 * after + later
    curve = 0.5 * (2 * here[:, None]
        + t * ((after - before)[:, None] + t * (bend[:, None] + t * twist[:, None])))
    flat: Array = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def poly(*points: Point) -> Shape:
    """Area with straight sides through the points."""
    return Shape(np.array(points, dtype=np.float64))


def blob(*points: Point, steps: int = 6) -> Shape:
    """Area with a smooth border through the points."""
    return Shape(spline(np.array(points, dtype=np.float64), closed=True, steps=steps))


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, turn: float = 0.0,
        steps: int = 28) -> Shape:
    """Ellipse about (cx, cy); a circle where ``ry`` is left out."""
    ry = rx if ry is None else ry
    ring = np.array([cos_sin(360 * k / steps) for k in range(steps)]) * np.array([rx, ry])
    return Shape(rotate(ring, turn) + np.array([cx, cy]))


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 14) -> Array:
    """(steps + 1, 2) points of an ellipse from ``start`` to ``stop`` degrees (0 = right, 90 = down)."""
    angles = [start + (stop - start) * k / steps for k in range(steps + 1)]
    return np.array([cos_sin(angle) for angle in angles]) * np.array([rx, ry]) + np.array([cx, cy])


def box(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> Shape:
    """Upright rectangle, with rounded corners of radius ``corner`` where that is positive."""
    if corner <= 0:
        return poly((left, top), (right, top), (right, bottom), (left, bottom))
    r = min(corner, (right - left) / 2, (bottom - top) / 2)
    return Shape(np.concatenate([
        arc(right - r, top + r, r, r, -90, 0, 5), arc(right - r, bottom - r, r, r, 0, 90, 5),
        arc(left + r, bottom - r, r, r, 90, 180, 5), arc(left + r, top + r, r, r, 180, 270, 5)]))


def lathe(*profile: Point, smooth: bool = True) -> Shape:
    """Area mirrored about x = 0 from (half width, y) pairs listed from top to bottom."""
    right = np.array(profile, dtype=np.float64)
    if smooth:
        right = spline(right, closed=False, steps=5)
        right[:, 0] = np.maximum(right[:, 0], 0.0)
    left = right[::-1] * np.array([-1.0, 1.0])
    return Shape(np.concatenate([right, left]))


def wire(*points: Point, width: float, smooth: bool = True, closed: bool = False) -> Shape:
    """Line of constant width through the points."""
    line = np.array(points, dtype=np.float64)
    return Shape(spline(line, closed=closed, steps=5) if smooth else line, width=width, closed=closed)


def ring(cx: float, cy: float, rx: float, ry: float, width: float) -> Shape:
    """Elliptic hoop whose centre line has the radii (rx, ry)."""
    return replace(ellipse(cx, cy, rx, ry), width=width)


def ribbon(points: Sequence[Point], widths: Sequence[float]) -> Shape:
    """Limb, stem or trunk: area of varying width (one per point) about a smooth line, with round ends."""
    steps = 5
    middle = spline(np.array(points, dtype=np.float64), closed=False, steps=steps)
    span = np.arange(len(middle)) / steps
    half = np.interp(span, np.arange(len(widths)), np.asarray(widths, dtype=np.float64))[:, None] / 2
    ahead = np.gradient(middle, axis=0)
    ahead = ahead / np.maximum(np.sqrt((ahead * ahead).sum(axis=1, keepdims=True)), 1e-9)
    normal = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    start, stop = middle[0] - 0.8 * half[0] * ahead[0], middle[-1] + 0.8 * half[-1] * ahead[-1]
    border = np.concatenate([start[None], middle + half * normal, stop[None], (middle - half * normal)[::-1]])
    reach = np.abs(np.diff(middle, axis=0)).sum()
    slim = float(half.max()) * SLIM < float(reach)
    return Shape(border, spine=middle if slim else np.zeros((0, 2)))


def star(cx: float, cy: float, outer: float, inner: float, tips: int = 5, turn: float = -90.0) -> Shape:
    """Star with this many tips."""
    radii = [outer if k % 2 == 0 else inner for k in range(2 * tips)]
    return Shape(np.array([
        (cx + radius * cos_sin(turn + 180 * k / tips)[0], cy + radius * cos_sin(turn + 180 * k / tips)[1])
        for k, radius in enumerate(radii)]))


def wavy(shape: Shape, depths: Array) -> Shape:
    """The area with its border pushed out from its middle by these fractions, e.g. for a tree crown."""
    middle = shape.points.mean(axis=0)
    count = len(shape.points)
    at = np.arange(count) * len(depths) / count
    factors = 1 + np.interp(at, np.arange(len(depths) + 1), np.append(depths, depths[0]))
    return replace(shape, points=middle + (shape.points - middle) * factors[:, None])


def offset(points: Array, distance: float, *, closed: bool) -> Array:
    """(N, 2) points moved sideways by ``distance``: the side of a wire."""
    if closed:
        ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    else:
        ahead = np.gradient(points, axis=0)
    ahead = ahead / np.maximum(np.sqrt((ahead * ahead).sum(axis=1, keepdims=True)), 1e-9)
    return points + distance * np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)


def lens(x: float, y: float, length: float, width: float, turn: float) -> Shape:
    """Leaf, petal or feather: pointed, from (x, y) towards ``turn`` degrees (0 = right, 90 = down)."""
    side = [(0.0, 0.0), (0.25, 0.38), (0.55, 0.48), (0.82, 0.28), (1.0, 0.0)]
    upper = spline(np.array(side), closed=False, steps=4)
    border = np.concatenate([upper, upper[-2:0:-1] * np.array([1.0, -1.0])]) * np.array([length, width])
    return Shape(rotate(border, turn) + np.array([x, y]))


def toward(x: float, y: float, length: float, turn: float) -> Point:
    """The point at this distance from (x, y) in the direction ``turn`` degrees (0 = right, 90 = down)."""
    c, s = cos_sin(turn)
    return x + length * c, y + length * s
