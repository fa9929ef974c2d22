"""Preparing a folder of cut-outs from any tree of photos with one folder per class.

Layout of a prepared folder::

    prepared.json                        version and settings
    records.jsonl                        one line per photo: cut, refused (and why) or failed (and why)
    cutouts/<class>/<photo>.webp         RGBA, trimmed to the object
    strokes/<class>/<photo>.json         its trace
    backgrounds/<class>/<photo>.jpg      photos without a plain ground, to paste on

A photo is written down only when its files are complete, so a stopped run goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sketchfusion.data.composites.cutout import CutOut, cut_out
from sketchfusion.data.composites.trace import trace
from sketchfusion.errors import DataError, ImageError
from sketchfusion.images import SUFFIXES, open_image

VERSION = 1
SIDE = 320  # longest side, pixels, at which photos are cut
BACKGROUND_SIDE = 256
SETTINGS, RECORDS = "prepared.json", "records.jsonl"
TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` did.

    Attributes:
        folder: the prepared folder.
        cut: photos cut, by class.
        seen: photos seen, by class.
        refused: reason -> how many.
        failures: photos that cannot be read, with the reason.
        skipped: photos done by an earlier run.
    """

    folder: Path
    cut: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: int = 0

    @property
    def count(self) -> int:
        """Cut-outs in all."""
        return sum(self.cut.values())


def find_photos(photos: Path, skip: Collection[str] = ()) -> list[tuple[str, str]]:
    """(class, path relative to ``photos``) of every picture below a class folder, sorted.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    if not photos.is_dir():
        raise DataError(f"there is no folder {photos}; expected photos in one folder per class")
    found = []
    for path in sorted(photos.rglob("*")):
        relative = path.relative_to(photos)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in SUFFIXES and len(relative.parts) > 1 and not hidden and relative.parts[0] not in skip:
            found.append((relative.parts[0], relative.as_posix()))
    if not found:
        raise DataError(f"no photos in {photos}; expected one folder per class with pictures in it, "
                        "such as cat/001.jpg")
    return found


def prepare(
    photos: str | os.PathLike[str], out: str | os.PathLike[str], *, skip_classes: Collection[str] = (),
    backgrounds: bool = True, on_progress: Report | None = None,
) -> Prepared:
    """Cut out and trace every photo that allows it.

    Args:
        photos: folder with one folder of pictures per class.
        out: prepared folder; made, or continued.
        skip_classes: folders to leave out.
        backgrounds: whether to keep photos without a plain ground for pasting on.
        on_progress: called with (done, total).
    Raises:
        DataError: no photos, a folder of other settings, or it cannot be written.
    """
    source, folder = Path(photos), Path(out)
    listed = find_photos(source, skip_classes)
    try:
        open_folder(folder, backgrounds)
        done = {record["photo"]: record for record in read_records(folder)}
        skipped = sum(path in done for _, path in listed)
        with (folder / RECORDS).open("a", encoding="utf-8") as log:
            for number, (class_name, path) in enumerate(listed):
                if path not in done:
                    done[path] = prepare_photo(source, folder, class_name, path, backgrounds=backgrounds)
                    log.write(json.dumps(done[path]) + "\n")
                    log.flush()
                if on_progress:
                    on_progress(number + 1, len(listed))
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror or error}; check permissions and room") from None
    return summarize(folder, [done[path] for _, path in listed], skipped)


def open_folder(folder: Path, backgrounds: bool) -> None:
    """Make the prepared folder, or check that it was made with the same settings, and mend a torn last record."""
    settings = {"version": VERSION, "side": SIDE, "background_side": BACKGROUND_SIDE if backgrounds else 0}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise DataError(f"{folder} was prepared with other settings ({found} instead of {settings}); "
                            "choose another folder")
    elif any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and not a prepared folder; choose another one")
    else:
        path.write_text(json.dumps(settings), encoding="utf-8")
    records = folder / RECORDS
    if records.exists() and not (data := records.read_bytes()).endswith(b"\n"):
        records.write_bytes(data[: data.rfind(b"\n") + 1])


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The records, in the order written. Raises DataError: a line is damaged."""
    path = folder / RECORDS
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            yield {**record, **{name: str(record[name]) for name in ("photo", "class", "state")}}
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}, line {number} is damaged; delete this line and prepare again") from None


def prepare_photo(source: Path, folder: Path, class_name: str, path: str, *, backgrounds: bool) -> dict[str, Any]:
    """Cut, trace and store one photo; its record."""
    record: dict[str, Any] = {"photo": path, "class": class_name}
    try:
        picture = read_picture(source / path)
    except ImageError as error:
        return {**record, "state": "failed", "reason": str(error)}
    result = cut_out(picture)
    if not isinstance(result, CutOut):
        record |= {"state": "refused", "reason": result.reason, "measures": rounded(result.measures)}
        if backgrounds and result.reason == "the ground is not plain":
            picture.thumbnail((BACKGROUND_SIDE, BACKGROUND_SIDE), Image.Resampling.LANCZOS)
            target = place_in(folder, "backgrounds", path, ".jpg")
            picture.convert("RGB").save(target, quality=90)
        return record
    traced = trace(result.rgb, result.alpha)
    if not traced.strokes:
        return {**record, "state": "refused", "reason": "nothing to trace", "measures": rounded(result.measures)}
    rgba = Image.fromarray(np.dstack([result.rgb, result.alpha]))
    rgba.save(place_in(folder, "cutouts", path, ".webp"), quality=92, method=4, exact=True)
    place_in(folder, "strokes", path, ".json").write_text(traced.to_json(), encoding="utf-8")
    return {**record, "state": "cut", "box": result.box, "measures": rounded(result.measures)}


def place_in(folder: Path, kind: str, path: str, suffix: str) -> Path:
    """Where the file of this kind for a photo belongs; its folder is made."""
    target = folder / kind / (path + suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def read_picture(path: Path) -> Image.Image:
    """A photo at working size, upright, RGB, or RGBA if it has transparency.

    Raises:
        ImageError: it cannot be read.
    """
    opened = open_image(path)
    try:
        opened.draft("RGB", (2 * SIDE, 2 * SIDE))
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        transparent = upright.mode in TRANSPARENT or "transparency" in upright.info
        picture = upright.convert("RGBA" if transparent else "RGB")
    except Exception as error:  # Pillow's decoders raise many types on damaged data
        raise ImageError(f"cannot decode {path}: {type(error).__name__}: {error}; it is damaged or cut off") from None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture


def rounded(measures: dict[str, float]) -> dict[str, float]:
    """The measures to four digits."""
    return {name: round(float(value), 4) for name, value in measures.items()}


def summarize(folder: Path, records: list[dict[str, Any]], skipped: int = 0) -> Prepared:
    """Counts of the records."""
    cut = Counter(record["class"] for record in records if record["state"] == "cut")
    refused = Counter(record["reason"] for record in records if record["state"] == "refused")
    failures = [{"photo": record["photo"], "reason": record["reason"]} for record in records
                if record["state"] == "failed"]
    seen = Counter(record["class"] for record in records)
    return Prepared(folder, dict(sorted(cut.items())), dict(sorted(seen.items())), dict(refused.most_common()),
                    failures, skipped)
