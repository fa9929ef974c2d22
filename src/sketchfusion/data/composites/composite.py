"""Pasting a cut-out into a photo: place, size, turn and mirror by chance, light and contrast matched, mask exact.

Canvases are square. Points are ``(x, y)`` pixels, pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sketchfusion.data.composites.colour import Array, Bytes, Flags, Floats
from sketchfusion.data.composites.warp import compose, invert_affine, similarity

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
LEAST_VISIBLE, MOST_VISIBLE = 0.55, 0.97  # share of the object that a second object in front leaves


@dataclass(frozen=True, eq=False)
class Composite:
    """A photo with an object pasted in.

    Attributes:
        photo: (S, S, 3) uint8.
        mask: (S, S) bool, the visible pixels of the object: alpha above one half, nothing in front.
        covered: (S, S) bool, where the second object is.
        affine: (2, 3) cut-out pixels -> photo pixels.
        visible_share: of the object's pixels on the canvas, those that nothing hides; 1 without a second object.
    """

    photo: Bytes
    mask: Flags
    covered: Flags
    affine: Array
    visible_share: float


def compose_photo(
    rgba: Image.Image, ground: Bytes, rng: np.random.Generator, *, occluder: Image.Image | None = None,
) -> Composite:
    """The cut-out on a ground.

    Args:
        rgba: RGBA cut-out, trimmed to the object.
        ground: (S, S, 3) uint8.
        rng: where chance comes from.
        occluder: RGBA cut-out that hides some of it; left out where it would hide nearly all or nothing.
    """
    size = len(ground)
    affine = random_place(rgba.size, size, rng)
    colour, alpha = warp_image(rgba, affine, size)
    photo = blend(ground.astype(np.float32), harmonize(colour, alpha, ground, rng), alpha)
    own = alpha > 0.5
    covered = np.zeros_like(own)
    if occluder is not None:
        for _ in range(3):
            place = beside(occluder.size, own, size, rng)
            over_colour, over_alpha = warp_image(occluder, place, size)
            share = float((own & (over_alpha <= 0.5)).sum() / max(1, own.sum()))
            if LEAST_VISIBLE <= share <= MOST_VISIBLE:
                photo = blend(photo, harmonize(over_colour, over_alpha, ground, rng), over_alpha)
                covered = over_alpha > 0.5
                break
    mask = own & ~covered
    pixels = np.clip(np.round(photo), 0, 255).astype(np.uint8)
    return Composite(pixels, mask, covered, affine, float(mask.sum() / max(1, own.sum())))


def random_place(extent: tuple[int, int], size: int, rng: np.random.Generator) -> Array:
    """(2, 3) map of a cut-out of (width, height) onto the canvas, inside it but for a little."""
    degrees = float(np.clip(rng.normal() * 11, -35, 35))
    flip = bool(rng.random() < 0.5)
    linear = similarity(1.0, degrees, flip=flip)
    reach = np.abs(linear) @ np.array(extent, dtype=np.float64)  # of the turned box
    scale = float(rng.uniform(0.5, 0.97)) * size / float(reach.max())
    slack = size - scale * reach
    middle = size / 2 + (rng.random(2) - 0.5) * (slack + 0.04 * size)
    return placed(scale * linear, extent, middle)


def beside(extent: tuple[int, int], own: Flags, size: int, rng: np.random.Generator) -> Array:
    """(2, 3) map of a second object so that it lies over the rim of the first, whose pixels are ``own`` (S, S)."""
    rows, columns = np.nonzero(own)
    if not len(rows):
        return random_place(extent, size, rng)
    middle = np.array([columns.mean(), rows.mean()])
    spread = np.array([np.ptp(columns), np.ptp(rows)]) / 2
    angle = rng.uniform(0, 2 * np.pi)
    target = middle + np.array([np.cos(angle), np.sin(angle)]) * spread * float(rng.uniform(0.75, 1.1))
    scale = float(rng.uniform(0.5, 0.95)) * 2 * float(spread.max()) / max(extent)
    linear = similarity(max(scale, 1e-3), float(rng.normal() * 15), flip=bool(rng.random() < 0.5))
    return placed(linear, extent, target)


def placed(linear: Array, extent: tuple[int, int], middle: Array) -> Array:
    """(2, 3) map with this linear part that takes the middle of a (width, height) picture to ``middle``."""
    centre = np.array(extent, dtype=np.float64) / 2
    return np.concatenate([linear, (middle - linear @ centre)[:, None]], axis=1)


def warp_image(rgba: Image.Image, affine: Array, size: int) -> tuple[Floats, Floats]:
    """The RGBA picture under a (2, 3) map: (S, S, 3) float32 colour in [0, 255] and (S, S) float32 alpha in [0, 1].

    Shrinking is done first, with a filter that averages, so that fine texture does not alias.
    """
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    rest = affine
    if scale < 0.8:
        small = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
        stretch = np.array([[rgba.width / small[0], 0, 0], [0, rgba.height / small[1], 0]])
        rgba, rest = rgba.resize(small, Image.Resampling.BICUBIC), compose(affine, stretch)
    back = invert_affine(rest)
    turned = rgba.transform((size, size), Image.Transform.AFFINE, tuple(back.ravel().tolist()),
                            Image.Resampling.BICUBIC)
    values = np.asarray(turned, dtype=np.float32)
    return values[..., :3], values[..., 3] * np.float32(1 / 255)


def blend(below: Floats, above: Floats, alpha: Floats) -> Floats:
    """(S, S, 3) above over below by (S, S) alpha."""
    mixed: Floats = below + (above - below) * alpha[..., None]
    return mixed


def harmonize(colour: Floats, alpha: Floats, ground: Bytes, rng: np.random.Generator) -> Floats:
    """The object's (S, S, 3) colours, brightness and tint drawn part of the way to the ground's, contrast varied."""
    inside = alpha > 0.5
    if not inside.any():
        return colour
    own = np.maximum(colour[inside].mean(axis=0), 8.0)
    scene = np.maximum(ground[::4, ::4].reshape(-1, 3).mean(axis=0), 8.0)
    gain = np.clip((scene @ LUMA / (own @ LUMA)) ** float(rng.uniform(0, 0.35)), 0.65, 1.5)
    tint = (scene / (scene @ LUMA)) ** float(rng.uniform(0, 0.35))
    contrast = float(rng.uniform(0.8, 1.15))
    levels = (gain * np.clip(tint, 0.75, 1.3)).astype(np.float32)
    middle = (own @ LUMA).astype(np.float32)
    matched: Floats = np.clip(((colour - middle) * np.float32(contrast) + middle) * levels, 0, 255)
    return matched


def crop_ground(photo: Image.Image, size: int, rng: np.random.Generator) -> Bytes:
    """(S, S, 3) uint8: a square part of a photo, at least 60 % of its shorter side, mirrored by chance."""
    side = float(rng.uniform(0.6, 1.0)) * min(photo.size)
    left, top = rng.random(2) * (np.array(photo.size) - side)
    part = photo.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = np.asarray(part.convert("RGB"))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def plain_ground(size: int, rng: np.random.Generator) -> Bytes:
    """(S, S, 3) uint8: a sheet of one colour, mostly pale, with a soft gradient and grain."""
    base = rng.uniform(150, 255) if rng.random() < 0.7 else rng.uniform(20, 150)
    colour = base + rng.normal(size=3) * 12
    slope = rng.normal(size=2) * 18
    ramp = np.linspace(-1, 1, size)
    grain = rng.normal(size=(size, size)) * float(rng.uniform(0, 3))
    light = slope[0] * ramp[None, :] + slope[1] * ramp[:, None] + grain
    return np.clip(colour + light[..., None], 0, 255).astype(np.uint8)
