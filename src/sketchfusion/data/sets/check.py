"""What is missing, wrong or there twice in a data set's folder, and where to get it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sketchfusion.data.masks import read_mask
from sketchfusion.data.sets.base import Findings, MaskedPair, Problem, SketchPhotoSet
from sketchfusion.data.sets.quickdraw import read_drawings
from sketchfusion.data.sets.registry import DataSet, find_set
from sketchfusion.errors import DataError, ImageError
from sketchfusion.images import decode, open_image, upright_size

EXAMPLES = 10  # groups of equal files that a report names
BLOCK = 1 << 20
Progress = Callable[[int, int], None]
Job = Callable[[], object]


@dataclass(frozen=True)
class Count:
    """How many there are, and how many there should be; several numbers where paper and archive differ."""

    what: str
    found: int
    published: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        name, folder: what was checked.
        source, licence, layout: of the data set.
        counts: what there is.
        problems: what is missing or wrong; of kind missing, wrong, unknown, count or unreadable.
        doubled: groups of files with the same content, the first of them, below the folder where they lie in it.
        doubled_files: how many files have the content of an earlier one.
        notes: what a reader leaves out or merges.
        deep: whether every picture and drawing was decoded.
    """

    name: str
    folder: str
    source: str
    licence: str
    layout: str
    counts: tuple[Count, ...] = ()
    problems: tuple[Problem, ...] = ()
    doubled: tuple[tuple[str, ...], ...] = ()
    doubled_files: int = 0
    notes: tuple[str, ...] = ()
    deep: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is missing or wrong. Files that are there twice are told, not counted as wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"ok": self.ok, **asdict(self)}


def check(name: str, folder: str | os.PathLike[str], *, deep: bool = False,
          on_progress: Progress | None = None) -> Report:
    """Look through the folder of a data set.

    Without ``deep``, names of files are read, files of drawings are counted through, files of equal size are compared,
    and one mask of each class is decoded.

    Args:
        name: of a row of ``SETS``.
        folder: as its reader wants it.
        deep: decode every picture, mask and drawing too, which takes minutes to hours.
        on_progress: called with (files done, files) while files are compared or decoded.
    Raises:
        ConfigError: there is no data set of that name.
    """
    row = find_set(name)
    findings = Findings(collect=True)
    try:
        found = row.scan(folder, findings)
    except DataError as error:
        kind = "wrong" if Path(folder).is_dir() else "missing"
        return report(row, folder, None, [*findings.problems, Problem(kind, str(error))], deep=deep)
    told = any(problem.kind == "missing" for problem in findings.problems)
    problems = [*findings.problems, *wrong_counts(row, found, classes_told=told)]
    groups = equal_files(all_files(found), None if deep else on_progress)
    jobs = decodings(found) if deep else mask_jobs(first_of_class(found.masked))
    problems += unreadable(list(jobs), on_progress if deep else None)
    return report(row, folder, found, problems, groups, deep=deep)


def report(row: DataSet, folder: str | os.PathLike[str], found: SketchPhotoSet | None, problems: Iterable[Problem],
           groups: list[list[Path]] | None = None, *, deep: bool) -> Report:
    """The report on what was found."""
    root, groups = Path(folder), groups or []
    return Report(
        row.name, str(root), row.source, row.licence, row.layout, counts(row, found) if found else (), tuple(problems),
        tuple(tuple(relative(path, root) for path in group) for group in groups[:EXAMPLES]),
        sum(len(group) - 1 for group in groups), found.notes if found else (), deep)


