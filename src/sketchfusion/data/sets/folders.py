"""Data sets with one folder of photos and one of sketches per class: TU-Berlin, QuickDraw-Extended, PACS, any.

Layout of each: the table at its reader. Sketches and photos of a class have nothing else in common.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sketchfusion.data.pacs import read_pacs
from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import Findings, Picture, SketchPhotoSet, named, order
from sketchfusion.data.sets.classes import Spelling, load_list, load_split, sorted_split
from sketchfusion.errors import DataError

TU_PREFIXES = (".", "TUBerlin", "TU-Berlin")
TU_SKETCHES, TU_PHOTOS = ("png_ready", "png", "sketches"), ("ImageResized_ready", "ImageResized", "images")
TU_LAYOUT = "png/<class>/<number>.png"
TU_EXTENDED_LAYOUT = TU_LAYOUT + " and ImageResized/<class>/*.jpg"
TU_LICENCE = "sketches CC BY 4.0"
TU_SOURCE = "https://cybertron.cg.tu-berlin.de/eitz/projects/classifysketch (sketches_png.zip)"
TU_EXTENDED_SOURCE = TU_SOURCE + "; photos through github.com/AnjanDutta/sem-pcyc, download_datasets.sh"
TU_ALIASES = {  # folders of ImageResized whose names differ by more than blanks
    "tromobone": "trombone", "chandeler": "chandelier", "griaffe": "giraffe", "diamod": "diamond", "spidar": "spider",
    "spacesshuttle": "space shuttle", "wristwatching": "wrist-watch", "mouse": "mouse (animal)",
    "pipe": "pipe (for smoking)",
}
QD_PREFIXES = (".", "QuickDraw", "QuickDraw-Extended")
QD_SKETCHES = ("QuickDraw_sketches_final", "QuickDraw_sketches", "sketches")
QD_PHOTOS = ("QuickDraw_images_final", "EXTEND_image_quickdraw", "images")
QD_LAYOUT = "QuickDraw_sketches_final/<class>/*.png and QuickDraw_images_final/<class>/*.jpg"
QD_LICENCE = "sketches CC BY 4.0 (Quick, Draw!, Google); photos from Flickr, no licence stated"
QD_SOURCE = "http://datasets.cvc.uab.es/QuickDraw/ (QuickDraw_sketches_final.zip, QuickDraw_images_final.zip)"
ANY_LAYOUT = "photos/<class> and sketches/<class>"
ANY_PHOTOS, ANY_SKETCHES = ("photos", "photo", "images"), ("sketches", "sketch", "drawings")
PACS_LAYOUT = "photo/<class> and sketch/<class>"
PACS_LICENCE = "research use"
PACS_SOURCE = "Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017 (domains photo and sketch)"


def read_tu_berlin(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """The 20,000 sketches of TU-Berlin, 80 of each of 250 classes, without photos.

    Args:
        folder: holds ``png``, ``png_ready`` or ``sketches`` with one folder per class.
        classes: read these only; then the others may be missing.
    Raises:
        DataError: a folder or class is missing, or a class is unknown.
    Source: Eitz, Hays, Alexa, How Do Humans Sketch Objects?, SIGGRAPH 2012; paper, Sec. 6.2.
    """
    return scan_tu_berlin(folder, Findings(), classes=classes)


def read_tu_berlin_extended(
    folder: str | os.PathLike[str], *, split: str | None = "tuberlin-30", classes: Iterable[str] | None = None,
) -> SketchPhotoSet:
    """TU-Berlin with the photos of its extension. Folders of both spellings are understood (``hotairballoon``).

    Args:
        folder: holds ``png`` and ``ImageResized``, each also with ``_ready``, or ``sketches`` and ``images``.
        split: tuberlin-30 (220 seen, 30 unseen) or None.
        classes: read these only; then the others may be missing.
    Raises:
        DataError: a folder, side or class is missing, or a class is unknown.
        ConfigError: there is no such split.
    Source: Zhang et al., SketchNet, CVPR 2016; split: paper, Sec. 6.1.
    """
    return scan_tu_berlin_extended(folder, Findings(), split=split, classes=classes)


def read_quickdraw_extended(
    folder: str | os.PathLike[str], *, split: str | None = "quickdraw-30", classes: Iterable[str] | None = None,
) -> SketchPhotoSet:
    """QuickDraw-Extended: Quick, Draw! sketches as pictures and photos of the same 110 classes.

    Args:
        folder: holds ``QuickDraw_sketches_final`` and ``QuickDraw_images_final``, or ``sketches`` and ``images``.
        split: quickdraw-30 (80 seen, 30 unseen) or None.
        classes: read these only; then the others may be missing.
    Raises:
        DataError: a folder, side or class is missing, or a class is unknown.
        ConfigError: there is no such split.
    Source: Dey et al., Doodle to Search, CVPR 2019; split: paper, Sec. 6.1.
    """
    return scan_quickdraw_extended(folder, Findings(), split=split, classes=classes)


def read_folders(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """Photos and sketches of one's own, in one folder per class on each side, without a split.

    Args:
        folder: holds ``photos/<class>`` and ``sketches/<class>``; the singular is understood too.
        classes: read these only.
    Raises:
        DataError: a side or class is missing, or a class is on one side only.
    """
    return scan_folders(folder, Findings(), classes=classes)


def read_pacs_set(folder: str | os.PathLike[str], *, classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """What ``data.pacs.read_pacs`` reads, in the shape of all data sets; without a table of pairs no instances.

    Args:
        folder: holds ``photo`` and ``sketch``.
        classes: read these only; then the others may be missing.
    Raises:
        DataError: as ``read_pacs``.
    """
    return scan_pacs(folder, Findings(), classes=classes)


def scan_tu_berlin(folder: str | os.PathLike[str], findings: Findings, *,
                   classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_tu_berlin``; what is wrong goes to ``findings``."""
    seen, unseen = load_split("tuberlin-30")
    wanted = listing.check_classes(classes, seen + unseen, "tu-berlin")
    root = listing.open_root(folder, TU_LAYOUT)
    place = listing.side_folder(root, listing.below(TU_PREFIXES, TU_SKETCHES), "sketches", findings)
    sketches = listing.read_classes(place, findings, spelling=Spelling(seen + unseen), classes=wanted)
    return SketchPhotoSet("tu-berlin", root, tuple(sorted(sketches)), (), order(listing.as_pictures(sketches)),
                          licence=TU_LICENCE, source=TU_SOURCE)


