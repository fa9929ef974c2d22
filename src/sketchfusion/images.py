"""Reading pictures: checked, upright, 8-bit RGB, transparency on white. Sizes are ``(height, width)``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from sketchfusion.errors import ImageError

Picture = Image.Image | np.ndarray | Tensor | str | os.PathLike[str]

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif", ".hif"),  # needs the extra `heic`
}
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_PIXELS = 150_000_000  # Pillow itself refuses above 179 million
BAND_PIXELS = 1_000_000  # worked on at once where that takes several copies
DEEP_GREYS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
DEEPEST = 65535.0  # white of a 16-bit grey
MIN_DECODED_SIDE = 320  # enough for a thumbnail too, so that a gallery and a single call decode a JPEG alike
EXIF_ORIENTATION, EXIF_DATE_TAKEN, EXIF_DATE_CHANGED, EXIF_IFD = 0x0112, 0x9003, 0x0132, 0x8769


def open_image(source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in a file or byte string: checked against the pixel limit, but not decoded yet.

    Raises:
        ImageError: missing, not one of the known formats, damaged, or more than ``max_pixels`` pixels.
    """
    name = "the picture" if isinstance(source, bytes) else os.fspath(source)
    Image.init()
    register_heif()
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=known)
    except FileNotFoundError:
        raise ImageError(f"there is no file {name}; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder; expected a picture file") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture in a known format ({', '.join(FORMATS)}){heic_hint(name)}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has far more than the limit of {max_pixels:,} pixels; scale it down") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"cannot read {name}: {error}") from None
    if image.width * image.height > max_pixels:
        raise ImageError(f"{name} has {image.width} x {image.height} pixels, more than the limit of "
                         f"{max_pixels:,}; scale it down")
    return image


def register_heif() -> bool:
    """Teach Pillow HEIC/HEIF if the extra ``heic`` is installed; whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def heic_hint(name: str) -> str:
    """What to install, where the name ends like an iPhone photo and the extra is missing; otherwise nothing."""
    is_heif = Path(name).suffix.lower() in FORMATS["HEIF"]
    return "; for HEIC install the extra: pip install 'sketchfusion[heic]'" if is_heif and not register_heif() else ""


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) after the EXIF rotation, read from the header.

    Raises:
        ImageError: damaged data; of a PNG Pillow reads all of it in search of the orientation.
    """
    try:
        turned = image.getexif().get(EXIF_ORIENTATION) in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow turned it
    except Exception as error:
        raise damaged(image, error) from None
    return (image.width, image.height) if turned else (image.height, image.width)


def decode(image: Image.Image, *, canvas_side: int | None = None) -> Image.Image:
    """Upright 8-bit RGB of the first frame, transparency composited on white.

    Args:
        image: as ``open_image`` gives it.
        canvas_side: side of the canvas that it goes to; a JPEG of more than twice that is decoded at the nearest
            larger eighth of its size, which is quicker and looks the same after scaling down. None: in full.
    Raises:
        ImageError: damaged or cut-off data.
    """
    try:
        if canvas_side is not None:
            enough = max(2 * canvas_side, MIN_DECODED_SIDE)
            image.draft("RGB", (enough, enough))
        image.seek(0)
        image.load()
        is_upright = image.getexif().get(EXIF_ORIENTATION, 1) not in range(2, 9)
        return to_rgb(image if is_upright else ImageOps.exif_transpose(image))  # which would copy it anyway
    except Image.DecompressionBombError as error:
        raise ImageError(f"the picture is too large: {error}; scale it down first") from None
    except ImageError as error:
        raise ImageError(f"cannot read {called(image)}: {error}") from None
    except Exception as error:  # Pillow's decoders raise many types on damaged data: struct.error, KeyError, ...
        raise damaged(image, error) from None


def damaged(image: Image.Image, error: Exception) -> ImageError:
    """What to say of a picture whose data cannot be read."""
    return ImageError(f"cannot decode {called(image)}: {type(error).__name__}: {error}; the file is damaged or cut off")


