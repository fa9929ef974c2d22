"""Known maps of the plane: affine maps, thin-plate splines, and their exact inverses.

Points are ``(N, 2)`` float ``(x, y)``. An affine map is a (2, 3) matrix ``[A | b]`` that takes ``p`` to ``A p + b``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sketchfusion.data.composites.colour import Array
from sketchfusion.errors import DataError

MOST_STRAIN = 0.55  # spectral norm of (Jacobian - identity) of a random warp; below 1 it is one-to-one
NEWTON_STEPS = 30
PRECISION = 1e-9  # of the inverse, in units of the frame's longer side


def apply_affine(matrix: Array, points: Array) -> Array:
    """(2, 3) map of (N, 2) points."""
    moved: Array = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def invert_affine(matrix: Array) -> Array:
    """The (2, 3) inverse. Raises DataError: the map is degenerate."""
    if abs(float(np.linalg.det(matrix[:, :2]))) < 1e-12:
        raise DataError(f"the affine map {matrix.tolist()} cannot be inverted; its scale must not be 0")
    inverse = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inverse, -(inverse @ matrix[:, 2:])], axis=1)


def compose(second: Array, first: Array) -> Array:
    """The (2, 3) map that does ``first`` and then ``second``."""
    linear = second[:, :2] @ first[:, :2]
    return np.concatenate([linear, (second[:, :2] @ first[:, 2] + second[:, 2])[:, None]], axis=1)


def similarity(scale: float, degrees: float, *, flip: bool = False) -> Array:
    """(2, 2): mirrored left to right if ``flip``, then turned (clockwise on screen), then scaled."""
    turn = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return linear @ np.diag([-1.0, 1.0]) if flip else linear


def kernel(squared: Array) -> Array:
    """r^2 log r^2 of squared distances, 0 at 0."""
    bend: Array = squared * np.log(np.maximum(squared, 1e-300))
    return bend


@dataclass(frozen=True, eq=False)
class ThinPlateWarp:
    """The smoothest map that takes each control point to its target.

    ``W(p) = A p + b + sum_k w_k U(|p - c_k|)`` with ``U(r) = r^2 log r^2``; exact in both directions.

    Attributes:
        controls: (K, 2), K >= 3, not on one line.
        weights: (K, 2) w.
        affine: (2, 3) [A | b].
        span: length that ``PRECISION`` refers to: the longer side of the controls' bounding box.
    Source: F. Bookstein, Principal warps: thin-plate splines and the decomposition of deformations, 1989.
    """

    controls: Array
    weights: Array
    affine: Array
    span: float

    @classmethod
    def fit(cls, controls: Array, targets: Array) -> ThinPlateWarp:
        """The spline through ``controls`` (K, 2) -> ``targets`` (K, 2).

        Raises:
            DataError: shapes differ, or the control points are fewer than three or on one line.
        """
        if controls.shape != targets.shape or controls.ndim != 2 or controls.shape[1] != 2 or len(controls) < 3:
            raise DataError(f"a warp needs three or more pairs of points, got {controls.shape} and {targets.shape}")
        count = len(controls)
        difference = controls[:, None] - controls[None]
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = kernel((difference**2).sum(axis=-1))
        system[:count, count:] = np.column_stack([controls, np.ones(count)])
        system[count:, :count] = system[:count, count:].T
        if np.linalg.matrix_rank(system[:count, count:]) < 3:
            raise DataError("the control points of a warp lie on one line; spread them over the plane")
        solved = np.linalg.solve(system, np.concatenate([targets, np.zeros((3, 2))]))
        span = float(np.ptp(controls, axis=0).max())
        return cls(controls, solved[:count], solved[count:].T, span)

    @classmethod
    def identity(cls, width: float, height: float) -> ThinPlateWarp:
        """The map that leaves a frame of this size as it is."""
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
        return cls(corners, np.zeros((4, 2)), np.array([[1.0, 0, 0], [0, 1.0, 0]]), max(width, height))

    def forward(self, points: Array) -> Array:
        """(N, 2) -> (N, 2)."""
        squared = ((points[:, None] - self.controls[None]) ** 2).sum(axis=-1)
        return apply_affine(self.affine, points) + kernel(squared) @ self.weights

    def jacobian(self, points: Array) -> Array:
        """(N, 2, 2) derivative of the map at (N, 2) points: rows are outputs, columns inputs."""
        difference = points[:, None] - self.controls[None]
        squared = (difference**2).sum(axis=-1)
        slope = 2 * (np.log(np.maximum(squared, 1e-300)) + 1)[..., None] * difference
        bend: Array = np.einsum("nki,ko->noi", slope, self.weights) + self.affine[None, :, :2]
        return bend

    def inverse(self, points: Array) -> Array:
        """(N, 2) -> (N, 2) with ``forward(inverse(p))`` within ``PRECISION * span`` of p: damped Newton steps.

        Raises:
            DataError: no such point was found, which happens only far outside the frame or where the warp folds.
        """
        guess: Array = np.linalg.solve(self.affine[:, :2], (points - self.affine[:, 2]).T).T.astype(np.float64)
        error: Array = self.forward(guess) - points
        size = np.hypot(error[:, 0], error[:, 1])
        for _ in range(NEWTON_STEPS):
            active = size > PRECISION * self.span
            if not active.any():
                return guess
            step = np.linalg.solve(self.jacobian(guess[active]), error[active][..., None])[..., 0]
            share = np.ones(len(step))
            for _ in range(6):  # half the step where it would lead further away
                trial = guess[active] - share[:, None] * step
                new_error = self.forward(trial) - points[active]
                new_size = np.hypot(new_error[:, 0], new_error[:, 1])
                worse = new_size > size[active]
                if not worse.any():
                    break
                share[worse] /= 2
            guess[active], error[active], size[active] = trial, new_error, new_size
        if (size > PRECISION * self.span).any():
            raise DataError(f"the warp has no inverse at {points[int(size.argmax())].tolist()}; it lies too far "
                            "outside the frame, or the warp folds")
        return guess

    def strain(self, low: Array, high: Array, count: int = 13) -> float:
        """Greatest spectral norm of (Jacobian - identity) on a ``count`` x ``count`` grid over the box low..high."""
        x, y = np.meshgrid(np.linspace(low[0], high[0], count), np.linspace(low[1], high[1], count))
        a, b, c, d = (self.jacobian(np.column_stack([x.ravel(), y.ravel()])) - np.eye(2)).reshape(-1, 4).T
        # Larger singular value of [[a, b], [c, d]] in closed form.
        return float((np.hypot(a + d, c - b) + np.hypot(a - d, b + c)).max() / 2)

    def to_record(self) -> dict[str, Any]:
        """Plain values that ``from_record`` reads."""
        return {"controls": self.controls.tolist(), "weights": self.weights.tolist(), "affine": self.affine.tolist(),
                "span": self.span}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ThinPlateWarp:
        """What ``to_record`` gave."""
        return cls(np.array(record["controls"], dtype=np.float64).reshape(-1, 2),
                   np.array(record["weights"], dtype=np.float64).reshape(-1, 2),
                   np.array(record["affine"], dtype=np.float64), float(record["span"]))


def random_warp(low: Array, high: Array, strength: float, rng: np.random.Generator) -> ThinPlateWarp:
    """A smooth warp about the box low..high (2,) that does not fold there.

    A grid of 3 x 3 to 4 x 4 control points is moved by ``strength`` (standard deviation, in shares of the longer side).
    Where ``|J - I| >= MOST_STRAIN`` anywhere on the box and 20 % around it, all moves are reduced: below 1, the map is
    one-to-one on that convex region.
    """
    side = float((high - low).max())
    count = int(rng.integers(3, 5))
    middle, half = (low + high) / 2, np.maximum(high - low, 0.3 * side) / 2
    x, y = np.meshgrid(np.linspace(-1, 1, count), np.linspace(-1, 1, count))
    controls = middle + np.column_stack([x.ravel(), y.ravel()]) * half
    moves = rng.normal(size=controls.shape) * strength * side
    for _ in range(12):
        warp = ThinPlateWarp.fit(controls, controls + moves)
        strain = warp.strain(middle - 1.4 * half, middle + 1.4 * half)
        if strain < MOST_STRAIN:
            return warp
        moves = moves * min(0.95, 0.97 * MOST_STRAIN / strain)  # the strain is proportional to the moves
    return ThinPlateWarp.fit(controls, controls)


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Exact map between the canvases of a photo and of a sketch of it: ``fit`` after ``warp``.

    Attributes:
        warp: photo canvas pixels -> warped photo pixels.
        fit: (2, 3) affine, warped photo pixels -> sketch canvas pixels.
    """

    warp: ThinPlateWarp
    fit: Array

    def to_sketch(self, points_px: Array) -> Array:
        """(N, 2) photo pixels -> (N, 2) sketch pixels."""
        return apply_affine(self.fit, self.warp.forward(np.asarray(points_px, dtype=np.float64)))

    def to_photo(self, points_px: Array) -> Array:
        """(N, 2) sketch pixels -> (N, 2) photo pixels. Raises DataError: see ``ThinPlateWarp.inverse``."""
        return self.warp.inverse(apply_affine(invert_affine(self.fit), np.asarray(points_px, dtype=np.float64)))

    def to_record(self) -> dict[str, Any]:
        """Plain values that ``from_record`` reads."""
        return {"warp": self.warp.to_record(), "fit": self.fit.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Correspondence:
        """What ``to_record`` gave."""
        return cls(ThinPlateWarp.from_record(record["warp"]), np.array(record["fit"], dtype=np.float64))
