"""What the index asks of a vector store, in its own words; ``lance`` is the implementation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import pyarrow as pa

from sketchfusion.index.describer import Descriptors


def path_id(path: str) -> str:
    """What a photo or folder is called where its path is not to be shown: 20 hexadecimal digits."""
    return hashlib.blake2b(path.encode(), digest_size=10).hexdigest()


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
        dense: the feature map as ``fusion.compact_map`` has it; empty where the gallery keeps none.
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
    dense: bytes = b""

    @property
    def id(self) -> str:
        """``path_id`` of its path."""
        return path_id(self.path)


def arrow_schema(descriptor_size: int, *, first_format: bool = False) -> pa.Schema:
    """Arrow schema of the rows: the columns of ``Photo`` in order, then ``id``.

    Args:
        descriptor_size: D.
        first_format: of galleries of format 1, which have neither dense maps nor ids.
    """
    text, whole = pa.string(), pa.int64()
    newer = [pa.field("dense", pa.binary(), nullable=False), pa.field("id", text, nullable=False)]
    return pa.schema([
        pa.field("path", text, nullable=False), pa.field("root", text, nullable=False),
        pa.field("folder", text, nullable=False), pa.field("size", whole, nullable=False),
        pa.field("mtime_ns", whole, nullable=False), pa.field("hash", text, nullable=False),
        pa.field("date", pa.timestamp("us"), nullable=False), pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("descriptor", pa.list_(pa.float32(), descriptor_size), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False), *([] if first_format else newer)])


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

    @property
    def id(self) -> str:
        """``path_id`` of its path."""
        return path_id(self.path)


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
        """The ``k`` photos of highest score, best first; a smaller ``k`` gives the first of those of a greater one.

        Where the search is approximate, a photo that it overlooks comes later than its score would have it.
        """

    def get(self, paths: Sequence[str]) -> dict[str, Photo]:
        """Whole rows by path; unknown paths are missing from the answer."""

    def get_by_id(self, ids: Sequence[str]) -> dict[str, Photo]:
        """Whole rows by id; unknown ids are missing from the answer."""

    def thumbnails(self, paths: Sequence[str]) -> dict[str, bytes]:
        """JPEG by path; unknown paths are missing from the answer."""

    def find(self, content: str) -> Descriptors | None:
        """The (D,) descriptor of a file with this hash, if there is one."""

    def states(self) -> dict[str, FileState]:
        """All rows, by path, as far as needed to see what changed."""

    def count(self, condition: Filter | None = None) -> int:
        """Number of rows, or of those that fulfil the condition."""

    def version(self) -> int:
        """Another number after every change of the rows."""

    def batches(self, columns: Sequence[str], *, rows: int = 4096) -> Iterator[dict[str, list[Any]]]:
        """All rows in pieces of at most ``rows``: column name -> values. Order is arbitrary."""

    def info(self) -> StoreInfo:
        """State of the store."""

    def optimize(self) -> None:
        """Merge small pieces, drop old versions, and bring the approximate index up to date."""
