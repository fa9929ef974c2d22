"""Reading pictures of every kind, the square canvas, and the two frames of its points."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from sketchfusion import images
from sketchfusion.canvas import make_canvas, place_on_canvas, read_canvas
from sketchfusion.errors import ImageError
from sketchfusion.images import as_image, each_picture, open_image, to_rgb

Draw = Callable[[tuple[int, int], int], Image.Image]
GREY = (124, 116, 104)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_every_exif_orientation_is_turned_upright(orientation: int, suffix: str, tmp_path: Path,
                                                  draw_picture: Draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"turned.{suffix}"
    draw_picture((96, 40), 3).save(file, exif=exif)
    with Image.open(file) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
    assert np.array_equal(np.asarray(as_image(file)), np.asarray(expected))
    canvas = read_canvas(file, 64, GREY)
    assert canvas.sizes.tolist() == [[expected.height, expected.width]]
    assert torch.equal(canvas.pixels, place_on_canvas(expected, 64, GREY).pixels)


def test_transparency_is_composited_on_white() -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0] = (200, 0, 0, 255), (200, 0, 0, 128)
    rgba[1] = (200, 0, 0, 0), (0, 0, 0, 51)
    expected = [[(200, 0, 0), (227, 127, 127)], [(255, 255, 255), (204, 204, 204)]]
    np.testing.assert_allclose(np.asarray(as_image(rgba)), expected, atol=1)
    np.testing.assert_allclose(np.asarray(to_rgb(Image.fromarray(rgba))), expected, atol=1)


def test_palette_and_grey_transparency_are_white_too(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert np.asarray(as_image(tmp_path / "palette.png")).tolist() == [[[255, 255, 255], [200, 0, 0]]]
    grey = Image.new("LA", (2, 1), (0, 0))
    grey.putpixel((1, 0), (80, 255))
    grey.save(tmp_path / "grey.png")
    assert np.asarray(as_image(tmp_path / "grey.png")).tolist() == [[[255, 255, 255], [80, 80, 80]]]


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(as_image(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 100, 255]


RAMP = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


def levels_of(values: np.ndarray, tmp_path: Path) -> np.ndarray:
    """Grey levels of a TIFF that holds these values."""
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    return np.asarray(as_image(tmp_path / "deep.tiff"))[..., 0]


@pytest.mark.parametrize("values", [
    RAMP - 1, 500 * RAMP - 250, (2**20 * RAMP).astype(np.int32), (1000 * RAMP).astype(np.int32) - 500])
def test_deep_greys_are_scaled_from_the_lowest_to_the_highest(values: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_allclose(levels_of(values, tmp_path), (255 * RAMP).round(), atol=1)


@pytest.mark.parametrize(("values", "top"), [
    (RAMP, 1.0), (255 * RAMP, 255.0), (65535 * RAMP, 65535.0), (10 + 30 * RAMP, 40.0), (0 * RAMP, 1.0),
    ((65535 * RAMP).astype(np.int32), 65535.0), ((1000 * RAMP).astype(np.int32), 65535.0)])
def test_deep_greys_that_begin_at_zero(values: np.ndarray, top: float, tmp_path: Path) -> None:
    expected = (values.astype(np.float64) / top * 255).clip(0, 255).round()
    assert np.array_equal(levels_of(values, tmp_path), expected)


def whole_rgb(image: Image.Image) -> Image.Image:
    """What ``to_rgb`` gives, worked out for the whole picture at once."""
    if image.mode not in ("I;16", "I;16B", "I", "F"):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    values = np.asarray(image).astype(np.float64)
    finite = np.isfinite(values)
    low, high = values[finite].min(), values[finite].max()
    if low >= 0 and (image.mode == "F" or high <= 65535):
        low, high = 0.0, high if image.mode == "F" else 65535.0
    levels = np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).round()
    return Image.fromarray(np.where(finite, levels, 255).astype(np.uint8)).convert("RGB")


def noisy(mode: str) -> Image.Image:
    """23 x 37 random pixels of a mode; "F" with holes, and with its lowest and highest value far apart."""
    dice = np.random.default_rng(7)
    if mode == "F":
        values = dice.normal(0, 50, (37, 23)).astype(np.float32)
        values[3:5, 2:9], values[36, 1] = np.nan, np.inf
        return Image.fromarray(values)
    if mode == "I":
        return Image.fromarray(dice.integers(-9000, 2**20, (37, 23)).astype(np.int32))
    if mode in ("I;16", "I;16B"):
        deep = dice.integers(0, 65536, (37, 23)).astype(np.uint16)
        data = deep.byteswap() if mode == "I;16B" else deep
        return Image.frombytes(mode, (23, 37), data.tobytes())
    image = Image.fromarray(dice.integers(0, 256, (37, 23, 4), dtype=np.uint8))
    if mode == "P":
        palette = image.convert("RGB").quantize(16)
        palette.info["transparency"] = bytes(range(0, 256, 16))
        return palette
    if mode in ("L", "RGB"):  # one level or colour is transparent
        image = image.convert(mode)
        image.info["transparency"] = image.getpixel((5, 20))
        return image
    return image.convert("LA").convert("PA") if mode == "PA" else image.convert(mode)


@pytest.mark.parametrize("rows", [1, 5, 37, 1000])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "P", "L", "RGB", "I", "F", "I;16", "I;16B"])
def test_bands_of_rows_give_what_the_whole_picture_gives(mode: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noisy(mode)
    expected = np.asarray(whole_rgb(image))
    assert len(np.unique(expected)) > 10
    monkeypatch.setattr(images, "BAND_PIXELS", 23 * rows)
    assert np.array_equal(np.asarray(to_rgb(image)), expected)
    monkeypatch.setattr(images, "BAND_PIXELS", 5)  # less than a row
    assert np.array_equal(np.asarray(to_rgb(image)), expected)


PEAK = """
import sys
from pathlib import Path
from sketchfusion.images import decode, open_image
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
before = peak()
decode(open_image(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_decoding_takes_little_more_memory_than_what_is_read_and_what_it_gives(mode: str, tmp_path: Path) -> None:
    side = 4000
    Image.new(mode, (side, side), 999 if mode == "I;16" else "blue").save(tmp_path / "large.png", compress_level=1)
    run = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path / "large.png")], capture_output=True, check=True)
    assert int(run.stdout) < 11 * side**2  # Pillow has four bytes for each pixel of RGB, two for one of 16-bit grey


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_pixels_without_data_are_white(hole: float, tmp_path: Path) -> None:
    values = RAMP.copy()
    values[0, 0] = hole
    expected = (255 * RAMP).round()
    expected[0, 0] = 255
    assert np.array_equal(levels_of(values, tmp_path), expected)
    with pytest.raises(ImageError, match=r"cannot read .*deep\.tiff: none of its values is a finite number"):
        levels_of(np.full((4, 4), hole, np.float32), tmp_path)


