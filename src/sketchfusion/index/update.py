"""Bringing the rows of a store up to date with the files: only what changed is read, only what is new is described."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from sketchfusion.canvas import Canvas
from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.index.describer import Describer, describe_photos
from sketchfusion.index.folder import upwards
from sketchfusion.index.pipeline import PhotoReader, Reading, Unreadable, reading
from sketchfusion.index.scan import AWAY, Failure, FoundFile, Scan, is_gone, is_under, printable
from sketchfusion.index.store import FileState, Photo, Store

TWINS_PER_PHOTO = 4  # photos of the same content wait together; no more on average, so that progress shows
COMMITS_PER_OPTIMIZE = 50  # a slow model makes many small commits; merged now and then, they stay quick to read

OnProgress = Callable[[int, int], None]
"""``on_progress(done, total)``, in files that have to be looked into."""


@dataclass(frozen=True)
class UpdateOptions:
    """How an update goes about it.

    Attributes:
        batch_size: photos per pass of the model.
        workers: threads that read and decode; None for one per core, at most 8.
        allow_empty: accept that a folder which had photos has none left.
        within: folders, all links followed, in which photos must really lie; others are left out and listed. None:
            anywhere.
        commit_rows, commit_seconds: what is done is saved after so many photos or so much time; a kill loses no more.
    """

    batch_size: int = 16
    workers: int | None = None
    allow_empty: bool = False
    within: tuple[str, ...] | None = None
    commit_rows: int = 1024
    commit_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "commit_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    @property
    def num_workers(self) -> int:
        """Threads that read."""
        return self.workers or min(8, os.cpu_count() or 4)


@dataclass
class Summary:
    """What an update did, in photos.

    Attributes:
        added: paths that are new; changed: whose content is new; unchanged: all others; removed: that are gone.
        described: passed through the model; reused: took the descriptor of the same content elsewhere.
        photos: rows in the gallery afterwards.
        failures: files and folders that were left out, and why.
        not_pictures: suffix -> files with a suffix that no picture has.
        seconds: wall-clock time.
        notes: anything else that the user should know.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    described: int = 0
    reused: int = 0
    photos: int = 0
    failures: list[Failure] = field(default_factory=list)
    not_pictures: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Leaving:
    """Rows that leave the gallery.

    Attributes:
        gone: paths whose files are not there any more.
        twice: path -> another path of the same file, by which it is in the gallery from now on.
    """

    gone: list[str]
    twice: dict[str, str]

    @property
    def paths(self) -> list[str]:
        """All of them."""
        return [*self.gone, *self.twice]

    @property
    def notes(self) -> list[str]:
        """What the user should know of them."""
        if not self.twice:
            return []
        path, other = min(self.twice.items())
        return [f"photos that are reached by two paths, {len(self.twice):,} of them, are in the gallery by one now; "
                f"{path}, for one, as {other}"]


def vanished(found: Scan, states: dict[str, FileState], mounts: Sequence[str] = (), *, allow_empty: bool) -> Leaving:
    """Rows under the scanned folders whose files are gone, or were found by another path.

    Without ``allow_empty`` what has lost all its photos looks like a disk that is not mounted. Where that is a link or
    mount point below a scanned folder, its rows are left alone, and it is listed among the failures of the scan.

    Args:
        mounts: folders that were mount points before, whether they still are or not.
    Raises:
        GalleryError: a folder that was asked for had photos and has none left.
    """
    present = {file.path for file in found.files}
    folders = [root for root in found.roots if Path(root).is_dir()]
    lost_files, lost_folders = set(found.missing), [root for root in found.missing if root not in states]
    absent = [path for path in states if path not in present
              and (path in lost_files or any(is_under(path, folder) for folder in [*folders, *lost_folders]))]
    entered = {path: found.entered_as(path) for path in absent}
    twice = {path: other for path, other in entered.items() if other in present}
    gone = [path for path in absent if path not in twice
            and not any(is_under(path, folder) for folder in found.unlisted) and is_gone(path)]
    if gone and not allow_empty:
        places = {*folders, *found.links, *found.mounts, *mounts}
        empty = emptied(places, states.keys() - twice.keys(), gone, present)
        check_folders(folders, empty)
        kept = {place for place in empty if not any(above in empty for above in upwards(place)[1:])}
        found.keep(kept)
        gone = [path for path, holders in held(gone, kept).items() if not holders]
    return Leaving(gone, twice)


