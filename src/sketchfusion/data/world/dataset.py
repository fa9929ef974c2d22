"""Samples of the drawn world, and the map-style data set of them."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sketchfusion.data.world.categories import CATEGORIES
from sketchfusion.data.world.dice import Bytes
from sketchfusion.data.world.draw import Drawing, draw_sketch, rasterize
from sketchfusion.data.world.recipe import Category
from sketchfusion.data.world.render import Photo, render_photo
from sketchfusion.data.world.scene import Scene, make_scene
from sketchfusion.errors import DataError

MIN_SIZE, MAX_SIZE = 32, 512
Points = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WorldSample:
    """A photo and a drawing of the same instance, with exact annotation.

    Points are ``(x, y)`` pixels with pixel centres at +0.5; a point that the instance does not have (a cup
    without handle) is ``(-1, -1)`` and not visible. K is the number of key points of the category.

    Attributes:
        category: class name.
        class_index: position of the class among the classes in use; see ``DrawnWorld.categories``.
        instance: number of the instance within its class.
        instance_id: name of the instance, e.g. ``"wine_glass_00012"``.
        variant: number of the drawing of this instance.
        abstraction: in [0, 1], 0 is a careful outline and 1 a doodle.
        photo: (H, W, 3) uint8.
        sketch: (H, W, 3) uint8, dark ink on white paper.
        strokes: each (N, 2) float32, canvas pixels of the sketch, in the order drawn.
        mask: (H, W) bool, the visible object pixels of the photo; ``parts > 0``.
        parts: (H, W) uint8, i + 1 for ``part_names[i]``, 0 for background and what hides the object.
        part_names: names of the parts of the class.
        keypoint_names: (K) names of the key points of the class.
        photo_keypoints_px: (K, 2) float32. Hidden points keep their place.
        photo_visible: (K,) bool: on the canvas, and nothing in front.
        sketch_keypoints_px: (K, 2) float32.
        sketch_visible: (K,) bool: its part was drawn, and nothing of the drawing is in front.
    """

    category: str
    class_index: int
    instance: int
    instance_id: str
    variant: int
    abstraction: float
    photo: Bytes
    sketch: Bytes
    strokes: list[Points]
    mask: Flags
    parts: Bytes
    part_names: tuple[str, ...]
    keypoint_names: tuple[str, ...]
    photo_keypoints_px: Points
    photo_visible: Flags
    sketch_keypoints_px: Points
    sketch_visible: Flags


def find_category(name: str) -> Category:
    """The category of this name.

    Raises:
        DataError: there is none; the message names the nearest spelling.
    """
    if name not in CATEGORIES:
        close = difflib.get_close_matches(name, CATEGORIES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(f"unknown category {name!r} of the drawn world.{hint} Known: {', '.join(CATEGORIES)}")
    return CATEGORIES[name]


def check_size(size: int) -> int:
    """The canvas side in pixels, if the drawn world can make it.

    Raises:
        DataError: it is not a whole number in [32, 512].
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"size must be a whole number of pixels from {MIN_SIZE} to {MAX_SIZE}, got {size!r}; "
                        "make a size in this range and resize the pictures")
    return int(size)


