"""PSC6K: key points that photos and sketches of the Sketchy database have in common.

Layout::

    PSC6K/test_pairs_ps.csv      photo,sketch,class,XA,YA,XB,YB: A is the photo, B the sketch
    PSC6K/test_pairs_st.csv      source_image,target_image,class,XA,YA,XB,YB: both directions; read where _ps is missing
    Sketchy/rendered_256x256/256x256/{photo,sketch}/tx_.../<class>/*

Coordinates are pixels of pictures of 256 x 256, eight in a field, separated by semicolons.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import (
    Findings,
    KeyPointPair,
    Picture,
    Point,
    SketchPhotoSet,
    check_known,
    named,
    order,
)
from sketchfusion.errors import ConfigError, DataError

TABLES = {"test_pairs_ps.csv": ["photo", "sketch", "class", "XA", "YA", "XB", "YB"],
          "test_pairs_st.csv": ["source_image", "target_image", "class", "XA", "YA", "XB", "YB"]}
POINTS = 8  # of a pair
SIDE = 256  # of the pictures, in pixels
TRAIN_ROWS, TEST_ROWS = 30, 50  # of each class, sorted by photo: rows 0-29 train, 30-49 test
PICTURES = ("", "rendered_256x256", "rendered_256x256/256x256", "256x256", "Sketchy", "Sketchy/rendered_256x256",
            "Sketchy/rendered_256x256/256x256", "Sketchy/256x256")
LAYOUT = "PSC6K/test_pairs_ps.csv and Sketchy/rendered_256x256/256x256/{photo,sketch}"
LICENCE = "research use (the pictures are the Sketchy database's)"
SOURCE = ("https://photo-sketch-correspondence-6k.s3.amazonaws.com/PSC6K.zip; pictures: http://sketchy.eye.gatech.edu "
          "(archive rendered_256x256)")

Protocol = Literal["all", "train", "test"]
SPANS: Mapping[Protocol, tuple[int, int | None]] = {"all": (0, None), "train": (0, TRAIN_ROWS),
                                                    "test": (TRAIN_ROWS, TEST_ROWS)}
Row = tuple[int, str, str, tuple[Point, ...], tuple[Point, ...]]


def read_psc6k(
    folder: str | os.PathLike[str], *, sketchy: str | os.PathLike[str] | None = None, protocol: Protocol = "all",
    classes: Iterable[str] | None = None,
) -> SketchPhotoSet:
    """The annotated pairs of PSC6K: 6,250, of 125 classes, ten photos each and five sketches a photo.

    Points are as published: whether whole numbers mean the middle or a corner of a pixel is not said; PSC6K's own
    measure rounds them to pixel numbers. ``KeyPointPair.directed`` gives both directions.

    Args:
        folder: the tables, alone or in ``PSC6K``.
        sketchy: folder of the pictures; looked for in ``folder`` and beside it if not given.
        protocol: all pairs, as PSC6K scores them; or, of the 60:40 split of the released code, the train (rows 0-29 of
            each class, sorted by photo: 3,750 pairs) or test rows (30-49: 2,500 pairs).
        classes: read these only; then the pictures of the others may be missing.
    Raises:
        DataError: a table is missing or malformed, a picture is not there, or the rows cannot be divided: a class has
            another number of them than 50, or a photo would be in both parts.
        ConfigError: there is no such protocol.
    Source: Lu, Wang, Fan, Learning Dense Correspondences between Photos and Sketches, ICML 2023; paper, Sec. 6.3.
    """
    return scan_psc6k(folder, Findings(), sketchy=sketchy, protocol=protocol, classes=classes)


def scan_psc6k(
    folder: str | os.PathLike[str], findings: Findings, *, sketchy: str | os.PathLike[str] | None = None,
    protocol: Protocol = "all", classes: Iterable[str] | None = None,
) -> SketchPhotoSet:
    """As ``read_psc6k``; what is wrong goes to ``findings``."""
    if protocol not in ("all", "train", "test"):
        raise ConfigError(f"protocol must be all, train or test, got {protocol!r}")
    root = listing.open_root(folder, LAYOUT)
    table = next((root / place / name for name in TABLES for place in ("", "PSC6K")
                  if (root / place / name).is_file()), None)
    if table is None:
        findings.add("missing", f"{root} has no test_pairs_ps.csv; expected it there or in PSC6K: unpack PSC6K.zip")
        return SketchPhotoSet("psc6k", root, (), (), (), licence=LICENCE, source=SOURCE)
    every = by_class(read_rows(table, findings))
    names = tuple(sorted(every if classes is None else set(classes)))
    check_known(names, every, "psc6k")
    if protocol != "all":
        report_undivided(table, {name: every[name] for name in names}, findings)
    rows = [row for name in names for row in every[name][slice(*SPANS[protocol])]]
    base = picture_folder(root, Path(sketchy) if sketchy else None, rows)
    report_missing(table, base, rows, findings)
    key_points = tuple(as_pair(base, row) for row in rows)
    photos = order({pair.photo for pair in key_points})
    sketches = order({pair.sketch for pair in key_points})
    numbers = {photo: number for number, photo in enumerate(photos)}
    places = {sketch: number for number, sketch in enumerate(sketches)}
    pairs = tuple(sorted((places[pair.sketch], numbers[pair.photo]) for pair in key_points))
    return SketchPhotoSet("psc6k", root, names, photos, sketches, pairs, licence=LICENCE, source=SOURCE,
                          key_points=key_points, notes=off_the_picture(key_points))


def read_rows(table: Path, findings: Findings) -> Iterator[Row]:
    """(line, photo, sketch, photo points, sketch points); the reverse rows of the two-way table are left out."""
    two_way = table.name == "test_pairs_st.csv"
    lines: dict[tuple[str, str], int] = {}
    for number, row in table_lines(table):
        first, second, _, *fields = row
        try:
            a, b = points(fields[0], fields[1]), points(fields[2], fields[3])
        except ValueError as error:
            findings.add("wrong", f"{table}, line {number}: {error}; expected {POINTS} numbers in each of XA, YA, XB "
                                  "and YB, separated by semicolons: download it again")
            continue
        if class_of(first) != class_of(second) or not class_of(first):
            findings.add("wrong", f"{table}, line {number} pairs {first} and {second}; expected a photo and a sketch "
                                  "of one class: download it again")
            continue
        if two_way and not is_photo(first):
            continue
        if (first, second) in lines:
            findings.add("wrong", f"{table}, line {number} repeats line {lines[first, second]}, {first} and {second}; "
                                  "expected each pair once: download it again")
            continue
        lines[first, second] = number
        yield number, first, second, a, b


def table_lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a table with the right header; blank lines are skipped."""
    header = TABLES[table.name]
    try:
        with table.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            first = next(reader, [])
            if first != header:
                raise DataError(f"{table} begins with {','.join(first)!r}; expected the header {','.join(header)}: "
                                "download it again")
            for row in reader:
                if row and len(row) != len(header):
                    raise DataError(f"{table}, line {reader.line_num} has {len(row)} fields; expected "
                                    f"{','.join(header)}: download it again")
                if row:
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {table}: {error}; expected comma-separated UTF-8 text: download it "
                        "again") from None