def called(image: Image.Image) -> str:
    """What to call a picture in messages: its file, where it has one."""
    return getattr(image, "filename", "") or "the picture"


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; alpha and palette transparency on white; deeper greys scaled to 8 bits (``grey_range``).

    Raises:
        ImageError: none of the deeper greys is finite.
    """
    if image.mode in DEEP_GREYS:
        low, high = grey_range(image)
        return in_bands(image, lambda band: to_grey(band, low, high))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return in_bands(image, on_white)
    return image.convert("RGB")


def in_bands(image: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """RGB of what ``change`` makes of each band; apart from the result, little is in memory at once."""
    rgb = Image.new("RGB", image.size)
    for top, band in bands(image):
        rgb.paste(change(band), (0, top))
    return rgb


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in pieces of whole rows, about ``BAND_PIXELS`` each, and the row at which each begins."""
    rows = max(1, BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def on_white(image: Image.Image) -> Image.Image:
    """RGB of a picture with transparency."""
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def grey_range(image: Image.Image) -> tuple[float, float]:
    """What is black and what is white among greys of 16 or 32 bits.

    Black is 0, and white is the highest value of floats and 65,535 of integers. Values below or, of integers, above
    that are scaled from the lowest to the highest.

    Raises:
        ImageError: no value is finite.
    """
    low, high = np.inf, -np.inf
    for _, band in bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise ImageError("none of its values is a finite number; expected a grey level for each pixel")
    is_float = image.mode == "F"
    return (0.0, high if is_float else DEEPEST) if low >= 0 and (is_float or high <= DEEPEST) else (low, high)


def to_grey(image: Image.Image, low: float, high: float) -> Image.Image:
    """Deeper greys as 8-bit levels; what is not finite, such as the NaN of a pixel without data, is white."""
    values = np.asarray(image).astype(np.float64)
    levels = np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).round()
    return Image.fromarray(np.where(np.isfinite(values), levels, 255).astype(np.uint8))


def date_taken(image: Image.Image) -> str | None:
    """EXIF date, ``YYYY-MM-DDTHH:MM:SS`` in the camera's local time; None where there is none or it is malformed."""
    try:
        exif = image.getexif()
        text = exif.get_ifd(EXIF_IFD).get(EXIF_DATE_TAKEN) or exif.get(EXIF_DATE_CHANGED)
        date, time = str(text).strip("\0 ").split(" ")
        year, month, day = (int(part) for part in date.split(":"))
        hour, minute, second = (int(part) for part in time.split(":"))
        stamp = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
        np.datetime64(stamp)
        return stamp if year >= 1826 else None  # no photograph is older; cameras without a clock write 0000
    except Exception:
        return None


def as_image(picture: Picture) -> Image.Image:
    """Any accepted picture as upright RGB in full size.

    Args:
        picture: path, PIL image, (H, W), (H, W, 3) or (H, W, 4) uint8 array, or (3, H, W) tensor in [0, 1].
    Raises:
        ImageError: not a picture, wrong shape, range or type, or unreadable.
    """
    if isinstance(picture, (str, os.PathLike)):
        return decode(open_image(picture))
    if isinstance(picture, Image.Image):
        return decode(picture.copy())
    if isinstance(picture, Tensor):
        return from_tensor(picture)
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    raise ImageError(f"expected a path, PIL image, array or tensor, got {type(picture).__name__}")


def from_tensor(picture: Tensor) -> Image.Image:
    """(3, H, W) floats in [0, 1] -> RGB image."""
    if picture.ndim != 3 or picture.shape[0] != 3 or not picture.numel():
        raise ImageError(f"a tensor picture must be (3, H, W), got {tuple(picture.shape)}")
    if not picture.is_floating_point() or not 0 <= picture.min() <= picture.max() <= 1:
        raise ImageError("a tensor picture must hold floats in [0, 1]; divide 8-bit values by 255")
    return Image.fromarray((picture.detach().permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy())


def from_array(picture: np.ndarray) -> Image.Image:
    """(H, W), (H, W, 3) or (H, W, 4) uint8 -> RGB image."""
    channels = picture.shape[2] if picture.ndim == 3 else 1
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or channels not in (1, 3, 4) or not picture.size:
        raise ImageError("an array picture must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), "
                         f"got {picture.dtype} {picture.shape}")
    return to_rgb(Image.fromarray(picture.squeeze(2) if picture.ndim == 3 and channels == 1 else picture))


def each_picture(pictures: Iterable[Picture] | Picture) -> Iterator[Picture]:
    """The pictures one by one, whether one or many were given; a 4-dimensional array or tensor holds many.

    Raises:
        ImageError: there is none.
    """
    is_one = not isinstance(pictures, Iterable) or isinstance(pictures, (str, os.PathLike, Image.Image)) \
        or getattr(pictures, "ndim", 4) < 4
    count = 0
    for picture in [pictures] if is_one else pictures:  # type: ignore[union-attr]
        yield picture  # type: ignore[misc]
        count += 1
    if not count:
        raise ImageError("no picture was given; expected at least one")
