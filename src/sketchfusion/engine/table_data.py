"""The data of a table: which are there below the folder of all data, which are missing, and which are broken."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sketchfusion.config import digest
from sketchfusion.data.sets import SketchPhotoSet, find_set
from sketchfusion.data.sets.caltech import PHOTOS
from sketchfusion.engine.protocol_data import read_split
from sketchfusion.engine.protocols import Protocol, Split, Task, find_protocol
from sketchfusion.engine.tables import Table, paper_tables
from sketchfusion.errors import ConfigError, DataError

HERE = "."  # the folder of all data itself
BELOW = "caltech-quickdraw"  # which is two data sets, side by side in the folder of all data
ALSO_USED: Mapping[Task, tuple[Split, ...]] = {  # beside the test split, by methods without training
    "recognition": ("train",), "segmentation": ("validation",)}
Trouble = Literal["missing data", "broken data", "missing weights", "not trained", "not for this task", "failed"]


@dataclass(frozen=True)
class Skip:
    """Something that has no number of ours.

    Attributes:
        kind: why in two words.
        name: data set, or title of the row.
        protocols: where; empty: everywhere.
        reason: the error that says what to do.
    """

    kind: Trouble
    name: str
    protocols: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Tested:
    """The test split of a protocol.

    Attributes:
        protocol: whose.
        folder: of the data set.
        data: what is in it.
        files: identity of the files that evaluations read, by place, size and time; nothing is opened for it.
    """

    protocol: Protocol
    folder: Path
    data: SketchPhotoSet
    files: str


def named_folders(texts: Sequence[str]) -> dict[str, Path]:
    """``SET=FOLDER`` -> folder of each data set. Raises ConfigError: no such set or folder, or another form."""
    folders = {}
    for text in texts:
        name, sign, place = text.partition("=")
        if not sign or not place:
            raise ConfigError(f"cannot read {text!r}; expected a data set and its folder, such as pacs=/data/pacs")
        folders[find_set(name).name] = Path(place).expanduser()
        if not folders[name].is_dir():
            raise ConfigError(f"there is no folder {place}, which was named for the data set {name}; check the path")
    return folders


def find_folder(name: str, root: Path, given: Mapping[str, Path]) -> Path | None:
    """The folder of a data set: the one that was named, else a usual one below ``root``; None: there is none."""
    if name in given:
        return given[name]
    for place in paper_tables().folders[name]:
        if place == HERE and not (name == BELOW and holds_both(root)):
            continue
        if (root / place).is_dir():
            return root / place
    return None


def holds_both(root: Path) -> bool:
    """Whether Caltech-101 and Quick, Draw! lie there."""
    return (root / "quickdraw").is_dir() and any((root / place).is_dir() for place in PHOTOS)


def read_table(table: Table, root: Path, given: Mapping[str, Path]) -> tuple[dict[str, Tested], list[Skip]]:
    """The test split of each protocol of a table, and what is not there or not whole.

    Args:
        root: folder of all data.
        given: folders of data sets that lie elsewhere.
    Raises:
        DataError: ``root`` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; expected one that holds a folder for each data set, such as "
                        f"{root / 'pacs'}")
    found: dict[str, Tested] = {}
    skips: list[Skip] = []
    for name in table.protocols:
        protocol = find_protocol(name)
        folder = find_folder(protocol.data, root, given)
        places = paper_tables().folders[protocol.data]
        try:
            where = folder or root / places[0]
            found[name] = Tested(protocol, where, (data := read_split(protocol, where)),
                                 identity_of_files(protocol, where, data))
        except DataError as error:
            hint = "" if folder else f"; or name its folder: --data-at {protocol.data}=FOLDER"
            skips = merged(skips, Skip("broken data" if folder else "missing data", protocol.data, (name,),
                                       f"{error}{hint}"))
    return found, skips


def merged(skips: Sequence[Skip], new: Skip) -> list[Skip]:
    """The list with one more; the same in another protocol stays one, a data set with its first reason."""
    same = next((skip for skip in skips if likeness(skip) == likeness(new)), None)
    if same is None:
        return [*skips, new]
    protocols = tuple(dict.fromkeys((*same.protocols, *new.protocols)))
    return [replace(skip, protocols=protocols) if skip is same else skip for skip in skips]


def likeness(skip: Skip) -> tuple[str, str, str]:
    """Equal for what is told once. The reader's words on a data set end with the protocol, so these do not count."""
    return skip.kind, skip.name, "" if skip.kind in ("missing data", "broken data") else skip.reason


def identity_of_files(protocol: Protocol, folder: Path, data: SketchPhotoSet) -> str:
    """Hash over place, size and time of every file of the splits that are used."""
    splits = [data, *(split_if_any(protocol, folder, split) for split in ALSO_USED.get(protocol.task, ()))]
    files = {picture.path for part in splits for picture in (*part.photos, *part.sketches)}
    files |= {pair.mask for part in splits for pair in part.masked}
    root = os.path.commonpath([folder, *(path.parent for path in files)])  # pictures may lie beside their table
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in sorted(files))
    points = [[pair.sketch_points, pair.photo_points, pair.visible] for pair in data.key_points]
    return digest([[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats], points,
                   [len(part.sketches) for part in splits]])


def split_if_any(protocol: Protocol, folder: Path, split: Split) -> SketchPhotoSet:
    """A further split, which only some methods need: with nothing in it where there is none for them to use."""
    try:
        return read_split(protocol, folder, split)
    except DataError:
        return SketchPhotoSet(protocol.data, folder, (), (), ())


def class_note(tested: Tested) -> str:
    """How many sketches of each class are judged, where the protocol takes so many of each; otherwise empty."""
    if "per_class" not in tested.protocol.options:
        return ""
    counts = Counter(sketch.class_name for sketch in tested.data.sketches).values()
    low, high = min(counts), max(counts)
    return f"{low:,}{f' to {high:,}' if high > low else ''} sketches of each class are judged"
