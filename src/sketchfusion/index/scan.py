"""Finding the pictures under files and folders, without opening them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sketchfusion.errors import GalleryError
from sketchfusion.images import SUFFIXES

SYSTEM_FOLDERS = frozenset(("@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
                            "__macosx", "node_modules", "lost+found", "__pycache__"))

OUTSIDE = "it is, or lies behind, a link that leads out of the folders that may be indexed"
AWAY = "If its disk is not mounted, mount it and index again; if they are meant to go, add --allow-empty"

OneOrMany = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class FoundFile:
    """A file that is named like a picture.

    Attributes:
        path: absolute.
        root: the folder, or the file itself, that was asked for and led here; absolute.
        size: bytes.
        mtime_ns: time of the last change.
    """

    path: str
    root: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Failure:
    """A file or folder that was left out, and why."""

    path: str
    reason: str


@dataclass
class Scan:
    """What was found.

    Attributes:
        roots: absolute, as asked for, each once.
        files: in the order of the roots, then by name; each path once.
        failures: what could not be listed or looked at.
        unlisted: folders whose content is not known, so that nothing under them counts as gone.
        missing: what was indexed before, is not there, and counts as emptied.
        links: links to folders, and links to what is not there.
        mounts: folders below the roots that another file system is mounted on.
        entered: ``identity`` of every folder that was entered -> the path by which it was.
        not_pictures: suffix -> number of files that have another suffix than a picture's.
        within: folders, all links followed, in which everything must really lie; None: anywhere.
    """

    roots: list[str]
    files: list[FoundFile] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    entered: dict[tuple[int, int], str] = field(default_factory=dict)
    not_pictures: Counter[str] = field(default_factory=Counter)
    within: tuple[str, ...] | None = None

    def leave_out(self, path: str) -> None:
        """List what lies elsewhere; what the gallery has of it stays as it is."""
        self.failures.append(Failure(printable(path), OUTSIDE))
        self.unlisted.append(path)

    def keep(self, paths: Iterable[str]) -> None:
        """List what looks like disks that are away; what the gallery has of them stays as it is."""
        reason = f"it had photos and now has none; they stay in the gallery. {AWAY}"
        kept = {printable(path): Failure(printable(path), reason) for path in sorted(paths)}
        self.failures = [*(failure for failure in self.failures if failure.path not in kept), *kept.values()]
        self.unlisted += paths

    def entered_as(self, path: str) -> str:
        """The path of a file by way of the folder that was entered: another one where links lead to it twice."""
        folder, name = os.path.split(path)
        with suppress(OSError):
            folder = self.entered.get(identity(folder), folder)
        return os.path.join(folder, name)  # noqa: PTH118


def absolute(path: str | os.PathLike[str]) -> str:
    """Absolute path with ``~`` expanded; symbolic links stay."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111, pathlib keeps ".." and raises on "~x"


def each_path(paths: OneOrMany) -> list[str | os.PathLike[str]]:
    """The paths, whether one or many were given."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def is_under(path: str, folder: str) -> bool:
    """Whether the path is the folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def lies_within(path: str, within: Sequence[str] | None) -> bool:
    """Whether a path, all links followed, leads to or into one of these folders; None stands for anywhere."""
    if within is None:
        return True
    try:
        real = os.path.realpath(path, strict=True)
    except OSError:
        return False
    return any(is_under(real, folder) for folder in within)


def is_reached(folder: str, root: str) -> bool:
    """Whether a scan of the root comes to the folder: it lies below, and nothing between is hidden."""
    if not is_under(folder, root):
        return False
    return not any(is_left_out(part) for part in Path(folder).relative_to(root).parts)


