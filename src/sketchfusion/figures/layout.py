"""What the figures share: sizes, colours, smooth shapes, captions, and rows put together."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from sketchfusion.drawing import INK, PAPER, SOFT, Font, fit

EDGE, GAP, CAPTION = 32, 24, 44  # pixels; as on the contact sheet
SIDE = 280
LARGE, SMALL = 17, 13  # sizes of letters
ACCENT, TRACK = "#d9480f", "#eef0f2"
OVERSAMPLING = 4

Point = tuple[float, float]


def large() -> Font:
    """The font of titles."""
    return ImageFont.load_default(size=LARGE)


def small() -> Font:
    """The font of everything else."""
    return ImageFont.load_default(size=SMALL)


class Overlay:
    """A transparent layer of shapes with smooth edges; all sizes are in pixels of the sheet."""

    def __init__(self, size: tuple[int, int]) -> None:
        """
        Args:
            size: (width, height) of the sheet.
        """
        self.size = size
        full = size[0] * OVERSAMPLING, size[1] * OVERSAMPLING
        self.image = Image.new("RGBA", full, (255, 255, 255, 0))
        self.draw = ImageDraw.Draw(self.image)

    def line(self, start: Point, end: Point, color: str, width: float) -> None:
        """A straight line."""
        self.draw.line([_scaled(start), _scaled(end)], fill=color, width=round(width * OVERSAMPLING))

    def disc(self, center: Point, radius: float, color: str) -> None:
        """A filled circle."""
        x, y = center
        self.draw.ellipse([_scaled((x - radius, y - radius)), _scaled((x + radius, y + radius))], fill=color)

    def bar(self, corner: Point, end: Point, color: str) -> None:
        """A filled box with round ends, as far as it is wide enough for them."""
        radius = min(end[1] - corner[1], end[0] - corner[0]) / 2 * OVERSAMPLING
        self.draw.rounded_rectangle([_scaled(corner), _scaled(end)], radius, fill=color)

    def text(self, center: Point, text: str, color: str, size: float) -> None:
        """Letters around a point."""
        font = ImageFont.load_default(size=size * OVERSAMPLING)
        self.draw.text(_scaled(center), text, fill=color, font=font, anchor="mm")

    def onto(self, sheet: Image.Image) -> None:
        """Put the shapes on the sheet."""
        shapes = self.image.resize(self.size, Image.Resampling.BOX)
        sheet.paste(shapes, mask=shapes)


def _scaled(point: Point) -> Point:
    return point[0] * OVERSAMPLING, point[1] * OVERSAMPLING


def caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, facts: str, width: int = SIDE) -> None:
    """A name and, softer, what there is to say of it, one below the other."""
    x, y = corner
    draw.text((x, y), fit(draw, name, small(), width), fill=INK, font=small())
    draw.text((x, y + CAPTION // 2 - 2), fit(draw, facts, small(), width), fill=SOFT, font=small())


def stack(rows: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """The rows below one another on white paper, with an edge all around and a gap between."""
    width = max(row.width for row in rows)
    height = sum(row.height for row in rows) + gap * (len(rows) - 1)
    sheet = Image.new("RGB", (width + 2 * EDGE, height + 2 * EDGE), PAPER)
    top = EDGE
    for row in rows:
        sheet.paste(row, (EDGE, top))
        top += row.height + gap
    return sheet
