"""Files of photos: handed out only while they are what was indexed."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from sketchfusion.apps.web.errors import ApiError
from sketchfusion.images import FORMATS, decode, open_image
from sketchfusion.index.store import Photo

TYPES = {suffix: f"image/{kind.lower()}" for kind, suffixes in FORMATS.items() for suffix in suffixes}
SHOWN = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/bmp", "image/gif")  # by every browser
QUALITY = 88


def check_file(photo: Photo) -> None:
    """Raise ApiError 404: the file is gone, or not what was indexed."""
    name = Path(photo.path).name
    try:
        state = os.stat(photo.path)  # noqa: PTH116
    except OSError:
        raise ApiError(404, "photo_gone", f"the file of {name} is not there any more, or cannot be read; connect its "
                       "disk, or index the folder again so that the photo leaves the gallery") from None
    if (state.st_size, state.st_mtime_ns) != (photo.size, photo.mtime_ns):
        raise ApiError(404, "photo_gone", f"the file of {name} was changed since it was indexed; index the "
                       "folder again")


def read_photo(photo: Photo, side: int | None = None) -> Image.Image:
    """The upright photo as RGB, no larger than ``side`` where that is given.

    Raises:
        ApiError: 404, the file is gone or was changed.
        ImageError: it cannot be decoded.
    """
    check_file(photo)
    with open_image(photo.path) as opened:
        picture = decode(opened, canvas_side=side)
    if side is not None:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def as_jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG, without any metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def media_type(photo: Photo) -> str:
    """Of the file, by its suffix."""
    return TYPES.get(Path(photo.path).suffix.lower(), "application/octet-stream")