def emptied(places: Collection[str], rows: Collection[str], gone: Collection[str],
            present: Collection[str]) -> dict[str, int]:
    """The places that had photos, all of which are gone, and how many they had."""
    had, lost, left = (Counter(chain.from_iterable(held(paths, places).values())) for paths in (rows, gone, present))
    return {place: count for place, count in had.items() if lost[place] == count and not left[place]}


def held(paths: Collection[str], places: Collection[str]) -> dict[str, list[str]]:
    """For each path the places that it is or lies in."""
    folders = {path: os.path.dirname(path) for path in paths}  # noqa: PTH120
    above = {folder: [place for place in upwards(folder) if place in places] for folder in set(folders.values())}
    return {path: above[folder] + [path] * (path in places) for path, folder in folders.items()}


def check_folders(folders: Sequence[str], empty: Mapping[str, int]) -> None:
    """Raise GalleryError where a folder that was asked for has lost all its photos."""
    for folder in folders:
        if folder in empty:
            raise GalleryError(f"{folder} had {empty[folder]} photos and now has none; nothing was changed. {AWAY}")


class Update:
    """One run over the files of a scan. Counts and failures are in ``summary``, also after an interruption."""

    def __init__(self, store: Store, describer: Describer, options: UpdateOptions, dense_rank: int,
                 on_progress: OnProgress) -> None:
        self.store, self.describer, self.options, self.on_progress = store, describer, options, on_progress
        self.dense_rank = dense_rank
        self.summary = Summary()
        self.states = store.states()
        self.sources = {state.hash: path for path, state in self.states.items()}  # content -> a path that has it
        self.reader = PhotoReader(describer.canvas_size, lambda photo, size: describer.place(photo, "photo", size),
                                  self.sources, options.within)
        self.waiting: dict[str, list[Reading]] = {}  # content -> photos of it, the first with the canvas to describe
        self.rows: list[Photo] = []  # described, to be committed
        self.fresh: dict[str, Photo] = {}  # the same by content
        self.reuses: list[Reading] = []  # their descriptor is in the store
        self.damaged: list[str] = []  # rows whose file does not hold a photo any more
        self.total = self.taken = self.commits = 0
        self.committed_at = time.monotonic()

    def run(self, found: Scan, leaving: Leaving) -> Summary:
        """Describe what is new, then remove the rows that leave. What was done stays done if this is cut off."""
        started = time.monotonic()
        self.summary.failures += found.failures
        self.summary.notes += leaving.notes
        self.summary.not_pictures = dict(sorted(found.not_pictures.items(), key=lambda item: (-item[1], item[0])))
        if found.roots and not found.files:
            self.summary.notes.append("no file with the suffix of a picture was found")
        todo = [file for file in found.files if not self.is_current(file)]
        self.summary.unchanged += len(found.files) - len(todo)
        self.total = len(todo)
        self.on_progress(0, self.total)
        ahead = self.options.batch_size + 2 * self.options.num_workers
        with warnings.catch_warnings():
            # Pillow warns about odd metadata and large pictures; what matters comes as an error and is listed.
            warnings.simplefilter("ignore")
            with reading(todo, self.reader, workers=self.options.num_workers, ahead=ahead) as results:
                try:
                    for result in results:
                        self.take(result)
                    self.describe_waiting()
                    self.commit()
                except BaseException:
                    with suppress(GalleryError):
                        self.commit()
                    raise
        removed = [*leaving.paths, *self.damaged]
        self.store.delete(removed)
        self.summary.removed = len(removed)
        self.store.optimize()
        self.summary.photos = self.store.count()
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def is_current(self, file: FoundFile) -> bool:
        """Whether the row of this file need not be looked at."""
        state = self.states.get(file.path)
        return state is not None and (state.size, state.mtime_ns) == (file.size, file.mtime_ns)

    def take(self, result: Reading | Unreadable) -> None:
        """Deal with one result, and save what is ready from time to time."""
        self.taken += 1
        self.sort(result)
        waiting = sum(map(len, self.waiting.values()))
        if len(self.waiting) >= self.options.batch_size or waiting >= TWINS_PER_PHOTO * self.options.batch_size:
            self.describe_waiting()
        overdue = time.monotonic() - self.committed_at >= self.options.commit_seconds
        if overdue or len(self.rows) + len(self.reuses) >= self.options.commit_rows:
            self.commit()
        self.on_progress(self.taken - sum(map(len, self.waiting.values())), self.total)

    def sort(self, result: Reading | Unreadable) -> None:
        """Tell apart what fails, what is known, and what must be described."""
        if isinstance(result, Unreadable):
            self.fail(result.file, result.reason, damaged=result.damaged)
        elif result.hash in self.fresh:
            self.rows.append(row_like(self.fresh[result.hash], result))
        elif result.hash in self.waiting:
            self.waiting[result.hash].append(replace(result, canvas=None, thumbnail=b""))
        elif result.canvas is None:
            self.reuses.append(result)
        else:
            self.waiting[result.hash] = [result]

    def fail(self, file: FoundFile, reason: str, *, damaged: bool) -> None:
        """List a file; a row that it had is dropped only where its content is at fault."""
        self.summary.failures.append(Failure(printable(file.path), reason))
        if damaged and file.path in self.states:
            self.damaged.append(file.path)

    def describe_waiting(self) -> None:
        """Pass the waiting photos through the model and turn them into rows."""
        if not self.waiting:
            return
        firsts = [twins[0] for twins in self.waiting.values()]
        canvas = Canvas.stack([first.canvas for first in firsts if first.canvas is not None])
        described = describe_photos(self.describer, canvas, self.dense_rank)
        for index, (first, twins) in enumerate(zip(firsts, list(self.waiting.values()), strict=True)):
            if not described.usable[index]:
                for twin in twins:
                    self.fail(twin.file, "what the model makes of it is not finite or not of unit length",
                              damaged=True)
                continue
            height, width = first.size
            photo = Photo(first.file.path, first.file.root, str(Path(first.file.path).parent), first.file.size,
                          first.file.mtime_ns, first.hash, first.date, width, height,
                          described.descriptors[index], first.thumbnail, described.dense[index])
            self.fresh[first.hash] = photo
            self.rows += [photo, *(row_like(photo, twin) for twin in twins[1:])]
            self.summary.described += 1
        self.waiting.clear()

    def resolve_reuses(self) -> None:
        """Turn photos of known content into rows, by the descriptor that the store has for it."""
        found = self.store.get([self.sources[photo.hash] for photo in self.reuses])
        reuses, self.reuses = self.reuses, []
        for photo in reuses:
            known = found.get(self.sources[photo.hash])
            if known is not None and known.hash == photo.hash:
                self.rows.append(row_like(known, photo))
            else:  # the row it was to be taken from got new content in this same run
                self.sort(self.reader.read(photo.file, always=True))
                self.describe_waiting()

    def commit(self) -> None:
        """Save all rows that are ready, in one transaction."""
        if self.reuses:
            self.resolve_reuses()
        if self.rows:
            self.store.upsert(self.rows)
        rows, self.rows, self.fresh = self.rows, [], {}
        for row in rows:
            before = self.states.get(row.path)
            self.summary.added += before is None
            self.summary.changed += before is not None and before.hash != row.hash
            self.summary.unchanged += before is not None and before.hash == row.hash
            self.sources[row.hash] = row.path
        self.summary.reused = max(0, self.summary.added + self.summary.changed - self.summary.described)
        self.commits += bool(rows)
        if rows and self.commits % COMMITS_PER_OPTIMIZE == 0:
            self.store.optimize()
        self.committed_at = time.monotonic()


def row_like(known: Photo, photo: Reading) -> Photo:
    """A row for a photo whose content is described already."""
    return replace(known, path=photo.file.path, root=photo.file.root, folder=str(Path(photo.file.path).parent),
                   size=photo.file.size, mtime_ns=photo.file.mtime_ns, date=photo.date)
