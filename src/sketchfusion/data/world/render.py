"""The photo-like picture of a scene: texture, light, shadow, things in front, and a camera.

Arithmetic on pixels is in whole numbers, so that the same bytes come out on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from sketchfusion.data.world.backdrop import make_backdrop
from sketchfusion.data.world.dice import Array, Bytes, Dice
from sketchfusion.data.world.scene import Light, Placed, Scene, paint_placed, place_parts
from sketchfusion.data.world.surfaces import crop_texture

Field = npt.NDArray[np.int16]
FULL = 128  # lightness 1.0 in the whole-number shading
NEAR = 0.02  # canvas units within which a key point must see its own part


@dataclass(frozen=True)
class Photo:
    """A photo and its exact annotation.

    Attributes:
        pixels: (size, size, 3) uint8.
        parts: (size, size) uint8, part label of each visible object pixel, 0 elsewhere.
        keypoints_px: (K, 2) float32 (x, y) pixels, pixel centres at +0.5; (-1, -1) where missing.
        visible: (K,) bool: on the canvas, and its own part is to be seen there.
    """

    pixels: Bytes
    parts: Bytes
    keypoints_px: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Layer:
    """Shapes rendered on nothing: color times cover, cover, and labels at the fine resolution."""

    premultiplied: Bytes
    cover: Bytes
    labels: Bytes


@dataclass(frozen=True)
class Window:
    """The part of a fine raster that holds anything: first row and column, and which shape is in front."""

    top: int
    left: int
    orders: Bytes


def render_photo(scene: Scene, size: int) -> Photo:
    """The photo of the scene at ``size`` x ``size`` pixels with its annotation."""
    fine = 2 if size >= 96 else 4
    placed = place_parts(scene.category, scene.blueprint.parts, scene.pose)
    body = render_layer(placed, size, fine, scene.light, scene.dice("surface"))
    foot = min(1.0, float(max(item.points[:, 1].max() for item in placed)))
    pixels = make_backdrop(scene.place, size, foot, scene.dice("backdrop")).astype(np.uint16)
    pixels = cast_shadow(pixels, body.cover, scene, foot)
    pixels = put_over(pixels, body)
    labels = body.labels
    for index, thing in enumerate(scene.in_front):
        layer = render_layer(thing, size, fine, scene.light, scene.dice("front", index), in_front=True)
        pixels = put_over(pixels, layer)
        labels = np.where(layer.labels > 0, 0, labels).astype(np.uint8)
    parts = labels[fine // 2 :: fine, fine // 2 :: fine].copy()
    keypoints_px, visible = locate_keypoints(scene, labels, parts, size)
    return Photo(expose(pixels, scene, size), parts, keypoints_px, visible)


def render_layer(
    placed: Sequence[Placed], size: int, fine: int, light: Light, dice: Dice, in_front: bool = False,
) -> Layer:
    """Render shapes from back to front at ``fine`` times the size, and bring the colors down to ``size``.

    ``labels`` holds part labels, or 1 wherever there is anything if the shapes stand ``in_front``.
    """
    side = size * fine
    orders = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(orders)
    for order, item in enumerate(placed, start=1):
        paint_placed(draw, item, side, order)
    labels = np.zeros((side, side), dtype=np.uint8)
    premultiplied, cover = np.zeros((size, size, 3), dtype=np.uint8), np.zeros((size, size), dtype=np.uint8)
    box = orders.getbbox()
    if box is None:
        return Layer(premultiplied, cover, labels)
    left, top, right, bottom = (box[0] // fine, box[1] // fine, -(-box[2] // fine), -(-box[3] // fine))
    window = Window(top * fine, left * fine, np.asarray(orders)[top * fine : bottom * fine,
        left * fine : right * fine])
    shade, shine = shade_parts(placed, window, side, light, dice)
    if not in_front:
        shade += shade_whole(window.orders, side, light)
    palette = np.zeros((256, 3), dtype=np.uint16)
    palette[1 : len(placed) + 1] = [item.paint.color for item in placed]
    lit = palette.take(window.orders, axis=0)
    lit *= np.clip(shade, 20, 250).astype(np.uint16)[..., None]
    lit >>= 7
    lit += shine[..., None]
    covered = window.orders > 0
    colors = np.minimum(lit, 255).astype(np.uint8)
    colors *= covered[..., None]
    premultiplied[top:bottom, left:right] = np.asarray(Image.fromarray(colors).reduce(fine))
    cover[top:bottom, left:right] = np.asarray(Image.fromarray(covered.astype(np.uint8) * 255).reduce(fine))
    names = np.zeros(256, dtype=np.uint8)
    names[1 : len(placed) + 1] = 1 if in_front else [item.label for item in placed]
    labels[top * fine : bottom * fine, left * fine : right * fine] = names.take(window.orders)
    return Layer(premultiplied, cover, labels)


def shade_parts(
    placed: Sequence[Placed], window: Window, side: int, light: Light, dice: Dice,
) -> tuple[Field, npt.NDArray[np.uint16]]:
    """Light of each part by itself, in the window: shade around ``FULL``, and the white of highlights."""
    shade = np.full(window.orders.shape, FULL, dtype=np.int16)
    shine = np.zeros(window.orders.shape, dtype=np.uint16)
    for order, item in enumerate(placed, start=1):
        rows, columns = bounding_slices(item, window, side)
        own = window.orders[rows, columns] == order
        if own.size == 0:
            continue
        paint, (height, width) = item.paint, own.shape
        u = (np.arange(width) * 2 + 1 - width) / width
        v = ((np.arange(height) * 2 + 1 - height) / height)[:, None]
        lift = paint.relief * light.strength
        across = np.rint(lift * (46 * light.toward[0] * u - 26 * u * u + 10)).astype(np.int16)
        down = np.rint(lift * (46 * light.toward[1] * v - 26 * v * v + 10)).astype(np.int16)
        field = crop_texture(paint.texture, side, own.shape, dice) + across
        field += down
        field *= own
        shade[rows, columns] += field
        if paint.gloss > 0.25 and min(height, width) > 6:
            spot_u = np.rint(np.clip(1 - ((u - 0.42 * light.toward[0]) / 0.4) ** 2, 0,
                1) * 15).astype(np.uint16)
            spot_v = np.rint(np.clip(1 - ((v - 0.42 * light.toward[1]) / 0.4) ** 2, 0,
                1) * 15).astype(np.uint16)
            spot = spot_u * spot_v
            shine[rows, columns] += (((spot * spot) >> 8) * round(120 * paint.gloss) >> 8) * own
    return shade, shine


def bounding_slices(item: Placed, window: Window, side: int) -> tuple[slice, slice]:
    """Rows and columns of the window that the shape may touch."""
    low = (item.points.min(axis=0) - item.width / 2) * side
    high = (item.points.max(axis=0) + item.width / 2) * side
    height, width = window.orders.shape
    top, bottom = (min(height, max(0, int(value) - window.top)) for value in (low[1] - 1, high[1] + 2))
    left, right = (min(width, max(0, int(value) - window.left)) for value in (low[0] - 1, high[0] + 2))
    return slice(top, bottom), slice(left, right)


def shade_whole(orders: Bytes, side: int, light: Light) -> Field:
    """Light on the whole object as if it were inflated, and the dark of creases where parts meet."""
    step, shape = side // 64, (orders.shape[1], orders.shape[0])
    small = (orders[::step, ::step] > 0).astype(np.uint8) * 255
    height = np.pad(np.asarray(Image.fromarray(np.pad(small,
        4)).filter(ImageFilter.BoxBlur(3))).astype(np.int16), 1)
    light_x, light_y = (round(-value * light.strength * 80) for value in light.toward)
    bright = ((height[1:-1, :-2] - height[1:-1, 2:]) * light_x
        + (height[:-2, 1:-1] - height[2:, 1:-1]) * light_y) >> 7
    bulge = Image.fromarray(np.clip(bright[4:-4, 4:-4] + 128, 0, 255).astype(np.uint8))
    half = orders[::2, ::2]
    edges = np.zeros(half.shape, dtype=np.uint8)
    edges[1:, 1:] = ((half[1:, 1:] != half[:-1, 1:]) | (half[1:, 1:] != half[1:, :-1])) * 255
    crease = Image.fromarray(edges).filter(ImageFilter.BoxBlur(side / 256)).resize(shape,
        Image.Resampling.BILINEAR)
    lift = np.asarray(bulge.resize(shape, Image.Resampling.BILINEAR)).astype(np.int16)
    return lift - 128 - (np.asarray(crease) >> 3)


def put_over(pixels: npt.NDArray[np.uint16], layer: Layer) -> npt.NDArray[np.uint16]:
    """The layer in front of the pixels, both at the final size."""
    rest = (255 - layer.cover).astype(np.uint16)[..., None]
    return pixels * rest // 255 + layer.premultiplied


def cast_shadow(pixels: npt.NDArray[np.uint16], cover: Bytes, scene: Scene,
        foot: float) -> npt.NDArray[np.uint16]:
    """Darken the background where the object keeps the light away."""
    if scene.place in ("sky", "underwater"):
        return pixels
    size = cover.shape[0]
    dice = scene.dice("shadow")
    slide, depth = -scene.light.toward[0], dice.between(0.45, 0.75)
    low = Image.fromarray(cover).resize((64, 64), Image.Resampling.BOX)
    if scene.place == "flat":
        move: tuple[float, ...] = (1, 0, slide * -3.5, 0, 1, -2.5)
        blur = 1.2
    else:  # squash the outline on the ground: rows below the foot mirror the rows above it
        squash, row = dice.between(3.0, 5.0), foot * 64 - 1.5
        move = (1, slide * squash * 0.5, -slide * squash * 0.5 * row, 0, squash, row * (1 - squash))
        blur = 1.6
    shadow = low.transform((64, 64), Image.Transform.AFFINE, move, Image.Resampling.BILINEAR)
    if scene.place != "flat":
        left, _, right, _ = low.getbbox() or (0, 0, 64, 64)
        draw = ImageDraw.Draw(shadow)
        draw.ellipse((left + 2 + slide * 3, foot * 64 - 3, right - 2 + slide * 3, foot * 64 + 2), fill=255)
    soft = shadow.filter(ImageFilter.GaussianBlur(blur)).resize((size, size), Image.Resampling.BILINEAR)
    keep = 255 - ((np.asarray(soft).astype(np.uint16) * round(depth * 256)) >> 8)
    return pixels * keep[..., None] // 255


def expose(pixels: npt.NDArray[np.uint16], scene: Scene, size: int) -> Bytes:
    """Take the picture: vignette, color cast, contrast, lens blur, sensor noise."""
    dice = scene.dice("camera")
    falloff = dice.between(0, 34)
    t = (np.arange(size) * 2 + 1 - size) / size
    dark = np.rint(falloff * t * t).astype(np.int16)
    keep = (256 - dark[:, None] - dark[None, :]).astype(np.uint32)[..., None]
    seen = np.minimum((pixels * keep) >> 8, 255).astype(np.uint8)
    contrast, lift = dice.between(0.88, 1.15), dice.spread(14)
    tones = (128 + (np.arange(256) - 128) * contrast + lift)[None] * np.array(scene.light.gains)[:, None]
    image = Image.fromarray(seen).point(np.clip(np.rint(tones), 0, 255).astype(int).ravel().tolist())
    image = image.filter(ImageFilter.BoxBlur(dice.between(0.2, 0.7) * size / 128))
    grain = dice.bytes(size * size * 6).astype(np.int16).reshape(2, size, size, 3)
    noise = (grain[0] - grain[1]) * dice.whole(3, 12)
    return np.clip(np.asarray(image).astype(np.int16) + (noise >> 8), 0, 255).astype(np.uint8)


def locate_keypoints(
    scene: Scene, labels: Bytes, parts: Bytes, size: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Key points of the photo in pixels, and whether each sees its own part.

    The part is looked for in the fine ``labels``, since thin ones may fall between the pixels of ``parts``;
    but something of the object must be near in ``parts`` too.
    """
    names = scene.category.keypoints
    found = {name: (point, scene.category.parts.index(part.name) + 1)
             for part in scene.blueprint.parts for name, point in part.keypoints.items()}
    keypoints_px = np.full((len(names), 2), -1.0, dtype=np.float32)
    visible = np.zeros(len(names), dtype=bool)
    rows = [index for index, name in enumerate(names) if name in found]
    points = scene.pose.apply(np.array([found[names[index]][0] for index in rows], dtype=np.float64))
    keypoints_px[rows] = np.round(points * size, 2)
    for index, point in zip(rows, points, strict=True):
        visible[index] = sees(labels, point, found[names[index]][1]) and sees(parts, point)
    return keypoints_px, visible


def sees(labels: Bytes, point: Array, label: int | None = None) -> bool:
    """Whether a point (canvas units) is within ``NEAR``, at least a pixel, of this label; of any if None."""
    side = labels.shape[0]
    if not (0 <= point[0] < 1 and 0 <= point[1] < 1):
        return False
    x, y, reach = int(point[0] * side), int(point[1] * side), max(1, round(NEAR * side))
    window = labels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return bool((window > 0 if label is None else window == label).any())
