"""Cutting out: known masks are found, whatever the ground; what is not clean is refused, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sketchfusion.data.composites import CutOut, Rejected, cut_out
from sketchfusion.data.composites.colour import to_lab
from sketchfusion.data.composites.matte import lab_to_rgb

WIDTH, HEIGHT = 170, 130
BLOB = [(40, 95), (30, 60), (55, 30), (80, 48), (120, 22), (140, 60), (115, 100), (85, 82)]


def picture(ground: np.ndarray, shape: list[tuple[int, int]] = BLOB, *, hole: bool = False,
            noise: float = 1.0) -> tuple[Image.Image, np.ndarray]:
    """A photo of a two-coloured blob on an (H, W, 3) ground, and the true mask."""
    large = Image.new("L", (4 * WIDTH, 4 * HEIGHT), 0)
    draw = ImageDraw.Draw(large)
    draw.polygon([(4 * x, 4 * y) for x, y in shape], fill=255)
    if hole:
        draw.ellipse((4 * 60, 4 * 55, 4 * 76, 4 * 71), fill=0)
    alpha = np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) / 255.0
    inside = np.empty((HEIGHT, WIDTH, 3))
    inside[:, :85], inside[:, 85:] = (200, 40, 30), (30, 70, 160)
    mixed = ground + (inside - ground) * alpha[..., None]
    mixed += np.random.default_rng(0).normal(size=mixed.shape) * noise
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)), alpha > 0.5


def plain(colour: tuple[int, int, int], slope: float = 0.0) -> np.ndarray:
    """(H, W, 3) ground of one colour, darker to the lower right by ``slope`` levels."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    return np.array(colour, dtype=float) - slope * (x * x + y)[..., None] / 2


def full_mask(cut: CutOut) -> np.ndarray:
    """The mask in the frame of the photo."""
    canvas = np.zeros((HEIGHT + 20, WIDTH + 20), dtype=bool)
    left, top, right, bottom = cut.box
    canvas[top + 10 : bottom + 10, left + 10 : right + 10] = cut.mask
    return canvas[10:-10, 10:-10]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


GROUNDS = {"white": plain((255, 255, 255)), "grey gradient": plain((190, 192, 188), 50), "black": plain((4, 4, 6)),
           "green": plain((70, 150, 80), 30), "dark gradient": plain((70, 60, 60), 30)}


@pytest.mark.parametrize("name", GROUNDS)
def test_a_known_mask_is_found_on_any_plain_ground(name: str) -> None:
    photo, truth = picture(GROUNDS[name])
    cut = cut_out(photo)
    assert isinstance(cut, CutOut), cut
    assert overlap(full_mask(cut), truth) > 0.97


def test_a_hole_that_shows_the_ground_is_open() -> None:
    photo, truth = picture(plain((240, 240, 235), 10), hole=True)
    cut = cut_out(photo)
    assert isinstance(cut, CutOut), cut
    assert not full_mask(cut)[63, 68]
    assert overlap(full_mask(cut), truth) > 0.96


def test_a_soft_shadow_is_ground() -> None:
    shadow = Image.new("L", (WIDTH, HEIGHT), 0)
    ImageDraw.Draw(shadow).ellipse((40, 85, 150, 118), fill=60)
    ground = plain((245, 245, 245)) - np.asarray(shadow.filter(ImageFilter.GaussianBlur(9)), dtype=float)[..., None]
    photo, truth = picture(ground)
    cut = cut_out(photo)
    assert isinstance(cut, CutOut), cut
    assert overlap(full_mask(cut), truth) > 0.96


def test_the_edge_is_soft_and_free_of_the_ground() -> None:
    cut = cut_out(picture(plain((20, 230, 40)))[0])
    assert isinstance(cut, CutOut), cut
    soft = (cut.alpha > 0) & (cut.alpha < 255)
    outline = int((cut.mask & ~np.roll(cut.mask, 1, axis=0)).sum() * 4)
    assert 0 < soft.sum() < 4 * outline
    visible = cut.rgb[cut.alpha > 100].astype(int)
    green = visible[:, 1] - np.maximum(visible[:, 0], visible[:, 2])
    assert (green > 40).mean() < 0.01  # the ground's green does not shine through


