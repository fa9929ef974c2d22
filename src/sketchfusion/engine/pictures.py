"""Sheets of small pictures, to look at while training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

LABEL_HEIGHT, GAP = 14, 2


def sheet(images_01: Tensor, columns: int, labels: Sequence[str] = ()) -> Image.Image:
    """Pictures in rows on white.

    Args:
        images_01: (N, 3, H, W) in [0, 1], row by row.
        columns: pictures in a row.
        labels: texts above the columns, as long as fits.
    """
    pixels = (images_01.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    count, height, width = pixels.shape[:3]
    top = LABEL_HEIGHT if labels else 0
    rows = -(-count // columns)
    page = Image.new("RGB", (columns * (width + GAP), top + rows * (height + GAP)), "white")
    for index, picture in enumerate(pixels):
        page.paste(Image.fromarray(picture), (index % columns * (width + GAP), top + index // columns * (height + GAP)))
    pen = ImageDraw.Draw(page)
    for column, label in enumerate(labels[:columns]):
        pen.text((column * (width + GAP), 1), label[: width // 6], fill="black")
    return page


def save_sheet(file: Path, images_01: Tensor, columns: int, labels: Sequence[str] = ()) -> None:
    """Write a sheet as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet(images_01, columns, labels).save(file)
