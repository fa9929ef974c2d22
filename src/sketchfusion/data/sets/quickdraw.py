"""Quick, Draw! drawings in three of their published formats, and these alone as a data set.

=========  =====================================================================================================
``ndjson``  one drawing a line, simplified or raw (with times); one ``<class>.ndjson`` a class
``bin``     the simplified drawings, packed: little-endian key, country, flag, time, then bytes of x and y
``npz``     Sketch-RNN's 70,000/2,500/2,500 of a class, as offsets; see ``sketchrnn``
=========  =====================================================================================================
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import Findings, Picture, SketchPhotoSet, named, order
from sketchfusion.data.sets.classes import Spelling, load_list
from sketchfusion.data.sets.sketchrnn import PAPER, Part, list_members, read_members
from sketchfusion.errors import DataError, ImageError
from sketchfusion.sketches import MAX_BYTES, Drawing, parse_drawing

LICENCE = "CC BY 4.0 (The Quick, Draw! dataset, Google)"
SOURCE = "https://github.com/googlecreativelab/quickdraw-dataset (gs://quickdraw_dataset/full/simplified/*.ndjson)"
RNN_SOURCE = "https://github.com/googlecreativelab/quickdraw-dataset (gs://quickdraw_dataset/sketchrnn/*.npz)"
RNN_LAYOUT = "<class>.npz of Sketch-RNN for each of the 345 classes"
LAYOUT = "<class>.ndjson, <class>.bin or <class>.npz for each of the 345 classes"
HEADER = struct.Struct("<Q2sbIH")  # key, country, recognized, time, number of strokes
COUNT = struct.Struct("<H")
BLOCK = 1 << 20
DOWNLOADED = ("full_simplified_", "full_raw_", "full_binary_", "sketchrnn_")


def read_quickdraw(folder: str | os.PathLike[str], *, per_class: int | None = None,
                   classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """Quick, Draw! drawings, without photos; files are opened to count their drawings only.

    Args:
        folder: one file per class, all of one format.
        per_class: take no more than so many of each class, the first ones; all if None (there are 50 million).
        classes: read these only; then the others may be missing.
    Returns:
        SketchPhotoSet whose sketches say file and line; ``read_drawing`` and ``read_drawings`` give what they hold.
    Raises:
        DataError: the folder or a class is missing, a class is unknown, a file is malformed or has another format.
    Source: Ha and Eck, A Neural Representation of Sketch Drawings, 2017; paper, Sec. 6.2.
    """
    return scan_quickdraw(folder, Findings(), per_class=per_class, classes=classes)


def scan_quickdraw(folder: str | os.PathLike[str], findings: Findings, *, per_class: int | None = None,
                   classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_quickdraw``; what is wrong goes to ``findings``."""
    files, root = class_files(folder, findings, LAYOUT, FORMATS, per_class, classes)
    sketches = [Picture(file, name, "", line) for name, file in files.items()
                for line in range(1, counted(file, per_class, findings) + 1)]
    return SketchPhotoSet("quickdraw", root, tuple(sorted(files)), (), order(sketches), licence=LICENCE, source=SOURCE)


