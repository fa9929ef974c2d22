"""Contact sheets: cut-outs beside their photos, and sketches of several levels beside their cut-outs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sketchfusion.data.composites.colour import Bytes
from sketchfusion.data.composites.dataset import Composites
from sketchfusion.data.composites.sample import SampleOptions, make_sample
from sketchfusion.errors import DataError

CAPTION, GAP = 13, 2  # px
GREY = (60, 60, 66)
CHECK = (225, 205)  # greys of the pattern that shows transparency
LEVELS = (0.0, 0.35, 0.7, 1.0)


def cutout_sheet(dataset: Composites, numbers: Sequence[int], *, size: int = 88, columns: int = 10) -> Image.Image:
    """Cut-outs on a checked ground, each with the name of its class.

    Args:
        dataset: over a prepared folder.
        numbers: places in ``dataset.cutouts``.
        size: side of each picture in pixels.
        columns: in a row.
    """
    sheet, draw = blank(len(numbers), (size, size), columns)
    for place, number in enumerate(numbers):
        left, top = corner(place, (size, size), columns)
        sheet.paste(checked(size), (left, top))
        show(sheet, dataset.picture(number), (left, top), size)
        label(draw, dataset.cutouts[number][0], (left + size / 2, top + size))
    return sheet


def sketch_sheet(
    dataset: Composites, numbers: Sequence[int], *, size: int = 88, columns: int = 2,
    levels: Sequence[float] = LEVELS,
) -> Image.Image:
    """Rows of: composite photo, its mask, and the sketch at each level."""
    width = (2 + len(levels)) * size
    sheet, draw = blank(len(numbers), (width, size), columns)
    options = SampleOptions(size=128, occluded=0.0)
    for place, number in enumerate(numbers):
        left, top = corner(place, (width, size), columns)
        item = dataset.item(number)
        background = None
        others = [path for class_name, path in dataset.backgrounds if class_name != item.class_name]
        if others:
            with Image.open(others[(37 * number) % len(others)]) as opened:
                background = opened.convert("RGB")
        samples = [make_sample(item, (dataset.seed, number, "sheet"), options, background=background, abstraction=level)
                   for level in levels]
        mask = np.repeat(samples[0].mask[..., None], 3, axis=2) * np.uint8(255)
        for k, pixels in enumerate([samples[0].photo, mask, *(sample.sketch for sample in samples)]):
            show(sheet, Image.fromarray(pixels), (left + k * size, top), size)
        label(draw, item.class_name, (left + size, top + size))
        for k, level in enumerate(levels):
            label(draw, f"abstraction {level:g}", (left + (k + 2.5) * size, top + size))
    return sheet


def composite_sheet(dataset: Composites, *, count: int = 40, size: int = 96, columns: int = 5) -> Image.Image:
    """The first samples of the data set: photo and sketch, with class and level."""
    count = min(count, len(dataset))
    sheet, draw = blank(count, (2 * size, size), columns)
    for index in range(count):
        left, top = corner(index, (2 * size, size), columns)
        sample = dataset[index]
        show(sheet, Image.fromarray(sample.photo), (left, top), size)
        show(sheet, Image.fromarray(sample.sketch), (left + size, top), size)
        label(draw, f"{sample.class_name} {sample.abstraction:.2f}", (left + size, top + size))
    return sheet


def blank(count: int, cell: tuple[int, int], columns: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """White paper for ``count`` cells of (width, height) px, captions below. Raises DataError: nothing to show."""
    if count < 1 or columns < 1:
        raise DataError(f"a contact sheet needs at least one picture and one column, got {count} and {columns}")
    width = min(columns, count) * (cell[0] + GAP) - GAP
    sheet = Image.new("RGB", (width, -(-count // columns) * (cell[1] + CAPTION)), (255, 255, 255))
    return sheet, ImageDraw.Draw(sheet)


def corner(place: int, cell: tuple[int, int], columns: int) -> tuple[int, int]:
    """(left, top) of a cell."""
    return place % columns * (cell[0] + GAP), place // columns * (cell[1] + CAPTION)


def checked(size: int) -> Image.Image:
    """The pattern that shows transparency."""
    rows, columns = np.indices((size, size)) // 8
    pattern: Bytes = np.where((rows + columns) % 2 == 0, *CHECK).astype(np.uint8)
    return Image.fromarray(pattern).convert("RGB")


def show(sheet: Image.Image, picture: Image.Image, place: tuple[int, int], size: int) -> None:
    """Paste a picture, scaled into a square."""
    scale = size / max(picture.size)
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
                           Image.Resampling.LANCZOS)
    spot = (place[0] + (size - small.width) // 2, place[1] + (size - small.height) // 2)
    sheet.paste(small, spot, small if small.mode == "RGBA" else None)


def label(draw: ImageDraw.ImageDraw, text: str, place: tuple[float, float]) -> None:
    """A caption, centred below a cell."""
    draw.text((place[0], place[1] + CAPTION / 2), text[:24], fill=GREY, anchor="mm", font_size=9)


def save_sheet(sheet: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a sheet; PNG with 256 colours, which keeps it small.

    Raises:
        DataError: the file cannot be written, or its suffix is no picture format.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix.lower() == ".png":
            sheet.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
        else:
            sheet.save(target)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot write the contact sheet {target}: {error}; choose a path that ends in .png") from None
