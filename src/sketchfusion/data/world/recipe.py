"""What a category is: a recipe that builds one instance out of named parts with named key points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sketchfusion.data.world.dice import Array, Color, Dice
from sketchfusion.data.world.shapes import Point, Shape
from sketchfusion.errors import ConfigError

Texture = Literal[
    "plain", "noise", "fine", "stripes", "bands", "wood", "foliage", "fur", "cloth", "metal", "brick",
    "spots", "scales"]
Place = Literal["ground", "street", "water", "sky", "table", "room", "flat", "underwater", "snow"]


@dataclass(frozen=True)
class Paint:
    """How a part looks in the photo.

    Attributes:
        color: base color.
        texture: name of the surface texture.
        gloss: strength of the highlight, 0 (matt) to 1 (polished).
        relief: how round the shading is, 0 (a flat panel) to 1 (a ball).
    """

    color: Color
    texture: Texture = "noise"
    gloss: float = 0.15
    relief: float = 0.6


@dataclass(frozen=True)
class Part:
    """One shape of an instance.

    Attributes:
        name: part name; several shapes may share one.
        shape: where it is.
        paint: how it looks in a photo.
        lines: inner lines, each (N, 2): seams, mouths, veins.
        keypoints: named points (x, y) that belong to this shape.
        detail: 0 = always drawn, 1 = first to be left out of a sketch.
        group: parts of one group are misplaced together in a sketch, e.g. an eye with its head.
    """

    name: str
    shape: Shape
    paint: Paint
    lines: tuple[Array, ...] = ()
    keypoints: Mapping[str, Point] = field(default_factory=dict)
    detail: float = 0.0
    group: str = ""


class Blueprint:
    """One instance: its parts from back to front."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def add(
        self, name: str, shape: Shape, paint: Paint, *, at: Mapping[str, Point] | None = None,
        lines: Sequence[Array | Sequence[Point]] = (), detail: float = 0.0, on: str = "",
    ) -> None:
        """Put a part in front of the others; ``at`` are its key points, ``on`` its carrier."""
        curves = tuple(np.asarray(line, dtype=np.float64) for line in lines)
        self.parts.append(Part(name, shape, paint, curves, dict(at or {}), detail, on or name))

    def bounds(self) -> tuple[float, float, float, float]:
        """Box (left, top, right, bottom) in object coordinates, wires with half their width."""
        low = np.min([part.shape.points.min(axis=0) - part.shape.width / 2 for part in self.parts], axis=0)
        high = np.max([part.shape.points.max(axis=0) + part.shape.width / 2 for part in self.parts], axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


    def reshape(self, dice: Dice) -> None:
        """Give the instance its own build: a little wider or slimmer, tapered, bulging or drawn out."""
        wide, taper = 1 + dice.spread(0.12), dice.spread(0.1)
        bulge, pull = dice.spread(0.08), dice.spread(0.07)

        def build(points: Array) -> Array:
            x, y = points[:, 0], points[:, 1]
            return np.stack([x * (wide + taper * y + bulge * y * y), y * (1 + pull * y)], axis=1)

        for index, part in enumerate(self.parts):
            shape = replace(part.shape, points=build(part.shape.points), spine=build(part.shape.spine))
            at = build(np.array(list(part.keypoints.values()), dtype=np.float64).reshape(-1, 2))
            keypoints = {name: (float(x), float(y)) for name, (x, y) in zip(part.keypoints, at, strict=True)}
            self.parts[index] = replace(
                part, shape=shape, lines=tuple(build(line) for line in part.lines), keypoints=keypoints)


Recipe = Callable[[Dice], Blueprint]


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        name: class name, as in Quick, Draw! where that has the class.
        parts: part names; the label of ``parts[i]`` is i + 1, background is 0.
        keypoints: key-point names, in the order of the annotation arrays.
        places: the backgrounds it is usually photographed on.
        turn: largest usual rotation in degrees.
        recipe: builds one instance.
    """

    name: str
    parts: tuple[str, ...]
    keypoints: tuple[str, ...]
    places: tuple[Place, ...]
    turn: float
    recipe: Recipe

    def build(self, dice: Dice) -> Blueprint:
        """One instance, checked against the declared names.

        Raises:
            ConfigError: the recipe used a part or key point that the category does not declare.
        """
        blueprint = self.recipe(dice)
        unknown = {part.name for part in blueprint.parts} - set(self.parts)
        unknown |= {name for part in blueprint.parts for name in part.keypoints} - set(self.keypoints)
        if unknown:
            raise ConfigError(f"category {self.name!r} uses undeclared names {sorted(unknown)}; "
                              "add them to its parts or keypoints")
        blueprint.reshape(dice.fork("build"))
        return blueprint


def category(
    name: str, *, parts: str, keypoints: str, places: Sequence[Place], turn: float = 7.0,
) -> Callable[[Recipe], Category]:
    """Turn a recipe function into a ``Category``; names are given as one string, separated by commas."""
    def wrap(recipe: Recipe) -> Category:
        return Category(name, split_names(parts), split_names(keypoints), tuple(places), turn, recipe)
    return wrap


def split_names(text: str) -> tuple[str, ...]:
    """``"a, b c"`` -> ``("a", "b c")``."""
    return tuple(" ".join(part.split()) for part in text.split(","))
