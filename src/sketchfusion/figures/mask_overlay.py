"""What a sketch picked out of photos: the photo, and the photo with its mask tinted and outlined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from sketchfusion.drawing import INK, LINE, PAPER, SOFT, fit, place
from sketchfusion.errors import ConfigError
from sketchfusion.figures.layout import ACCENT, CAPTION, EDGE, GAP, OVERSAMPLING, SIDE, caption, large, small, stack

TINT = "#ff7a33"
TINT_SHARE = 0.5  # inside
COLOR_SHARE = 0.25  # of the photo's own that is left outside
VEIL = 0.3  # share of white outside
OUTLINE = 2.5  # pixels


@dataclass(frozen=True, eq=False)
class MaskedPhoto:
    """One row.

    Attributes:
        picture: RGB.
        name, facts: what to write below it, one below the other.
        mask: (H, W) bool of the size of ``picture``; true is foreground.
    """

    picture: Image.Image
    name: str
    facts: str
    mask: np.ndarray


def mask_overlay(sketch: Image.Image, title: str, photos: Iterable[MaskedPhoto]) -> Image.Image:
    """The sketch on the left; on the right a row per photo: as it is, and with its foreground tinted and outlined.

    Args:
        sketch: RGB.
        title: what to write below it.
        photos: read one by one, so that only one needs to be in memory.
    Returns:
        RGB picture, white, as high as it needs to be.
    Raises:
        ConfigError: there is no photo, or a mask has another size than its photo.
    """
    rows = [_row(photo) for photo in photos]
    if not rows:
        raise ConfigError("there is no photo to draw; give at least one with its mask")
    right = stack(rows, GAP)
    left = EDGE + SIDE + EDGE
    sheet = Image.new("RGB", (left + right.width - EDGE, right.height), PAPER)
    sheet.paste(right, (left - EDGE, 0))
    draw = ImageDraw.Draw(sheet)
    place(sheet, draw, sketch, (EDGE + 1, EDGE + 1), SIDE, enlarge=True)
    below = EDGE + SIDE + 10
    draw.text((EDGE, below), fit(draw, title, large(), SIDE), fill=INK, font=large())
    draw.text((EDGE, below + 26), f"{len(rows)} photo{'s' if len(rows) != 1 else ''}", fill=SOFT, font=small())
    draw.line((left - EDGE // 2, EDGE, left - EDGE // 2, sheet.height - EDGE), fill=LINE)
    return sheet


def _row(photo: MaskedPhoto) -> Image.Image:
    if photo.mask.shape != (photo.picture.height, photo.picture.width):
        raise ConfigError(f"the mask of {photo.name} has the shape {photo.mask.shape}, expected "
                          f"{(photo.picture.height, photo.picture.width)}, (height, width) of the photo")
    second = 1 + SIDE + GAP
    sheet = Image.new("RGB", (second + SIDE + 1, 1 + SIDE + CAPTION + 10), PAPER)
    draw = ImageDraw.Draw(sheet)
    left, top, right, bottom = place(sheet, draw, photo.picture, (1, 1), SIDE, enlarge=True)
    shown = sheet.crop((left, top, right, bottom))
    place(sheet, draw, tinted(shown, photo.mask), (second, 1), SIDE)
    caption(draw, (1, SIDE + 10), photo.name, photo.facts)
    return sheet


def tinted(picture: Image.Image, mask: np.ndarray) -> Image.Image:
    """The picture with the foreground tinted, its edge drawn, and everything else paler.

    Args:
        picture: RGB.
        mask: (H, W) bool; of any size, scaled to the picture.
    """
    large_size = picture.width * OVERSAMPLING, picture.height * OVERSAMPLING
    inside = Image.fromarray(mask.astype(np.uint8) * 255).resize(large_size, Image.Resampling.BILINEAR)
    inside = inside.filter(ImageFilter.GaussianBlur(OVERSAMPLING)).point(lambda level: 255 * (level > 127))
    width = 2 * round(OUTLINE * OVERSAMPLING) + 1
    inner = inside.filter(ImageFilter.MinFilter(width))
    edge = Image.composite(Image.new("L", large_size, 0), inside, inner)
    foreground = Image.blend(picture, Image.new("RGB", picture.size, TINT), TINT_SHARE)
    outside = Image.blend(ImageEnhance.Color(picture).enhance(COLOR_SHARE), Image.new("RGB", picture.size, PAPER), VEIL)
    drawn = Image.composite(foreground, outside, inside.resize(picture.size, Image.Resampling.BOX))
    drawn.paste(ACCENT, mask=edge.resize(picture.size, Image.Resampling.BOX))
    return drawn
