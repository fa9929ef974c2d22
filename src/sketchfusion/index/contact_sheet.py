"""One picture of a search: the query, and the photos found in their order."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sketchfusion.drawing import INK, LINE, PAPER, SOFT, fit, place
from sketchfusion.index.store import Hit

CELL, GAP, EDGE, CAPTION = 160, 24, 32, 44  # pixels
QUERY_SIDE = 280


def contact_sheet(query: Image.Image, title: str, hits: Sequence[Hit], thumbnails: Mapping[str, bytes], *,
                  columns: int = 5) -> Image.Image:
    """The query on the left with its name, the photos on the right with rank, score and file name.

    Args:
        query: RGB sketch or photo.
        title: what to write below it.
        hits: in the order to be shown.
        thumbnails: path -> encoded picture, for every hit.
        columns: photos per row at most, at least 1.
    Returns:
        RGB picture, white, as wide and high as it needs to be.
    """
    columns = min(columns, max(1, len(hits)))
    rows = max(1, -(-len(hits) // columns))
    left = EDGE + QUERY_SIDE + EDGE
    width = left + (columns * (CELL + GAP) - GAP + EDGE if hits else 0)
    height = max(2 * EDGE + rows * (CELL + CAPTION + GAP) - GAP, 2 * EDGE + QUERY_SIDE + 2 * CAPTION)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    place(sheet, draw, query, (EDGE, EDGE), QUERY_SIDE)
    large, small = ImageFont.load_default(size=17), ImageFont.load_default(size=13)
    below = EDGE + QUERY_SIDE + 12
    draw.text((EDGE, below), fit(draw, title, large, QUERY_SIDE), fill=INK, font=large)
    found = "no photo found" if not hits else f"{len(hits)} photo{'s' if len(hits) != 1 else ''}"
    draw.text((EDGE, below + 26), found, fill=SOFT, font=small)
    if hits:
        draw.line((left - EDGE // 2, EDGE, left - EDGE // 2, height - EDGE), fill=LINE)
    for index, hit in enumerate(hits):
        x = left + index % columns * (CELL + GAP)
        y = EDGE + index // columns * (CELL + CAPTION + GAP)
        with Image.open(io.BytesIO(thumbnails[hit.path])) as thumbnail:
            place(sheet, draw, thumbnail.convert("RGB"), (x, y), CELL)
        score = f"{hit.score:.3f}"
        draw.text((x, y + CELL + 6), f"{index + 1}", fill=INK, font=small)
        draw.text((x + CELL - draw.textlength(score, small), y + CELL + 6), score, fill=SOFT, font=small)
        draw.text((x, y + CELL + 24), fit(draw, Path(hit.path).name, small, CELL), fill=INK, font=small)
    return sheet