def test_cmyk_jpegs_become_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    np.testing.assert_allclose(np.asarray(as_image(tmp_path / "print.jpg"))[8, 8], (200, 40, 40), atol=6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV",
                                  "I", "F", "I;16", "I;16B", "RGBa"])
def test_every_mode_of_pillow_becomes_rgb(mode: str) -> None:
    image = as_image(Image.new(mode, (4, 3)))
    assert (image.mode, image.size) == ("RGB", (4, 3))


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    for name in ("moving.gif", "moving.webp"):
        assert np.asarray(as_image(tmp_path / name))[4, 4].tolist() == [255, 0, 0], name


def test_of_a_multi_picture_jpeg_the_first_is_taken(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "phone.jpg", format="MPO", save_all=True,
                                           append_images=[Image.new("RGB", (16, 16), "blue")])
    np.testing.assert_allclose(np.asarray(as_image(tmp_path / "phone.jpg"))[8, 8], (255, 0, 0), atol=4)
    np.testing.assert_allclose(read_canvas(tmp_path / "phone.jpg", 8, GREY).pixels[0, :, 4, 4], (255, 0, 0), atol=4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "bmp", "gif", "tiff"])
def test_every_format_is_read_whatever_the_file_is_called(suffix: str, tmp_path: Path, draw_picture: Draw) -> None:
    draw_picture((40, 30), 1).save(tmp_path / f"picture.{suffix}")
    (tmp_path / f"picture.{suffix}").rename(tmp_path / "nameless")
    assert as_image(tmp_path / "nameless").size == (40, 30)


