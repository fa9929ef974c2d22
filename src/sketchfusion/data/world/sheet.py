"""Contact sheets: every category at a glance, photo above drawing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sketchfusion.data.world.categories import CATEGORIES
from sketchfusion.data.world.dataset import check_size, make_sample
from sketchfusion.data.world.dice import Bytes
from sketchfusion.errors import DataError

CAPTION = 14  # px below each pair


def contact_sheet(
    categories: Sequence[str] | None = None, *, size: int = 112, columns: int = 12, instance: int = 0,
    seed: int = 0,
    abstraction: float | None = None,
) -> Bytes:
    """(H, W, 3) uint8 sheet: for each category its photo, below it its drawing, below that its name.

    Args:
        categories: class names; all if None.
        size: side of each picture in pixels, 32 to 512.
        columns: pairs in a row.
        instance, seed, abstraction: as in ``make_sample``.
    Raises:
        DataError: a category is unknown or a number out of range.
    """
    names = list(CATEGORIES) if categories is None else list(categories)
    if columns < 1 or not names:
        raise DataError(f"a contact sheet needs at least one column and one category, got {columns} columns "
                        f"and {len(names)} categories")
    check_size(size)
    rows = -(-len(names) // columns)
    pitch = 2 * size + CAPTION
    sheet = Image.new("RGB", (min(columns, len(names)) * size, rows * pitch), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for number, name in enumerate(names):
        left, top = number % columns * size, number // columns * pitch
        sample = make_sample(name, instance, seed=seed, size=size, abstraction=abstraction)
        sheet.paste(Image.fromarray(sample.photo), (left, top))
        sheet.paste(Image.fromarray(sample.sketch), (left, top + size))
        draw.text((left + size / 2, top + 2 * size + CAPTION / 2), name, fill=(60, 60, 66), anchor="mm")
    return np.asarray(sheet)


def save_sheet(sheet: Bytes, path: str | os.PathLike[str]) -> None:
    """Write a sheet as PNG with 256 colors, which keeps it small enough for a manual.

    Raises:
        DataError: the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(sheet)
        colors = image.quantize(255)
        colors.putpalette([*(colors.getpalette() or [])[: 255 * 3], 255, 255, 255])  # paper stays white
        cells = np.asarray(image.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG)).copy()
        cells[(sheet == 255).all(axis=-1)] = 255
        small = Image.fromarray(cells)
        small.putpalette(colors.getpalette() or [])
        small.save(target, format="PNG", optimize=True)
    except OSError as error:
        raise DataError(f"cannot write the contact sheet {target}: {error}; choose another path") from error
