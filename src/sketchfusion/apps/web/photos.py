"""Files of photos: handed out only while they are what was indexed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from PIL import Image

from sketchfusion.apps.web.errors import ApiError, printable
from sketchfusion.apps.web.sketches import in_turn
from sketchfusion.images import FORMATS, decode, open_image
from sketchfusion.index.store import Photo

TYPES = {suffix: f"image/{kind.lower()}" for kind, suffixes in FORMATS.items() for suffix in suffixes}
SHOWN = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/bmp", "image/gif")  # by every browser
QUALITY = 88
PIECE = 2**18


def open_photo(photo: Photo, root: Path) -> BufferedReader:
    """The file of a photo, open for reading, and certain to be what was indexed.

    Where it really lies below ``root``, all links followed, it must have the size and the time that were recorded.
    Anywhere else it must also have the very content, so that no link laid later leads to other files.

    Args:
        root: folder below which the page may index, all links followed.
    Raises:
        ApiError: 404, the file is gone, cannot be read, or is not what was indexed.
    """
    try:
        file = open(photo.path, "rb", opener=without_waiting)  # noqa: SIM115, the caller closes it
        try:
            check_file(file, photo, root)
        except BaseException:
            file.close()
            raise
        return file
    except OSError:
        raise gone(photo) from None


def check_file(file: BufferedReader, photo: Photo, root: Path) -> None:
    """Raise ApiError 404 where the open file is not what was indexed; see ``open_photo``. Raises OSError."""
    state = os.fstat(file.fileno())
    same = stat.S_ISREG(state.st_mode) and (state.st_size, state.st_mtime_ns) == (photo.size, photo.mtime_ns)
    if not same or not (lies_below(root, photo.path, state) or content_of(file) == photo.hash):
        raise ApiError(404, "photo_gone", f"the file of {name_of(photo)} was changed since it was indexed; index the "
                       "folder again")


def without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe to which nobody writes does not block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def lies_below(root: Path, path: str, state: os.stat_result) -> bool:
    """Whether the open file of this state really lies below the root, whatever links lead to it."""
    try:
        real = Path(path).resolve(strict=True)
        return real.is_relative_to(root) and os.path.samestat(real.lstat(), state)
    except (OSError, RuntimeError):
        return False


def content_of(file: BufferedReader) -> str:
    """As ``index.pipeline.hash_file``; the file is at its beginning afterwards. Raises OSError."""
    content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    file.seek(0)
    return content


def name_of(photo: Photo) -> str:
    """Of its file."""
    return printable(Path(photo.path).name)


def gone(photo: Photo) -> ApiError:
    """404: the file is not there."""
    return ApiError(404, "photo_gone", f"the file of {name_of(photo)} is not there any more, or cannot be read; "
                    "connect its disk, or index the folder again so that the photo leaves the gallery")


def pieces(file: BufferedReader, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of an open file, which is closed then."""
    with file:
        while size > 0 and (piece := file.read(min(PIECE, size))):
            size -= len(piece)
            yield piece


def decode_photo(photo: Photo, root: Path, canvas_side: int | None = None) -> Image.Image:
    """The upright photo as RGB; see ``images.decode``.

    Raises:
        ApiError: 404, see ``open_photo``.
        ImageError: it cannot be decoded.
    """
    with open_photo(photo, root) as file:
        try:
            data = file.read()
        except OSError:
            raise gone(photo) from None
    with open_image(data) as image, in_turn(image):
        return decode(image, canvas_side=canvas_side)


def read_photo(photo: Photo, root: Path, side: int | None = None) -> Image.Image:
    """The upright photo as RGB, no larger than ``side`` where that is given. Raises: see ``decode_photo``."""
    picture = decode_photo(photo, root, side)
    if side is not None:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def as_png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def as_jpeg(picture: Image.Image) -> bytes:
    """The picture as a JPEG, without any metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def media_type(photo: Photo) -> str:
    """Of the file, by its suffix."""
    return TYPES.get(Path(photo.path).suffix.lower(), "application/octet-stream")
