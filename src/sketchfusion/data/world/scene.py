"""A scene: one instance, how it is seen, what it stands on, how it is lit and what stands in front of it.

Everything is in canvas units: the square canvas spans [0, 1] on both axes, so one scene serves every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sketchfusion.data.world.dice import Array, Color, Dice, tint
from sketchfusion.data.world.recipe import Blueprint, Category, Paint, Part, Place
from sketchfusion.data.world.shapes import Shape, box, cos_sin, ellipse, ribbon, rotate

COVERAGE_SIDE = 64  # px, of the raster on which the share of hidden object is measured
MAX_HIDDEN = 0.4  # share of the object that something in front may hide


@dataclass(frozen=True)
class View:
    """From where the object is seen: mirror, rotation in degrees, shear, width factor and perspective."""

    flip: bool
    turn: float
    shear: float
    aspect: float
    lean: tuple[float, float]

    def project(self, points: Array) -> Array:
        """(N, 2) object coordinates in about [-1, 1] -> (N, 2) view plane, same scale."""
        x = points[:, 0] * (-self.aspect if self.flip else self.aspect) + self.shear * points[:, 1]
        flat = rotate(np.stack([x, points[:, 1]], axis=1), self.turn)
        depth = 1 + self.lean[0] * flat[:, 0] + self.lean[1] * flat[:, 1]
        projected: Array = flat / np.maximum(depth, 0.4)[:, None]
        return projected


@dataclass(frozen=True)
class Pose:
    """Object coordinates to canvas units: centre and divide by ``extent``, project, scale, shift."""

    view: View
    middle: tuple[float, float]
    extent: float
    scale: float
    shift: tuple[float, float]

    def apply(self, points: Array) -> Array:
        """(N, 2) object coordinates -> (N, 2) canvas units."""
        centred = (points - np.array(self.middle)) / self.extent
        return self.view.project(centred) * self.scale + np.array(self.shift)

    @property
    def width_scale(self) -> float:
        """What the width of a wire is multiplied with."""
        return self.scale / self.extent


@dataclass(frozen=True)
class Placed:
    """One shape on the canvas, in canvas units; ``label`` is its part's label, 0 for things in front."""

    label: int
    points: Array
    width: float
    closed: bool
    paint: Paint


@dataclass(frozen=True)
class Light:
    """Direction the light comes from (unit vector, y negative is above), strength and color cast."""

    toward: tuple[float, float]
    strength: float
    gains: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """All that a photo and its drawings have in common."""

    category: Category
    instance: int
    seed: int
    blueprint: Blueprint
    pose: Pose
    place: Place
    light: Light
    in_front: tuple[tuple[Placed, ...], ...]

    def dice(self, *names: str | int) -> Dice:
        """A dice for one purpose, e.g. the background of this scene."""
        return Dice(self.seed, self.category.name, self.instance, *names)


def fit_pose(blueprint: Blueprint, view: View, side: float, middle: tuple[float, float]) -> Pose:
    """The pose whose longer side on the canvas is ``side``, with the middle of its box at ``middle``."""
    left, top, right, bottom = blueprint.bounds()
    centre = ((left + right) / 2, (top + bottom) / 2)
    extent = max(right - left, bottom - top) / 2
    corners = np.concatenate([part.shape.points for part in blueprint.parts])
    seen = view.project((corners - np.array(centre)) / extent)
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = side / float((high - low).max())
    at = np.array(middle) - (low + high) / 2 * scale
    return Pose(view, centre, extent, scale, (float(at[0]), float(at[1])))


def place_parts(category: Category, parts: Sequence[Part], pose: Pose) -> list[Placed]:
    """The parts and their inner lines on the canvas, from back to front."""
    labels = {name: index for index, name in enumerate(category.parts, start=1)}
    arrays = [array for part in parts for array in (part.shape.points, *part.lines)]
    moved = iter(np.split(pose.apply(np.concatenate(arrays)),
        np.cumsum([len(array) for array in arrays])[:-1]))
    placed = []
    for part in parts:
        label, shape = labels[part.name], part.shape
        placed.append(Placed(label, next(moved), shape.width * pose.width_scale, shape.closed, part.paint))
        for _ in part.lines:
            ink = Paint(tint(part.paint.color, 0.55), "plain", 0, 0)
            placed.append(Placed(label, next(moved), 0.022 * pose.width_scale, False, ink))
    return placed


def paint_placed(draw: ImageDraw.ImageDraw, placed: Placed, side: int, fill: int) -> None:
    """Draw one shape on a raster of ``side`` pixels; coordinates snap to 1/64 px, the same everywhere."""
    points = np.round((placed.points * side - 0.5) * 64) / 64
    if placed.width > 0:
        if placed.closed:
            points = np.concatenate([points, points[:2]])
        draw.line(points.ravel().tolist(), fill=fill, width=max(1, round(placed.width * side)), joint="curve")
    else:
        draw.polygon(points.ravel().tolist(), fill=fill)


def coverage(placed: Sequence[Placed]) -> Array:
    """(64, 64) bool: where the shapes are."""
    image = Image.new("L", (COVERAGE_SIDE, COVERAGE_SIDE), 0)
    draw = ImageDraw.Draw(image)
    for item in placed:
        paint_placed(draw, item, COVERAGE_SIDE, 1)
    return np.asarray(image, dtype=np.float64)


