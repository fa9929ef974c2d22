"""From files to canvases: threads read and decode ahead of the model, no further than memory allows."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

from sketchfusion.canvas import Canvas
from sketchfusion.errors import ImageError
from sketchfusion.images import date_taken, decode, open_image, upright_size
from sketchfusion.index.scan import OUTSIDE, FoundFile, lies_within

THUMBNAIL_SIDE = 160
Place = Callable[[Image.Image, tuple[int, int]], Canvas]
LARGE_PIXELS = 50_000_000  # photos above are decoded one at a time, so that several do not fill the memory


@dataclass(frozen=True, eq=False)
class Reading:
    """A photo that was read.

    Attributes:
        file: where it is.
        hash: of its content.
        date: naive local time.
        size: (height, width) of the upright photo.
        canvas: of one picture; None where the descriptor of this content is known already.
        thumbnail: JPEG; empty where there is no canvas.
    """

    file: FoundFile
    hash: str
    date: datetime
    size: tuple[int, int]
    canvas: Canvas | None = None
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no photo; ``damaged`` where its content is at fault, not the access to it."""

    file: FoundFile
    reason: str
    damaged: bool


def hash_file(path: str | os.PathLike[str]) -> str:
    """Hexadecimal BLAKE2b of a file's content, 160 bits. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


class PhotoReader:
    """Turns files into readings; safe to use from several threads.

    Args:
        canvas_size: side of the canvas in pixels.
        place: puts an upright RGB photo on its canvas, given the (height, width) of its original.
        known: hashes whose descriptor need not be computed; may grow while reading goes on.
        within: see ``scan``; looked at once more, before and after a file is read.
    """

    def __init__(self, canvas_size: int, place: Place, known: Container[str],
                 within: Sequence[str] | None = None) -> None:
        self.canvas_size, self.place, self.known, self.within = canvas_size, place, known, within
        self.one_large = threading.Lock()

    def read(self, file: FoundFile, *, always: bool = False) -> Reading | Unreadable:
        """Read one file; never raises. With ``always`` a canvas is made even if the content is known."""
        try:
            if not lies_within(file.path, self.within):
                return Unreadable(file, OUTSIDE, damaged=False)
            content = hash_file(file.path)
            if file.size == 0:
                return Unreadable(file, "the file is empty", damaged=True)
            with open_image(file.path) as image:
                reading = self.decode(file, content, image, make_canvas=always or content not in self.known)
            state = Path(file.path).stat()
            if (state.st_size, state.st_mtime_ns) != (file.size, file.mtime_ns):
                return Unreadable(file, "the file changed while it was read; index again", damaged=False)
            if not lies_within(file.path, self.within):
                return Unreadable(file, OUTSIDE, damaged=False)
            return reading
        except ImageError as error:
            return Unreadable(file, str(error).replace(file.path, "the file"), damaged=True)
        except OSError as error:
            return Unreadable(file, f"the file cannot be read: {error.strerror or error}", damaged=False)
        except Exception as error:  # one file must never stop a run over thousands
            return Unreadable(file, f"the file cannot be read: {type(error).__name__}: {error}", damaged=True)

    def decode(self, file: FoundFile, content: str, image: Image.Image, *, make_canvas: bool) -> Reading:
        """Date and size from the header and, if wanted, canvas and thumbnail from the pixels."""
        taken = date_taken(image)
        date = datetime.fromisoformat(taken) if taken else file_date(file.mtime_ns)
        size = upright_size(image)
        if not make_canvas:
            return Reading(file, content, date, size)
        with self.one_large if image.width * image.height > LARGE_PIXELS else nullcontext():
            photo = decode(image, canvas_side=self.canvas_size)
            return Reading(file, content, date, size, self.place(photo, size), make_thumbnail(photo))


def file_date(mtime_ns: int) -> datetime:
    """Naive local time of a last change, to the second; the epoch where the clock was nonsense."""
    try:
        return datetime.fromtimestamp(mtime_ns // 1_000_000_000)
    except (OverflowError, ValueError, OSError):
        return datetime(1970, 1, 1)


def make_thumbnail(photo: Image.Image) -> bytes:
    """JPEG of an RGB photo, its longer side at most ``THUMBNAIL_SIDE`` pixels."""
    small = photo.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()


@contextmanager
def reading(files: Iterable[FoundFile], reader: PhotoReader, *, workers: int,
            ahead: int) -> Iterator[Iterator[Reading | Unreadable]]:
    """What the files hold, in order; ``workers`` threads read at most ``ahead`` files before they are asked for."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-photos")

    def results() -> Iterator[Reading | Unreadable]:
        waiting: deque[Future[Reading | Unreadable]] = deque()
        for file in files:
            waiting.append(pool.submit(reader.read, file))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield results()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
