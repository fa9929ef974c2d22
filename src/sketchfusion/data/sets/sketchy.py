"""The Sketchy database and its extension.

Layout::

    256x256/photo/tx_000000000000/<class>/n02691156_10151.jpg
    256x256/sketch/tx_000000000000/<class>/n02691156_10151-3.png     third sketch of that photo
    info/invalid-{error,ambiguous,pose,context}.txt                  optional; names of sketches, a line each; also in
                                                                     info-06-04, as the archive is called
    EXTEND_image_sketchy/<class>/*.jpg                               the extension; holds the photos above once more

``tx_...`` may end in ``_ready``, as may ``EXTEND_image_sketchy``; ``extended_photo`` is another name for the latter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from sketchfusion.data.sets import listing
from sketchfusion.data.sets.base import Findings, Picture, SketchPhotoSet, named, order, pair_by_instance
from sketchfusion.data.sets.classes import Spelling, load_split, sorted_split
from sketchfusion.errors import ConfigError

PREFIXES = (".", "256x256", "rendered_256x256/256x256", "Sketchy", "Sketchy/256x256",
            "Sketchy/rendered_256x256/256x256")
EXTENSIONS = ("EXTEND_image_sketchy_ready", "EXTEND_image_sketchy", "extended_photo")
INFO = ("info", "info-06-04/info", "info-06-04")  # the lists are published as info-06-04.7z
INVALID = ("error", "ambiguous", "pose", "context")
TRANSFORM = "tx_000000000000"  # scaled to 256 x 256; tx_000100000000 is the object's box, scaled
LICENCE = "research use; no open licence is stated, and the photos are ImageNet's"
SOURCE = "http://sketchy.eye.gatech.edu (archive rendered_256x256)"
EXTENSION_SOURCE = SOURCE + "; the extension through github.com/AnjanDutta/sem-pcyc, download_datasets.sh"
LAYOUT = "256x256/photo/tx_000000000000/<class> and 256x256/sketch/tx_000000000000/<class>"
EXTENSION_LAYOUT = LAYOUT + " and EXTEND_image_sketchy/<class>"
SKETCH = re.compile(r"(?P<photo>.+)-\d+")

Switch = Literal["drop", "keep"]


def read_sketchy(
    folder: str | os.PathLike[str], *, split: str | None = "sketchy-21", invalid: Switch = "drop",
    classes: Iterable[str] | None = None, transform: str = TRANSFORM,
) -> SketchPhotoSet:
    """The Sketchy database: photos, and five or more sketches drawn of each.

    Args:
        folder: holds ``256x256``, ``rendered_256x256/256x256``, or ``photo`` and ``sketch`` themselves.
        split: sketchy-21 (104 seen, 21 unseen), sketchy-25 (100, 25) or None.
        invalid: drop or keep the sketches that ``info/invalid-*.txt`` lists; published file lists keep them.
        classes: read these only; then the others may be missing.
        transform: how photos and sketches were cut to 256 x 256 pixels; a folder's name.
    Raises:
        DataError: a folder, side or class is missing, a class is unknown, or a sketch has no photo.
        ConfigError: there is no such split or switch.
    Source: Sangkloy et al., The Sketchy Database, SIGGRAPH 2016; splits: paper, Sec. 6.1.
    """
    return scan_sketchy(folder, Findings(), split=split, invalid=invalid, classes=classes, transform=transform)


def read_sketchy_extended(
    folder: str | os.PathLike[str], *, split: str | None = "sketchy-21", duplicates: Switch = "drop",
    invalid: Switch = "drop", classes: Iterable[str] | None = None, transform: str = TRANSFORM,
) -> SketchPhotoSet:
    """Sketchy with the photos of its extension, most of which no sketch was drawn of.

    The extension holds the photos of ``256x256/photo`` once more under the same names. They count once; file lists
    that hold both (those of SAKE and ZSE-SBIR) are had with ``duplicates="keep"``. ``notes`` says how many there are.

    Args:
        folder: as for ``read_sketchy``, with ``EXTEND_image_sketchy`` in it or beside ``photo``; ``256x256/photo``
            may be missing.
        duplicates: drop the extension's copies of the basic photos, or keep them.
        split, invalid, classes, transform: as for ``read_sketchy``.
    Raises:
        DataError, ConfigError: as ``read_sketchy``.
    Source: Liu et al., Deep Sketch Hashing, CVPR 2017; splits: paper, Sec. 6.1.
    """
    return scan_extended(folder, Findings(), split=split, duplicates=duplicates, invalid=invalid, classes=classes,
                         transform=transform)


def scan_sketchy(
    folder: str | os.PathLike[str], findings: Findings, *, split: str | None = "sketchy-21", invalid: Switch = "drop",
    classes: Iterable[str] | None = None, transform: str = TRANSFORM, extended: bool = False,
    duplicates: Switch = "drop",
) -> SketchPhotoSet:
    """As ``read_sketchy`` or, with ``extended``, ``read_sketchy_extended``; what is wrong goes to ``findings``."""
    for name, value in (("invalid", invalid), ("duplicates", duplicates)):
        if value not in ("drop", "keep"):
            raise ConfigError(f"{name} must be drop or keep, got {value!r}")
    seen, unseen = load_split(split or "sketchy-21")
    title = "sketchy-extended" if extended else "sketchy"
    wanted = listing.check_classes(classes, seen + unseen, title)
    root = listing.open_root(folder, EXTENSION_LAYOUT if extended else LAYOUT)
    base = root / next((prefix for prefix in PREFIXES if (root / prefix / "sketch").is_dir()
                        or (root / prefix / "photo").is_dir()), ".")
    spelling, notes = Spelling(seen + unseen), []

    def side(name: str, what: str) -> dict[str, list[Path]]:
        place = listing.side_folder(base, (f"{name}/{transform}", f"{name}/{transform}_ready"), what, findings)
        return listing.read_classes(place, findings, spelling=spelling, classes=wanted)

    may_lack = extended and not (base / "photo").is_dir()
    photos = [] if may_lack else photos_of(side("photo", "photos"))
    if extended:
        place = listing.side_folder(root, extension_folders(root, base), "extension photos", findings)
        more = photos_of(listing.read_classes(place, findings, spelling=spelling, classes=wanted))
        photos, note = merge(photos, more, duplicates)
        notes += note
    sketches, note = drop_invalid(sketches_of(side("sketch", "sketches"), findings), invalid_names(root, base), invalid)
    photos_in_order = order(photos)
    sketches_in_order = order(report_unpaired(sketches, photos, findings))
    names = tuple(sorted({picture.class_name for picture in photos_in_order + sketches_in_order}))
    parts = sorted_split(seen, unseen, names) if split else (None, None)
    pairs = pair_by_instance(sketches_in_order, photos_in_order, findings)
    return SketchPhotoSet(title, root, names, photos_in_order, sketches_in_order, pairs, parts[0], parts[1], LICENCE,
                          EXTENSION_SOURCE if extended else SOURCE, notes=(*notes, *note))


def scan_extended(folder: str | os.PathLike[str], findings: Findings, *, split: str | None = "sketchy-21",
                  duplicates: Switch = "drop", invalid: Switch = "drop", classes: Iterable[str] | None = None,
                  transform: str = TRANSFORM) -> SketchPhotoSet:
    """As ``read_sketchy_extended``; what is wrong goes to ``findings``."""
    return scan_sketchy(folder, findings, split=split, invalid=invalid, classes=classes, transform=transform,
                        extended=True, duplicates=duplicates)


def photos_of(files: dict[str, list[Path]]) -> list[Picture]:
    """Each photo is an instance, by the name of its file."""
    return [Picture(path, name, path.stem) for name, paths in files.items() for path in paths]


def sketches_of(files: dict[str, list[Path]], findings: Findings) -> list[Picture]:
    """The sketches with their photo as instance; files that are not named after a photo are reported and left out."""
    found, strange = [], []
    for name, paths in files.items():
        for path in paths:
            match = SKETCH.fullmatch(path.stem)
            if match is None:
                strange.append(f"{name}/{path.name}")
            else:
                found.append(Picture(path, name, match["photo"]))
    if strange:
        findings.add("wrong", f"{len(strange)} sketch(es) are not named after a photo: {named(strange)}; expected "
                              "names such as n02691156_10151-3.png: rename or remove them")
    return found


def report_unpaired(sketches: list[Picture], photos: list[Picture], findings: Findings) -> list[Picture]:
    """The sketches; those whose photo is not there are reported, unless all photos of their class are missing."""
    there = {(photo.class_name, photo.instance) for photo in photos}
    listed = {photo.class_name for photo in photos}
    alone = [f"{sketch.class_name}/{sketch.path.name}" for sketch in sketches
             if sketch.class_name in listed and (sketch.class_name, sketch.instance) not in there]
    if alone:
        findings.add("wrong", f"{len(alone)} sketch(es) have no photo: {named(alone)}; expected the photo of "
                              "<photo>-<number>.png as <photo>.jpg in the same class: unpack the photos again")
    return sketches


def extension_folders(root: Path, base: Path) -> tuple[str, ...]:
    """Where the extension may lie, seen from the root: in it, in or beside the folder of photos and sketches."""
    places = dict.fromkeys(place for place in (root, base, base.parent) if place == root or root in place.parents)
    prefixes = [place.relative_to(root).as_posix() for place in places]
    return listing.below(prefixes, [f"{name}{inner}" for name in EXTENSIONS for inner in ("/all_photo", "")])


def merge(basic: list[Picture], more: list[Picture], duplicates: Switch) -> tuple[list[Picture], list[str]]:
    """Basic photos and those of the extension, and a note on those that are in both.

    A copy that is kept has no instance: the sketches belong to the basic photo.
    """
    there = {(photo.class_name, photo.instance) for photo in basic}
    new = [photo for photo in more if (photo.class_name, photo.instance) not in there]
    copies = [Picture(photo.path, photo.class_name) for photo in more if (photo.class_name, photo.instance) in there]
    if not copies:
        return basic + new, []
    said = "left out" if duplicates == "drop" else "kept: these photos are in the gallery twice"
    note = f"{len(copies):,} photos of the extension are photos of 256x256/photo once more; the copies are {said}"
    return basic + new + (copies if duplicates == "keep" else []), [note]


def invalid_names(root: Path, base: Path) -> set[str] | None:
    """Names, without ending, of the sketches that the published lists call invalid; None where there are no lists."""
    places = (folder / name for folder in (base, base.parent, root) for name in INFO)
    lists = next((found for place in places if (found := sorted(
        file for kind in INVALID if (file := place / f"invalid-{kind}.txt").is_file()))), None)
    if lists is None:
        return None
    lines = [line.strip() for file in lists
             for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {line.rpartition("/")[2].removesuffix(".png") for line in lines if line}


def drop_invalid(sketches: list[Picture], invalid: Collection[str] | None,
                 how: Switch) -> tuple[list[Picture], list[str]]:
    """The sketches without the invalid ones, and a note on these, or on there being no list of them."""
    if invalid is None:
        return sketches, [] if how == "keep" else [
            "there is no info/invalid-*.txt (archive info-06-04), so no invalid sketch is left out"]
    bad = [sketch for sketch in sketches if sketch.path.stem in invalid]
    if not bad:
        return sketches, []
    if how == "keep":
        return sketches, [f"{len(bad):,} sketches are kept although info/invalid-*.txt lists them"]
    note = f"{len(bad):,} sketches are left out because info/invalid-*.txt lists them"
    return [sketch for sketch in sketches if sketch.path.stem not in invalid], [note]
