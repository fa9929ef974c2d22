"""Principal components as a picture: a row for each photo and sketch, a column for each source of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from sketchfusion.analysis.pca import JointPca
from sketchfusion.analysis.sheet import EDGE, GAP, HEAD, LABEL, cells_image, font, head
from sketchfusion.drawing import INK, PAPER, place
from sketchfusion.errors import ConfigError

SIDE = 148


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A row.

    Attributes:
        label: "photo" or "sketch".
        picture: RGB, on its canvas.
        row: of the picture in the maps.
    """

    label: str
    picture: Image.Image
    row: int


def pca_figure(pictures: Sequence[ShownPicture], found: Mapping[str, JointPca]) -> Image.Image:
    """The pictures, and beside each the first three components of every source as red, green and blue.

    Returns:
        RGB picture, white, as wide and high as it needs to be.
    Raises:
        ConfigError: there is no picture.
    """
    if not pictures:
        raise ConfigError("there is no picture to draw; give at least one with its maps")
    step = SIDE + GAP
    width, height = LABEL + step * (1 + len(found)) - GAP, HEAD + step * len(pictures) - GAP
    sheet = Image.new("RGB", (width + 2 * EDGE, height + 2 * EDGE), PAPER)
    draw = ImageDraw.Draw(sheet)
    left, top = EDGE + LABEL, EDGE + HEAD
    head(draw, (left, EDGE), "picture", "", SIDE)
    for column, (name, pca) in enumerate(found.items(), start=1):
        head(draw, (left + column * step, EDGE), name, facts(pca), SIDE)
    for number, shown in enumerate(pictures):
        y = top + number * step
        draw.text((EDGE, y + SIDE / 2), shown.label, fill=INK, font=font(), anchor="lm")
        place(sheet, draw, shown.picture, (left, y), SIDE, enlarge=True)
        for column, pca in enumerate(found.values(), start=1):
            place(sheet, draw, cells_image(pca.maps[shown.row], SIDE), (left + column * step, y), SIDE)
    return sheet


def facts(pca: JointPca) -> str:
    """Grid, and how much the three components tell."""
    rows, columns = pca.maps.shape[2:]
    return f"{columns} x {rows}, {100 * float(pca.explained.sum()):.0f} % of variance"
