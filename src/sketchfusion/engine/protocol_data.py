"""What of a data set a protocol uses: training, validation and test, told apart by rules that depend on names alone."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sketchfusion.data.sets import DataSet, Picture, SketchPhotoSet, find_set, load_split
from sketchfusion.data.sets.base import check_known
from sketchfusion.engine.protocols import TEST_SHARE, TRAINED, VALIDATION_SHARE, Protocol, Split, SplitRule
from sketchfusion.errors import ConfigError, DataError


def read_split(protocol: Protocol, folder: str | os.PathLike[str], split: Split = "test",
               classes: Sequence[str] = ()) -> SketchPhotoSet:
    """The part of a data set that a protocol evaluates on, or trains on.

    With the split rule "classes" only the classes of the split have to be there.

    Args:
        folder: of the data set.
        split: train, validation or test.
        classes: these only; none: all of the split. The others may then be missing.
    Raises:
        DataError: something of it is missing or wrong; the message says where it is to be had.
        ConfigError: the protocol has no such split.
    """
    row = find_set(protocol.data)
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder {folder}. {protocol.name} needs {row.title}, {row.layout}, from "
                        f"{row.source}")
    try:
        found = READERS[protocol.split_rule](protocol, row, folder, split, classes)
        check_there(protocol, found, split)
    except DataError as error:
        layout = "" if row.layout in str(error) else f", {row.layout}"
        raise DataError(f"{error}. {protocol.name} needs {row.title}{layout}, from {row.source}") from None
    note = size_note(protocol, found) if split == "test" and not classes else ""
    return replace(found, notes=(*found.notes, note)) if note else found


def size_note(protocol: Protocol, data: SketchPhotoSet) -> str:
    """What to know where a test split is not as large as the published one; empty where it is."""
    there = {"photos": len(data.photos), "sketches": len(data.sketches), "key point pairs": len(data.key_points)}
    other = [f"{there[what]:,} {what}, published are {count:,}" for what, count in protocol.published.items()
             if there[what] != count]
    return f"{data.root} holds {', '.join(other)}: these are not quite the paper's data" if other else ""


def check_split(split: str) -> None:
    """Raise ConfigError: a model cannot be evaluated on it."""
    if split not in ("validation", "test"):
        raise ConfigError(f"split must be validation or test, got {split!r}")


def read_classes(protocol: Protocol, row: DataSet, folder: str | os.PathLike[str], split: Split,
                 classes: Sequence[str]) -> SketchPhotoSet:
    """Seen classes train and validate, unseen ones test."""
    names = split_classes(protocol.lists)[split]
    check_known(classes, names, f"{protocol.name}, {split}")
    return row.read(folder, classes=tuple(classes or names), **protocol.options)


def split_classes(lists: str) -> Mapping[Split, tuple[str, ...]]:
    """The classes of each split of published lists, sorted; validation is of the seen ones, by lot but always alike."""
    seen, unseen = load_split(lists)
    held = sorted(seen, key=lot)[:len(unseen)]
    return {"train": tuple(sorted(set(seen) - set(held))), "validation": tuple(sorted(held)),
            "test": tuple(sorted(unseen))}


def lot(name: str) -> str:
    """A number by lot for a name, the same on every machine."""
    return hashlib.sha256(name.encode()).hexdigest()


def read_rows(protocol: Protocol, row: DataSet, folder: str | os.PathLike[str], split: Split,
              classes: Sequence[str]) -> SketchPhotoSet:
    """The released code's rows of PSC6K; the last photo of each class in its training rows validates."""
    found = row.read(folder, protocol="test" if split == "test" else "train", **some(classes), **protocol.options)
    if split == "test":
        return found
    last = {photo.class_name: photo.instance for photo in found.photos}
    return only(found, lambda item: (last[item.class_name] == item.instance) == (split == "validation"))


