"""The drawn world as a folder of files; docs/drawn_world.md describes the format."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sketchfusion.data.world.dataset import DrawnWorld, Points, assemble, find_category
from sketchfusion.data.world.dice import Array
from sketchfusion.data.world.draw import draw_sketch, rasterize
from sketchfusion.data.world.render import render_photo
from sketchfusion.data.world.scene import make_scene
from sketchfusion.errors import DataError

FORMAT, MARKER = "drawn-world-1", "world.json"
FOLDERS = ("photo", "sketch", "mask", "parts", "strokes")
ENTRIES = frozenset((*FOLDERS, MARKER, "annotations.jsonl"))
STROKE_SIDE = 255  # coordinates of the stroke files run from 0 to this
STROKE_TOLERANCE = 1.0  # in the same unit: points nearer than this to the line between others are dropped
ImageFormat = Literal["png", "jpg", "webp"]


@dataclass(frozen=True)
class WorldFolder:
    """What ``write_world`` wrote."""

    folder: str
    categories: int
    photos: int
    sketches: int
    size: int
    seed: int


def write_world(
    folder: str | os.PathLike[str], *, categories: Sequence[str] | None = None, photos_per_class: int = 20,
    sketches_per_photo: int = 1, size: int = 128, seed: int = 0, image_format: ImageFormat = "png",
    progress: Callable[[int, int], None] | None = None,
) -> WorldFolder:
    """Write photos, drawings and annotation to a folder, which appears only when it is complete.

    Args:
        folder: new or empty, or a folder that an earlier call wrote: that one is replaced.
        categories: class names; all if None.
        photos_per_class: instances per class.
        sketches_per_photo: drawings per instance.
        size: side of the square pictures in pixels, 32 to 512.
        seed: whole number; another seed is another world.
        image_format: of the photos; everything else is PNG.
        progress: called after each photo with (done, total).
    Raises:
        DataError: the folder holds something else or cannot be written, or an argument is out of range.
    """
    if image_format not in ("png", "jpg", "webp"):
        raise DataError(f"image_format must be png, jpg or webp, got {image_format!r}")
    world = DrawnWorld(categories, instances_per_category=photos_per_class,
        sketches_per_photo=sketches_per_photo,
                       size=size, seed=seed)
    target = Path(folder)
    check_target(target)
    total = len(world.categories) * photos_per_class
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for done, record in enumerate(write_photos(world, staging, image_format), start=1):
                append_json(staging / "annotations.jsonl", record)
                if progress is not None:
                    progress(done, total)
            summary = WorldFolder(str(target), len(world.categories), total, len(world), world.size, seed)
            about = {"format": FORMAT, **asdict(summary), "class_names": list(world.categories)}
            about.pop("folder")
            (staging / MARKER).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
            staging.chmod(0o755)
            move_into_place(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write the drawn world to {target}: {error}; choose another") from error
    return summary


def check_target(target: Path) -> None:
    """Raise ``DataError`` unless the folder is missing, empty, or was written by ``write_world``."""
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; expected a new or empty folder to write the drawn world to")
    found = {entry.name for entry in target.iterdir()}
    if not found:
        return
    try:
        ours = json.loads((target / MARKER).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours or found - ENTRIES:
        strange = sorted(found - ENTRIES or found)[:3]
        raise DataError(f"the folder {target} is not empty and holds other files ({', '.join(strange)}); "
                        "expected a new or empty folder, or one with a drawn world and nothing else; choose "
                        "another")


def move_into_place(staging: Path, target: Path) -> None:
    """Rename the finished folder to its name; an earlier world there goes away only then."""
    if not target.exists():
        staging.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    target.rename(old / "world")
    try:
        staging.rename(target)
    except OSError:
        (old / "world").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_photos(world: DrawnWorld, root: Path, image_format: str) -> Iterator[dict[str, Any]]:
    """Write the files of each photo and its drawings, and give the line of ``annotations.jsonl``."""
    (root / "strokes").mkdir()
    for name in world.categories:
        for kind in ("photo", "sketch", "mask", "parts"):
            (root / kind / name).mkdir(parents=True)
        for instance in range(world.instances_per_category):
            yield write_photo(world, root, name, instance, image_format)


def write_photo(world: DrawnWorld, root: Path, name: str, instance: int, image_format: str) -> dict[str, Any]:
    """Write one photo, its labels and its drawings; the annotation as a dictionary fit for JSON."""
    scene = make_scene(find_category(name), instance, world.seed)
    photo = render_photo(scene, world.size)
    sketches: list[dict[str, Any]] = []
    for variant in range(world.sketches_per_photo):
        drawing = draw_sketch(scene, world.size, abstraction=world.abstraction, variant=variant)
        sample = assemble(scene, photo, drawing, variant, rasterize(drawing.strokes, world.size))
        file, key = f"sketch/{name}/{sample.instance_id}_{variant}.png", key_id(world.seed, name, instance,
            variant)
        Image.fromarray(sample.sketch).convert("L").save(root / file)
        append_json(root / "strokes" / f"{name}.ndjson", {
            "word": name, "key_id": key, "recognized": True,
            "drawing": to_drawing(sample.strokes, world.size)})
        sketches.append({"file": file, "variant": variant, "key_id": key, "abstraction": sample.abstraction,
                         "keypoints_px": as_lists(sample.sketch_keypoints_px),
                         "visible": sample.sketch_visible.tolist()})
    files = {"photo": f"photo/{name}/{sample.instance_id}.{image_format}",
             "mask": f"mask/{name}/{sample.instance_id}.png",
             "parts": f"parts/{name}/{sample.instance_id}.png"}
    quality: dict[str, Any] = {"jpg": {"quality": 92}, "webp": {"quality": 92}}.get(image_format, {})
    Image.fromarray(sample.photo).save(root / files["photo"], **quality)
    Image.fromarray(sample.mask.astype(np.uint8) * 255).save(root / files["mask"])
    Image.fromarray(sample.parts).save(root / files["parts"])
    return {"category": name, "class_index": world.categories.index(name), "instance": instance,
            "instance_id": sample.instance_id, "size": world.size, "seed": world.seed, **files,
            "part_names": list(sample.part_names), "keypoint_names": list(sample.keypoint_names),
            "keypoints_px": as_lists(sample.photo_keypoints_px), "visible": sample.photo_visible.tolist(),
            "sketches": sketches}


def key_id(seed: int, name: str, instance: int, variant: int) -> str:
    """Sixteen digits that name one drawing."""
    digest = hashlib.blake2b(f"{seed}:{name}:{instance}:{variant}".encode(), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % 10**16:016d}"


def as_lists(points: Points) -> list[list[float]]:
    """(K, 2) points as lists with two decimals."""
    return [[round(float(x), 2), round(float(y), 2)] for x, y in points]


def append_json(path: Path, record: dict[str, Any]) -> None:
    """Add one line to a file of JSON lines."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(record, separators=(",", ":")) + "\n")


def to_drawing(strokes: Sequence[Points], size: int) -> list[list[list[int]]]:
    """Strokes in canvas pixels -> ``[[[x...], [y...]], ...]`` with whole numbers in [0, 255], simplified.

    The whole canvas spans 0 to 255, so that key points scale along; a drawing is not moved to the top left.
    """
    drawing = []
    for stroke in strokes:
        points = simplify(stroke.astype(np.float64) * (STROKE_SIDE / size), STROKE_TOLERANCE)
        whole = np.clip(np.rint(points), 0, STROKE_SIDE).astype(int)
        drawing.append([whole[:, 0].tolist(), whole[:, 1].tolist()])
    return drawing


def simplify(points: Array, tolerance: float) -> Array:
    """Ramer-Douglas-Peucker: the fewest of the points whose line stays within ``tolerance`` of the others."""
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        base, between = points[last] - points[first], points[first + 1 : last] - points[first]
        along = np.clip((between * base).sum(axis=1) / max(float((base * base).sum()), 1e-12), 0, 1)
        away = ((between - along[:, None] * base) ** 2).sum(axis=1)
        if float(away.max()) > tolerance * tolerance:
            middle = first + 1 + int(away.argmax())
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return points[keep]
