"""The freehand-like drawing of a scene: vector strokes, from a careful outline to a doodle.

A drawing begins with the same parts as the photo. The hand then leaves parts out, puts parts in slightly
wrong places, bends the whole, and follows each border with wobble, gaps and overshoot. All of it grows with
the abstraction level. Key points go through the same displacements, so they stay exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sketchfusion.data.world.dice import Array, Bytes, Dice
from sketchfusion.data.world.hand import Warp, break_line, corners_of, resample, tremble
from sketchfusion.data.world.recipe import Part
from sketchfusion.data.world.scene import Placed, Pose, Scene, View, fit_pose, paint_placed
from sketchfusion.data.world.shapes import offset
from sketchfusion.errors import DataError

RASTER = 192  # px, of the raster that tells which lines are hidden behind nearer parts
THIN = 0.034  # canvas units; a wire below this is drawn as one line, above as two sides
LIMB = 0.4  # canvas units; a slim part shorter than this may become a single line in a doodle
MARGIN = 0.01  # canvas units that strokes keep from the border
SHORTEST = 0.012  # canvas units; shorter pieces of a line are dropped


@dataclass(frozen=True)
class Drawing:
    """A drawing and its exact annotation.

    Attributes:
        strokes: each (N, 2) float32, (x, y) canvas pixels, in the order drawn.
        keypoints_px: (K, 2) float32 (x, y) canvas pixels; (-1, -1) where the instance has no such point.
        visible: (K,) bool; False where the part was left out, is behind another part, or is off the canvas.
        abstraction: level in [0, 1] it was drawn at.
    """

    strokes: list[npt.NDArray[np.float32]]
    keypoints_px: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]
    abstraction: float


@dataclass(frozen=True)
class Piece:
    """One part as the hand places it, in canvas units."""

    part: Part
    points: Array
    width: float
    spine: Array
    lines: tuple[Array, ...]
    keypoints: dict[str, Array]


def draw_sketch(scene: Scene, size: int, *, abstraction: float | None = None, variant: int = 0) -> Drawing:
    """One drawing of the scene on a ``size`` x ``size`` canvas.

    Args:
        scene: what is drawn; its things in front and its background are not.
        size: side of the canvas in pixels; only scales the result.
        abstraction: 0 (careful outline with inner lines) to 1 (doodle); drawn by lot if None.
        variant: number of the drawing; each differs.
    """
    dice = scene.dice("sketch", variant)
    lot = dice.between(0, 1)
    level = lot if abstraction is None else abstraction
    parts = keep_parts(scene.blueprint.parts, level, dice.fork("keep"))
    pose = sketch_pose(scene, level, dice.fork("pose"))
    pieces = misplace_parts(parts, pose, level, dice.fork("misplace"))
    merge = dice.chance(0.75 - 0.35 * level)
    orders, buried = trace_order(pieces, merge)
    pen = dice.fork("pen")
    lines = [line for index, piece in enumerate(pieces)
             for line in draw_piece(piece, index, orders, buried[index], level, pen)]
    strokes = [np.round(np.clip(line, MARGIN, 1 - MARGIN) * size, 2).astype(np.float32) for line in lines]
    keypoints_px, visible = locate_keypoints(scene, pieces, orders, size)
    return Drawing(strokes, keypoints_px, visible, round(level, 4))


def rasterize(strokes: Sequence[npt.NDArray[np.float32]], size: int, *, line_width: float | None = None,
              ink: tuple[int, int, int] = (24, 24, 28)) -> Bytes:
    """(size, size, 3) uint8 picture of strokes in canvas pixels: dark ink on white paper.

    Args:
        strokes: each (N, 2), (x, y) pixels of the canvas, pixel centres at +0.5.
        size: side of the canvas in pixels.
        line_width: pixels; ``size / 64`` (at least 1) if None.
        ink: color of the lines.
    Raises:
        DataError: the line width is not positive.
    """
    width = max(1.0, size / 64) if line_width is None else line_width
    if width <= 0:
        raise DataError(f"line_width must be more than 0 px, got {line_width}; leave it out for size / 64")
    fine = 2 if size >= 96 else 4
    image = Image.new("L", (size * fine, size * fine), 255)
    draw = ImageDraw.Draw(image)
    thick = max(1, round(width * fine))
    r = thick / 2
    for stroke in strokes:
        points = np.round((stroke.astype(np.float64) * fine - 0.5) * 64) / 64
        draw.line(points.ravel().tolist(), fill=0, width=thick, joint="curve")
        for x, y in (points[0].tolist(), points[-1].tolist()):  # round ends
            draw.ellipse((x - r, y - r, x + r, y + r), fill=0)
    paper = np.asarray(image.reduce(fine)).astype(np.uint16)[..., None]
    return (paper + (255 - paper) * np.array(ink, dtype=np.uint16) // 255).astype(np.uint8)


def keep_parts(parts: Sequence[Part], level: float, dice: Dice) -> list[Part]:
    """The parts that get drawn: the more abstract, the fewer details."""
    names = {part.name: min(other.detail for other in parts if other.name == part.name) for part in parts}
    dropped = {name for name, detail in names.items() if dice.chance(detail * (0.03 + 0.75 * level))}
    kept = []
    for part in parts:
        away = dice.chance(0.55 * part.detail * level)
        lines = tuple(line for line in part.lines if dice.chance(0.97 - 0.75 * level))
        if part.name not in dropped and not away:
            kept.append(replace(part, lines=lines))
    return kept


def sketch_pose(scene: Scene, level: float, dice: Dice) -> Pose:
    """The pose of the photo as the drawer remembers it, centred on the paper."""
    seen = scene.pose.view
    view = View(seen.flip, seen.turn * (1 - 0.6 * level) + dice.spread(5 + 4 * level),
        seen.shear * (1 - 0.5 * level),
                seen.aspect * (1 + dice.spread(0.12 * level)),
                (seen.lean[0] * (1 - level), seen.lean[1] * (1 - level)))
    side = dice.between(0.7, 0.9)
    loose = (0.94 - side) / 2
    return fit_pose(scene.blueprint, view, side, (0.5 + dice.spread(loose), 0.5 + dice.spread(loose)))


def misplace_parts(parts: Sequence[Part], pose: Pose, level: float, dice: Dice) -> list[Piece]:
    """Put each part where the hand puts it; parts of one group keep together."""
    arrays = [array for part in parts for array in (
        part.shape.points, part.shape.spine, *part.lines, np.array(list(part.keypoints.values())).reshape(-1,
        2))]
    placed = np.split(pose.apply(np.concatenate(arrays)), np.cumsum([len(array) for array in arrays])[:-1])
    bend = Warp.whole(dice, level)
    groups: dict[str, Warp] = {}
    moved, at = [], 0
    for part in parts:
        own = placed[at : at + 3 + len(part.lines)]
        at += len(own)
        middle = (own[0].min(axis=0) + own[0].max(axis=0)) / 2
        if part.group not in groups:
            groups[part.group] = Warp.part(dice, middle, level)
        moved.append(groups[part.group].after(Warp.part(dice, middle,
            0.25 * level)).apply(np.concatenate(own)))
    ends = np.cumsum([len(array) for array in placed])[:-1]
    bent = iter(np.split(bend.apply(np.concatenate(moved)), ends))
    return [Piece(part, next(bent), part.shape.width * pose.width_scale, next(bent),
        tuple(next(bent) for _ in part.lines),
                  dict(zip(part.keypoints, next(bent), strict=True))) for part in parts]


def trace_order(pieces: Sequence[Piece], merge: bool) -> tuple[Bytes, list[Bytes | None]]:
    """Which piece is in front at each raster pixel (1 + index), and where each piece melts into others.

    With ``merge``, pieces of one color are taken as one body: borders are left out inside it.
    """
    image, tones = (Image.new("L", (RASTER, RASTER), 0) for _ in range(2))
    draw, draw_tones = ImageDraw.Draw(image), ImageDraw.Draw(tones)
    tone_of: dict[tuple[int, int, int], int] = {}
    colors = [piece.part.paint.color for piece in pieces]
    buried: list[Bytes | None] = []
    for index, piece in enumerate(pieces):
        shape = piece.part.shape
        placed = Placed(0, piece.points, piece.width, shape.closed, piece.part.paint)
        tone = tone_of.setdefault(colors[index], len(tone_of) + 1)
        shared = merge and colors.index(colors[index]) < index
        buried.append((np.asarray(tones) == tone).astype(np.uint8) if shared else None)
        paint_placed(draw, placed, RASTER, index + 1)
        paint_placed(draw_tones, placed, RASTER, tone)
    return np.asarray(image), buried


def draw_piece(
    piece: Piece, index: int, orders: Bytes, buried: Bytes | None, level: float, dice: Dice,
) -> Iterator[Array]:
    """The lines (N, 2) of one piece, in canvas units."""
    through = dice.chance(0.22 * level)  # a careless hand draws on behind what is in front
    tremor = 0.0015 + 0.0085 * level * dice.between(0.4, 1.0)
    for border, closed in borders(piece, level, dice):
        for line in outline_strokes(border, closed, level, dice):
            line = tremble(line, tremor, dice)
            seen = np.ones(len(line), dtype=bool) if through else visible_points(line, index, orders)
            if buried is not None:
                seen &= ~inside(line, buried)
            yield from runs(line, seen)
    for inner in piece.lines:
        line = tremble(resample(inner, 0.014 + 0.03 * level), tremor, dice)
        yield from runs(line, visible_points(line, index, orders))


def borders(piece: Piece, level: float, dice: Dice) -> Iterator[tuple[Array, bool]]:
    """The lines to follow: the border of an area, the middle of a thin wire or limb, or both its sides."""
    shape = piece.part.shape
    stick = len(piece.spine) > 0 and float(np.ptp(piece.spine, axis=0).max()) < LIMB
    if stick and dice.chance(0.7 * level - 0.2):
        yield piece.spine, False
    elif shape.width <= 0:
        yield piece.points, True
    elif piece.width < THIN or dice.chance(0.5 * level):
        yield piece.points, shape.closed
    elif shape.closed:
        yield offset(piece.points, piece.width / 2, closed=True), True
        yield offset(piece.points, -piece.width / 2, closed=True), True
    else:
        one, other = (offset(piece.points, side * piece.width / 2, closed=False) for side in (1, -1))
        yield np.concatenate([one, other[::-1]]), True


def outline_strokes(border: Array, closed: bool, level: float, dice: Dice) -> Iterator[Array]:
    """Follow a border in one stroke or in several, with overshoot or gaps where they meet."""
    step = 0.012 + 0.034 * level * dice.between(0.5, 1.0)
    start = int(dice.between(0, len(border))) if closed else 0
    corners = corners_of(border, closed)
    if closed:
        if len(corners):
            start = int(corners[int(dice.between(0, len(corners)))])
        border = np.concatenate([np.roll(border, -start, axis=0), border[start : start + 1]])
        corners = np.sort((corners - start) % (len(border) - 1))
    cuts = [0, *(int(corner) for corner in corners if 0 < corner < len(border) - 1), len(border) - 1]
    sides = [resample(border[a : b + 1], step) for a, b in pairwise(cuts)]
    lift = 0.12 + 0.25 * level  # chance to lift the pen at a corner
    stroke = sides[0]
    for side in sides[1:]:
        if dice.chance(lift):
            yield from break_line(stroke, level, dice)
            stroke = side
        else:
            stroke = np.concatenate([stroke, side[1:]])
    yield from break_line(stroke, level, dice)


def look_up(points: Array, raster: Bytes) -> Bytes:
    """Raster values at (N, 2) points in canvas units."""
    cells = np.clip((points * RASTER).astype(np.int64), 0, RASTER - 1)
    found: Bytes = raster[cells[:, 1], cells[:, 0]]
    return found


def visible_points(line: Array, index: int, orders: Bytes) -> npt.NDArray[np.bool_]:
    """(N,) bool: the points of a line of piece ``index`` that no later piece covers."""
    covered: npt.NDArray[np.bool_] = look_up(line, orders) > index + 1
    return ~covered


def inside(line: Array, area: Bytes) -> npt.NDArray[np.bool_]:
    """(N,) bool: the points that lie in the area and not just on its border."""
    reach = 1.6 / RASTER
    deep = look_up(line, area)
    for dx, dy in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
        deep = deep & look_up(line + np.array([dx, dy]), area)
    return deep > 0


def runs(line: Array, seen: npt.NDArray[np.bool_]) -> Iterator[Array]:
    """The visible stretches of a line."""
    if seen.all():
        yield line
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        part = line[first:last]
        if last - first > 1 and float(np.abs(np.diff(part, axis=0)).sum()) > SHORTEST:
            yield part


def locate_keypoints(
    scene: Scene, pieces: Sequence[Piece], orders: Bytes, size: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Key points of the drawing in pixels, and whether each was drawn and is not behind another part."""
    names = scene.category.keypoints
    keypoints_px = np.full((len(names), 2), -1.0, dtype=np.float32)
    visible = np.zeros(len(names), dtype=bool)
    labels = np.zeros(256, dtype=np.uint8)
    part_names = scene.category.parts
    labels[1 : len(pieces) + 1] = [part_names.index(piece.part.name) + 1 for piece in pieces]
    raster = labels[orders]
    for piece in pieces:
        for name, point in piece.keypoints.items():
            row = names.index(name)
            keypoints_px[row] = np.round(point * size, 2)
            x, y = (int(value * RASTER) for value in point)
            window = raster[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5]
            on_paper = bool((point > 0).all() and (point < 1).all())
            visible[row] = on_paper and bool((window == part_names.index(piece.part.name) + 1).any())
    return keypoints_px, visible
