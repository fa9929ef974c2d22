"""What every data set is read into: photos, sketches, which belong together, and which classes are unseen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sketchfusion.errors import DataError

NAMED = 3  # files that a message names
Point = tuple[float, float]
Trouble = Literal["missing", "wrong", "unknown"]


@dataclass(frozen=True)
class Picture:
    """A photo or sketch.

    Attributes:
        path: picture file, or the file that holds the drawing.
        class_name: what it shows.
        instance: what a photo and the sketches of exactly this photo share; empty where that is not known.
        line: 0 for a picture file; number of the drawing in the file, from 1.
        origin: what several photos and their sketches were made from, such as one cut-out; empty where nothing is.
    """

    path: Path
    class_name: str
    instance: str = ""
    line: int = 0
    origin: str = ""


@dataclass(frozen=True)
class KeyPointPair:
    """A sketch and a photo with the points that they have in common, as published: (x, y) in each one's own pixels.

    Attributes:
        sketch_points, photo_points: of equal length, point by point.
        visible: whether a point can be seen in both.
    """

    sketch: Picture
    photo: Picture
    sketch_points: tuple[Point, ...]
    photo_points: tuple[Point, ...]
    visible: tuple[bool, ...]

    def directed(self) -> tuple[tuple[Picture, Picture, tuple[Point, ...], tuple[Point, ...]], ...]:
        """(source, target, source points, target points): photo to sketch, then sketch to photo."""
        return ((self.photo, self.sketch, self.photo_points, self.sketch_points),
                (self.sketch, self.photo, self.sketch_points, self.photo_points))


@dataclass(frozen=True)
class MaskedPair:
    """A sketch, its photo, and the mask of what was drawn: 8 bits, above 127 where the thing is."""

    sketch: Picture
    photo: Picture
    mask: Path


@dataclass(frozen=True)
class SketchPhotoSet:
    """What is in a data set; nothing has been decoded.

    Attributes:
        name: of the row of ``SETS``, or of the reader.
        root: folder that it was read from.
        class_names: sorted.
        photos, sketches: sorted by class, path and line; either may be empty.
        pairs: (number of the sketch, number of the photo that it was drawn of), sorted; empty where that is not known.
        seen, unseen: classes to train on and to test on, sorted; None without a split.
        licence: what may be done with it.
        source: where it is to be had.
        masked: sketches with the masks of their photos.
        key_points: sketches and photos with points in common.
        notes: what was left out or merged, a sentence each.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    photos: tuple[Picture, ...]
    sketches: tuple[Picture, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    seen: tuple[str, ...] | None = None
    unseen: tuple[str, ...] | None = None
    licence: str = ""
    source: str = ""
    masked: tuple[MaskedPair, ...] = ()
    key_points: tuple[KeyPointPair, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, classes: Iterable[str]) -> SketchPhotoSet:
        """The same with these classes only, such as ``part(data.unseen)``; pairs count anew.

        Raises:
            DataError: a class that is not there.
        """
        wanted = set(classes)
        check_known(wanted, self.class_names, self.name)
        photos, photo_numbers = keep(self.photos, wanted)
        sketches, sketch_numbers = keep(self.sketches, wanted)
        return replace(
            self, class_names=tuple(sorted(wanted)), photos=photos, sketches=sketches,
            pairs=tuple((sketch_numbers[sketch], photo_numbers[photo]) for sketch, photo in self.pairs
                        if sketch in sketch_numbers and photo in photo_numbers),
            seen=None if self.seen is None else tuple(name for name in self.seen if name in wanted),
            unseen=None if self.unseen is None else tuple(name for name in self.unseen if name in wanted),
            masked=tuple(pair for pair in self.masked if pair.photo.class_name in wanted),
            key_points=tuple(pair for pair in self.key_points if pair.photo.class_name in wanted))


def keep(pictures: Sequence[Picture], wanted: Collection[str]) -> tuple[tuple[Picture, ...], dict[int, int]]:
    """The pictures of some classes, and their old numbers -> new numbers."""
    numbers = [number for number, picture in enumerate(pictures) if picture.class_name in wanted]
    return tuple(pictures[number] for number in numbers), {old: new for new, old in enumerate(numbers)}


def check_known(wanted: Collection[str], known: Collection[str], name: str) -> None:
    """Raise DataError where a class is not among the known ones."""
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise DataError(f"{name} has no class {named(strange)}; expected some of {named(sorted(known), 10)}")


def named(names: Iterable[object], limit: int = NAMED) -> str:
    """The first few, separated by commas."""
    every = [str(name) for name in names]
    return ", ".join(every[:limit]) + (", ..." if len(every) > limit else "")


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        kind: missing, wrong, unknown; of a check also count and unreadable.
        text: what, and what to do.
    """

    kind: str
    text: str


@dataclass
class Findings:
    """Where a reader reports what is not as it should be: raised at once, or collected when a folder is checked."""

    collect: bool = False
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: Trouble, text: str) -> None:
        """Raise DataError, or note it and let the reader go on without."""
        if not self.collect:
            raise DataError(text)
        self.problems.append(Problem(kind, text))


def order(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Sorted by class, path and line, whatever order the file system gave."""
    return tuple(sorted(pictures, key=lambda picture: (picture.class_name, picture.path.as_posix(), picture.line)))


def report_namesakes(pictures: Iterable[Picture], what: str, findings: Findings) -> None:
    """Report pictures of one class and instance: nobody knows which of them is meant."""
    files: dict[tuple[str, str], list[str]] = {}
    for picture in pictures:
        files.setdefault((picture.class_name, picture.instance), []).append(picture.path.name)
    twice = [f"{name}/{' and '.join(each)}" for (name, _), each in files.items() if len(each) > 1]
    if twice:
        findings.add("wrong", f"{len(twice)} {what}(s) are there twice under one name: {named(twice)}; expected names "
                              "that differ by more than their ending: rename or remove one of each")


def pair_by_instance(sketches: Sequence[Picture], photos: Sequence[Picture],
                     findings: Findings) -> tuple[tuple[int, int], ...]:
    """(sketch, photo) numbers of equal class and instance; sketches without a photo are left out.

    Args:
        findings: is told of photos of one instance that a sketch was drawn of.
    """
    drawn = {(sketch.class_name, sketch.instance) for sketch in sketches if sketch.instance}
    report_namesakes((photo for photo in photos if (photo.class_name, photo.instance) in drawn), "photo", findings)
    numbers = {(photo.class_name, photo.instance): number for number, photo in enumerate(photos) if photo.instance}
    found = ((number, numbers.get((sketch.class_name, sketch.instance))) for number, sketch in enumerate(sketches))
    return tuple((sketch, photo) for sketch, photo in found if photo is not None)