def noisy() -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(values).filter(ImageFilter.GaussianBlur(3))


def faint() -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 250))
    ImageDraw.Draw(image).polygon(BLOB, fill=(252, 238, 226))
    return image


def leaving() -> Image.Image:
    return picture(plain((250, 250, 250)), [(60, -5), (110, -5), (180, 60), (180, 110), (90, 100)])[0]


def framed() -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 250))
    image.paste(noisy().crop((0, 0, WIDTH - 40, HEIGHT - 40)), (20, 20))
    return image


def scattered() -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 250))
    draw = ImageDraw.Draw(image)
    for x in range(20, 150, 30):
        for y in range(20, 110, 30):
            draw.ellipse((x, y, x + 18, y + 18), fill=(30, 30, 160))
    return image


REFUSED = {
    "not plain": noisy, "faint": faint, "runs out": leaving, "separate pieces": scattered,
    "too small or too large": lambda: picture(plain((250, 250, 250)), [(80, 60), (90, 60), (85, 72)])[0],
    "nothing stands out": lambda: Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 250)),
    "too small": lambda: Image.new("RGB", (20, 20))}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_not_clean_is_refused_with_the_reason(reason: str) -> None:
    result = cut_out(REFUSED[reason]())
    assert isinstance(result, Rejected)
    assert reason in result.reason or (reason == "faint" and "tolerance" in result.reason), result


def test_a_picture_in_a_frame_is_no_object() -> None:
    assert isinstance(cut_out(framed()), Rejected)


def test_a_white_frame_is_taken_off() -> None:
    photo, truth = picture(plain((205, 208, 214), 15))
    page = Image.new("RGB", (WIDTH + 40, HEIGHT + 60), "white")
    page.paste(photo, (20, 30))
    cut = cut_out(page)
    assert isinstance(cut, CutOut), cut
    left, top, right, bottom = cut.box
    assert overlap(cut.mask, np.pad(truth, 40)[top + 10 : bottom + 10, left + 20 : right + 20]) > 0.97


def test_transparency_is_kept() -> None:
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    alpha[30:90, 40:120] = 255
    alpha[30, 40:120] = 128
    rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8), alpha])
    cut = cut_out(Image.fromarray(rgba))
    assert isinstance(cut, CutOut)
    assert cut.box == (38, 28, 122, 92)
    assert cut.mask.sum() == 60 * 80


def test_lab_and_back() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    np.testing.assert_allclose(lab_to_rgb(to_lab(rgb)), rgb, atol=0.01)
    np.testing.assert_allclose(to_lab(np.full((1, 1, 3), 255, dtype=np.uint8))[0, 0], [100, 0, 0], atol=0.01)


@pytest.mark.realdata
def test_real_photos(data_root: Path) -> None:
    """Of 60 photos of things on paper a third or more is cut, and each cut meets what the gate promises."""
    folder = data_root / "caltech101"
    photos = [path for name in ("Motorbikes", "inline_skate", "grand_piano", "wrench") for path in
              sorted((folder / name).glob("*.jpg"))[:15]]
    cuts = [cut_out(Image.open(path)) for path in photos]
    clean = [cut for cut in cuts if isinstance(cut, CutOut)]
    assert len(photos) == 60
    assert len(clean) >= 20
    for cut in clean:
        assert 0.02 < cut.mask.mean() < 0.98
        assert cut.measures["contrast"] >= 12
        assert not cut.alpha[0].any()
        assert not cut.alpha[:, -1].any()
    scenes = [cut_out(Image.open(path)) for path in sorted((folder / "Leopards").glob("*.jpg"))[:8]]
    assert all(isinstance(result, Rejected) for result in scenes)
