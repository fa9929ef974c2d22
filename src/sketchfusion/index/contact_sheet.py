"""One picture of a search: the query, and the photos found in their order."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.index.store import Hit

CELL, GAP, EDGE, CAPTION = 160, 24, 32, 44  # pixels
QUERY_SIDE = 280
INK, SOFT, LINE, PAPER = "#1c1e21", "#6b7075", "#d5d8dc", "#ffffff"
LETTERS = frozenset("©«°±´·»‘’“”…‹›")  # that Pillow's own font has beside ASCII
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


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


def place(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, corner: tuple[int, int],
          side: int) -> None:
    """The picture, no larger than it is, centred in a square with a thin frame."""
    x, y = corner
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    draw.rectangle((x - 1, y - 1, x + side, y + side), outline=LINE)
    sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))


def fit(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, with its middle left out where it is wider than ``width`` pixels; the ends tell names apart."""
    text = drawable(text)
    if draw.textlength(text, font) <= width:
        return text
    keep = len(text)
    while keep > 2 and draw.textlength(shortened(text, keep), font) > width:
        keep -= 1
    return shortened(text, keep)


def drawable(text: str) -> str:
    """The text as far as Pillow's own font goes: letters without their accents, "?" for all others."""
    letters = (letter if letter in LETTERS else unicodedata.normalize("NFKD", letter) for letter in text)
    bare = (letter for letter in "".join(letters) if not unicodedata.combining(letter))
    return "".join(letter if letter in LETTERS or (letter.isascii() and letter.isprintable()) else "?"
                   for letter in bare)


def shortened(text: str, keep: int) -> str:
    """``keep`` characters of the text's two ends around an ellipsis."""
    head = keep - keep // 2
    return f"{text[:head]}...{text[len(text) - keep // 2:]}"


def check_sheet_path(path: str | Path) -> Path:
    """The path. Raises ConfigError: its suffix is none that a sheet can be saved as, or its folder is missing."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"cannot save a contact sheet as {path}; use one of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"cannot save a contact sheet as {path}: there is no folder {path.absolute().parent}")
    return path


def save_sheet(sheet: Image.Image, path: str | Path) -> None:
    """Write the sheet. Raises ConfigError (see ``check_sheet_path``), or ImageError: it cannot be written."""
    try:
        sheet.save(check_sheet_path(path))
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror or error}; check permissions and room") from None
