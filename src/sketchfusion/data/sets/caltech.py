"""Photos of Caltech-101 and drawings of Quick, Draw! of the classes that both have: open licences on both sides.

Layout::

    caltech101/<folder>/image_0001.jpg      also 101_ObjectCategories
    quickdraw/<word>.ndjson                 also .bin or .npz of Sketch-RNN
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import Findings, Picture, SketchPhotoSet, order
from sketchfusion.data.sets.classes import load_split, sorted_split
from sketchfusion.data.sets.folders import shared_classes
from sketchfusion.data.sets.quickdraw import FORMATS, counted
from sketchfusion.errors import DataError

PHOTOS = ("caltech101", "101_ObjectCategories", "caltech-101/101_ObjectCategories", "caltech-101")
LAYOUT = "caltech101/<folder>/*.jpg and quickdraw/<word>.ndjson"
LICENCE = "CC BY 4.0 (Caltech 101: Li, Andreeto, Ranzato, Perona; The Quick, Draw! dataset, Google)"
SOURCE = "doi 10.22002/D1.20086 and https://github.com/googlecreativelab/quickdraw-dataset"


def read_caltech_quickdraw(folder: str | os.PathLike[str], *, split: str | None = "caltech-10",
                           per_class: int | None = None, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """Photos and drawings of the 45 classes that Caltech-101 and Quick, Draw! share.

    Args:
        folder: holds ``caltech101`` and ``quickdraw``.
        split: caltech-10 (35 seen, 10 unseen; own, see its list) or None.
        per_class: drawings of each class, the first ones; all if None.
        classes: read these only; then the others may be missing.
    Raises:
        DataError: a folder, side or class is missing, or a file of drawings is malformed.
        ConfigError: there is no such split.
    """
    return scan_caltech_quickdraw(folder, Findings(), split=split, per_class=per_class, classes=classes)


def scan_caltech_quickdraw(
    folder: str | os.PathLike[str], findings: Findings, *, split: str | None = "caltech-10",
    per_class: int | None = None, classes: Iterable[str] | None = None,
) -> SketchPhotoSet:
    """As ``read_caltech_quickdraw``; what is wrong goes to ``findings``."""
    rows = shared_classes()
    wanted = listing.check_classes(classes, [name for name, _, _ in rows], "caltech-quickdraw")
    if per_class is not None and per_class < 1:
        raise DataError(f"per_class must be at least 1, got {per_class}; leave it out for all drawings")
    root = listing.open_root(folder, LAYOUT)
    photo_root = listing.side_folder(root, PHOTOS, "photos", findings)
    drawn_root = listing.side_folder(root, ("quickdraw", "quickdraw/simplified"), "drawings", findings)
    photos: list[Picture] = []
    sketches: list[Picture] = []
    for name, places, word in rows:
        if wanted is not None and name not in wanted:
            continue
        for place in places if photo_root else ():
            found = listing.list_files(photo_root / place) if photo_root and (photo_root / place).is_dir() else []
            if not found:
                findings.add("missing", f"{photo_root} has no photos in {place}, which show the class {name}; unpack "
                                        "Caltech-101 again")
            photos += [Picture(path, name) for path in found]
        files = [drawn_root / (word + ending) for ending in FORMATS] if drawn_root else []
        file = next((file for file in files if file.is_file()), None)
        if drawn_root and file is None:
            findings.add("missing", f"{drawn_root} has no {word}.ndjson, which holds the class {name}; download it")
        if file is not None:
            sketches += [Picture(file, name, "", line + 1) for line in range(counted(file, per_class, findings))]
    names = tuple(sorted({picture.class_name for picture in photos + sketches}))
    seen, unseen = sorted_split(*load_split(split), names) if split else (None, None)
    return SketchPhotoSet("caltech-quickdraw", root, names, order(photos), order(sketches), (), seen, unseen, LICENCE,
                          SOURCE)
