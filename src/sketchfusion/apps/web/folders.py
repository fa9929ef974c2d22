"""Looking for photos to index: only below one folder, out of which neither dots nor links lead."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sketchfusion.apps.web.errors import ApiError, printable
from sketchfusion.errors import SketchFusionError
from sketchfusion.images import SUFFIXES
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.scan import is_left_out, is_utf8


@dataclass(frozen=True)
class Listing:
    """A folder: its path below the root, that of the one above (None at the root), sub-folders, pictures in it."""

    path: str
    parent: str | None
    folders: list[tuple[str, str]]
    pictures: int


def locate(root: Path, path: str) -> Path:
    """The folder at a path below the root, all links followed. Raises ApiError 404: there is none, or it is hidden."""
    missing = ApiError(404, "unknown_folder", f"there is no folder {printable(path)[:200]!r} among those that may be "
                       "indexed; GET /api/v1/folders lists them, and `sketchfusion serve --photos ROOT` chooses them")
    try:
        top = root.resolve(strict=True)
        folder = (top / path.lstrip("/")).resolve(strict=True)
        inside = folder.is_relative_to(top) and folder.is_dir() and not is_hidden(folder, top)
    except (OSError, ValueError, RuntimeError):
        raise missing from None
    if "\\" in path or not inside:
        raise missing
    return folder


def real_roots(gallery: Path) -> tuple[str, ...]:
    """Where the folders that a gallery was indexed from lie now, all links followed; none of one that is unreadable.

    Whoever names a gallery when the server starts vouches for them. A link that takes their place later does not count.
    """
    try:
        return tuple(map(os.path.realpath, Gallery.open(gallery).record.roots))
    except SketchFusionError:
        return ()


def list_folder(root: Path, path: str, most: int) -> Listing:
    """What is in a folder; hidden and system folders are left out, as they are by indexing.

    Args:
        most: entries that are looked at.
    Raises:
        ApiError: 404, there is no such folder; 403, it cannot be read.
    """
    folder, top = locate(root, path), root.resolve()
    folders: list[tuple[str, str]] = []
    pictures = 0
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(most), entries, strict=False):
                if is_left_out(entry.name) or not is_utf8(entry.name):
                    continue
                with suppress(OSError):  # a link to itself, or into what may not be entered
                    if entry.is_dir():
                        folders += shown(entry, top)
                    elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                        pictures += not entry.is_symlink() or is_inside(entry.path, top)
    except OSError as error:
        raise ApiError(403, "closed_folder", f"the folder {printable(path)[:200]!r} cannot be read: {error.strerror}; "
                       "check its permissions") from None
    parent = None if folder == top else below(folder.parent, top)
    return Listing(below(folder, top), parent, sorted(folders, key=lambda each: each[0].lower()), pictures)


def shown(entry: os.DirEntry[str], top: Path) -> list[tuple[str, str]]:
    """Name and way of a sub-folder, as a list; none where a link leads out of the root or to what is hidden."""
    real = Path(entry.path).resolve(strict=True)
    if not real.is_relative_to(top) or is_hidden(real, top):
        return []
    return [(entry.name, below(real, top))]


def is_inside(path: str, top: Path) -> bool:
    """Whether a file really lies below the root, all links followed. Raises OSError."""
    return Path(path).resolve(strict=True).is_relative_to(top)


def is_hidden(folder: Path, top: Path) -> bool:
    """Whether the way from the root leads through a folder that indexing leaves out."""
    return any(map(is_left_out, folder.relative_to(top).parts))


def below(folder: Path, top: Path) -> str:
    """The way from the root to the folder; empty for the root."""
    way = folder.relative_to(top).as_posix()
    return "" if way == "." else way
