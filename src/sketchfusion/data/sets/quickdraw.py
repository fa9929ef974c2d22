"""Quick, Draw! drawings in three of their published formats, and these alone as a data set.

=========  =====================================================================================================
``ndjson``  one drawing a line, simplified or raw (with times); one ``<class>.ndjson`` a class
``bin``     the simplified drawings, packed: little-endian key, country, flag, time, then bytes of x and y
``npz``     Sketch-RNN's 70,000/2,500/2,500: the published files are pickled and therefore refused, see ``read_npz``
=========  =====================================================================================================
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import Findings, Picture, SketchPhotoSet, named, order
from sketchfusion.data.sets.classes import Spelling, load_list
from sketchfusion.errors import DataError, ImageError
from sketchfusion.sketches import MAX_BYTES, MAX_POINTS, Drawing, parse_drawing

LICENCE = "CC BY 4.0 (The Quick, Draw! dataset, Google)"
SOURCE = "https://github.com/googlecreativelab/quickdraw-dataset (gs://quickdraw_dataset/full/simplified/*.ndjson)"
LAYOUT = "<class>.ndjson, <class>.bin or <class>.npz for each of the 345 classes"
PAPER = 256.0  # side of the paper of simplified drawings
HEADER = struct.Struct("<Q2sbIH")  # key, country, recognized, time, number of strokes
COUNT = struct.Struct("<H")
BLOCK = 1 << 20
DOWNLOADED = ("full_simplified_", "full_raw_", "full_binary_", "sketchrnn_")
PARTS = ("train", "valid", "test")  # of Sketch-RNN, in this order


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
    known = load_list("quickdraw-345")
    wanted = listing.check_classes(classes, known, "quickdraw")
    if per_class is not None and per_class < 1:
        raise DataError(f"per_class must be at least 1, got {per_class}; leave it out for all drawings")
    root = listing.open_root(folder, LAYOUT)
    spelling, files, unknown = Spelling(known), dict[str, Path](), []
    every = listing.list_files(root, FORMATS)
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
                                "expected files such as cat.ndjson: download them, or name the classes that you have")
    sketches = [Picture(file, name, "", line) for name, file in files.items()
                for line in range(1, counted(file, per_class, findings) + 1)]
    return SketchPhotoSet("quickdraw", root, tuple(sorted(files)), (), order(sketches), licence=LICENCE, source=SOURCE)


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
    for line, drawing in enumerate(read_drawings(picture.path), start=1):
        if line == picture.line:
            return drawing
    raise DataError(f"{picture.path} has no drawing {picture.line}; it has changed since it was listed")


def read_drawings(file: str | os.PathLike[str]) -> Iterator[Drawing]:
    """All drawings of a file, one after the other: y downwards, on paper of 256 x 256, larger where ink lies beyond.

    Raises:
        DataError: it cannot be read, or a drawing is malformed; the message says which.
    """
    path = Path(file)
    return format_of(path).read(path)


def read_ndjson(file: Path) -> Iterator[Drawing]:
    """The drawings of an ndjson file, simplified or raw."""
    for number, line in enumerate(lines_of(file), start=1):
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


def read_bin(file: Path) -> Iterator[Drawing]:
    """The drawings of a file of the binary format."""
    for number, strokes in enumerate(bin_records(file), start=1):
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


def read_npz(file: Path) -> Iterator[Drawing]:
    """The drawings of a Sketch-RNN file that was saved without pickle: ``train``, then ``valid``, then ``test``.

    Each part is an array of (points, 3) offsets and pen marks, of all drawings one after the other, with
    ``<part>_lengths``, the number of points of each. The published files hold arrays of objects, which only pickle
    can read, and a pickle can run any program: they are refused. ``docs/datasets.md`` says how to convert them.

    Raises:
        DataError: the file is pickled, or not of this form.
    """
    row = 0
    for offsets, lengths in npz_parts(file):
        start = 0
        for length in lengths.tolist():
            row += 1
            try:
                yield from_offsets(offsets[start : start + length])
            except ImageError as error:
                raise DataError(f"{file}, drawing {row}: {error}") from None
            start += length


def npz_parts(file: Path) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """(offsets, lengths) of each part."""
    hint = "expected number arrays train, valid, test and train_lengths, ...; see docs/datasets.md"
    try:
        if not zipfile.is_zipfile(file):
            raise DataError(f"{file} is no npz archive; {hint}")
        with np.load(file, allow_pickle=False) as archive:
            names = [name for name in PARTS if name in archive.files]
            if not names:
                raise DataError(f"{file} has no arrays {', '.join(PARTS)}; {hint}")
            for name in names:
                offsets = archive[name]
                if f"{name}_lengths" not in archive.files:
                    raise DataError(f"{file} has no array {name}_lengths; {hint}")
                lengths = archive[f"{name}_lengths"]
                check_npz(file, name, offsets, lengths, hint)
                yield offsets, lengths
    except ValueError as error:
        if "allow_pickle" not in str(error) and "Object arrays" not in str(error):
            raise DataError(f"cannot read {file}: {error}; {hint}") from None
        raise DataError(f"{file} holds pickled objects, as Sketch-RNN's published files do, and a pickle can run any "
                        "program: it is not read. Take the same class as .ndjson or .bin, or convert the file as "
                        "docs/datasets.md says") from None
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {file}: {error}; {hint}") from None


def check_npz(file: Path, name: str, offsets: npt.NDArray[Any], lengths: npt.NDArray[Any], hint: str) -> None:
    """Raise DataError unless offsets and lengths fit."""
    fits = (offsets.ndim == 2 and offsets.shape[1] == 3 and offsets.dtype.kind in "iuf" and lengths.ndim == 1
            and lengths.dtype.kind in "iu" and (lengths.size == 0 or int(lengths.min()) > 0)
            and int(lengths.sum()) == len(offsets))
    if not fits:
        raise DataError(f"{file}: {name} is {offsets.dtype} {offsets.shape} and its lengths {lengths.dtype} "
                        f"{lengths.shape} add up to {lengths.sum()}; {hint}")


def from_offsets(offsets: npt.NDArray[Any]) -> Drawing:
    """The drawing of a Sketch-RNN array, moved so that its ink begins at (0, 0).

    Args:
        offsets: (N, 3): step in x, step in y, and 1 where the pen is lifted after this point.
    Raises:
        ImageError: blank, or not finite.
    """
    steps = np.asarray(offsets, dtype=np.float64).reshape(-1, 3)
    if not 0 < len(steps) <= MAX_POINTS or not np.isfinite(steps).all():
        raise ImageError(f"expected 1 to {MAX_POINTS:,} finite steps of a drawing, got {offsets.shape}")
    points = np.cumsum(steps[:, :2], axis=0)
    points -= points.min(axis=0)
    lifts = np.flatnonzero(steps[:-1, 2] > 0) + 1
    paper = max(PAPER, float(points.max()) + 1)
    return Drawing(tuple(np.split(points, lifts)), paper, paper)


def count_npz(file: Path, limit: int | None) -> int:
    """Drawings of a converted Sketch-RNN file."""
    return sum(len(lengths) for _, lengths in npz_parts(file))


@dataclass(frozen=True)
class Format:
    """How a file of drawings is read, and how its drawings are counted."""

    read: Callable[[Path], Iterator[Drawing]]
    count: Callable[[Path, int | None], int]


FORMATS = {".ndjson": Format(read_ndjson, count_lines), ".bin": Format(read_bin, count_bin),
           ".npz": Format(read_npz, count_npz)}


def format_of(file: Path) -> Format:
    """By the ending. Raises DataError: none of ours."""
    if file.suffix.lower() not in FORMATS:
        raise DataError(f"{file} is no file of drawings; expected an ending of {', '.join(FORMATS)}")
    return FORMATS[file.suffix.lower()]
