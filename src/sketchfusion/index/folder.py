"""The folder of a gallery: who may write to it, where it may be, and which folders of photos it knows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sketchfusion.errors import GalleryError
from sketchfusion.index.record import REBUILD_NAME, RECORD_NAME, GalleryRecord
from sketchfusion.index.scan import check_roots, is_reached
from sketchfusion.index.store import FileState

LOCK_NAME = ".lock"
OWN_FILES = re.compile(rf"({re.escape(RECORD_NAME)}|{re.escape(REBUILD_NAME)})(\.partial)?|\.lock|store-\d+")


def record_stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever the record is replaced."""
    try:
        state = (folder / RECORD_NAME).stat()
        return state.st_mtime_ns, state.st_ino
    except OSError:
        return 0, 0


def check_place(folder: Path) -> None:
    """Raise GalleryError where a new gallery would end up among other files."""
    try:
        others = [path.name for path in folder.iterdir() if not OWN_FILES.fullmatch(path.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise GalleryError(f"cannot use {folder} for a gallery: {error.strerror}; choose another folder") from None
    if others:
        raise GalleryError(f"{folder} is not a gallery and not empty (it holds {sorted(others)[0]!r}); "
                           "choose a new or an empty folder")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the one process that writes to the gallery.

    Raises:
        GalleryError: another one is, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_NAME, timeout=0)
        lock.acquire()
    except Timeout:
        raise GalleryError(f"another process is writing to the gallery {folder}; wait until it is done, "
                           "or stop it (what it did is kept), and try again") from None
    except OSError as error:
        raise GalleryError(f"cannot write to {folder}: {error.strerror}; check its permissions and the disk") from None
    try:
        yield
    finally:
        lock.release()


def remove_stores(folder: Path, *, wanted: Sequence[str]) -> None:
    """Delete all stores but these: what rebuilds left behind that were finished or given up."""
    for path in folder.glob("store-*"):
        if path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True)


def next_store(folder: Path) -> str:
    """A name that no store has."""
    return f"store-{max((int(path.name.removeprefix('store-')) for path in folder.glob('store-*')), default=0) + 1}"


def merge_roots(known: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Folders of both, sorted, without those that are reached from another one."""
    folders = sorted({*known, *(root for root in new if Path(root).is_dir())})
    return tuple(folder for folder in folders
                 if not any(folder != other and is_reached(folder, other) for other in folders))


def known_roots(record: GalleryRecord, states: dict[str, FileState], *, missing_ok: bool = False) -> list[str]:
    """All that was indexed before: folders, and files that were named one by one and still exist.

    Raises:
        GalleryError: a folder is missing, unless ``missing_ok``; or nothing is known.
    """
    files = sorted(path for path, state in states.items() if state.root == path and Path(path).exists())
    folders = [root for root in record.roots if Path(root).exists() or not missing_ok]
    return check_roots([*folders, *files])
