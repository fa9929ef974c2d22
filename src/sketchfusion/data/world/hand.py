"""What a hand does to a line: misplacement, bending, tremor, corners, gaps and overshoot.

Lines are (N, 2) float in canvas units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchfusion.data.world.dice import Array, Dice
from sketchfusion.data.world.shapes import cos_sin, spline

CORNER = 0.8  # cosine of the turn above which a vertex counts as smooth
TREMOR_PERIOD = 0.07  # canvas units between two changes of the hand's drift


def ripple(phase: Array) -> Array:
    """A wave of period 1 and height 1, made of parabolas: exact on every machine, unlike a sine."""
    t = (phase - np.floor(phase)) * 2 - 1
    wave: Array = 4 * t * (1 - np.abs(t))
    return wave


def times(matrix: Array, vector: Array) -> Array:
    """(2, 2) by (2,): written out, since a matrix product may round differently from machine to machine."""
    product: Array = matrix[:, 0] * vector[0] + matrix[:, 1] * vector[1]
    return product


@dataclass(frozen=True)
class Warp:
    """A displacement of the plane: a linear map about ``middle``, a shift, and ripples.

    Attributes:
        middle: (2,) fixed point of the linear map.
        matrix: (2, 2).
        shift: (2,).
        waves: (W, 6): frequency (x, y), phases (x, y), heights (x, y).
    """

    middle: Array
    matrix: Array
    shift: Array
    waves: Array

    @classmethod
    def whole(cls, dice: Dice, level: float) -> Warp:
        """How a hand bends the whole drawing."""
        stretch = 1 + 0.1 * level * dice.spreads(2)
        shear = 0.08 * level * dice.spreads(2)
        matrix = np.array([[stretch[0], shear[0]], [shear[1], stretch[1]]])
        waves = dice.spreads(4, 6)
        heights = np.array([0.006, 0.006, 0.003, 0.003]) * (0.25 + 2.0 * level)
        waves[:, :2] *= np.array([1.5, 1.5, 4.0, 4.0])[:, None]
        waves[:, 4:] *= heights[:, None]
        return cls(np.array([0.5, 0.5]), matrix, np.zeros(2), waves)

    def after(self, first: Warp) -> Warp:
        """The warp that does ``first`` and then this one; both must be free of ripples."""
        landing = first.middle + first.shift
        shift = times(self.matrix, landing - self.middle) + self.middle + self.shift - first.middle
        matrix = np.stack([times(self.matrix, first.matrix[:, 0]), times(self.matrix, first.matrix[:, 1])],
            axis=1)
        return Warp(first.middle, matrix, shift, self.waves)

    @classmethod
    def part(cls, dice: Dice, middle: Array, level: float) -> Warp:
        """How a hand misplaces one part."""
        c, s = cos_sin(dice.spread(13 * level))
        grow = 1 + 0.2 * dice.spread(level)
        matrix = np.array([[c, -s], [s, c]]) * grow
        return cls(middle, matrix, 0.04 * level * dice.spreads(2), np.zeros((0, 6)))

    def apply(self, points: Array) -> Array:
        """(N, 2) points -> (N, 2) points."""
        x, y = (points - self.middle).T
        moved = np.stack([x * self.matrix[0, 0] + y * self.matrix[0, 1], x * self.matrix[1, 0]
            + y * self.matrix[1, 1]],
                         axis=1) + self.middle + self.shift
        for wave in self.waves:
            run = points[:, 0] * wave[0] + points[:, 1] * wave[1]
            moved[:, 0] += wave[4] * ripple(run + wave[2])
            moved[:, 1] += wave[5] * ripple(run + wave[3])
        return moved


def lengths(line: Array) -> Array:
    """(N,) distance along the line from its start."""
    steps = np.diff(line, axis=0)
    return np.concatenate([np.zeros(1), np.cumsum(np.sqrt((steps * steps).sum(axis=1)))])


def resample(line: Array, step: float) -> Array:
    """The line through points about ``step`` apart, made smooth and fine again; both ends stay."""
    along = lengths(line)
    total = float(along[-1])
    count = max(2, round(total / step) + 1, min(len(line), 6) if total > 0.02 else 2)
    at = np.arange(count) * (total / (count - 1))
    coarse = np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1)
    fine = max(1, round(total / (count - 1) / 0.008))
    return spline(coarse, closed=False, steps=fine) if fine > 1 and count > 2 else densify(coarse)


def densify(line: Array) -> Array:
    """The line with points at most about 0.008 apart."""
    along = lengths(line)
    at = np.unique(np.concatenate([along, np.arange(0, float(along[-1]), 0.008)]))
    return np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1)


def corners_of(border: Array, closed: bool) -> npt.NDArray[np.int64]:
    """Indices of the vertices where the border turns sharply."""
    ahead = np.roll(border, -1, axis=0) - border
    back = border - np.roll(border, 1, axis=0)
    dot = (ahead * back).sum(axis=1)
    square = (ahead * ahead).sum(axis=1) * (back * back).sum(axis=1)
    sharp = (dot < 0) | (dot * dot < CORNER * CORNER * square)
    if not closed:
        sharp[[0, -1]] = False
    return np.flatnonzero(sharp)


def tremble(line: Array, height: float, dice: Dice) -> Array:
    """The line with the small drift of an unsteady hand."""
    along = lengths(line)
    knots = int(float(along[-1]) / TREMOR_PERIOD) + 2
    drift = dice.spreads(knots, 2) * height
    at = np.arange(knots) * TREMOR_PERIOD
    return line + np.stack([np.interp(along, at, drift[:, 0]), np.interp(along, at, drift[:, 1])], axis=1)


def break_line(line: Array, level: float, dice: Dice) -> Iterator[Array]:
    """The line as drawn: its ends overshoot or fall short, and a long one may be drawn in two strokes."""
    length = float(lengths(line)[-1])
    if length > 0.25 and dice.chance(0.1 + 0.2 * level):
        cut = int(len(line) * dice.between(0.3, 0.7))
        gap = round(dice.spread(1 + 3 * level))
        first, second = line[: max(2, cut - gap)], line[min(cut + gap, len(line) - 2) :]
        yield stretch_end(first, level, dice)
        yield stretch_end(second, level, dice)
    else:
        yield stretch_end(line, level, dice)


def stretch_end(line: Array, level: float, dice: Dice) -> Array:
    """The line with its end drawn on a little too far, or stopped a little too soon."""
    if len(line) < 5:
        return line
    slack = dice.spread(0.006 + 0.03 * level)
    if slack > 0:
        ahead = line[-1] - line[-3]
        reach = max(1e-9, float(np.sqrt((ahead * ahead).sum())))
        return np.concatenate([line, (line[-1] + ahead * (slack / reach))[None]])
    drop = min(len(line) // 8, int(-slack / 0.008))
    return line[: len(line) - drop] if drop else line