def points(xs: str, ys: str) -> tuple[Point, ...]:
    """The points of two fields. Raises ValueError: not numbers, or not as many as there must be."""
    pairs = [[float(value) for value in field.split(";")] for field in (xs, ys)]
    if any(len(values) != POINTS for values in pairs):
        raise ValueError(f"got {len(pairs[0])} x and {len(pairs[1])} y")
    for value in pairs[0] + pairs[1]:
        if not math.isfinite(value):
            raise ValueError(f"got the coordinate {value}")
    return tuple(zip(*pairs, strict=True))


def off_the_picture(pairs: Iterable[KeyPointPair]) -> tuple[str, ...]:
    """A note on points that lie beside their picture, where there are any."""
    count = sum(not 0 <= value <= SIDE for pair in pairs for point in pair.sketch_points + pair.photo_points
                for value in point)
    return (f"{count:,} coordinates lie off the pictures of {SIDE} x {SIDE} pixels",) if count else ()


def is_photo(path: str) -> bool:
    """Whether a path of the tables is that of a photo."""
    return "photo" in path.split("/")


def class_of(path: str) -> str:
    """The folder that a picture is in."""
    return path.rpartition("/")[0].rpartition("/")[2]


def by_class(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each class, sorted by photo and sketch."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row[1:3]):
        found.setdefault(class_of(row[1]), []).append(row)
    return found


def report_undivided(table: Path, every: Mapping[str, Sequence[Row]], findings: Findings) -> None:
    """Report classes whose rows cannot be divided by their numbers: too few, too many, or one photo in both parts."""
    odd = [f"{name} has {len(rows)}" for name, rows in every.items() if len(rows) != TEST_ROWS]
    if odd:
        findings.add("wrong", f"{table} has not {TEST_ROWS} rows of {len(odd)} class(es): {named(odd)}; rows 0-29 of "
                              "each train and 30-49 test, and any other number moves photos from the one to the other: "
                              "download it again, or name the other classes")
    shared = [photo for rows in every.values()
              for photo in sorted({row[1] for row in rows[:TRAIN_ROWS]} & {row[1] for row in rows[TRAIN_ROWS:]})]
    if shared:
        findings.add("wrong", f"{table} has {len(shared)} photo(s) both in rows 0-29 of a class, which train, and in "
                              f"30-49, which test: {named(shared)}; expected each in one of them: download it again, "
                              "or name the other classes")


def picture_folder(root: Path, sketchy: Path | None, rows: list[Row]) -> Path:
    """The folder that the paths of the table start from; where none fits, the first that was looked at."""
    roots = [sketchy] if sketchy else [root, root.parent]
    places = [place / inner for place in roots for inner in PICTURES]
    return next((place for place in places if any((place / row[1]).is_file() for row in rows[:POINTS])), places[0])


def report_missing(table: Path, base: Path, rows: list[Row], findings: Findings) -> None:
    """Report pictures that the table names and that are not there."""
    paths = dict.fromkeys(path for row in rows for path in row[1:3])
    gone = [path for path in paths if not (base / path).is_file()]
    if gone:
        findings.add("missing", f"{table} names {len(gone):,} pictures that are not in {base}: {named(gone)}; unpack "
                                "Sketchy's rendered_256x256 there, or say where it lies")


def as_pair(base: Path, row: Row) -> KeyPointPair:
    """The pictures and points of a row; the photo's name is the instance."""
    _, photo, sketch, photo_points, sketch_points = row
    name, instance = class_of(photo), Path(photo).stem
    return KeyPointPair(Picture(base / sketch, name, instance), Picture(base / photo, name, instance), sketch_points,
                        photo_points, (True,) * POINTS)