def is_left_out(name: str) -> bool:
    """Whether folders of this name are not entered."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def printable(path: str) -> str:
    """The path with bytes that are not UTF-8 written as ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    """Whether the path can be stored as text."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_gone(path: str) -> bool:
    """Whether there is certainly no such file; False where that cannot be told."""
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def check_roots(roots: OneOrMany) -> list[str]:
    """The roots as absolute paths, each once, in order.

    Raises:
        GalleryError: none given, or one does not exist, cannot be looked at or is not UTF-8.
    """
    checked = list(dict.fromkeys(map(absolute, each_path(roots))))
    if not checked:
        raise GalleryError("no photos were given; name at least one folder or picture file")
    for root in checked:
        if not is_utf8(root):
            raise GalleryError(f"{printable(root)} is not valid UTF-8; rename it or give it through another path")
        try:
            os.stat(root)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            raise GalleryError(f"there is no file or folder {root}; nothing was changed. Check the path, "
                               "and whether its disk is connected") from None
        except OSError as error:
            raise GalleryError(f"{root} cannot be looked at: {error.strerror}; nothing was changed. "
                               "Check its permissions and links") from None
    return checked


def scan(roots: OneOrMany, *, leave_out: Sequence[str] = (),
         within: tuple[str, ...] | None = None) -> Scan:
    """All files under the roots that are named like pictures.

    Hidden and system folders and hidden files are left out, unless they are a root themselves. Folders behind
    symbolic links are entered, each real folder once, after all folders that are reached without a link.

    Args:
        roots: files or folders; one or many.
        leave_out: folders that are not entered by whatever path, such as the gallery's own.
        within: folders, all links followed; links that lead elsewhere are not followed, and listed. None: anywhere.
    Raises:
        GalleryError: a root does not exist.
    """
    found = Scan(check_roots(roots), within=within)
    paths: set[str] = set()
    found.entered = {identity(folder): folder for folder in leave_out if Path(folder).is_dir()}
    links: list[tuple[str, str]] = []
    for root in found.roots:
        if not lies_within(root, within):
            found.leave_out(root)
        elif Path(root).is_dir():
            collect(walk(root, found, links), root, found, paths)
        else:
            collect([root], root, found, paths)
    while links:
        root, link = links.pop(0)
        collect(walk(link, found, links, root=root), root, found, paths)
    return found


def identity(folder: str) -> tuple[int, int]:
    """The same for all paths that lead to a folder. Raises OSError."""
    state = Path(folder).stat()
    return state.st_dev, state.st_ino


def walk(top: str, found: Scan, links: list[tuple[str, str]], *, root: str | None = None) -> Iterator[str]:
    """Files below a folder, sorted by name, depth first. Links to folders are put on ``links`` for later."""
    stack = [top]
    while stack:
        folder = stack.pop()
        try:
            real = identity(folder)
            if real in found.entered:
                continue
            found.entered[real] = folder
            with os.scandir(folder) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.failures.append(Failure(printable(folder), f"the folder cannot be listed: {error.strerror}; "
                                                             "its photos already in the gallery are kept"))
            found.unlisted.append(folder)
            continue
        below = []
        for entry in names:
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_link = entry.is_dir(), entry.is_symlink()
            except OSError as error:  # a link to itself, or into a folder that may not be entered
                found.failures.append(Failure(printable(entry.path), f"cannot be looked at: {error.strerror}"))
                found.unlisted.append(entry.path)
                continue
            taken = not is_left_out(entry.name) if is_folder else Path(entry.name).suffix.lower() in SUFFIXES
            if is_link and taken and not lies_within(entry.path, found.within):
                found.leave_out(entry.path)
            elif not is_folder:
                if is_link and is_gone(entry.path):
                    found.links.append(entry.path)
                yield entry.path
            elif taken:
                if is_link:
                    found.links.append(entry.path)
                    links.append((root or top, entry.path))
                else:
                    below.append(entry.path)
                    if os.path.ismount(entry.path):
                        found.mounts.append(entry.path)
        stack.extend(reversed(below))


def collect(paths: Iterable[str], root: str, found: Scan, seen: set[str]) -> None:
    """Sort files into pictures, other files and failures."""
    for path in paths:
        suffix = Path(path).suffix.lower()
        if path in seen:
            continue
        seen.add(path)
        if suffix not in SUFFIXES:
            found.not_pictures[printable(suffix) or "(none)"] += 1
            continue
        reason = None
        try:
            state = os.stat(path)  # noqa: PTH116, the name may not be text
            if not stat.S_ISREG(state.st_mode):
                reason = "it is not a regular file"
        except OSError as error:
            reason = f"cannot be looked at: {error.strerror}"
        if not is_utf8(path):
            reason = "its name is not valid UTF-8; rename it"
        if reason:
            found.failures.append(Failure(printable(path), reason))
        else:
            found.files.append(FoundFile(path, root, state.st_size, state.st_mtime_ns))