def make_scene(category: Category, instance: int, seed: int) -> Scene:
    """The scene of one instance; depends on nothing but the arguments."""
    key = Dice(seed, category.name, instance)
    blueprint = category.build(key.fork("instance"))
    dice = key.fork("view")
    view = View(dice.chance(0.5), dice.spread(category.turn), dice.spread(0.1), dice.between(0.9, 1.1),
                (dice.spread(0.13), dice.spread(0.13)))
    side = dice.between(0.6, 0.88)
    loose = (1 - side) / 2
    middle = (0.5 + dice.spread(loose), 0.5 + dice.spread(loose) * 0.6 + loose * 0.3)
    pose = fit_pose(blueprint, view, side, middle)
    angle = dice.between(-150, -30)
    warmth = dice.spread(0.09)
    light = Light(cos_sin(angle), dice.between(0.7, 1.2), (1 + warmth, 1 + dice.spread(0.03), 1 - warmth))
    in_front = pick_occluders(key.fork("front"), place_parts(category, blueprint.parts, pose))
    return Scene(category, instance, seed, blueprint, pose, dice.pick(category.places), light, in_front)


def pick_occluders(dice: Dice, placed: Sequence[Placed]) -> tuple[tuple[Placed, ...], ...]:
    """Things in front of the object: none for most scenes, and never more than hides two fifths of it."""
    chosen: list[tuple[Placed, ...]] = []
    if not dice.chance(0.35):
        return ()
    body = coverage(placed)
    points = np.concatenate([item.points for item in placed])
    for _ in range(dice.whole(1, 2)):
        x, y = points[int(dice.between(0, len(points)))]
        thing = dice.pick((leaves, crate, ball, leaves, crate, ball, post))(dice, float(x), float(y))
        hidden = coverage([item for group in [*chosen, thing] for item in group])
        if float((hidden * body).sum()) <= MAX_HIDDEN * float(body.sum()):
            chosen.append(thing)
    return tuple(chosen)


def front(shape: Shape, paint: Paint) -> Placed:
    """A shape in canvas units as a thing in front."""
    return Placed(0, shape.points, shape.width, shape.closed, paint)


def leaves(dice: Dice, x: float, y: float) -> tuple[Placed, ...]:
    """A tuft of long leaves that grows up from below (x, y)."""
    green = dice.color((58, 110, 42), (104, 138, 60), (140, 128, 66), (36, 84, 58))
    blades = []
    for _ in range(dice.whole(4, 8)):
        foot, tip = x + dice.spread(0.08), x + dice.spread(0.22)
        top = y - dice.between(0.02, 0.22)
        middle = ((foot + tip) / 2 + dice.spread(0.04), (top + 1.05) / 2)
        width = dice.between(0.02, 0.05)
        blade = ribbon([(foot, 1.05), middle, (tip, top)], [width, width, 0.004])
        blades.append(front(blade, Paint(tint(green, dice.between(0.75, 1.2)), "fine", 0.1, 0.6)))
    return tuple(blades)


def crate(dice: Dice, x: float, y: float) -> tuple[Placed, ...]:
    """A box or book that lies before (x, y)."""
    width, height = dice.between(0.12, 0.3), dice.between(0.1, 0.24)
    paint = Paint(dice.color((150, 110, 70), (70, 90, 130), (160, 60, 50), (200, 196, 186), (60, 60, 66)),
                  dice.pick(("wood", "noise", "stripes", "cloth")), 0.2, 0.35)
    turn = dice.spread(25)
    body = box(-width / 2, -height / 2, width / 2, height / 2).moved(turn=turn).moved(x, y + height * 0.35)
    lid = box(-width / 2, -height / 2, width / 2, -height / 3).moved(turn=turn).moved(x, y + height * 0.35)
    return front(body, paint), front(lid, Paint(tint(paint.color, 1.25), paint.texture, 0.2, 0.2))


def ball(dice: Dice, x: float, y: float) -> tuple[Placed, ...]:
    """A ball or stone before (x, y)."""
    radius = dice.between(0.06, 0.14)
    color: Color = dice.color((200, 60, 50), (230, 190, 60), (60, 110, 180), (120, 116, 110), (90, 84, 78))
    paint = Paint(color, dice.pick(("noise", "spots", "plain")), 0.4, 1.0)
    return (front(ellipse(x, y + radius * 0.4, radius, radius * dice.between(0.75, 1.0)), paint),)


def post(dice: Dice, x: float, y: float) -> tuple[Placed, ...]:
    """A pole or trunk across the picture at x."""
    width, lean = dice.between(0.03, 0.08), dice.spread(0.08)
    paint = Paint(dice.color((110, 84, 60), (130, 130, 134), (70, 60, 54), (196, 190, 178)), "wood", 0.15,
        0.9)
    top = -0.05 if dice.chance(0.5) else max(0.05, y - 0.2)
    return (front(ribbon([(x + lean, top), (x, 1.05)], [width, width * 1.1]), paint),)
