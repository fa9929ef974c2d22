"""Looking for photos to index: only below one folder, out of which neither dots nor links lead."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sketchfusion.apps.web.errors import ApiError, printable
from sketchfusion.images import SUFFIXES
from sketchfusion.index.scan import is_left_out, is_utf8


@dataclass(frozen=True)
class Listing:
    """A folder: its path below the root, that of the one above (None at the root), sub-folders, pictures in it."""

    path: str
    parent: str | None
    folders: list[tuple[str, str]]
    pictures: int


def locate(root: Path, path: str) -> Path:
    """The folder at a path below the root, all links followed. Raises ApiError 404: there is none."""
    missing = ApiError(404, "unknown_folder", f"there is no folder {printable(path)[:200]!r} among those that may be "
                       "indexed; GET /api/v1/folders lists them, and `sketchfusion serve --photos ROOT` chooses them")
    try:
        top = root.resolve(strict=True)
        folder = (top / path.lstrip("/")).resolve(strict=True)
        inside = folder.is_relative_to(top) and folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        raise missing from None
    if "\\" in path or not inside:
        raise missing
    return folder


def list_folder(root: Path, path: str, most: int) -> Listing:
    """What is in a folder; hidden and system folders are left out, as they are by indexing.

    Args:
        most: entries that are looked at.
    Raises:
        ApiError: 404, there is no such folder; 403, it cannot be read.
    """
    folder, top = locate(root, path), root.resolve()
    folders, pictures = [], 0
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(most), entries, strict=False):
                if is_left_out(entry.name) or not is_utf8(entry.name):
                    continue
                if entry.is_dir() and Path(entry.path).resolve().is_relative_to(top):
                    folders.append((entry.name, below(Path(entry.path).resolve(), top)))
                elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                    pictures += 1
    except OSError as error:
        raise ApiError(403, "closed_folder", f"the folder {printable(path)[:200]!r} cannot be read: {error.strerror}; "
                       "check its permissions") from None
    parent = None if folder == top else below(folder.parent, top)
    return Listing(below(folder, top), parent, sorted(folders, key=lambda each: each[0].lower()), pictures)


def below(folder: Path, top: Path) -> str:
    """The way from the root to the folder; empty for the root."""
    way = folder.relative_to(top).as_posix()
    return "" if way == "." else way
