"""Reader of photos and freehand sketches in a folder laid out like PACS, for evaluation.

Layout::

    photo/<class>/*         pictures
    sketch/<class>/*        freehand sketches of the same classes
    instance_pairs.csv      optional; header class,photo,sketch; which sketch was drawn of which photo
"""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sketchfusion.errors import DataError
from sketchfusion.images import SUFFIXES

PAIRS, HEADER = "instance_pairs.csv", ["class", "photo", "sketch"]
NAMED = 3  # missing files that an error names


@dataclass(frozen=True)
class LabelledPicture:
    """A file and the class that it shows."""

    path: Path
    class_name: str


@dataclass(frozen=True)
class PacsFolder:
    """What is in such a folder.

    Attributes:
        class_names: sorted; photos and sketches have the same.
        photos: sorted by path.
        sketches: sorted by path.
        pairs: (photo path, sketch path) of each line of the table, in its order; a photo may have several sketches.
            Empty without a table.
    """

    class_names: tuple[str, ...]
    photos: tuple[LabelledPicture, ...]
    sketches: tuple[LabelledPicture, ...]
    pairs: tuple[tuple[Path, Path], ...] = ()


def read_pacs(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> PacsFolder:
    """What is in a folder laid out like PACS; no picture is opened.

    Files that are hidden or do not end like a picture are skipped.

    Args:
        folder: with ``photo`` and ``sketch`` in it, one folder per class in each.
        classes: read these only; then the others may be missing.
    Returns:
        PacsFolder, its paths below ``folder`` as given.
    Raises:
        DataError: the folder or a half of it is missing, a class is on one side only or without pictures, or the
            table of pairs is malformed, names a file that is not there, repeats a pair, or pairs two classes.
    Source: the "photo" and "sketch" domains of PACS (Li et al., Deeper, Broader and Artier Domain Generalization,
        ICCV 2017); the table is own.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; expected one with photo/<class> and sketch/<class> in it")
    wanted = None if classes is None else frozenset(classes)
    photos, sketches = _read_side(root, "photo", wanted), _read_side(root, "sketch", wanted)
    for side, lone in (("photo", photos.keys() - sketches.keys()), ("sketch", sketches.keys() - photos.keys())):
        if lone:
            other = "sketch" if side == "photo" else "photo"
            raise DataError(f"{root / side} has the class {', '.join(sorted(lone))}, {root / other} has not; expected "
                            f"the same classes in both: add it to {other}, or take it out of {side}")
    return PacsFolder(tuple(sorted(photos)), _sorted(photos), _sorted(sketches),
                      _read_pairs(root, photos, sketches, wanted))


def _read_side(root: Path, side: str, wanted: Collection[str] | None) -> dict[str, list[Path]]:
    """The pictures of each class, or of the wanted ones."""
    if not (root / side).is_dir():
        raise DataError(f"{root} has no folder {side}; expected photo/<class> and sketch/<class> in it")
    places = [place for place in (root / side).iterdir() if place.is_dir() and not place.name.startswith(".")]
    if not places:
        raise DataError(f"{root / side} has no class; expected one folder of pictures per class, such as {side}/dog")
    names = sorted(place.name for place in places)
    strange = sorted(set(names if wanted is None else wanted) - set(names))
    if strange:
        raise DataError(f"{root / side} has no class {', '.join(strange)}; expected some of {', '.join(names)}: add "
                        "its folder, or name other classes")
    found = {place.name: [file for file in place.iterdir() if _is_picture(file)] for place in places
             if wanted is None or place.name in wanted}
    bare = sorted(name for name, files in found.items() if not files)
    if bare:
        raise DataError(f"the class {', '.join(bare)} has no pictures in {root / side}; expected files such as "
                        f"001.jpg or 001.png: add some, or delete the folder on both sides")
    return found


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _sorted(files: dict[str, list[Path]]) -> tuple[LabelledPicture, ...]:
    pictures = [LabelledPicture(path, name) for name, paths in files.items() for path in paths]
    return tuple(sorted(pictures, key=lambda picture: picture.path))


def _read_pairs(root: Path, photos: dict[str, list[Path]], sketches: dict[str, list[Path]],
                wanted: Collection[str] | None) -> tuple[tuple[Path, Path], ...]:
    table = root / PAIRS
    if not table.exists():
        return ()
    known = {path: name for side in (photos, sketches) for name, paths in side.items() for path in paths}
    lines = [line for line in _read_lines(table) if wanted is None or line[1] in wanted]
    named = [root / part for _, _, photo, sketch in lines for part in (photo, sketch)]
    missing = list(dict.fromkeys(path for path in named if path not in known))
    if missing:
        shown = ", ".join(path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
                          for path in missing[:NAMED])
        raise DataError(f"{table} names {len(missing):,} pictures that are not there: {shown}"
                        f"{', ...' if len(missing) > NAMED else ''}; expected paths relative to {root}, such as "
                        "photo/dog/001.jpg: copy the files or delete their lines")
    pairs: dict[tuple[Path, Path], int] = {}
    for number, class_name, photo, sketch in lines:
        pair = root / photo, root / sketch
        if photo.partition("/")[0] != "photo" or sketch.partition("/")[0] != "sketch":
            raise DataError(f"{table}, line {number} pairs {photo} and {sketch}; expected a photo, then a sketch of "
                            "it: mend this line")
        if {known[path] for path in pair} != {class_name}:
            raise DataError(f"{table}, line {number} pairs {photo} and {sketch} as {class_name!r}; expected a photo "
                            "and a sketch of this class: mend or delete this line")
        if pair in pairs:
            raise DataError(f"{table}, line {number} repeats line {pairs[pair]}, {photo} and {sketch}; expected each "
                            "pair once: delete one of these lines")
        pairs[pair] = number
    return tuple(pairs)


def _read_lines(table: Path) -> Iterator[tuple[int, str, str, str]]:
    """(line number, class, photo, sketch); blank lines are skipped."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = next(reader, [])
            if header != HEADER:
                raise DataError(f"{table} begins with {','.join(header)!r}; expected the header {','.join(HEADER)}: "
                                "add it")
            for row in reader:
                if row and (len(row) != len(HEADER) or not all(row)):
                    raise DataError(f"{table}, line {reader.line_num} is {','.join(row)!r}; expected a class, a photo "
                                    "and a sketch, separated by commas: mend this line")
                if row:
                    yield reader.line_num, row[0], row[1], row[2]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}; expected comma-separated UTF-8 text: write it anew") from None
