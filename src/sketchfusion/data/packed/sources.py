"""The open data sets that may train weights which are given away: where their pictures lie and what they are called."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sketchfusion.data.packed.names import KINDS, class_name, emoji_name
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.images import SUFFIXES

FORBIDDEN = {
    "pacs": "is for evaluation only: weights that have seen it could not be judged on it, nor be given away",
    "sketchy": "is licensed for research only: weights trained on it could not be given away",
}
Strokes = tuple[npt.NDArray[np.uint8], ...]


@dataclass(frozen=True)
class KeyPoints:
    """Points that a sketch and its photo have in common, as shares of the sides: (0, 0) top left, (1, 1) bottom right.

    Attributes:
        sketch, photo: (K, 2) (x, y).
        visible: (K,) bool, in both.
    """

    sketch: npt.NDArray[np.float64]
    photo: npt.NDArray[np.float64]
    visible: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Item:
    """One picture or drawing.

    Attributes:
        kind: of ``names.KINDS``.
        name: its class; empty where it has none.
        key: what the held-out split is drawn from: the same for all versions of one thing. Photos and sketches of one
            source and key show the same instance.
        file: the picture, or None for a drawing.
        strokes: (N, 2) points (x, y) from 0 to 255, of a drawing.
        sample: empty, or what a photo and the sketches of exactly this photo share: mask and key points hold for them.
        mask: of a photo, 8 bits, above 127 where the object is; None where it is not known.
        keypoints: of a sketch, with the photo of its sample.
    """

    kind: str
    name: str
    key: str
    file: Path | None = None
    strokes: Strokes = ()
    sample: str = ""
    mask: Path | None = None
    keypoints: KeyPoints | None = None


@dataclass(frozen=True)
class Source:
    """A data set: its terms, and how its items are found below its folder."""

    name: str
    licence: str
    attribution: str
    read: Callable[[Path], Iterator[Item]]


def folder_per_class(folder: Path, kind: str = "photo") -> Iterator[Item]:
    """Pictures in one folder per class, sorted."""
    for file in sorted(folder.glob("*/*")):
        if file.suffix.lower() in SUFFIXES:
            name = class_name(file.parent.name)
            yield Item(kind, name, f"{name}/{file.stem}", file)


def quick_draw(folder: Path) -> Iterator[Item]:
    """Quick, Draw! files, one class each."""
    for file in sorted(folder.glob("*.ndjson")):
        yield from _drawings(file, class_name(file.stem))


def part_drawings(folder: Path) -> Iterator[Item]:
    """SPG: ``<class>_{train,valid,test}.ndjson``, the same drawings in more than one file; part labels are not read."""
    for part in ("train", "valid", "test"):
        for file in sorted(folder.glob(f"*_{part}.ndjson")):
            yield from _drawings(file, class_name(file.stem.removesuffix(f"_{part}")))


def _drawings(file: Path, name: str) -> Iterator[Item]:
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            if not record.get("recognized", True):
                continue
            strokes = tuple(np.asarray(stroke[:2], dtype=np.float64).T.clip(0, 255).round().astype(np.uint8)
                            for stroke in record["drawing"] if len(stroke[0]))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"{file}, line {number} is not a Quick, Draw! drawing: {error}; "
                            "download it again") from None
        if strokes:
            yield Item("drawing", name, str(record.get("key_id", f"{name}/{number}")), strokes=strokes)


def emoji(folder: Path) -> Iterator[Item]:
    """Colour picture and line icon of each emoji; both have one key, so that no half of a pair is held out alone."""
    table = folder / "names.csv"
    if not table.is_file():
        raise DataError(f"{table} is missing; it holds the names of the emoji")
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            name = emoji_name(row["name"], row["group"])
            for kind, file in (("emoji", folder / "colour" / f"{row['id']}.webp"),
                               ("icon", folder / "line" / f"{row['id']}.png")):
                if file.is_file():
                    yield Item(kind, name, row["id"], file)


def icons(folder: Path) -> Iterator[Item]:
    """Line icons, named by their files."""
    for file in sorted(folder.glob("*.png")):
        yield Item("icon", class_name(file.stem), file.stem, file)


def composites(folder: Path) -> Iterator[Item]:
    """Photos and traced sketches of ``sketchfusion data make-composites``; the key is the object's own photo."""
    for record in _records(folder, "samples.jsonl", "make-composites"):
        with _explained(folder, "samples.jsonl", "make-composites"):
            name, key, sample = class_name(record["class"]), str(record["cutout"]), str(record["id"])
            yield Item("photo", name, key, folder / record["photo"], sample=sample, mask=folder / record["mask"])
            for sketch in record["sketches"]:
                points = sketch["keypoints"]
                with Image.open(folder / sketch["file"]) as paper:
                    size = paper.size
                yield Item("sketch", name, key, folder / sketch["file"], sample=sample, keypoints=KeyPoints(
                    np.array(points["sketch_px"]) / size, np.array(points["photo_px"]) / size,
                    np.array(points["visible"])))


