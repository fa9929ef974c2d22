"""Photos with masks and sketches drawn of exactly these photos: of one's own, or made by this project.

Layout::

    sketches/<class>/<id>*.png     the photo's name, alone or with an ending after _ or -, such as 0012-3.png
    photos/<class>/<id>.jpg
    masks/<class>/<id>.png         8 bits, the size of the photo, above 127 where the thing is

Composites have these folders; the drawn world calls them ``sketch``, ``photo`` and ``mask``. Both come with key points.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import (
    Findings,
    KeyPointPair,
    MaskedPair,
    Picture,
    Point,
    SketchPhotoSet,
    named,
    order,
    pair_by_instance,
    report_namesakes,
)

LAYOUT = "photos/<class>/<id>.jpg, masks/<class>/<id>.png and sketches/<class>/<id>*.png"
COMPOSITES_LAYOUT = LAYOUT + ", samples.jsonl"
WORLD_LAYOUT = "photo/<class>/<id>.png, mask/<class>/<id>.png, sketch/<class>/<id>_<variant>.png, annotations.jsonl"
COMPOSITES_LICENCE = "that of the photos that they were cut from"
WORLD_LICENCE = "none needed: drawn by program"
FOLDERS, WORLD_FOLDERS = ("photos", "sketches", "masks"), ("photo", "sketch", "mask")
SEPARATORS = "_-"

Annotation = tuple[str, str, list[Any], list[Any], list[bool]]


def read_masked(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """Sketches, their photos and masks, such as for sketch-based segmentation. The paper's own are not released.

    Args:
        folder: holds ``photos``, ``sketches`` and ``masks``.
        classes: read these only.
    Raises:
        DataError: a folder or class is missing, a sketch has no photo, a photo no mask, or a name stands for two files.
    Source: paper, Sec. 6.4; the layout is own.
    """
    return scan_masked(folder, Findings(), classes=classes)


def read_composites_set(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """What ``sketchfusion data make-composites`` wrote, with masks and key points.

    Raises:
        DataError: it is no such folder, or damaged.
    """
    return scan_composites(folder, Findings(), classes=classes)


def read_world_set(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """What ``sketchfusion data make-world`` wrote, with masks and key points.

    Raises:
        DataError: it is no such folder, or damaged.
    """
    return scan_world(folder, Findings(), classes=classes)


def scan_composites(folder: str | os.PathLike[str], findings: Findings, *,
                    classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_composites_set``; what is wrong goes to ``findings``."""
    found = scan_masked(folder, findings, classes=classes, name="composites", licence=COMPOSITES_LICENCE,
                        source="`sketchfusion data make-composites`", origins=cut_outs(Path(folder), findings))
    return with_points(found, "samples.jsonl", composite_points, findings)