def read_pictures(protocol: Protocol, row: DataSet, folder: str | os.PathLike[str], split: Split,
                  classes: Sequence[str]) -> SketchPhotoSet:
    """Shares of each class by lot."""
    found = row.read(folder, **some(classes), **protocol.options)
    splits = deal(found.sketches)
    return only(found, lambda item: splits.get(unit(item)) == split)


def deal(sketches: Iterable[Picture]) -> dict[tuple[str, str], Split]:
    """Which split each unit belongs to: in each class the shares, by lot, at least one unit for the test."""
    by_class: dict[str, set[tuple[str, str]]] = {}
    for sketch in sketches:
        by_class.setdefault(sketch.class_name, set()).add(unit(sketch))
    dealt: dict[tuple[str, str], Split] = {}
    for units in by_class.values():
        test, validation = (math.ceil(share * len(units)) for share in (TEST_SHARE, VALIDATION_SHARE))
        for place, item in enumerate(sorted(units, key=lambda item: lot("/".join(item)))):
            dealt[item] = "test" if place < test else "validation" if place < test + validation else "train"
    return dealt


def unit(picture: Picture) -> tuple[str, str]:
    """Class and what goes into one split together: all of one origin, else a photo with its sketches, else a sketch."""
    return picture.class_name, picture.origin or picture.instance or f"{picture.path.name}#{picture.line}"


def read_parts(protocol: Protocol, row: DataSet, folder: str | os.PathLike[str], split: Split,
               classes: Sequence[str]) -> SketchPhotoSet:
    """What the files themselves call so; of the 24 million that train only the first of each class."""
    part = "valid" if split == "validation" else split
    return row.read(folder, part=part, per_class=TRAINED if split == "train" else None, **some(classes),
                    **protocol.options)


def read_whole(protocol: Protocol, row: DataSet, folder: str | os.PathLike[str], split: Split,
               classes: Sequence[str]) -> SketchPhotoSet:
    """All of it."""
    if split != "test":
        raise ConfigError(f"{protocol.name} has no {split} split, all of it is test; choose a model by another "
                          "protocol")
    return row.read(folder, **some(classes), **protocol.options)


READERS: Mapping[SplitRule, Callable[..., SketchPhotoSet]] = {
    "classes": read_classes, "rows": read_rows, "pictures": read_pictures, "parts": read_parts,
    "whole": read_whole}


def some(classes: Sequence[str]) -> dict[str, Any]:
    """The reader's option."""
    return {"classes": tuple(classes)} if classes else {}


def only(data: SketchPhotoSet, keep: Callable[[Picture], bool]) -> SketchPhotoSet:
    """The data set with some of its sketches and of the photos that were drawn; pairs count anew."""
    sketches = [number for number, sketch in enumerate(data.sketches) if keep(sketch)]
    photos = [number for number, photo in enumerate(data.photos) if not photo.instance or keep(photo)]
    new_sketch, new_photo = ({old: new for new, old in enumerate(numbers)} for numbers in (sketches, photos))
    return replace(
        data, sketches=tuple(data.sketches[number] for number in sketches),
        photos=tuple(data.photos[number] for number in photos),
        pairs=tuple((new_sketch[sketch], new_photo[photo]) for sketch, photo in data.pairs
                    if sketch in new_sketch and photo in new_photo),
        masked=tuple(pair for pair in data.masked if keep(pair.sketch)),
        key_points=tuple(pair for pair in data.key_points if keep(pair.sketch)))


def check_there(protocol: Protocol, data: SketchPhotoSet, split: Split) -> None:
    """Raise DataError where the task has nothing to work on."""
    wanted: dict[str, tuple[str, int]] = {
        "category retrieval": ("sketches with photos of their class", min(len(data.sketches), len(data.photos))),
        "fine-grained retrieval": ("sketches whose photo is known", len(data.pairs)),
        "recognition": ("sketches", len(data.sketches)),
        "correspondence": ("pairs with key points", len(data.key_points)),
        "segmentation": ("sketches with a mask of their photo", len(data.masked))}
    what, count = wanted[protocol.task]
    if not count:
        raise DataError(f"the {split} split of {protocol.name} in {data.root} has no {what}")
