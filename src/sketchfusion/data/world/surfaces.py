"""Surface textures: small fields of lightness that repeat nowhere within one picture.

A field is computed once per process from a fixed key. It spans 1.5 canvases on each side, so that a crop of
one canvas can start at a random place.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sketchfusion.data.world.dice import Dice
from sketchfusion.data.world.recipe import Texture

Field = npt.NDArray[np.int16]
BASE, TILE = 256, 384  # texture cells per canvas side, and per field side


def noise_field(dice: Dice, columns: int, rows: int) -> Field:
    """(TILE, TILE) smooth noise with this many cells, in about [-128, 127]."""
    cells = dice.bytes((columns + 2) * (rows + 2)).reshape(rows + 2, columns + 2)
    return np.asarray(Image.fromarray(cells).resize((TILE, TILE),
        Image.Resampling.BICUBIC)).astype(np.int16) - 128


def mix_fields(*terms: tuple[Field, int]) -> Field:
    """Weighted sum of fields; weights are in 1/128."""
    total = sum(field.astype(np.int32) * weight for field, weight in terms)
    return (np.asarray(total) >> 7).astype(np.int16)


def drawn_field(name: str) -> Field:
    """(TILE, TILE) regular patterns drawn with lines and discs, in [-128, 127]."""
    image = Image.new("L", (TILE, TILE), 128)
    draw = ImageDraw.Draw(image)
    if name == "brick":
        for row in range(0, TILE, 14):
            draw.line((0, row, TILE, row), fill=215, width=2)
            for column in range((row // 14 % 2) * 15, TILE, 30):
                draw.line((column, row, column, row + 14), fill=215, width=2)
    elif name == "scales":
        for row in range(-20, TILE, 9):
            for column in range((row // 9 % 2) * 8, TILE + 16, 16):
                draw.ellipse((column - 9, row - 9, column + 9, row + 12), outline=60, fill=150)
    elif name == "spots":
        dice = Dice("texture", "spots")
        for _ in range(420):
            x, y, r = dice.between(0, TILE), dice.between(0, TILE), dice.between(2, 5)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=dice.pick((40, 70, 175)))
    elif name == "stripes":
        for column in range(0, TILE, 22):
            draw.rectangle((column, 0, column + 10, TILE), fill=225)
    return np.asarray(image).astype(np.int16) - 128


def base_field(name: Texture) -> Field:
    """(TILE, TILE) lightness of one texture in 1/128 of full light, around 0."""
    dice = Dice("texture", name)
    grain, mottle = noise_field(dice, TILE // 2, TILE // 2), noise_field(dice, 26, 26)
    broad = noise_field(dice, 7, 7)
    recipes: dict[str, tuple[tuple[Field, int], ...]] = {
        "plain": ((broad, 8), (grain, 3)),
        "noise": ((broad, 16), (mottle, 10), (grain, 6)),
        "fine": ((grain, 22), (mottle, 8), (broad, 10)),
        "foliage": ((noise_field(dice, 70, 70), 46), (noise_field(dice, 34, 34), 34), (grain, 14)),
        "fur": ((noise_field(dice, 150, 60), 18), (mottle, 12), (grain, 12)),
        "wood": ((noise_field(dice, 4, 90), 26), (noise_field(dice, 8, 30), 18), (grain, 6)),
        "metal": ((noise_field(dice, 3, 150), 8), (noise_field(dice, 14, 2), 26), (grain, 4)),
        "cloth": ((noise_field(dice, 190, 60), 10), (noise_field(dice, 60, 190), 10), (broad, 14)),
        "bands": ((noise_field(dice, 2, 44), 30), (grain, 8)),
    }
    if name in recipes:
        return mix_fields(*recipes[name])
    strength = {"stripes": 44, "brick": 46, "spots": 42, "scales": 40}[name]
    return mix_fields((drawn_field(name), strength), (mottle, 12), (grain, 8))


@lru_cache(maxsize=64)
def texture_field(name: Texture, side: int) -> Field:
    """(side * 1.5, side * 1.5) int16 texture at ``side`` pixels per canvas; around 0, 128 is full light."""
    field = base_field(name)
    if side != BASE:
        image = Image.fromarray(np.clip(field + 128, 0, 255).astype(np.uint8))
        full = side * TILE // BASE
        field = np.asarray(image.resize((full, full), Image.Resampling.BILINEAR)).astype(np.int16) - 128
    field.flags.writeable = False
    return field


def crop_texture(name: Texture, side: int, shape: tuple[int, int], dice: Dice) -> Field:
    """A crop of (height, width) pixels, at most one canvas, from a random place of the texture."""
    field = texture_field(name, side)
    height, width = shape
    top = int(dice.between(0, field.shape[0] - height))
    left = int(dice.between(0, field.shape[1] - width))
    return field[top : top + height, left : left + width]
