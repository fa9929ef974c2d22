"""What the pictures of the study share: sizes, fonts, cells as squares, thin lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sketchfusion.drawing import INK, SOFT, Font, fit

EDGE, GAP, HEAD, LABEL = 32, 16, 44, 56  # pixels
ACCENT, OTHER = "#d9480f", "#1c6dd0"
OVERSAMPLING = 4

Point = tuple[float, float]


def font(size: int = 13) -> Font:
    """The font of everything."""
    return ImageFont.load_default(size=size)


def cells_image(colours: Tensor, side: int) -> Image.Image:
    """(3, Hf, Wf) in [0, 1], NaN is white -> RGB of ``side`` pixels, every cell a square as far as whole pixels go."""
    values = colours.nan_to_num(1.0).mul(255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(values)).resize((side, side), Image.Resampling.NEAREST)


def head(draw: ImageDraw.ImageDraw, corner: tuple[int, int], title: str, facts: str, width: int) -> None:
    """A title and, softer, what there is to say of it, one below the other."""
    x, y = corner
    draw.text((x, y), fit(draw, title, font(15), width), fill=INK, font=font(15))
    draw.text((x, y + HEAD // 2), fit(draw, facts, font(), width), fill=SOFT, font=font())


def polyline(sheet: Image.Image, points: Sequence[Point], colour: str, *, width: float = 2, dots: float = 0) -> None:
    """A smooth line through points in pixels of the sheet, with discs of radius ``dots`` on them."""
    box = (int(min(x for x, _ in points) - 8), int(min(y for _, y in points) - 8),
           int(max(x for x, _ in points) + 9), int(max(y for _, y in points) + 9))
    size = box[2] - box[0], box[3] - box[1]
    shape = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    draw = ImageDraw.Draw(shape)
    scaled = [((x - box[0]) * OVERSAMPLING, (y - box[1]) * OVERSAMPLING) for x, y in points]
    draw.line(scaled, fill=255, width=round(width * OVERSAMPLING), joint="curve")
    radius = dots * OVERSAMPLING
    for x, y in scaled if dots else ():
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    sheet.paste(colour, box, shape.resize(size, Image.Resampling.BOX))
