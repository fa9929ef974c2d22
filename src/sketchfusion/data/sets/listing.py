"""Finding the folders of a data set and the pictures of each class in them, by their names only."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sketchfusion.data.sets.base import Findings, Picture, check_known, named
from sketchfusion.data.sets.classes import Spelling
from sketchfusion.errors import DataError
from sketchfusion.images import SUFFIXES

JUNK = ("__MACOSX",)  # folders that archives bring along


def open_root(folder: str | os.PathLike[str], layout: str) -> Path:
    """The folder. Raises DataError: it is not there."""
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; expected one with {layout}")
    return root


def first_folder(root: Path, candidates: Iterable[str]) -> Path | None:
    """The first of some folders below ``root`` that is there."""
    return next((root / name for name in candidates if (root / name).is_dir()), None)


def below(prefixes: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Every name below every prefix; ``.`` is the root itself."""
    return tuple(name if prefix == "." else f"{prefix}/{name}" for prefix in prefixes for name in names)


def side_folder(root: Path, candidates: Sequence[str], what: str, findings: Findings) -> Path | None:
    """The folder that holds the photos or sketches; where none is there it is reported, and None."""
    found = first_folder(root, candidates)
    if found is None:
        findings.add("missing", f"{root} has no folder of {what}; expected one of {', '.join(candidates)}: unpack the "
                                f"archive of the {what} there")
    return found


def read_classes(
    folder: Path | None, findings: Findings, *, spelling: Spelling | None = None,
    classes: Collection[str] | None = None, suffixes: Collection[str] = SUFFIXES,
) -> dict[str, list[Path]]:
    """Class name -> its files, of a folder with one folder per class; hidden and other files are skipped.

    Args:
        folder: None gives nothing: that it is missing has been reported.
        findings: is told of unknown, missing and empty classes, and of classes with two folders.
        spelling: official names, all of which must be there; any names if not given.
        classes: read these only, by their official names; then only these must be there.
        suffixes: endings of the files, lower case.
    """
    if folder is None:
        return {}
    spelling = spelling or Spelling()
    places: dict[str, list[Path]] = {}
    unknown = []
    for place in sorted(folder.iterdir()):
        if not place.is_dir() or place.name.startswith(".") or place.name in JUNK:
            continue
        name = spelling.official(place.name)
        if name is None:
            unknown.append(place.name)
        elif classes is None or name in classes:
            places.setdefault(name, []).append(place)
    report_spellings(folder, places, findings)
    found = {name: [file for place in each for file in list_files(place, suffixes)] for name, each in places.items()}
    if classes is None:
        report_classes(folder, found, unknown, spelling.names, findings)
    else:
        report_classes(folder, found, (), tuple(classes), findings)
    return {name: files for name, files in found.items() if files}


def list_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """The files of a folder that end like this, sorted; hidden ones are skipped."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    return [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in suffixes]  # noqa: PTH122


def report_spellings(folder: Path, places: Mapping[str, Sequence[Path]], findings: Findings) -> None:
    """Report classes that have several folders, each spelt in its own way."""
    for name, each in places.items():
        if len(each) > 1:
            findings.add("wrong", f"{folder} holds the class {name} twice, in "
                                  f"{' and '.join(place.name for place in each)}; expected one folder of it: move the "
                                  "other away")


def report_classes(folder: Path, found: dict[str, list[Path]], unknown: Sequence[str], expected: Sequence[str],
                   findings: Findings) -> None:
    """Report classes that are unknown, missing or empty."""
    if unknown:
        findings.add("unknown", f"{folder} has {len(unknown)} folder(s) that are no class of this data set: "
                                f"{named(unknown)}; rename or remove them")
    missing = sorted(set(expected) - found.keys())
    if missing:
        findings.add("missing", f"{folder} lacks {len(missing)} of {len(expected)} classes: {named(missing)}; unpack "
                                "it again, or name the classes that you have")
    if not found and not missing:
        findings.add("missing", f"{folder} has no class; expected one folder of pictures per class, such as "
                                f"{folder / 'dog'}")
    empty = sorted(name for name, files in found.items() if not files)
    if empty:
        findings.add("missing", f"{folder} has no pictures of {len(empty)} class(es): {named(empty)}; unpack it again")


def report_lone(photos: Collection[str], sketches: Collection[str], findings: Findings) -> None:
    """Report classes that are on one side only."""
    for side, other, lone in (("photos", "sketches", set(photos) - set(sketches)),
                              ("sketches", "photos", set(sketches) - set(photos))):
        if lone:
            findings.add("missing", f"{len(lone)} class(es) have {side} but no {other}: {named(sorted(lone))}; "
                                    f"expected the same on both sides: add the {other} or take out the {side}")


def as_pictures(files: dict[str, list[Path]]) -> list[Picture]:
    """The files as pictures without an instance."""
    return [Picture(path, name) for name, paths in files.items() for path in paths]


def check_classes(classes: Iterable[str] | None, known: Collection[str], name: str) -> tuple[str, ...] | None:
    """The asked-for classes as a tuple, or None for all. Raises DataError: one is none of the data set."""
    if classes is None:
        return None
    wanted = tuple(classes)
    if known:
        check_known(wanted, known, name)
    return wanted