def drawn_world(folder: Path) -> Iterator[Item]:
    """Photos and sketches of ``sketchfusion data make-world``; the key is the instance."""
    for record in _records(folder, "annotations.jsonl", "make-world"):
        with _explained(folder, "annotations.jsonl", "make-world"):
            name, key, size = class_name(record["category"]), str(record["instance_id"]), record["size"]
            yield Item("photo", name, key, folder / record["photo"], sample=key, mask=folder / record["mask"])
            for sketch in record["sketches"]:
                visible = np.array(record["visible"]) & np.array(sketch["visible"])
                yield Item("sketch", name, key, folder / sketch["file"], sample=key, keypoints=KeyPoints(
                    np.array(sketch["keypoints_px"]) / size, np.array(record["keypoints_px"]) / size, visible))


def _records(folder: Path, file: str, verb: str) -> list[Any]:
    """The lines of a generated folder's annotation. Raises DataError: it is not there, or damaged."""
    with _explained(folder, file, verb):
        return [json.loads(line) for line in (folder / file).read_text("utf-8").splitlines()]


@contextmanager
def _explained(folder: Path, file: str, verb: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} is not a folder that `sketchfusion data {verb}` wrote, or its {file} is damaged "
                        f"({type(error).__name__}: {error}); make it again") from None


SOURCES = (
    Source("caltech101", "CC BY 4.0", "Caltech 101, Li, Andreeto, Ranzato, Perona, doi 10.22002/D1.20086",
           folder_per_class),
    Source("clothing", "CC0", "clothing-dataset, A. Grigorev and contributors", folder_per_class),
    Source("grocery", "MIT", "GroceryStoreDataset, Klasson, Zhang, Kjellstrom", folder_per_class),
    Source("trashnet", "MIT", "trashnet, Thung and Yang", folder_per_class),
    Source("quickdraw", "CC BY 4.0", "The Quick, Draw! dataset, Google", quick_draw),
    Source("spg256", "CC BY 4.0", "The Quick, Draw! dataset, Google (selection of SPG; its part labels are not used)",
           part_drawings),
    Source("emoji_fluent", "MIT", "Fluent Emoji, Microsoft", emoji),
    Source("emoji_noto", "Apache-2.0", "Noto Emoji, Google", emoji),
    Source("icons_phosphor", "MIT", "Phosphor Icons", icons),
)


MADE = {  # kinds of extra data that the project makes itself, with photos and sketches of the same things
    "composites": Source("composites", "CC BY 4.0", "objects cut out of Caltech 101, on photos of Caltech 101; traced",
                         composites),
    "world": Source("world", "none needed: drawn by program", "The drawn world of SketchFusion", drawn_world),
}


def check_allowed(folder: Path) -> None:
    """Refuse by name what must not train weights.

    Raises:
        ConfigError: the folder, or one above or directly below it that was meant, is such a data set.
    """
    for part in folder.resolve().parts:
        for word, reason in FORBIDDEN.items():
            if word in part.lower():
                raise ConfigError(f"{folder} cannot be packed for pre-training: {part} {reason}; leave it out")


def extra_source(text: str) -> tuple[Source, Path]:
    """``KIND=FOLDER``: pictures of the user's own, one folder per class; or of ``MADE``.

    Raises:
        ConfigError: not of that form, or not allowed.
        DataError: no such folder.
    """
    kind, equals, place = text.partition("=")
    known = [*(name for name in KINDS if name != "drawing"), *MADE]
    if not equals or kind not in known:
        raise ConfigError(f"cannot read the extra data {text!r}; expected KIND=FOLDER with KIND one of "
                          f"{', '.join(known)}")
    folder = Path(place).expanduser()
    check_allowed(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected one folder per class in it")
    if kind in MADE:
        return MADE[kind], folder
    name = f"extra-{kind}-{folder.resolve().parent.name}-{folder.resolve().name}"
    return Source(name, "stated by whoever gave it", folder.name, lambda root: folder_per_class(root, kind)), folder


def find_sources(data: Path, only: Sequence[str] = ()) -> list[tuple[Source, Path]]:
    """The data sets below a folder.

    Raises:
        ConfigError: one of ``only`` is forbidden or unknown.
        DataError: no such folder, or nothing known in it.
    """
    names = [source.name for source in SOURCES]
    for name in only:
        check_allowed(Path(name))
        if name not in names:
            raise ConfigError(f"unknown data set {name!r}; known: {', '.join(names)}")
    check_allowed(data)
    if not data.is_dir():
        raise DataError(f"there is no folder {data}; set SKETCHFUSION_DATA or give --data")
    found = [(source, data / source.name) for source in SOURCES
             if (not only or source.name in only) and (data / source.name).is_dir()]
    if not found:
        raise DataError(f"{data} holds none of the data sets that may train weights: {', '.join(names)}")
    return found