def relative(path: Path, root: Path) -> str:
    """The path below the root where it lies there."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def measure(found: SketchPhotoSet) -> dict[str, int]:
    """How many there are of each kind of thing."""
    unseen = set(found.unseen or ())
    numbers = {
        "classes": len(found.class_names), "photos": len(found.photos), "sketches": len(found.sketches),
        "pairs": len(found.pairs), "masks": len({pair.mask for pair in found.masked}),
        "key point pairs": len(found.key_points)}
    if found.unseen is not None:
        numbers["unseen classes"] = len(unseen)
        numbers["unseen photos"] = sum(photo.class_name in unseen for photo in found.photos)
        numbers["unseen sketches"] = sum(sketch.class_name in unseen for sketch in found.sketches)
    return numbers


def counts(row: DataSet, found: SketchPhotoSet) -> tuple[Count, ...]:
    """What there is of each thing that the data set has or should have."""
    numbers = measure(found)
    return tuple(Count(what, number, row.published.get(what, ())) for what, number in numbers.items()
                 if number or what in row.published)


def wrong_counts(row: DataSet, found: SketchPhotoSet, *, classes_told: bool) -> list[Problem]:
    """A problem for each number that is none of the published ones; that there is nothing at all is told elsewhere.

    Args:
        classes_told: whether the reader has named what is missing, with its classes, which are then not told again.
    """
    return [Problem("count", f"{count.found:,} {count.what}, published are "
                             f"{' or '.join(f'{number:,}' for number in count.published)}")
            for count in counts(row, found) if count.found and count.published and count.found not in count.published
            and not (classes_told and count.what.endswith("classes"))]


def all_files(found: SketchPhotoSet) -> list[Path]:
    """Every file of photos, sketches or drawings once, in order."""
    return list(dict.fromkeys(item.path for item in found.photos + found.sketches))


def picture_files(found: SketchPhotoSet) -> list[Path]:
    """Every picture file once, in order; files of drawings are none."""
    return list(dict.fromkeys(item.path for item in found.photos + found.sketches if not item.line))


def first_of_class(pairs: Iterable[MaskedPair]) -> list[MaskedPair]:
    """The first of each class."""
    firsts: dict[str, MaskedPair] = {}
    for pair in pairs:
        firsts.setdefault(pair.photo.class_name, pair)
    return list(firsts.values())


def equal_files(files: Iterable[Path], on_progress: Progress | None = None) -> list[list[Path]]:
    """Groups of files with the same content, each in order; only files of equal size are read."""
    sizes: dict[int, list[Path]] = {}
    for file in files:
        sizes.setdefault(size_of(file), []).append(file)
    suspects = [file for size, group in sizes.items() if len(group) > 1 and size >= 0 for file in group]
    contents: dict[tuple[int, bytes], list[Path]] = {}
    for done, file in enumerate(suspects, start=1):
        contents.setdefault((size_of(file), digest(file)), []).append(file)
        if on_progress:
            on_progress(done, len(suspects))
    return [group for group in contents.values() if len(group) > 1]


def size_of(file: Path) -> int:
    """Bytes of a file; -1 where it cannot be asked."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def digest(file: Path) -> bytes:
    """Hash of a file's content; of its path where it cannot be read, so that it equals no other."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError:
        return os.fsencode(file)


def unreadable(jobs: Collection[Job], on_progress: Progress | None = None) -> list[Problem]:
    """A problem for each file that cannot be decoded, or does not show what it should."""
    problems = []
    for done, job in enumerate(jobs, start=1):
        try:
            job()
        except (ImageError, DataError) as error:
            problems.append(Problem("unreadable", str(error)))
        if on_progress:
            on_progress(done, len(jobs))
    return problems


def decodings(found: SketchPhotoSet) -> Iterator[Job]:
    """One call for each file, which decodes it or raises."""
    yield from (partial(check_picture, path) for path in picture_files(found))
    drawn = dict.fromkeys(item.path for item in found.photos + found.sketches if item.line)
    yield from (partial(check_drawings, path) for path in drawn)
    yield from mask_jobs(found.masked)


def mask_jobs(pairs: Iterable[MaskedPair]) -> Iterator[Job]:
    """One call for each mask."""
    masks = dict.fromkeys((pair.photo.path, pair.mask) for pair in pairs)
    yield from (partial(check_mask, photo, mask) for photo, mask in masks)


def check_picture(path: Path) -> None:
    """Raise ImageError unless the picture can be decoded."""
    decode(open_image(path))


def check_drawings(path: Path) -> None:
    """Raise DataError unless every drawing of the file can be read."""
    for _ in read_drawings(path):
        pass


def check_mask(photo: Path, mask: Path) -> None:
    """Raise DataError unless the mask can be used with its photo; ImageError: unreadable."""
    read_mask(mask, upright_size(open_image(photo)))
