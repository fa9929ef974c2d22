"""The folder of a gallery: who may write to it, where it may be, and which folders of photos it knows."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sketchfusion.errors import GalleryError
from sketchfusion.index.record import REBUILD_NAME, RECORD_NAME, GalleryRecord, has_record
from sketchfusion.index.scan import OneOrMany, Scan, absolute, check_roots, each_path, is_gone, is_reached, is_under
from sketchfusion.index.store import FileState, Store, path_id

LOCK_NAME = ".lock"
FIRST_STORE = "store-1"
BEGUN = {LOCK_NAME, FIRST_STORE, f"{RECORD_NAME}.partial"}  # what is there before the record of a new gallery
NO_ROWS = re.compile(r"[^/]+\.lance/(_versions|_transactions)")  # folders of the files that a store without rows has
OWN_FILES = re.compile(rf"({re.escape(RECORD_NAME)}|{re.escape(REBUILD_NAME)})(\.partial)?|\.lock|store-\d+")


@dataclass(frozen=True)
class FolderCount:
    """A folder of photos.

    Attributes:
        id: ``store.path_id`` of its path.
        path: absolute.
        name: of the folder that was indexed, followed by the way down from there: ``Pictures/2019/May``.
        photos: in it and below, as many as a search in this folder looks at.
    """

    id: str
    path: str
    name: str
    photos: int


def count_folders(store: Store) -> list[FolderCount]:
    """The folders that hold photos, and those between them and what was indexed, sorted by path."""
    counts: Counter[tuple[str, str]] = Counter()
    for batch in store.batches(["folder", "root"]):
        counts.update(zip(batch["folder"], batch["root"], strict=True))
    roots = {root for folder, root in counts if is_under(folder, root)}  # a file that was named itself is its own root
    tops: dict[str, str] = {}  # folder -> the highest that was indexed and leads to it, or itself
    for folder in {folder for folder, _ in counts}:
        top = min((root for root in roots if is_under(folder, root)), key=len, default=folder)
        tops.update({place: top for place in upwards(folder) if is_under(place, top)})
    photos: Counter[str] = Counter()
    for (folder, _), count in counts.items():
        photos.update({place: count for place in upwards(folder) if place in tops})
    return [FolderCount(path_id(path), path, name_below(path, tops[path]), number)
            for path, number in sorted(photos.items())]


def name_below(folder: str, top: str) -> str:
    """The name of ``top`` and the way from there to the folder."""
    return folder if Path(top).parent == Path(top) else str(Path(folder).relative_to(Path(top).parent))


def upwards(folder: str) -> list[str]:
    """The folder, the one that holds it, and so on."""
    return [folder, *map(str, Path(folder).parents)]


def record_stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever the record is replaced."""
    try:
        state = (folder / RECORD_NAME).stat()
        return state.st_mtime_ns, state.st_ino
    except OSError:
        return 0, 0


def check_place(folder: Path) -> None:
    """Raise GalleryError where a new gallery would end up among other files, or take the place of rows."""
    try:
        others = [path.name for path in folder.iterdir() if not OWN_FILES.fullmatch(path.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise GalleryError(f"cannot use {folder} for a gallery: {error.strerror}; choose another folder") from None
    if others:
        raise GalleryError(f"{folder} is not a gallery and not empty (it holds {sorted(others)[0]!r}); "
                           "choose a new or an empty folder")
    if not has_record(folder) and not is_unfinished(folder):
        raise GalleryError(f"{folder} holds the photos of a gallery whose {RECORD_NAME} is gone; put that back, or "
                           "choose another folder (to give these rows up, delete the folder yourself)")


def is_unfinished(folder: Path) -> bool:
    """Whether a folder is empty, or all that is in it is from the making of a gallery that was cut off.

    A new gallery is a store without rows, and then its record. Where there are rows, or a rebuild, there was a record.
    """
    try:
        begun = {path.name for path in folder.iterdir()} <= BEGUN
        files = [path for path in folder.glob(f"{FIRST_STORE}/**/*") if path.is_symlink() or not path.is_dir()]
    except OSError:
        return False
    return begun and all(NO_ROWS.fullmatch(path.parent.relative_to(folder / FIRST_STORE).as_posix()) for path in files)


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


def merge_mounts(known: Sequence[str], found: Scan) -> tuple[str, ...]:
    """Mount points that are known, and those that photos were found in, sorted."""
    fresh = (mount for mount in found.mounts if any(is_under(file.path, mount) for file in found.files))
    return tuple(sorted({*known, *fresh}))


def known_roots(record: GalleryRecord, states: dict[str, FileState], *, allow_empty: bool) -> list[str]:
    """All that was indexed before: folders, and files that were named one by one.

    Such files are left out where they are not there, unless with ``allow_empty`` they are certainly gone, or nothing
    else is left.
    """
    named = sorted(path for path, state in states.items() if state.root == path)
    files = [path for path in named
             if os.path.exists(path) or (allow_empty and is_gone(path))]  # noqa: PTH110, which may raise
    return [*record.roots, *files] or named


def split_roots(photos: OneOrMany, record: GalleryRecord, states: dict[str, FileState], *,
                allow_empty: bool) -> tuple[list[str], list[str]]:
    """What of the photos asked for can be scanned, and what was indexed before, is missing and counts as emptied.

    Raises:
        GalleryError: nothing is asked for, something is missing that was never indexed or, without ``allow_empty``,
            anything is missing.
    """
    roots = list(dict.fromkeys(map(absolute, each_path(photos))))
    missing = [root for root in roots if is_gone(root) and (
        root in record.roots or root in states or any(is_under(path, root) for path in states))]
    if missing and not allow_empty:
        raise GalleryError(f"there is no file or folder {missing[0]}; nothing was changed. If its disk is not "
                           "connected, connect it and index again; if its photos are meant to go, add --allow-empty")
    left = [root for root in roots if root not in missing]
    return check_roots(left) if left or not missing else [], missing
