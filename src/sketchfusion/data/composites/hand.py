"""Redrawing traced lines as a hesitant hand would, from a careful tracing (level 0) to a doodle (level 1).

The higher the level, the fewer lines are drawn, weak ones going first, the fewer turns each has, and the further off
they lie. Every point drawn keeps the point of the photo that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sketchfusion.data.composites import polyline
from sketchfusion.data.composites.colour import Array, Flags

Place = Callable[[Array], Array]
PER_SPAN = 3  # points drawn from one knot to the next
FINE = 0.007  # of the canvas side: distance between the points that a line is described by
CORNER = np.deg2rad(52)  # least turn that is drawn as a corner


@dataclass(frozen=True, eq=False)
class Line:
    """A line to be drawn: (N, 2) photo pixels; whether it bounds the object; how important it is."""

    photo_px: Array
    outline: bool
    weight: float


@dataclass(frozen=True, eq=False)
class HandStroke:
    """One stroke of the pen.

    Attributes:
        drawn_px: (N, 2) where the pen went, sketch canvas pixels.
        intended_px: (N, 2) where a perfect hand would have gone: the exact image of ``photo_px``.
        photo_px: (N, 2) the points of the photo canvas that were meant.
        width_px: (N,) width of the line.
        outline: whether it bounds the object.
    """

    drawn_px: Array
    intended_px: Array
    photo_px: Array
    width_px: Array
    outline: bool


@dataclass(frozen=True)
class Habits:
    """How much a hand errs at one level; lengths in shares of the canvas side."""

    level: float

    def mix(self, careful: float, doodle: float) -> float:
        """Between the two, by the level."""
        return careful + (doodle - careful) * self.level

    @property
    def spacing(self) -> float:
        """Distance between two points that the hand aims at."""
        return self.mix(0.032, 0.13)

    @property
    def window(self) -> float:
        """Length on each side of a corner by which it is seen as one."""
        return self.mix(0.018, 0.045)

    @property
    def wobble(self) -> float:
        """Standard deviation of a knot across the line."""
        return self.mix(0.0018, 0.009)

    @property
    def shift(self) -> float:
        """Standard deviation of a whole stroke."""
        return self.mix(0.002, 0.013)

    @property
    def drift(self) -> float:
        """Height of the waves that bend the whole drawing."""
        return self.mix(0.002, 0.014)

    @property
    def slack(self) -> float:
        """Standard deviation of the ends along the line."""
        return self.mix(0.004, 0.022)


def redraw(
    lines: Sequence[Line], place: Place, side: float, level: float, rng: np.random.Generator,
) -> list[HandStroke]:
    """The lines drawn by hand, in the order in which a hand would: outline first, then long to short.

    Args:
        lines: of the photo, the most important first.
        place: (N, 2) photo pixels -> (N, 2) sketch pixels, exact.
        side: of the sketch canvas, pixels.
        level: abstraction in [0, 1].
        rng: where chance comes from.
    Returns:
        strokes within the canvas; none if there are no lines.
    """
    habits = Habits(level)
    bend = random_bend(habits, side, rng)
    pen = side * float(rng.uniform(0.011, 0.021))
    strokes = []
    for line in choose(lines, place, side, habits, rng):
        for part in lift_pen(line, place, side, habits, rng):
            strokes.append(draw(part, line.outline, place, side, pen, habits, bend, rng))
            if rng.random() < habits.mix(0.05, 0.14) and polyline.length(strokes[-1].intended_px) > 0.12 * side:
                strokes.append(draw(stretch_of(part, rng), line.outline, place, side, pen, habits, bend, rng))
    return strokes


def choose(lines: Sequence[Line], place: Place, side: float, habits: Habits, rng: np.random.Generator) -> list[Line]:
    """The lines that are drawn at all, in drawing order; some that nearly meet are joined."""
    if not lines:
        return []
    every = place(np.concatenate([line.photo_px for line in lines]))  # in one go: quicker than line by line
    parts = np.split(every, np.cumsum([len(line.photo_px) for line in lines])[:-1])
    sizes = [polyline.length(part) / side for part in parts]
    outlines = [k for k, line in enumerate(lines) if line.outline and sizes[k] > habits.mix(0.06, 0.22)]
    outlines = outlines or [k for k, line in enumerate(lines) if line.outline][:1]
    inner = [k for k, line in enumerate(lines) if not line.outline and sizes[k] > habits.mix(0.04, 0.12)]
    budget = round(min(len(inner), 44) * (1 - habits.level) ** 1.5 + 4 * habits.level)
    worth = np.array([lines[k].weight for k in inner]) * np.exp(rng.normal(size=len(inner)) * 0.25)
    kept = [inner[k] for k in np.argsort(-worth)[:budget]]
    kept.sort(key=lambda k: -sizes[k] * float(np.exp(rng.normal() * 0.5)))
    outlines.sort(key=lambda k: -sizes[k])
    return [lines[k] for k in outlines] + join([lines[k] for k in kept], 0.04 * side, habits, rng)


def join(lines: list[Line], reach: float, habits: Habits, rng: np.random.Generator) -> list[Line]:
    """Lines of which one ends within ``reach`` photo pixels of where another begins, some of them made one."""
    joined: list[Line] = []
    waiting = list(lines)
    while waiting:
        line = waiting.pop(0)
        if rng.random() < habits.mix(0.25, 0.6):
            for other in waiting:
                gaps = [(float(np.hypot(*(a[-1] - b[0]))), a, b) for a in (line.photo_px, line.photo_px[::-1])
                        for b in (other.photo_px, other.photo_px[::-1])]
                gap, first, second = min(gaps, key=lambda item: item[0])
                if gap < reach:
                    waiting.remove(other)
                    line = Line(np.concatenate([first, second]), False, line.weight + other.weight)
                    break
        joined.append(line)
    return joined


def lift_pen(line: Line, place: Place, side: float, habits: Habits, rng: np.random.Generator) -> list[Array]:
    """The photo points of a line, split where the pen is lifted: at corners and after long runs."""
    size = polyline.length(place(line.photo_px)) / side
    points = polyline.resample(line.photo_px, max(4, int(size / FINE) + 1))
    sketch = place(points)
    if len(points) > 8 and float(np.abs(points[0] - points[-1]).max()) < 1e-6:
        start = begin_at(sketch, rng)
        points = np.concatenate([points[start:-1], points[: start + 1]])
        sketch = np.concatenate([sketch[start:-1], sketch[: start + 1]])
    elif rng.random() < 0.3:
        points, sketch = points[::-1], sketch[::-1]
    cuts = [0]
    if size > 0.25:
        travelled = polyline.along(sketch) / side
        for corner in polyline.corners(polyline.smooth(sketch, 2.0), round(0.03 / FINE), CORNER).tolist():
            run = float(travelled[corner] - travelled[cuts[-1]])
            if run > 0.15 and travelled[-1] - travelled[corner] > 0.1 and rng.random() < 0.1 + 0.3 * min(run, 1.0):
                cuts.append(corner)
    cuts.append(len(points) - 1)
    parts = [points[a : b + 1] for a, b in pairwise(cuts)]
    return [part for part in parts if len(part) > 1]


def begin_at(sketch: Array, rng: np.random.Generator) -> int:
    """Where the hand begins a closed line: mostly near its top, rather left."""
    height = sketch[:, 1] + 0.3 * sketch[:, 0]
    near = np.flatnonzero(height <= np.quantile(height, 0.15))
    return int(rng.choice(near)) if rng.random() < 0.75 else int(rng.integers(len(sketch) - 1))


def stretch_of(points: Array, rng: np.random.Generator) -> Array:
    """A stretch of the line, 30 to 80 % of it, that is drawn once more."""
    share = float(rng.uniform(0.3, 0.8))
    first = int(rng.uniform(0, 1 - share) * (len(points) - 1))
    return points[first : first + max(2, int(share * len(points)))]


def random_bend(habits: Habits, side: float, rng: np.random.Generator) -> Place:
    """How this drawing is out of proportion: (N, 2) -> (N, 2) sketch pixels; a slight linear map and long waves."""
    linear = np.eye(2) + rng.normal(size=(2, 2)) * np.array([[0.04, 0.03], [0.03, 0.04]]) * habits.mix(0.2, 1.0)
    waves = rng.normal(size=(3, 2)) * 2 * np.pi / side * 0.9
    phases = rng.uniform(0, 2 * np.pi, size=3)
    heights = rng.normal(size=(3, 2)) * habits.drift * side
    middle = np.array([side / 2, side / 2])

    def bend(points: Array) -> Array:
        moved: Array = (points - middle) @ linear.T + middle + np.sin(points @ waves.T + phases) @ heights
        return moved

    return bend


def find_knots(target: Array, side: float, habits: Habits) -> tuple[Array, Flags]:
    """Positions of the points that the hand aims at, in indices of the target, and which of them are corners."""
    step = FINE * side
    corners = polyline.corners(target, round(habits.window * side / step), CORNER)
    ends = [0, *corners.tolist(), len(target) - 1]
    pieces = [np.arange(0)]
    sharp: list[bool] = []
    for a, b in pairwise(ends):
        count = max(1, round((b - a) * step / (habits.spacing * side)))
        pieces.append(a + np.arange(count) * ((b - a) / count))
        sharp += [True] + [False] * (count - 1)
    return np.concatenate([*pieces, [len(target) - 1]]), np.array([*sharp, True])


def draw(
    photo_px: Array, outline: bool, place: Place, side: float, pen: float, habits: Habits, bend: Place,
    rng: np.random.Generator,
) -> HandStroke:
    """One stroke along (N, 2) photo points."""
    target = polyline.smooth(place(photo_px), habits.mix(0.004, 0.014) / FINE)
    columns = np.arange(len(photo_px), dtype=np.float64)
    positions, sharp = find_knots(target, side, habits)
    knots = bend(polyline.pick(target, columns, positions))
    count = len(knots)
    noise = rng.normal(size=(count, 2))
    noise = 0.75 * noise + 0.5 * np.concatenate([noise[:1], noise[:-1]])  # an error carries on for a while
    middle = knots.mean(axis=0)
    turn, grow = np.deg2rad(rng.normal() * habits.mix(0.4, 3.5)), 1 + rng.normal() * habits.mix(0.003, 0.03)
    linear = grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    knots = (knots - middle) @ linear.T + middle + rng.normal(size=2) * habits.shift * side
    knots = knots + noise * habits.wobble * side
    knots = loose_ends(knots, side, habits, rng)
    drawn = polyline.curve_through(knots, sharp, PER_SPAN)
    share = (len(drawn) - 1) / (count - 1)
    at = np.interp(np.arange(len(drawn)), np.arange(count) * share, positions)
    meant = polyline.pick(photo_px, columns, at)
    width = pressure(len(drawn), pen, rng)
    margin = width.max() / 2
    return HandStroke(np.clip(drawn, margin, side - margin), place(meant), meant, width, outline)


def loose_ends(knots: Array, side: float, habits: Habits, rng: np.random.Generator) -> Array:
    """The knots with both ends drawn on too far, or stopped too soon."""
    knots = knots.copy()
    for end, beside in ((0, 1), (-1, -2)):
        ahead = knots[end] - knots[beside]
        size = max(float(np.hypot(*ahead)), 1e-9)
        slack = float(np.clip(rng.normal() * habits.slack * side, -0.5 * size, 0.06 * side))
        knots[end] = knots[end] + ahead * (slack / size)
    return knots


def pressure(count: int, pen: float, rng: np.random.Generator) -> Array:
    """(count,) widths: a slow variation, and lighter where the pen comes down and leaves."""
    t = np.arange(count) / (count - 1)
    level = np.interp(t, np.arange(5) / 4, 1 + 0.14 * rng.normal(size=5))
    taper = 1 - np.exp(-np.minimum(t, 1 - t) * count / 3) * float(rng.uniform(0.0, 0.5))
    widths: Array = pen * np.clip(level * taper, 0.45, 1.6)
    return widths