def read_sketchrnn(folder: str | os.PathLike[str], *, part: Part | None = None, per_class: int | None = None,
                   classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """Quick, Draw! drawings as Sketch-RNN divides them: of each class 70,000 train, 2,500 valid, 2,500 test.

    Args:
        folder: one ``.npz`` per class.
        part: of the files' own; all of them if None (there are 26 million).
        per_class, classes: as ``read_quickdraw``'s; the first drawings of the part.
    Returns:
        SketchPhotoSet as ``read_quickdraw``'s; drawings are numbered through train, valid and test.
    Raises:
        DataError: as ``read_quickdraw``'s, or a file has not the part.
    Source: Ha and Eck, A Neural Representation of Sketch Drawings, 2017; paper, Sec. 6.2.
    """
    return scan_sketchrnn(folder, Findings(), part=part, per_class=per_class, classes=classes)


def scan_sketchrnn(folder: str | os.PathLike[str], findings: Findings, *, part: Part | None = None,
                   per_class: int | None = None, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_sketchrnn``; what is wrong goes to ``findings``."""
    files, root = class_files(folder, findings, RNN_LAYOUT, [".npz"], per_class, classes)
    sketches = [Picture(file, name, "", line) for name, file in files.items()
                for line in part_lines(file, part, findings)[:per_class]]
    return SketchPhotoSet("quickdraw-sketchrnn", root, tuple(sorted(files)), (), order(sketches), licence=LICENCE,
                          source=RNN_SOURCE)


def part_lines(file: Path, part: Part | None, findings: Findings) -> range:
    """Numbers of the drawings of a part; none where it cannot be read, which is reported."""
    begin = 1
    try:
        members = list_members(file)
    except DataError as error:
        findings.add("wrong", str(error))
        return range(0)
    for member in members:
        if member.name == part and member.count:
            return range(begin, begin + member.count)
        begin += member.count
    if part is None and begin > 1:
        return range(1, begin)
    findings.add("missing", f"{file} has no drawings{f' in the part {part}' if part else ''}; download it again")
    return range(0)


def class_files(folder: str | os.PathLike[str], findings: Findings, layout: str, formats: Collection[str],
                per_class: int | None, classes: Iterable[str] | None) -> tuple[dict[str, Path], Path]:
    """The file of each class that is read, and the folder; what is wrong goes to ``findings``."""
    known = load_list("quickdraw-345")
    wanted = listing.check_classes(classes, known, "quickdraw")
    if per_class is not None and per_class < 1:
        raise DataError(f"per_class must be at least 1, got {per_class}; leave it out for all drawings")
    root = listing.open_root(folder, layout)
    spelling, files, unknown = Spelling(known), dict[str, Path](), []
    every = listing.list_files(root, formats)
    endings = sorted({file.suffix.lower() for file in every})
    if len(endings) > 1:
        findings.add("wrong", f"{root} holds {', '.join(endings)} files; expected one format a folder, for the "
                              "drawings are the same: move the others away")
    for file in every:
        name = spelling.official(bare_name(file))
        if name is None:
            unknown.append(file.name)
        elif (wanted is None or name in wanted) and file.suffix.lower() == endings[0]:
            if name in files:
                findings.add("wrong", f"{root} holds the class {name} twice, in {files[name].name} and {file.name}; "
                                      "move one of them away")
            files[name] = file
    if unknown:
        findings.add("unknown", f"{root} has {len(unknown)} file(s) of no class of Quick, Draw!: {named(unknown)}; "
                                "rename or remove them")
    missing = sorted(set(wanted or known) - files.keys())
    if missing:
        findings.add("missing", f"{root} lacks {len(missing)} of {len(wanted or known)} classes: {named(missing)}; "
                                f"expected files such as cat{next(iter(formats))}: download them, or name the classes "
                                "that you have")
    return files, root


def bare_name(file: Path) -> str:
    """The class in a file's name: without ``.full`` of the larger npz, or the folders that a browser puts before."""
    name = file.stem.removesuffix(".full")
    return next((name.removeprefix(prefix) for prefix in DOWNLOADED if name.startswith(prefix)), name)


def counted(file: Path, limit: int | None, findings: Findings) -> int:
    """Drawings in a file, at most ``limit``; 0 where it cannot be read, which is reported."""
    try:
        count = count_drawings(file, limit)
    except DataError as error:
        findings.add("wrong", str(error))
        return 0
    if not count:
        findings.add("missing", f"{file} has no drawings; download it again")
    return count


def count_drawings(file: str | os.PathLike[str], limit: int | None = None) -> int:
    """How many drawings a file holds, at most ``limit``; strokes are not decoded.

    Raises:
        DataError: it cannot be read, or is not in one of the formats.
    """
    path = Path(file)
    count = format_of(path).count(path, limit)
    return count if limit is None else min(count, limit)


def read_drawing(picture: Picture) -> Drawing:
    """The one drawing that a sketch of ``read_quickdraw`` stands for; for many of one file use ``read_drawings``.

    Raises:
        DataError: there is no such line, or it is malformed.
    """
    drawing = next(read_drawings(picture.path, picture.line), None)
    if drawing is None:
        raise DataError(f"{picture.path} has no drawing {picture.line}; it has changed since it was listed")
    return drawing


def read_drawings(file: str | os.PathLike[str], first: int = 1) -> Iterator[Drawing]:
    """The drawings of a file, one after the other: y downwards, on paper of 256 x 256, larger where ink lies beyond.

    Args:
        first: number of the drawing to begin with, from 1; those before it are passed over without decoding.
    Raises:
        DataError: it cannot be read, or a drawing is malformed; the message says which.
    """
    path = Path(file)
    return format_of(path).read(path, max(first, 1))


def read_ndjson(file: Path, first: int = 1) -> Iterator[Drawing]:
    """The drawings of an ndjson file, simplified or raw."""
    for number, line in islice(enumerate(lines_of(file), start=1), first - 1, None):
        try:
            text = line.decode("utf-8-sig")
            yield parse_drawing(text, f"{file}, line {number}")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}, line {number} is not UTF-8 text: {error}; download the file again") from None
        except ImageError as error:
            raise DataError(str(error)) from None


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of a file that are not blank."""
    try:
        with file.open("rb") as stream:
            while line := stream.readline(MAX_BYTES):
                if line.strip():
                    yield line
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}; expected a Quick, Draw! ndjson file") from None


def count_lines(file: Path, limit: int | None) -> int:
    """Lines that are not blank, at most ``limit``."""
    return sum(1 for _ in islice(lines_of(file), limit))


def read_bin(file: Path, first: int = 1) -> Iterator[Drawing]:
    """The drawings of a file of the binary format."""
    for number, strokes in islice(enumerate(bin_records(file), start=1), first - 1, None):
        points = tuple(np.frombuffer(data, dtype=np.uint8).reshape(2, -1).T.astype(np.float64)
                       for data in strokes if data)
        try:
            yield Drawing(points, PAPER, PAPER)
        except ImageError as error:
            raise DataError(f"{file}, drawing {number}: {error}") from None


def bin_records(file: Path) -> Iterator[list[bytes]]:
    """The strokes of each drawing: bytes of all x, then of all y."""
    number = 1
    try:
        with file.open("rb", buffering=BLOCK) as stream:

            def take(size: int) -> bytes:
                data = stream.read(size)
                if len(data) < size:
                    raise DataError(f"{file}, drawing {number} is cut off; expected Quick, Draw!'s binary format: "
                                    "download the file again")
                return data

            while head := stream.read(HEADER.size):
                if len(head) < HEADER.size:
                    take(HEADER.size)
                strokes = HEADER.unpack(head)[-1]
                yield [take(2 * COUNT.unpack(take(COUNT.size))[0]) for _ in range(strokes)]
                number += 1
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}; expected a Quick, Draw! bin file") from None


def count_bin(file: Path, limit: int | None) -> int:
    """Drawings of a file of the binary format, at most ``limit``."""
    return sum(1 for _ in islice(bin_records(file), limit))


def count_npz(file: Path, limit: int | None) -> int:
    """Drawings of a file of Sketch-RNN, by its headers."""
    return sum(member.count for member in list_members(file))


@dataclass(frozen=True)
class Format:
    """How a file of drawings is read from a number on, and how its drawings are counted."""

    read: Callable[[Path, int], Iterator[Drawing]]
    count: Callable[[Path, int | None], int]


FORMATS = {".ndjson": Format(read_ndjson, count_lines), ".bin": Format(read_bin, count_bin),
           ".npz": Format(read_members, count_npz)}


def format_of(file: Path) -> Format:
    """By the ending. Raises DataError: none of ours."""
    if file.suffix.lower() not in FORMATS:
        raise DataError(f"{file} is no file of drawings; expected an ending of {', '.join(FORMATS)}")
    return FORMATS[file.suffix.lower()]