def scan_tu_berlin_extended(folder: str | os.PathLike[str], findings: Findings, *, split: str | None = "tuberlin-30",
                            classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_tu_berlin_extended``; what is wrong goes to ``findings``."""
    return scan_sides(
        listing.open_root(folder, TU_EXTENDED_LAYOUT), findings, "tu-berlin-extended",
        photos=listing.below(TU_PREFIXES, TU_PHOTOS), sketches=listing.below(TU_PREFIXES, TU_SKETCHES),
        lists="tuberlin-30", split=split, classes=classes, aliases=TU_ALIASES,
        licence=TU_LICENCE + "; photos from the web, no licence stated", source=TU_EXTENDED_SOURCE)


def scan_quickdraw_extended(folder: str | os.PathLike[str], findings: Findings, *, split: str | None = "quickdraw-30",
                            classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_quickdraw_extended``; what is wrong goes to ``findings``."""
    return scan_sides(
        listing.open_root(folder, QD_LAYOUT), findings, "quickdraw-extended",
        photos=listing.below(QD_PREFIXES, QD_PHOTOS), sketches=listing.below(QD_PREFIXES, QD_SKETCHES),
        lists="quickdraw-30", split=split, classes=classes, licence=QD_LICENCE, source=QD_SOURCE)


def scan_folders(folder: str | os.PathLike[str], findings: Findings, *,
                 classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_folders``; what is wrong goes to ``findings``."""
    return scan_sides(listing.open_root(folder, ANY_LAYOUT), findings, "folders", photos=ANY_PHOTOS,
                      sketches=ANY_SKETCHES, classes=classes)


def scan_sides(
    root: Path, findings: Findings, name: str, *, photos: Sequence[str], sketches: Sequence[str],
    lists: str | None = None, split: str | None = None, classes: Iterable[str] | None = None,
    aliases: dict[str, str] | None = None, licence: str = "", source: str = "",
) -> SketchPhotoSet:
    """Photos and sketches by class; with ``lists`` all classes of this split must be there on both sides."""
    known = sum(load_split(lists), ()) if lists else ()
    parts = load_split(split) if split else None
    wanted = listing.check_classes(classes, known, name)
    spelling = Spelling(known, aliases or {})
    drawn, taken = (
        listing.read_classes(listing.side_folder(root, places, what, findings), findings, spelling=spelling,
                             classes=wanted)
        for places, what in ((sketches, "sketches"), (photos, "photos")))
    if not known and wanted is None:
        listing.report_lone(taken, drawn, findings)
    names = tuple(sorted(drawn.keys() | taken.keys()))
    seen, unseen = sorted_split(*parts, names) if parts else (None, None)
    return SketchPhotoSet(name, root, names, order(listing.as_pictures(taken)), order(listing.as_pictures(drawn)), (),
                          seen, unseen, licence, source)


def scan_pacs(folder: str | os.PathLike[str], findings: Findings, *,
              classes: Iterable[str] | None = None) -> SketchPhotoSet:
    """As ``read_pacs_set``; what is wrong goes to ``findings``."""
    root = listing.open_root(folder, PACS_LAYOUT)
    try:
        found = read_pacs(root, classes=classes)
    except DataError as error:
        findings.add("wrong", str(error))
        return SketchPhotoSet("pacs", root, (), (), (), licence=PACS_LICENCE, source=PACS_SOURCE)
    photo_of = {sketch: photo for photo, sketch in found.pairs}
    drawn = {photo.relative_to(root).as_posix() for photo in photo_of.values()}

    def instance(photo: Path | None) -> str:
        place = photo.relative_to(root).as_posix() if photo else ""
        return place if place in drawn else ""

    photos = order(Picture(item.path, item.class_name, instance(item.path)) for item in found.photos)
    sketches = order(Picture(item.path, item.class_name, instance(photo_of.get(item.path))) for item in found.sketches)
    numbers = {photo.path: number for number, photo in enumerate(photos)}
    places = {sketch.path: number for number, sketch in enumerate(sketches)}
    pairs = tuple(sorted((places[sketch], numbers[photo]) for photo, sketch in found.pairs))
    return SketchPhotoSet("pacs", root, found.class_names, photos, sketches, pairs, licence=PACS_LICENCE,
                          source=PACS_SOURCE)


def read_file_list(file: str | os.PathLike[str], root: str | os.PathLike[str]) -> tuple[Picture, ...]:
    """The pictures that a published file list names, in its order, repeated ones too.

    Such lists (SAKE, ZSE-SBIR) fix exact galleries: ``png_ready/horse/8518.png 29`` a line, the class being the folder.

    Args:
        file: the list.
        root: folder that its paths start from.
    Raises:
        DataError: it cannot be read, a line is malformed, or files are not there.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}; expected a text file of paths and class numbers") from None
    pictures = []
    for number, line in enumerate(lines, start=1):
        path, _, label = line.strip().rpartition(" ")
        if line.strip() and (not label.isdigit() or "/" not in path):
            raise DataError(f"{file}, line {number} is {line!r}; expected <folder>/<class>/<picture> and a class "
                            "number")
        if path:
            pictures.append(Picture(Path(root) / path, Path(path).parent.name))
    missing = [picture.path for picture in dict.fromkeys(pictures) if not picture.path.is_file()]
    if missing:
        raise DataError(f"{file} names {len(missing):,} pictures that are not there: {named(missing)}; expected them "
                        f"below {root}")
    return tuple(pictures)


def shared_classes() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """(name, folders of Caltech-101, word of Quick, Draw!) of the classes that both have, in the list's order."""
    rows = (row.split(" | ") for row in load_list("caltech-quickdraw"))
    return tuple((name, tuple(folders.split(", ")), word) for name, folders, word in rows)
