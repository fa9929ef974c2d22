"""Checking that a gallery is sound and still says what is on the disk."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np

from sketchfusion.errors import GalleryError
from sketchfusion.fusion.compact_map import read_layout
from sketchfusion.index.describer import usable
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.pipeline import hash_file
from sketchfusion.index.record import GalleryRecord
from sketchfusion.index.store import path_id
from sketchfusion.index.update import OnProgress

COLUMNS = ("path", "id", "size", "mtime_ns", "hash", "width", "height", "dense", "descriptor")
ROWS = 512  # at a time; with their dense maps they are large


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be; ``path`` is a photo, or the gallery itself."""

    path: str
    problem: str


def verify(gallery: Gallery, *, deep: bool = False,
           on_progress: OnProgress = lambda done, total: None) -> list[Problem]:
    """What is wrong with a gallery, sorted by path; nothing is changed.

    Every file must exist with the recorded size and time of change, every descriptor must be finite and of unit
    length, every dense map must be there if the gallery keeps them and have the right number of bytes, and every path
    must occur once.

    Args:
        gallery: to be checked.
        deep: also read every file and compare its content with the recorded hash.
        on_progress: called with (done, total) rows.
    Raises:
        GalleryError: the rows cannot be read at all.
    """
    gallery.refresh()
    problems = []
    if not gallery.record.fingerprint.isprintable() or " " in gallery.record.fingerprint:
        problems.append(Problem(str(gallery.folder), "the recorded fingerprint is malformed; rebuild the gallery"))
    total = gallery.store.count()
    seen: Counter[str] = Counter()
    done = 0
    for batch in gallery.store.batches(COLUMNS, rows=ROWS):
        good = usable(np.stack(batch["descriptor"]))
        for index, (path, photo_id, size, mtime_ns, content, width, height, dense) in enumerate(
                zip(*(batch[name] for name in COLUMNS[:-1]), strict=True)):
            seen[path] += 1
            if not good[index]:
                problems.append(Problem(path, "its descriptor is not finite or not of unit length; rebuild"))
            if width < 1 or height < 1:
                problems.append(Problem(path, f"its recorded size is {width} x {height} pixels; rebuild the gallery"))
            if photo_id != path_id(path):
                problems.append(Problem(path, f"its recorded id is {photo_id}, expected {path_id(path)}; rebuild "
                                              "the gallery"))
            problem = dense_problem(dense, gallery.record)
            if problem:
                problems.append(Problem(path, problem))
            problem = file_problem(path, size, mtime_ns, content if deep else None)
            if problem:
                problems.append(Problem(path, problem))
            done += 1
            on_progress(done, total)
    problems += [Problem(path, f"it is in the gallery {times} times; rebuild the gallery")
                 for path, times in seen.items() if times > 1]
    return sorted(problems, key=lambda problem: (problem.path, problem.problem))


def dense_problem(dense: bytes, record: GalleryRecord) -> str | None:
    """What is wrong with a dense map in a gallery of this record."""
    if not record.dense_rank:
        return "it has a dense map, which this gallery does not keep; rebuild the gallery" if dense else None
    if not dense:
        return "its dense map is missing; rebuild the gallery"
    try:
        layout = read_layout(dense)
    except GalleryError as error:
        return str(error)
    if layout.channels != record.descriptor_size or layout.rank > record.dense_rank:
        return (f"its dense map has {layout.channels} channels and rank {layout.rank}, expected "
                f"{record.descriptor_size} and at most {record.dense_rank}; rebuild the gallery")
    return None


def file_problem(path: str, size: int, mtime_ns: int, content: str | None) -> str | None:
    """How the file differs from what was indexed; ``content`` is the hash it should have, None to not read it."""
    try:
        state = os.stat(path)  # noqa: PTH116
        if state.st_size != size:
            return f"it has {state.st_size:,} bytes, {size:,} when it was indexed; index again"
        if content is not None and hash_file(path) != content:
            return "its content is not what was indexed, though its size is; index again, or restore the file"
        if state.st_mtime_ns != mtime_ns:
            return "it was changed since it was indexed; index again"
    except OSError as error:
        return f"it cannot be read: {error.strerror}; restore the file, or index again to remove it"
    return None
