"""What pictures for people are drawn with: colours, text that fits, framed pictures, and saving."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from sketchfusion.errors import ConfigError, ImageError

INK, SOFT, LINE, PAPER = "#1c1e21", "#6b7075", "#d5d8dc", "#ffffff"
LETTERS = frozenset("©«°±´·»‘’“”…‹›")  # that Pillow's own font has beside ASCII
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHARP: dict[str, dict[str, Any]] = {  # suffix -> options of Pillow that keep thin coloured lines
    ".jpg": {"quality": 92, "subsampling": 0}, ".jpeg": {"quality": 92, "subsampling": 0}, ".webp": {"lossless": True}}

Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def place(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, corner: tuple[int, int],
          side: int, *, enlarge: bool = False) -> Box:
    """The picture centred in a square with a thin frame.

    Args:
        corner: (left, top) of the square.
        side: of the square, in pixels.
        enlarge: fill the square also where the picture is smaller.
    Returns:
        Box (left, top, right, bottom) that the picture covers on the sheet.
    """
    x, y = corner
    scale = side / max(picture.size)
    small = picture
    if enlarge or scale < 1:
        width, height = (max(1, round(length * scale)) for length in picture.size)
        small = picture.resize((width, height), Image.Resampling.LANCZOS)
    left, top = x + (side - small.width) // 2, y + (side - small.height) // 2
    draw.rectangle((x - 1, y - 1, x + side, y + side), outline=LINE)
    sheet.paste(small, (left, top))
    return left, top, left + small.width, top + small.height


def fit(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
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


def check_drawing_path(path: str | Path) -> Path:
    """The path. Raises ConfigError: a drawing cannot be saved as that, or not there; nothing is written yet."""
    path = Path(path)
    folder = path.absolute().parent
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"cannot draw into {path}; use a name ending in one of {', '.join(SUFFIXES)}")
    if not os.path.isdir(folder):  # noqa: PTH112, that of pathlib raises on long names
        raise ConfigError(f"cannot draw into {path}: there is no folder {folder}")
    if os.path.isdir(path):  # noqa: PTH112
        raise ConfigError(f"cannot draw into {path}: it is a folder; name a file in it")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):  # noqa: PTH110
        raise ConfigError(f"cannot draw into {path}: no permission to write there; name a file in another folder")
    return path


def save_drawing(drawing: Image.Image, path: str | Path) -> None:
    """Write the drawing. Raises ConfigError (see ``check_drawing_path``), or ImageError: it cannot be written."""
    try:
        target = check_drawing_path(path)
        drawing.save(target, **SHARP.get(target.suffix.lower(), {}))
    except (OSError, ValueError) as error:  # the latter, or one without strerror, where a format has not so many pixels
        reason = getattr(error, "strerror", None)
        hint = "check permissions and room" if reason else "a .png may be larger"
        raise ImageError(f"cannot write {path}, {drawing.width} x {drawing.height} pixels: {reason or error}; "
                         f"{hint}") from None
