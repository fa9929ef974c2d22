"""One sample: a composite photo with exact mask, and a sketch of exactly this object with exact correspondence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sketchfusion.data.composites import polyline
from sketchfusion.data.composites.colour import Array, Bytes, Flags
from sketchfusion.data.composites.composite import Composite, compose_photo, crop_ground, plain_ground
from sketchfusion.data.composites.hand import HandStroke, Line, redraw
from sketchfusion.data.composites.ink import rasterize
from sketchfusion.data.composites.seeding import generator
from sketchfusion.data.composites.trace import Trace
from sketchfusion.data.composites.warp import Correspondence, apply_affine, random_warp, similarity
from sketchfusion.errors import DataError

MIN_SIZE, MAX_SIZE = 32, 512
NEAREST = 4  # stroke points that tell the hand's displacement at a place


@dataclass(frozen=True)
class SampleOptions:
    """How samples are made.

    Attributes:
        size: side of both canvases, pixels.
        abstraction: levels in [0, 1] to pick from; none: any level.
        warp: greatest standard deviation of the warp's control points, in shares of the object's longer side.
        occluded: share of photos with a second object in front.
        plain: share of photos on a plain sheet instead of a photo.
        keypoints: pairs of points per sample.
    Raises:
        DataError: a value is out of range.
    """

    size: int = 128
    abstraction: tuple[float, ...] = ()
    warp: float = 0.04
    occluded: float = 0.25
    plain: float = 0.1
    keypoints: int = 16

    def __post_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise DataError(f"size must be from {MIN_SIZE} to {MAX_SIZE} pixels, got {self.size}")
        if not all(0 <= level <= 1 for level in self.abstraction):
            raise DataError(f"abstraction must be from 0 (tracing) to 1 (doodle), got {list(self.abstraction)}")
        if not (0 <= self.occluded <= 1 and 0 <= self.plain <= 1):
            raise DataError(f"occluded and plain are shares from 0 to 1, got {self.occluded} and {self.plain}")
        if not 0 <= self.warp <= 0.2:
            raise DataError(f"warp must be from 0 to 0.2 of the object's side, got {self.warp}")
        if self.keypoints < 1:
            raise DataError(f"keypoints must be at least 1, got {self.keypoints}")


@dataclass(frozen=True, eq=False)
class CutOutItem:
    """A prepared cut-out: its name and class, the RGBA picture, and its trace."""

    name: str
    class_name: str
    picture: Image.Image
    trace: Trace


@dataclass(frozen=True, eq=False)
class CompositeSample:
    """A photo and a sketch of the same object. Points are ``(x, y)`` pixels, pixel centres at +0.5.

    Attributes:
        photo: (H, W, 3) uint8.
        mask: (H, W) bool, the visible pixels of the object.
        class_name: what the object is.
        cutout: name of the cut-out; the same object has the same.
        affine: (2, 3) cut-out pixels -> photo pixels.
        visible_share: of the object, not hidden by the second object.
        sketch: (H, W, 3) uint8, dark on white.
        strokes: as drawn; each knows the points intended and the photo points meant.
        abstraction: in [0, 1].
        correspondence: the exact map between the canvases.
        sketch_keypoints_px: (M, 2) where the hand put the points.
        photo_keypoints_px: (M, 2) the photo points meant by them.
        visible: (M,) bool: the photo point is on the canvas and not hidden.
    """

    photo: Bytes
    mask: Flags
    class_name: str
    cutout: str
    affine: Array
    visible_share: float
    sketch: Bytes
    strokes: tuple[HandStroke, ...]
    abstraction: float
    correspondence: Correspondence
    sketch_keypoints_px: Array
    photo_keypoints_px: Array
    visible: Flags

    def sketch_to_photo(self, points_px: Array) -> Array:
        """(N, 2) sketch pixels -> (N, 2) photo pixels by the known warp, as a perfect hand would have drawn."""
        return self.correspondence.to_photo(points_px)

    def photo_to_sketch(self, points_px: Array) -> Array:
        """(N, 2) photo pixels -> (N, 2) sketch pixels; the inverse of ``sketch_to_photo``."""
        return self.correspondence.to_sketch(points_px)

    def drawn_to_photo(self, points_px: Array) -> Array:
        """(N, 2) sketch pixels -> (N, 2) photo pixels, the hand's displacement taken into account.

        At a drawn stroke point this is exactly the photo point meant; elsewhere the displacement of the nearest stroke
        points, weighted by the inverse square of their distance, is taken off before the known warp is undone.
        """
        points_px = np.asarray(points_px, dtype=np.float64)
        drawn = np.concatenate([stroke.drawn_px for stroke in self.strokes])
        off = np.concatenate([stroke.intended_px for stroke in self.strokes]) - drawn
        squared = ((points_px[:, None] - drawn[None]) ** 2).sum(axis=-1)
        count = min(NEAREST, len(drawn))
        near = np.argpartition(squared, count - 1, axis=1)[:, :count]
        weight = 1 / (np.take_along_axis(squared, near, axis=1) + 1e-18)
        shift = (weight[..., None] * off[near]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
        return self.sketch_to_photo(points_px + shift)


def make_sample(
    item: CutOutItem, key: tuple[str | int, ...], options: SampleOptions, *, background: Image.Image | None = None,
    occluder: Image.Image | None = None, abstraction: float | None = None,
) -> CompositeSample:
    """A composite and a sketch of its object; the same for the same arguments.

    Args:
        item: the cut-out.
        key: seeds everything; photo and warp do not depend on the abstraction.
        options: see ``SampleOptions``.
        background: photo to paste it on; a plain sheet if none.
        occluder: RGBA cut-out to hide some of it.
        abstraction: level of the sketch; otherwise picked by chance.
    Raises:
        DataError: the cut-out has no strokes, or the level is out of range.
    """
    if not item.trace.strokes:
        raise DataError(f"the cut-out {item.name!r} has no strokes to draw; leave it out")
    rng = generator(*key, "photo")
    size = options.size
    ground = plain_ground(size, rng) if background is None else crop_ground(background, size, rng)
    composite = compose_photo(item.picture, ground, rng, occluder=occluder)
    correspondence, lines = place_sketch(item, composite.affine, options, generator(*key, "warp"))
    level = abstraction
    if level is None:
        levels = generator(*key, "abstraction")
        level = float(levels.choice(options.abstraction)) if options.abstraction else float(levels.random())
    if not 0 <= level <= 1:
        raise DataError(f"abstraction must be from 0 (tracing) to 1 (doodle), got {level}")
    hand = generator(*key, "hand", round(level, 6))
    strokes = tuple(redraw(lines, correspondence.to_sketch, size, level, hand))
    sketch = rasterize(strokes, size, darkness=int(hand.integers(200, 256)))
    drawn_px, meant_px, visible = pick_keypoints(strokes, composite, options.keypoints, hand)
    return CompositeSample(composite.photo, composite.mask, item.class_name, item.name, composite.affine,
                           composite.visible_share, sketch, strokes, level, correspondence, drawn_px, meant_px, visible)


def place_sketch(
    item: CutOutItem, affine: Array, options: SampleOptions, rng: np.random.Generator,
) -> tuple[Correspondence, list[Line]]:
    """The map from photo to sketch canvas, and the lines of the object in photo pixels."""
    lines = []
    for stroke in item.trace.strokes:
        points = apply_affine(affine, stroke.points)
        lines.append(Line(points, stroke.outline, stroke.strength * polyline.length(points)))
    every = np.concatenate([line.photo_px for line in lines])
    warp = random_warp(every.min(axis=0), every.max(axis=0), float(rng.random()) * options.warp, rng)
    turn = similarity(1.0, float(rng.normal() * 3))
    warped = warp.forward(every) @ turn.T
    low, high = warped.min(axis=0), warped.max(axis=0)
    scale = float(rng.uniform(0.74, 0.92)) * options.size / max(float((high - low).max()), 1e-6)
    middle = options.size * (0.5 + 0.03 * (2 * rng.random(2) - 1))
    fit = np.concatenate([scale * turn, (middle - scale * (low + high) / 2)[:, None]], axis=1)
    return Correspondence(warp, fit), lines


def pick_keypoints(
    strokes: tuple[HandStroke, ...], composite: Composite, count: int, rng: np.random.Generator,
) -> tuple[Array, Array, Flags]:
    """``count`` stroke points spread over the object, each the furthest from those before.

    Returns:
        (M, 2) drawn sketch pixels, (M, 2) photo pixels, (M,) bool visible.
    """
    drawn = np.concatenate([stroke.drawn_px for stroke in strokes])
    meant = np.concatenate([stroke.photo_px for stroke in strokes])
    chosen = [int(rng.integers(len(meant)))]
    distance = ((meant - meant[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((meant - meant[chosen[-1]]) ** 2).sum(axis=1))
    size = len(composite.mask)
    points = meant[chosen]
    inside = ((points >= 0) & (points < size)).all(axis=1)
    cells = np.clip(points.astype(int), 0, size - 1)
    return drawn[chosen], points, inside & ~composite.covered[cells[:, 1], cells[:, 0]]
