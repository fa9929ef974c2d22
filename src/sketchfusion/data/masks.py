"""Masks of photos: grey pictures of the photo's size, above 127 where the thing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sketchfusion.errors import DataError
from sketchfusion.images import decode, open_image

MARKED = 127  # levels above this are the thing


def mask_levels(file: Path) -> Image.Image:
    """The grey levels of a mask, upright.

    Raises:
        DataError: it has a palette, whose numbers may be those of classes, or it marks nothing.
        ImageError: it cannot be read.
    """
    opened = open_image(file)
    if opened.mode == "P":
        raise DataError(f"the mask {file} has a palette, and its numbers may be those of classes; expected grey "
                        f"levels, above {MARKED} where the thing is: save it as grey with 0 and 255")
    levels = decode(opened).convert("L")
    highest = int(np.asarray(levels).max())
    if highest <= MARKED:
        raise DataError(f"the mask {file} marks nothing: its highest level is {highest}; expected levels above "
                        f"{MARKED} where the thing is: save it with 0 and 255, or take out its photo and sketches")
    return levels


def read_mask(file: Path, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(H, W), whether the thing is there.

    Args:
        size: (height, width) of its photo, upright.
    Raises:
        DataError: as ``mask_levels``, or it has not the photo's size.
        ImageError: it cannot be read.
    """
    levels = mask_levels(file)
    if (levels.height, levels.width) != size:
        raise DataError(f"the mask {file} has {levels.width} x {levels.height} pixels and its photo {size[1]} x "
                        f"{size[0]}; expected the same size: make the mask again")
    return np.asarray(levels) > MARKED
