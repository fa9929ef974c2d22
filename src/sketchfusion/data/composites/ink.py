"""Drawing hand strokes on paper: round lines of varying width, dark on white."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sketchfusion.data.composites.colour import Bytes
from sketchfusion.data.composites.hand import HandStroke

OVERSAMPLING = 3


def rasterize(strokes: Sequence[HandStroke], side: int, *, darkness: int = 255) -> Bytes:
    """(side, side, 3) uint8 paper with the strokes on it.

    Args:
        strokes: in sketch canvas pixels.
        side: of the canvas.
        darkness: of the ink, 0 to 255; 255 is black.
    """
    paper = Image.new("L", (side * OVERSAMPLING, side * OVERSAMPLING), 255)
    pen = ImageDraw.Draw(paper)
    ink = 255 - darkness
    for stroke in strokes:
        points = (stroke.drawn_px * OVERSAMPLING).tolist()
        widths = (stroke.width_px * OVERSAMPLING).tolist()
        for (x, y), (u, v), width in zip(points, points[1:], widths[1:], strict=False):
            pen.line((x, y, u, v), fill=ink, width=max(1, round(width)))
        for (x, y), width in zip(points, widths, strict=True):
            half = max(0.0, width / 2 - 0.5)
            pen.ellipse((x - half, y - half, x + half, y + half), fill=ink)
    grey = np.asarray(paper.reduce(OVERSAMPLING))
    return np.repeat(grey[..., None], 3, axis=2)