def test_more_pixels_than_allowed_are_refused_before_decoding(tmp_path: Path) -> None:
    Image.new("RGB", (50, 20)).save(tmp_path / "large.png")
    with pytest.raises(ImageError, match=r"has 50 x 20 pixels, more than the limit of 999"):
        open_image(tmp_path / "large.png", max_pixels=999)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (400, 400)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="far more than the limit"):
        read_canvas(tmp_path / "bomb.png", 64, GREY)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "bmp", "gif", "tiff"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_cut_off_file_is_an_error_with_its_name(suffix: str, share: float, tmp_path: Path,
                                                  draw_picture: Draw) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    draw_picture((80, 60), 1).save(whole)
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ImageError, match=f"cut.{suffix}"):
        read_canvas(cut, 64, GREY)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("noise", range(8))
def test_flipped_bytes_are_read_or_refused_but_never_crash(noise: int, tmp_path: Path, draw_picture: Draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0132] = "2024:01:02 03:04:05"
    for suffix in ("jpg", "png", "webp", "gif", "tiff"):
        file = tmp_path / f"broken.{suffix}"
        draw_picture((40, 30), 1).save(file, **({} if suffix == "gif" else {"exif": exif}))
        data = np.frombuffer(file.read_bytes(), np.uint8).copy()
        dice = np.random.default_rng(noise)
        data[dice.integers(0, min(len(data), 400), 6)] = dice.integers(0, 256, 6)
        file.write_bytes(data.tobytes())
        try:
            canvas = read_canvas(file, 32, GREY)
        except ImageError:
            continue
        assert canvas.pixels.shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("name", "content", "says"), [
    ("words.jpg", b"these are words", "not a picture in a known format"),
    ("empty.png", b"", "not a picture in a known format"),
    ("vector.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in a known format"),
])
def test_what_is_not_a_picture_is_an_error(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=says):
        as_image(tmp_path / name)


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no file"):
        as_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        as_image(tmp_path)


def test_heic_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sketchfusion.images.register_heif", lambda: False)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ImageError, match=r"pip install 'sketchfusion\[heic\]'"):
        as_image(tmp_path / "phone.heic")


def test_byte_strings_are_opened_too(draw_picture: Draw) -> None:
    buffer = io.BytesIO()
    draw_picture((20, 10), 1).save(buffer, "PNG")
    assert open_image(buffer.getvalue()).size == (20, 10)


def test_arrays_and_tensors_hold_the_same_picture_as_pil(draw_picture: Draw) -> None:
    picture = draw_picture((20, 10), 1)
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1) / 255
    for given_as in (picture, array, tensor):
        assert np.array_equal(np.asarray(as_image(given_as)), array)
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert np.array_equal(np.asarray(as_image(grey)), np.asarray(as_image(grey[:, :, None])))


@pytest.mark.parametrize("wrong", [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((2, 4, 4, 3), np.uint8),
    np.zeros((0, 4, 3), np.uint8), np.uint8(3), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((3, 4, 4), 1.5),
    torch.full((3, 4, 4), -0.1), torch.full((3, 4, 4), float("nan")), torch.zeros(4, 4, 3), torch.zeros(3, 0, 4),
    Image.new("RGB", (0, 3)), None, 5, b"bytes"])
def test_what_cannot_be_a_picture_is_an_error(wrong: Any) -> None:
    with pytest.raises(ImageError):
        make_canvas([wrong], 64, GREY)


def test_each_picture_takes_one_or_many(tmp_path: Path, pictures: list[Image.Image]) -> None:
    one = pictures[0]
    many = np.zeros((3, 8, 8, 3), np.uint8)
    assert list(each_picture(one)) == [one]
    assert list(each_picture("a.png")) == ["a.png"]
    assert list(each_picture(tmp_path)) == [tmp_path]
    assert list(each_picture(pictures)) == pictures
    assert list(each_picture(picture for picture in pictures)) == pictures
    assert len(list(each_picture(many))) == 3
    assert len(list(each_picture(many[0]))) == 1
    assert len(list(each_picture(torch.zeros(4, 3, 8, 8)))) == 4
    with pytest.raises(ImageError, match="no picture was given"):
        list(each_picture([]))




def test_heic_is_read_with_its_extra(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(tmp_path / "phone.heic")
    canvas = make_canvas([tmp_path / "phone.heic"], 32, (0, 0, 0))
    assert canvas.sizes.tolist() == [[48, 64]]
    assert (canvas.pixels[0, :, 16, 16] - torch.tensor([200, 30, 30])).abs().max() < 6
