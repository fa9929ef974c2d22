"""Sketches on any paper become dark on white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from sketchfusion.errors import BlankPicture
from sketchfusion.sketches import on_paper, read_sketch


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = image.convert("L").point(lambda level: 255 if level < 128 else 0).getbbox()
    assert box is not None
    return box


def pen_drawing() -> Image.Image:
    """Lines on white paper, away from its border."""
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).line([(20, 20), (140, 30), (80, 100), (20, 20)], fill="black", width=3)
    return image


def on_ground(image: Image.Image, paper: tuple[int, int, int], ink: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """A drawing in black on white, in another colour on paper of another colour."""
    white = np.asarray(image) / 255
    return Image.fromarray((white * paper + (1 - white) * ink).round().astype(np.uint8))


def cut_to_the_ink(image: Image.Image) -> Image.Image:
    return image.crop(ink_box(image))


def with_a_frame(image: Image.Image) -> Image.Image:
    framed = image.copy()
    ImageDraw.Draw(framed).rectangle((0, 0, image.width - 1, image.height - 1), outline="black", width=4)
    return framed


@pytest.mark.parametrize("change", [Image.Image.copy, cut_to_the_ink, with_a_frame])
@pytest.mark.parametrize("paper", [
    (222, 205, 170), (170, 200, 230), (235, 235, 235), (150, 115, 80), (255, 255, 0), (90, 90, 90)])
def test_coloured_paper_becomes_white(change: Callable[[Image.Image], Image.Image], paper: tuple[int, ...]) -> None:
    plain = change(pen_drawing())
    red, green, blue = paper
    found = on_paper(on_ground(plain, (red, green, blue)), "the sketch")
    np.testing.assert_allclose(np.asarray(found).min(axis=2), np.asarray(plain).min(axis=2), atol=2)
    assert np.array_equal(np.asarray(on_paper(found, "the sketch")), np.asarray(found))  # again, and nothing changes


@pytest.mark.parametrize("change", [Image.Image.copy, cut_to_the_ink])
def test_white_on_black_is_black_on_white(tmp_path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    plain = change(pen_drawing())
    ImageOps.invert(plain).save(tmp_path / "board.png")
    assert np.array_equal(np.asarray(read_sketch(tmp_path / "board.png")), np.asarray(plain))


@pytest.mark.parametrize(("paper", "ink"), [
    ((40, 70, 55), (230, 230, 220)), ((0, 0, 160), (255, 255, 255)), ((170, 200, 230), (255, 255, 255)),
    ((20, 20, 20), (240, 200, 60))])
def test_light_ink_becomes_dark(paper: tuple[int, int, int], ink: tuple[int, int, int]) -> None:
    plain = pen_drawing()
    found = np.asarray(on_paper(on_ground(plain, paper, ink), "the sketch"))
    black = np.asarray(plain)[..., 0] == 0
    assert found[~black].min() == 255
    assert found[black].min(axis=1).max() < 128


def test_ink_that_is_seen_only_where_the_paper_is_dark_is_told_to_be_blank() -> None:
    with pytest.raises(BlankPicture):
        on_paper(on_ground(pen_drawing(), (20, 200, 200), (0, 200, 200)), "the sketch")


def test_uneven_light_does_not_hide_the_paper() -> None:
    plain, dice = pen_drawing(), np.random.default_rng(0)
    light = np.linspace(0.8, 1.05, plain.width)[None, :, None] * np.linspace(1, 0.9, plain.height)[:, None, None]
    photo = np.asarray(on_ground(plain, (222, 205, 170))) * light + dice.normal(0, 4, (plain.height, plain.width, 3))
    found = np.asarray(on_paper(Image.fromarray(photo.clip(0, 255).astype(np.uint8)), "the sketch"))
    black = np.asarray(plain)[..., 0] == 0
    assert np.median(found[~black]) > 245
    assert found[black].max() < 40


def silhouette(share: float) -> Image.Image:
    """A black square in the middle of white paper, of a share of its side."""
    image = Image.new("RGB", (100, 100), "white")
    edge = round(100 * (1 - share) / 2)
    ImageDraw.Draw(image).rectangle((edge, edge, 99 - edge, 99 - edge), fill="black")
    return image


@pytest.mark.parametrize("picture", [
    pen_drawing(), cut_to_the_ink(pen_drawing()), with_a_frame(pen_drawing()), silhouette(0.6), silhouette(0.96),
    on_ground(pen_drawing(), (244, 242, 240)), Image.radial_gradient("L").convert("RGB"),
    Image.effect_noise((90, 60), 90).convert("RGB")])
def test_white_paper_and_pictures_without_paper_stay_bit_for_bit(picture: Image.Image) -> None:
    assert np.array_equal(np.asarray(on_paper(picture, "the sketch")), np.asarray(picture))


def test_real_sketches_stay_bit_for_bit(data_root: Path) -> None:
    files = sorted((data_root / "pacs_dev" / "sketch").glob("*/*"))[::40]
    assert files
    for file in files:
        assert np.array_equal(np.asarray(read_sketch(file)), np.asarray(Image.open(file).convert("RGB"))), file
