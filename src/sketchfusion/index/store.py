"""What the index asks of a vector store, in its own words; ``lance`` is the implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import pyarrow as pa

from sketchfusion.index.describer import Descriptors


@dataclass(frozen=True, eq=False)
class Photo:
    """One row of a gallery.

    Attributes:
        path, root, folder: absolute; ``folder`` holds the file, ``root`` is what was indexed.
        size, mtime_ns, hash: of the file; ``hash`` is the hexadecimal BLAKE2b of its content.
        date: naive local time, taken from EXIF, otherwise of the last change.
        width, height: pixels of the upright photo.
        descriptor: (D,) float32, unit length.
        thumbnail: JPEG.
    """

    path: str
    root: str
    folder: str
    size: int
    mtime_ns: int
    hash: str
    date: datetime
    width: int
    height: int
    descriptor: Descriptors
    thumbnail: bytes


def arrow_schema(descriptor_size: int) -> pa.Schema:
    """Arrow schema of the rows; the columns of ``Photo``, in order."""
    text, whole = pa.string(), pa.int64()
    return pa.schema([
        pa.field("path", text, nullable=False), pa.field("root", text, nullable=False),
        pa.field("folder", text, nullable=False), pa.field("size", whole, nullable=False),
        pa.field("mtime_ns", whole, nullable=False), pa.field("hash", text, nullable=False),
        pa.field("date", pa.timestamp("us"), nullable=False), pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("descriptor", pa.list_(pa.float32(), descriptor_size), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False)])


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file changed since it was described."""

    size: int
    mtime_ns: int
    hash: str
    root: str


@dataclass(frozen=True)
class Filter:
    """Which photos take part in a search; all conditions hold at once.

    Attributes:
        folder: absolute; it and everything below.
        after: first moment that counts.
        before: first moment that no longer counts.
        not_hash: content to leave out.
    """

    folder: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    not_hash: str | None = None


@dataclass(frozen=True)
class Hit:
    """A photo that was found; ``score`` is the cosine in [-1, 1]."""

    path: str
    score: float
    date: datetime
    folder: str
    width: int
    height: int


@dataclass(frozen=True)
class StoreInfo:
    """Rows, bytes on disk, and how a search goes: over all rows, or through an approximate index and refined."""

    count: int
    num_bytes: int
    search: Literal["exact", "approximate"]


class Store(Protocol):
    """Rows by path; one process writes, any number read. Each method is one transaction."""

    def upsert(self, photos: Sequence[Photo]) -> None:
        """Add the photos; rows of the same path are replaced. Paths are distinct."""

    def delete(self, paths: Sequence[str]) -> None:
        """Remove the rows of these paths; unknown ones are ignored."""

    def search(self, descriptor: Descriptors, k: int, condition: Filter) -> list[Hit]:
        """The ``k`` photos of highest score, best first."""

    def get(self, paths: Sequence[str]) -> dict[str, Photo]:
        """Whole rows by path; unknown paths are missing from the answer."""

    def find(self, content: str) -> Photo | None:
        """A row whose file has this hash, if there is one."""

    def states(self) -> dict[str, FileState]:
        """All rows, by path, as far as needed to see what changed."""

    def count(self) -> int:
        """Number of rows."""

    def batches(self, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
        """All rows piece by piece: column name -> values. Order is arbitrary."""

    def info(self) -> StoreInfo:
        """State of the store."""

    def optimize(self) -> None:
        """Merge small pieces, drop old versions, and bring the approximate index up to date."""
