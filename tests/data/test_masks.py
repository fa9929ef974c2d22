"""Masks: what is read as the thing, and what is no mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchfusion.data.masks import read_mask
from sketchfusion.errors import DataError, ImageError


def save(levels: list[int], folder: Path, mode: str = "L") -> Path:
    """A mask of one row."""
    picture = Image.fromarray(np.array([levels], np.uint8))
    if mode == "P":
        picture.putpalette([0, 0, 0, 128, 0, 0, *[255] * 762])  # as of VOC, where 1 is dark red
    (picture if mode == "P" else picture.convert(mode)).save(folder / "mask.png")
    return folder / "mask.png"


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_the_thing_is_above_the_middle_grey(tmp_path: Path, mode: str) -> None:
    assert read_mask(save([0, 255, 0], tmp_path, mode), (1, 3)).tolist() == [[False, True, False]]
    assert read_mask(save([127, 128], tmp_path), (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize(("levels", "highest"), [([0, 1, 1], 1), ([0, 0], 0), ([0, 20, 127], 127)])
def test_a_mask_that_marks_nothing_is_refused(tmp_path: Path, levels: list[int], highest: int) -> None:
    with pytest.raises(DataError, match=rf"mask\.png marks nothing: its highest level is {highest}; expected levels "
                                        r"above 127 where the thing is: save it with 0 and 255"):
        read_mask(save(levels, tmp_path), (1, len(levels)))


@pytest.mark.parametrize("levels", [[0, 1], [0, 255], [0, 15, 255]])
def test_numbers_of_a_palette_are_no_levels(tmp_path: Path, levels: list[int]) -> None:
    """Neither the number nor the colour tells: 255 is the border of a thing in VOC, and some classes are bright."""
    with pytest.raises(DataError, match=r"mask\.png has a palette, .* save it as grey with 0 and 255"):
        read_mask(save(levels, tmp_path, "P"), (1, len(levels)))


def test_a_mask_has_the_size_of_its_photo(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mask\.png has 3 x 1 pixels and its photo 2 x 5; expected the same size"):
        read_mask(save([0, 255, 255], tmp_path), (5, 2))


def test_an_unreadable_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"mask\.png"):
        read_mask(tmp_path / "mask.png", (1, 1))