def check_count(value: int, name: str, least: int) -> int:
    """The whole number, if it is at least ``least``.

    Raises:
        DataError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def check_abstraction(abstraction: float | None) -> float | None:
    """The abstraction level, if it is one.

    Raises:
        DataError: it is outside [0, 1].
    """
    if abstraction is not None and not 0 <= abstraction <= 1:
        raise DataError(f"abstraction must lie in [0, 1] (0 = careful outline, 1 = doodle), got "
                        f"{abstraction!r}; leave it out to draw the level by lot")
    return abstraction


def instance_name(category: str, instance: int) -> str:
    """Name of an instance, fit for a file: ``("wine glass", 12)`` -> ``"wine_glass_00012"``."""
    return f"{category.replace(' ', '_')}_{instance:05d}"


def make_sample(
    category: str, instance: int, *, seed: int = 0, size: int = 128, abstraction: float | None = None,
    variant: int = 0, line_width: float | None = None,
) -> WorldSample:
    """One sample; the same on every machine, since it depends on nothing but the arguments.

    The scene (proportions, colors, view, things in front) depends on seed, category and instance only, so
    that the same scene can be had at several sizes; the drawing on these, on variant and abstraction.

    Args:
        category: a name in ``CATEGORIES``.
        instance: number of the instance, from 0.
        seed: whole number; another seed is another world.
        size: side of the square canvas in pixels, 32 to 512.
        abstraction: 0 (careful outline) to 1 (doodle); drawn by lot if None.
        variant: number of the drawing of this instance, from 0.
        line_width: width of the drawn lines in pixels; ``size / 64`` (at least 1) if None.
    Raises:
        DataError: an argument is unknown or out of range.
    """
    found = find_category(category)
    check_size(size)
    check_abstraction(abstraction)
    scene = make_scene(found, check_count(instance, "instance", 0), seed)
    photo = render_photo(scene, size)
    drawing = draw_sketch(scene, size, abstraction=abstraction, variant=check_count(variant, "variant", 0))
    return assemble(scene, photo, drawing, variant, rasterize(drawing.strokes, size, line_width=line_width))


def assemble(scene: Scene, photo: Photo, drawing: Drawing, variant: int, sketch: Bytes) -> WorldSample:
    """Put photo and drawing of one scene together; ``class_index`` counts all categories."""
    category = scene.category
    return WorldSample(
        category=category.name, class_index=list(CATEGORIES).index(category.name), instance=scene.instance,
        instance_id=instance_name(category.name, scene.instance), variant=variant,
        abstraction=drawing.abstraction,
        photo=photo.pixels, sketch=sketch, strokes=drawing.strokes, mask=photo.parts > 0, parts=photo.parts,
        part_names=category.parts, keypoint_names=category.keypoints,
        photo_keypoints_px=photo.keypoints_px, photo_visible=photo.visible,
        sketch_keypoints_px=drawing.keypoints_px, sketch_visible=drawing.visible)


class DrawnWorld:
    """Map-style data set of the drawn world: made on request, nothing stored.

    Ordered by category, then instance, then variant. Usable as it is with a torch ``DataLoader``: workers
    need no seeds, since a sample depends on its index alone.
    """

    def __init__(
        self, categories: Sequence[str] | None = None, *, instances_per_category: int = 20,
        sketches_per_photo: int = 1, seed: int = 0, size: int = 128, abstraction: float | None = None,
    ) -> None:
        """Choose what the data set holds.

        Args:
            categories: class names, in the order of ``class_index``; all if None.
            instances_per_category: photos per class.
            sketches_per_photo: drawings per photo.
            seed, size, abstraction: as in ``make_sample``.
        Raises:
            DataError: an argument is unknown, out of range, or a category is named twice.
        """
        self.categories = tuple(CATEGORIES) if categories is None else tuple(categories)
        for name in self.categories:
            find_category(name)
        if not self.categories or len(set(self.categories)) < len(self.categories):
            raise DataError(f"categories must be different names, at least one, got {list(self.categories)}; "
                            "leave them out for all")
        self.instances_per_category = check_count(instances_per_category, "instances_per_category", 1)
        self.sketches_per_photo = check_count(sketches_per_photo, "sketches_per_photo", 1)
        self.seed, self.size, self.abstraction = seed, check_size(size), check_abstraction(abstraction)

    def __len__(self) -> int:
        return len(self.categories) * self.instances_per_category * self.sketches_per_photo

    def locate(self, index: int) -> tuple[str, int, int]:
        """(category, instance, variant) of the sample at ``index``; negative counts from the end.

        Raises:
            IndexError: the index is out of range.
        """
        place = operator.index(index)
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(f"index {index} is out of range for a drawn world of {len(self)} samples")
        rest, variant = divmod(place, self.sketches_per_photo)
        kind, instance = divmod(rest, self.instances_per_category)
        return self.categories[kind], instance, variant

    def __getitem__(self, index: int) -> WorldSample:
        category, instance, variant = self.locate(index)
        sample = make_sample(category, instance, seed=self.seed, size=self.size, abstraction=self.abstraction,
                             variant=variant)
        return replace(sample, class_index=self.categories.index(category))

    def __iter__(self) -> Iterator[WorldSample]:
        return (self[index] for index in range(len(self)))
