"""Packing the open data sets into a few small files that travel in one go: ``sketchfusion pretrain pack``.

One safetensors file per data set. Pictures are WebP, one after the other in a byte tensor; drawings stay strokes. The
manifest beside them tells licence, counts, classes and checksums. A fixed share of every class is held out.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from sketchfusion.config import Section
from sketchfusion.data.packed.names import KINDS
from sketchfusion.data.packed.samples import pack_samples
from sketchfusion.data.packed.sources import Item, Source, extra_source, find_sources, folder_per_class
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.images import decode, open_image

FORMAT, MANIFEST = "sketchfusion-shards-2", "manifest.json"
Progress = Callable[[int, int], None]


class PackOptions(Section):
    """How pictures are stored.

    Attributes:
        size: longer side of a stored picture in pixels; smaller ones are not enlarged.
        quality, emoji_quality: of the WebP pictures, 1 to 100.
        held_out: share of each class that is kept from training.
        only: names of the data sets; all that are there if empty.
        per_class: at most so many of each class, for trials; 0: all.
    """

    size: int = 128
    quality: int = 72
    emoji_quality: int = 60
    held_out: float = 0.1
    only: tuple[str, ...] = ()
    per_class: int = 0


def pack(data: Path | None, out: Path, options: PackOptions, *, extra: Sequence[str] = (),
         on_progress: Progress | None = None) -> dict[str, Any]:
    """Write shards and manifest; returns the manifest.

    Args:
        data: folder that holds the data sets of ``sources.SOURCES``; None: ``extra`` alone.
        out: new or empty, or holding shards of before, which are replaced.
        extra: ``KIND=FOLDER`` of pictures of one's own, one folder per class.
        on_progress: called with (done, total) items.
    Raises:
        ConfigError: a data set that must not train weights, or malformed ``extra``.
        DataError: nothing to pack, or ``out`` holds something else.
    """
    if not 0 <= options.held_out < 1 or options.size < 8:
        raise ConfigError(f"cannot pack with held_out={options.held_out} and size={options.size}; expected a share in "
                          "[0, 1) and at least 8 pixels")
    sources = [*(find_sources(data, options.only) if data else ()), *(extra_source(text) for text in extra)]
    names = [source.name for source, _ in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"two data sets would both be called {', '.join(twice)}; put the pictures of both into one "
                          "folder, or leave one out")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise DataError(f"{out} is not empty and holds no shards; give a new folder")
    found = [(source, _unique(_capped(source.read(folder), options.per_class))) for source, folder in sources]
    found = _without_repeats(found)
    classes = sorted({item.name for _, items in found for item in items})
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        done, total = 0, sum(len(items) for _, items in found)
        entries = []
        for source, items in found:
            entries.append(_write_shard(building, source, items, classes, options))
            done += len(items)
            if on_progress:
                on_progress(done, total)
        manifest = {"format": FORMAT, **options.model_dump(exclude={"only"}), "classes": classes, "shards": entries,
                    "num_bytes": sum(entry["num_bytes"] for entry in entries)}
        (building / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        building.chmod(0o755)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def held_out_keys(items: Iterable[tuple[str, str]], share: float, source: str) -> set[tuple[str, str]]:
    """The (class, key) pairs kept from training: of each class the ``share`` with the smallest hash of its key.

    The order of the items and the rest of the data set do not matter; a class of five or more gives at least one.
    """
    by_class: dict[str, set[str]] = defaultdict(set)
    for name, key in items:
        by_class[name].add(key)
    chosen = set()
    for name, keys in by_class.items():
        ranked = sorted(keys, key=lambda key: hashlib.blake2b(f"{source}:{key}".encode(), digest_size=8).digest())
        count = max(round(share * len(keys)), 1 if share and len(keys) >= 5 else 0)
        chosen |= {(name, key) for key in ranked[:count]}
    return chosen


def held_out_photos(folder: Path, share: float = PackOptions().held_out) -> set[tuple[str, str]]:
    """(class folder, name without suffix) of the photos that packing this folder keeps from training."""
    items = list(folder_per_class(folder))
    split = split_of(Source(folder.resolve().name, "", "", folder_per_class), items, share)
    held_out = [item.file for item, out in zip(items, split, strict=True) if out]
    return {(file.parent.name, file.stem) for file in held_out if file}


def split_of(source: Source, items: Sequence[Item], share: float) -> list[bool]:
    """Whether each item is held out. Emoji and icons have a name each, so their share is drawn from the whole set."""
    groups = [("" if item.kind in ("emoji", "icon") else item.name, item.key) for item in items]
    # Both emoji sets draw the same things: hashed alike, the same things are held out of both.
    chosen = held_out_keys(groups, share, source.name.partition("_")[0])
    return [group in chosen for group in groups]


def _unique(items: Iterable[Item]) -> list[Item]:
    seen: set[tuple[str, str, str]] = set()
    kept = []
    for item in items:
        identity = (item.kind, item.key, str(item.file or ""))
        if identity not in seen:
            seen.add(identity)
            kept.append(item)
    return kept


def _without_repeats(found: list[tuple[Source, list[Item]]]) -> list[tuple[Source, list[Item]]]:
    """Drawings that two sets share are kept in the first: in both, one copy could be held out and the other not."""
    seen: set[str] = set()
    kept = []
    for source, items in found:
        mine = [item for item in items if item.kind != "drawing" or item.key not in seen]
        seen |= {item.key for item in items if item.kind == "drawing"}
        if mine:
            kept.append((source, mine))
    return kept


def _capped(items: Iterable[Item], per_class: int) -> Iterable[Item]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for item in items:
        counts[item.kind, item.name] += 1
        if not per_class or counts[item.kind, item.name] <= per_class:
            yield item


def _write_shard(folder: Path, source: Source, items: list[Item], classes: list[str],
                 options: PackOptions) -> dict[str, Any]:
    number = {name: index for index, name in enumerate(classes)}
    held_out = split_of(source, items, options.held_out)
    tensors = {
        "class_ids": torch.tensor([number[item.name] for item in items], dtype=torch.int32),
        "kinds": torch.tensor([KINDS.index(item.kind) for item in items], dtype=torch.uint8),
        "held_out": torch.tensor(held_out, dtype=torch.uint8),
        "keys": _bytes(zlib.compress("\n".join(item.key for item in items).encode())),
        **(_strokes(items) if items[0].kind == "drawing" else _pictures(items, options)),
        **pack_samples(items, options.size),
    }
    file = folder / f"{source.name}.safetensors"
    save_file(tensors, file)
    return {
        "file": file.name, "source": source.name, "licence": source.licence, "attribution": source.attribution,
        "items": len(items), "held_out": sum(held_out), "classes": len({item.name for item in items}),
        "kinds": {kind: sum(item.kind == kind for item in items) for kind in KINDS
                  if any(item.kind == kind for item in items)},
        "num_bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def _pictures(items: list[Item], options: PackOptions) -> dict[str, Tensor]:
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        encoded = list(pool.map(lambda item: encode_picture(item, options), items))
    ends = np.cumsum([0, *(len(data) for data in encoded)])
    return {"data": _bytes(b"".join(encoded)), "offsets": torch.from_numpy(ends.astype(np.int64))}


def encode_picture(item: Item, options: PackOptions) -> bytes:
    """One picture as WebP, its longer side at most ``options.size``; an emoji keeps its alpha, a drawing is grey.

    Raises:
        ImageError: unreadable.
    """
    assert item.file is not None
    opened = open_image(item.file)
    if item.kind == "emoji":
        picture = opened.convert("RGBA")
    else:
        picture = decode(opened)
        picture = picture if item.kind == "photo" else picture.convert("L")
    scale = min(1.0, options.size / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if item.kind in ("photo", "emoji"):
        quality = options.quality if item.kind == "photo" else options.emoji_quality
        picture.save(stream, "WEBP", quality=quality, alpha_quality=options.emoji_quality, method=4)
    else:  # a few greys without loss are smaller than sharp edges with it
        picture.point(lambda value: round(value // 32 * 255 / 7)).save(stream, "WEBP", lossless=True, method=4)
    return stream.getvalue()


def _strokes(items: list[Item]) -> dict[str, Tensor]:
    """Points of all strokes one after the other, how many a stroke has, and how many strokes a drawing has."""
    strokes = [stroke for item in items for stroke in item.strokes]
    points = np.concatenate(strokes)
    steps = np.diff(points, axis=0, prepend=np.zeros((1, 2), np.uint8))  # modulo 256: small numbers, which pack well
    return {
        "points": _bytes(zlib.compress(np.ascontiguousarray(steps.T).tobytes(), 9)),
        "stroke_sizes": torch.tensor([len(stroke) for stroke in strokes], dtype=torch.int16),
        "num_strokes": torch.tensor([len(item.strokes) for item in items], dtype=torch.int16),
    }


def unpack_points(data: Tensor) -> np.ndarray:
    """(M, 2) uint8 points from the bytes in a shard."""
    steps = np.frombuffer(zlib.decompress(data.numpy().tobytes()), np.uint8).reshape(2, -1)
    return np.add.accumulate(steps, axis=1, dtype=np.uint8).T


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