def scan_world(folder: str | os.PathLike[str], findings: Findings, *,
               classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_world_set``; what is wrong goes to ``findings``."""
    found = scan_masked(folder, findings, classes=classes, folders=WORLD_FOLDERS, name="drawn-world",
                        licence=WORLD_LICENCE, source="`sketchfusion data make-world`")
    return with_points(found, "annotations.jsonl", world_points, findings)


def scan_masked(
    folder: str | os.PathLike[str], findings: Findings, *, classes: Iterable[str] | None = None,
    folders: tuple[str, str, str] = FOLDERS, name: str = "masked", licence: str = "", source: str = "",
    origins: Mapping[str, str] | None = None,
) -> SketchPhotoSet:
    """As ``read_masked``, with the names of the folders of photos, sketches and masks, and what photos were made from,
    by their names without ending."""
    root = listing.open_root(folder, ", ".join(f"{part}/<class>" for part in folders))
    wanted = listing.check_classes(classes, (), name)
    taken, drawn, masks = (
        listing.read_classes(listing.side_folder(root, (part,), part, findings), findings, classes=wanted)
        for part in folders)
    origin = dict(origins or {})
    photos = order(Picture(path, label, path.stem, origin=origin.get(path.stem, ""))
                   for label, paths in taken.items() for path in paths)
    sketches = order(replace(sketch, origin=origin.get(sketch.instance, ""))
                     for sketch in sketches_of(drawn, taken, findings))
    drawn_masks = [Picture(path, label, path.stem) for label, paths in masks.items() for path in paths]
    report_namesakes(drawn_masks, "mask", findings)
    mask_of = {(mask.class_name, mask.instance): mask.path for mask in drawn_masks}
    bare = [f"{photo.class_name}/{photo.path.name}" for photo in photos
            if (photo.class_name, photo.instance) not in mask_of]
    if bare and masks:
        findings.add("missing", f"{root} has no mask of {len(bare)} photo(s): {named(bare)}; expected {folders[2]}/"
                                "<class>/<id>.png for each: add them, or take out photo and sketches")
    pairs = pair_by_instance(sketches, photos, findings)
    masked = tuple(MaskedPair(sketches[sketch], photos[photo], mask_of[key]) for sketch, photo in pairs
                   if (key := (photos[photo].class_name, photos[photo].instance)) in mask_of)
    return SketchPhotoSet(name, root, tuple(sorted(drawn.keys() | taken.keys())), photos, sketches, pairs,
                          licence=licence, source=source, masked=masked)


def sketches_of(drawn: dict[str, list[Path]], taken: dict[str, list[Path]], findings: Findings) -> list[Picture]:
    """The sketches with their photo as instance; those without a photo are reported."""
    found, alone = [], []
    for name, paths in drawn.items():
        known = {path.stem for path in taken.get(name, [])}
        for path in paths:
            photo = photo_of(path.stem, known)
            found.append(Picture(path, name, photo))
            if not photo:
                alone.append(f"{name}/{path.name}")
    if alone and taken:
        findings.add("wrong", f"{len(alone)} sketch(es) have no photo: {named(alone)}; expected the name of a photo of "
                              "the class, then nothing, _... or -...: add the photo or rename the sketch")
    return found


def photo_of(sketch: str, photos: set[str]) -> str:
    """The longest name of a photo that a sketch's name is or begins with before _ or -; empty where there is none."""
    ends = [place for place, letter in enumerate(sketch) if letter in SEPARATORS]
    return next((name for end in [len(sketch), *reversed(ends)] if (name := sketch[:end]) in photos), "")


def cut_outs(folder: Path, findings: Findings) -> dict[str, str]:
    """Name of a composite's photo -> the cut-out on it; nothing of a table that ``with_points`` cannot read either."""
    try:
        records = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
        found = {Path(record["photo"]).stem: str(record.get("cutout", "")) for record in records}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    bare = sorted(name for name, origin in found.items() if not origin)
    if bare:
        findings.add("wrong", f"{folder / 'samples.jsonl'} does not say which cut-out is on {len(bare)} photo(s): "
                              f"{named(bare)}; make the folder again with `sketchfusion data make-composites`")
    return found


def with_points(found: SketchPhotoSet, table: str, parse: Callable[[dict[str, Any]], list[Annotation]],
                findings: Findings) -> SketchPhotoSet:
    """The data set with the key points of its table of annotations."""
    sketches = {picture.path: picture for picture in found.sketches}
    photos = {picture.path: picture for picture in found.photos}
    pairs, gone = [], []
    try:
        for sketch, photo, sketch_points, photo_points, visible in read_table(found, table, parse, findings):
            if found.root / sketch in sketches and found.root / photo in photos:
                pairs.append(KeyPointPair(
                    sketches[found.root / sketch], photos[found.root / photo], as_points(sketch_points),
                    as_points(photo_points), tuple(bool(value) for value in visible)))
            elif Path(photo).parent.name in found.class_names:
                gone.append(sketch)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.add("wrong", f"cannot read {found.root / table} ({type(error).__name__}: {error}); make the folder "
                              f"again with {found.source}")
    if gone:
        findings.add("missing", f"{found.root / table} names {len(gone)} sketch(es) that are not there, or whose photo "
                                f"is not: {named(gone)}; make the folder again with {found.source}")
    return replace(found, key_points=tuple(sorted(pairs, key=lambda pair: pair.sketch.path.as_posix())))


def read_table(found: SketchPhotoSet, table: str, parse: Callable[[dict[str, Any]], list[Annotation]],
               findings: Findings) -> Iterator[Annotation]:
    """What a table says of each sketch; what it says of one again is reported and left out."""
    lines: dict[tuple[str, str], int] = {}
    for number, line in enumerate((found.root / table).read_text(encoding="utf-8").splitlines(), start=1):
        for annotation in parse(json.loads(line)):
            sketch, photo = ends = annotation[:2]
            if ends in lines:
                findings.add("wrong", f"{found.root / table}, line {number} repeats line {lines[ends]}, {sketch} and "
                                      f"{photo}; expected each sketch once: make the folder again with {found.source}")
                continue
            lines[ends] = number
            yield annotation


def as_points(values: Iterable[Any]) -> tuple[Point, ...]:
    """Pairs of numbers as points."""
    return tuple((float(x), float(y)) for x, y in values)


def composite_points(record: dict[str, Any]) -> list[Annotation]:
    """What a line of ``samples.jsonl`` says of key points."""
    return [(sketch["file"], record["photo"], sketch["keypoints"]["sketch_px"], sketch["keypoints"]["photo_px"],
             sketch["keypoints"]["visible"]) for sketch in record["sketches"]]


def world_points(record: dict[str, Any]) -> list[Annotation]:
    """What a line of ``annotations.jsonl`` says of key points; they are visible where both sides say so."""
    return [(sketch["file"], record["photo"], sketch["keypoints_px"], record["keypoints_px"],
             [one and other for one, other in zip(record["visible"], sketch["visible"], strict=True)])
            for sketch in record["sketches"]]
