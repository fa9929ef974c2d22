"""Writing composites to a folder for use elsewhere, and checking such a folder.

Layout::

    photos/<class>/<id>.jpg      quality 95
    masks/<class>/<id>.png       8 bits, 255 where the object is
    sketches/<class>/<id>_a50.png    level of abstraction in hundredths
    samples.jsonl                one line per photo: files, class, affine map, warp, strokes and key points
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchfusion.data.composites.colour import Array
from sketchfusion.data.composites.dataset import Composites
from sketchfusion.data.composites.sample import CompositeSample
from sketchfusion.data.composites.warp import Correspondence
from sketchfusion.errors import DataError

SAMPLES = "samples.jsonl"
DIGITS = 3  # of stored points


def write_composites(
    out: str | os.PathLike[str], dataset: Composites, *, abstraction: Sequence[float] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write every sample of the data set, each photo with one sketch per level of abstraction.

    Args:
        out: folder; made if needed, files of the same names are replaced.
        dataset: what to write.
        abstraction: levels in [0, 1]; one sketch of a level picked by chance if none are given.
        on_progress: called with (done, total).
    Returns:
        sketches written.
    Raises:
        DataError: the folder cannot be written, or a prepared file cannot be read.
    """
    folder = Path(out)
    levels: list[float | None] = list(dict.fromkeys(abstraction)) or [None]
    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / (SAMPLES + ".part")
        with part.open("w", encoding="utf-8") as lines:
            for index in range(len(dataset)):
                samples = [dataset.sample(index, abstraction=level) for level in levels]
                lines.write(json.dumps(write_sample(folder, f"{index:06d}", samples)) + "\n")
                written += len(samples)
                if on_progress:
                    on_progress(index + 1, len(dataset))
        part.replace(folder / SAMPLES)
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror or error}; check permissions and room") from None
    return written


def write_sample(folder: Path, name: str, samples: list[CompositeSample]) -> dict[str, Any]:
    """Write one photo, its mask and its sketches; the line that describes them."""
    first = samples[0]
    place = Path(first.class_name)
    files = {"photo": Path("photos") / place / f"{name}.jpg", "mask": Path("masks") / place / f"{name}.png"}
    save(Image.fromarray(first.photo), folder / files["photo"])
    save(Image.fromarray(first.mask), folder / files["mask"])
    sketches = []
    for sample in samples:
        path = Path("sketches") / place / f"{name}_a{round(100 * sample.abstraction):02d}.png"
        save(Image.fromarray(sample.sketch).convert("L"), folder / path)
        sketches.append(sketch_record(path, sample))
    return {"id": name, "class": first.class_name, "cutout": first.cutout, "affine": first.affine.tolist(),
            "visible_share": round(first.visible_share, 4), "correspondence": first.correspondence.to_record(),
            **{kind: path.as_posix() for kind, path in files.items()}, "sketches": sketches}


def sketch_record(path: Path, sample: CompositeSample) -> dict[str, Any]:
    """What is stored of one sketch."""
    def rounded(points: Array) -> list[Any]:
        plain: list[Any] = np.round(points, DIGITS).tolist()
        return plain

    return {
        "file": path.as_posix(), "abstraction": round(sample.abstraction, 6),
        "keypoints": {"sketch_px": rounded(sample.sketch_keypoints_px), "photo_px": rounded(sample.photo_keypoints_px),
                      "visible": sample.visible.tolist()},
        "strokes": [{"drawn_px": rounded(stroke.drawn_px), "photo_px": rounded(stroke.photo_px),
                     "outline": stroke.outline} for stroke in sample.strokes]}


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture; JPEG at quality 95 without subsampling colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        picture.save(path, quality=95, subsampling=0)
    else:
        picture.save(path)


def verify(out: str | os.PathLike[str]) -> list[str]:
    """What is wrong with a written folder, a line each; empty if all is well.

    Raises:
        DataError: it is not such a folder.
    """
    folder = Path(out)
    if not (folder / SAMPLES).exists():
        raise DataError(f"{folder} has no {SAMPLES}; it was not written by `sketchfusion data make-composites`, "
                        "or that was stopped: run it again")
    problems = []
    lines = (folder / SAMPLES).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            problems += check_record(folder, json.loads(line))
        except (ValueError, KeyError, TypeError, OSError, DataError) as error:
            problems.append(f"{SAMPLES}, line {number}: {type(error).__name__}: {error}")
    return problems


def check_record(folder: Path, record: dict[str, Any]) -> list[str]:
    """What is wrong with one photo and its sketches."""
    name, problems = record["id"], []
    with Image.open(folder / record["photo"]) as photo, Image.open(folder / record["mask"]) as opened:
        photo.load()
        mask = np.asarray(opened.convert("L"))
        if photo.size != opened.size:
            problems.append(f"{name}: the photo is {photo.size}, its mask {opened.size}")
    if not (mask > 127).any():
        problems.append(f"{name}: the mask is empty")
    exact = Correspondence.from_record(record["correspondence"])
    for sketch in record["sketches"]:
        with Image.open(folder / sketch["file"]) as paper:
            paper.load()
            side = np.array(paper.size)
        drawn = np.array(sketch["keypoints"]["sketch_px"], dtype=np.float64)
        meant = np.array(sketch["keypoints"]["photo_px"], dtype=np.float64)
        if ((drawn < 0) | (drawn > side)).any():
            problems.append(f"{sketch['file']}: a key point lies off the paper")
        if float(np.abs(exact.to_photo(exact.to_sketch(meant)) - meant).max()) > 0.01:
            problems.append(f"{sketch['file']}: the correspondence is not one-to-one at the key points")
    return problems
