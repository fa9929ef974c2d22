"""The packed data in memory: pictures as 8-bit tensors, drawings as points, on the device where they are used."""

from __future__ import annotations

import functools
import io
import json
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Generator, Tensor

from sketchfusion.canvas import place_on_canvas
from sketchfusion.config import CanvasConfig
from sketchfusion.data.packed import augment
from sketchfusion.data.packed.augment import Placement, ViewConfig
from sketchfusion.data.packed.names import KINDS
from sketchfusion.data.packed.packing import FORMAT, MANIFEST, unpack_points
from sketchfusion.data.packed.samples import MAX_KEYPOINTS, Samples, read_samples
from sketchfusion.data.packed.strokes import resample
from sketchfusion.errors import DataError

POINTS_PER_SIDE = 8  # points along all strokes of a drawing, for each pixel of the canvas side
CHANNELS = {"photo": 3, "sketch": 1, "emoji": 4, "icon": 1}


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one kind.

    Attributes:
        pixels: (N, C, S, S) uint8: 3 channels of a photo, 4 of an emoji with alpha, 1 of a drawing or icon.
        content: (N, 4) float, box of the picture on its canvas, in pixels.
        class_ids: (N,) long.
        instance_ids: (N,) long; pictures of the same thing have the same, whatever their kind.
        held_out: (N,) bool.
        sample_ids: (N,) long; a photo and the sketches of exactly this photo have the same; -1: of no sample.
        mask_ids: (N,) long, row in ``Corpus.masks``; -1: the mask is not known.
        keypoints: (N, K, 4) pixels on the canvas, (x, y) in the sketch and in the photo of its sample; NaN where not
            visible or not there.
    """

    kind: str
    pixels: Tensor
    content: Tensor
    class_ids: Tensor
    instance_ids: Tensor
    held_out: Tensor
    sample_ids: Tensor
    mask_ids: Tensor
    keypoints: Tensor

    @property
    def side(self) -> int:
        """Of the canvas, in pixels."""
        return int(self.pixels.shape[-1])

    def place(self, rows: Tensor, view: ViewConfig, generator: Generator) -> Placement:
        """How ``render`` places (B,) rows with a generator in the same state."""
        whole = view if self.kind == "photo" else view.model_copy(update={"whole": 1.0})
        boxes = augment.photo_boxes(self.content[rows], self.side, whole, generator)
        flip = augment.uniform((len(rows),), 0, 1, generator) < view.flip
        angle = None
        if self.kind != "photo" and view.rotate:
            turn = float(np.radians(view.rotate))
            angle = augment.uniform((len(rows),), -turn, turn, generator)
        return Placement.of(boxes, self.side, flip=flip, angle=angle)

    def render(self, rows: Tensor, view: ViewConfig, generator: Generator) -> Tensor:
        """(B,) rows -> (B, 3, S, S) in [0, 1], augmented."""
        placement = self.place(rows, view, generator)  # first, so that ``place`` finds the same random numbers
        images = self.pixels[rows].float() / 255
        if self.kind == "emoji":
            images = augment.on_ground(images, generator, plain=1.0 if view == augment.PLAIN else 0.5)
        if self.kind in ("icon", "sketch") and view.line_width[0] != view.line_width[1]:
            images = augment.vary_line(images, generator)
        images = placement.show(images, _paper(images) if self.kind != "photo" else _bars(images))
        if images.shape[1] == 3:
            return augment.jitter_colour(images, view, generator)
        return images.expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class StrokeSet:
    """Vector drawings, which are drawn anew each time they are seen.

    Attributes:
        points: (N, P, 2) half precision (x, y), evenly along the strokes, centred at 0, the longer extent 1.
        stroke_ids: (N, P) uint8, which stroke a point belongs to.
        class_ids, instance_ids, held_out: (N,).
    """

    kind: str
    points: Tensor
    stroke_ids: Tensor
    class_ids: Tensor
    instance_ids: Tensor
    held_out: Tensor
    side: int

    @property
    def sample_ids(self) -> Tensor:
        """(N,) of -1: strokes belong to no sample."""
        return torch.full_like(self.class_ids, -1)

    @property
    def mask_ids(self) -> Tensor:
        """(N,) of -1: strokes have no mask."""
        return self.sample_ids

    @property
    def keypoints(self) -> Tensor:
        """(N, K, 4) of NaN: strokes have no key points."""
        return torch.full((len(self.class_ids), MAX_KEYPOINTS, 4), float("nan"), device=self.class_ids.device)

    def place(self, rows: Tensor, view: ViewConfig, generator: Generator) -> Placement:
        """The whole canvas: strokes are moved before they are drawn."""
        return Placement.unmoved(len(rows), rows.device)

    def render(self, rows: Tensor, view: ViewConfig, generator: Generator) -> Tensor:
        """(B,) rows -> (B, 3, S, S) in [0, 1], augmented."""
        drawn = augment.draw_strokes(self.points[rows], self.stroke_ids[rows], self.side, view, generator)
        return drawn.expand(-1, 3, -1, -1)


ItemSet = PictureSet | StrokeSet


@dataclass(frozen=True)
class Corpus:
    """Everything that was packed, by kind; ``classes[class_id]`` is a name, empty for things without one.

    ``masks`` (M, S, S) bool are those of some photos, see ``PictureSet.mask_ids``; parts of a corpus share them.
    """

    sets: dict[str, ItemSet]
    classes: tuple[str, ...]
    masks: Tensor

    def part(self, *, held_out: bool) -> Corpus:
        """The training part or the held-out part. Raises DataError: it is empty."""
        chosen = self._where(lambda items: items.held_out == held_out)
        if not chosen.sets:
            what = "held-out" if held_out else "training"
            raise DataError(f"the packed data have no {what} part of {', '.join(self.sets)}; pack more data, "
                            "with a held-out share between 0 and 1")
        return chosen

    def first(self, count: int) -> Corpus:
        """At most so many of each kind, evenly spread over the set."""
        return Corpus({kind: _take(items, spread(items, count)) for kind, items in self.sets.items()}, self.classes,
                      self.masks)

    def named(self) -> Corpus:
        """Without the things that have no name."""
        has_name = torch.tensor([bool(name) for name in self.classes])
        return self._where(lambda items: has_name.to(items.class_ids.device)[items.class_ids])

    def _where(self, choose: Callable[[ItemSet], Tensor]) -> Corpus:
        chosen = {kind: _take(items, torch.nonzero(choose(items)).flatten()) for kind, items in self.sets.items()}
        return Corpus({kind: items for kind, items in chosen.items() if len(items.class_ids)}, self.classes,
                      self.masks)

    def to(self, device: torch.device) -> Corpus:
        """The same on another device."""
        return Corpus({kind: _with_tensors(items, {name: value.to(device) for name, value in _tensors(items).items()})
                       for kind, items in self.sets.items()}, self.classes, self.masks.to(device))


def load_corpus(folder: Path, size: int, kinds: Sequence[str], *, device: torch.device | str = "cpu",
                on_progress: Callable[[int, int], None] | None = None) -> Corpus:
    """Decode the shards once.

    Args:
        folder: as ``packing.pack`` wrote it.
        size: side of the canvas in pixels; pictures packed in another size are scaled.
        kinds: of ``names.KINDS``; others are not decoded.
    Raises:
        DataError: no shards there, of another version, damaged, or none of these kinds.
    """
    manifest = read_manifest(folder)
    parts: dict[str, list[ItemSet]] = {}
    shards = [entry for entry in manifest["shards"] if set(entry["kinds"]) & set(kinds)]
    numbers = Numbers()
    masks = [torch.zeros(0, size, size, dtype=torch.bool)]
    for done, entry in enumerate(shards, start=1):
        sets, more = _read_shard(folder / entry["file"], size, kinds, numbers)
        masks.append(more)
        for items in sets:
            parts.setdefault(items.kind, []).append(items)
        if on_progress:
            on_progress(done, len(shards))
    missing = [kind for kind in kinds if kind not in parts]
    if missing:
        raise DataError(f"{folder} holds no {' and no '.join(missing)}; it has "
                        f"{', '.join(sorted({kind for entry in manifest['shards'] for kind in entry['kinds']}))}. "
                        "Leave these out of data.mix, or pack more data")
    joined = {kind: _join(parts[kind]) for kind in KINDS if kind in parts}
    return Corpus(joined, tuple(manifest["classes"]), torch.cat(masks)).to(torch.device(device))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of packed data. Raises DataError: there is none, or of another version."""
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no packed data ({error}); write it with "
                        "`sketchfusion pretrain pack`") from None
    if manifest.get("format") != FORMAT:
        raise DataError(f"{file} is of format {manifest.get('format')!r}, expected {FORMAT!r}; pack the data again")
    return manifest


def instance_ids(keys: Sequence[str]) -> Tensor:
    """(N,) long: numbers from 0, the same for the same key, in the order of first appearance."""
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys])


@dataclass
class Numbers:
    """How many instances, samples and masks the shards before had: those of the next one follow."""

    instances: int = 0
    samples: int = 0
    masks: int = 0

    def follow(self, instances: Tensor, samples: Samples) -> tuple[Tensor, Samples]:
        """A shard's own numbers, counted on; -1 stays."""
        instances = instances + self.instances
        sample_ids = torch.where(samples.sample_ids < 0, -1, samples.sample_ids + self.samples)
        mask_ids = torch.where(samples.mask_ids < 0, -1, samples.mask_ids + self.masks)
        self.instances = int(instances.max()) + 1
        self.samples = max(self.samples, int(sample_ids.max()) + 1)
        self.masks += len(samples.masks)
        return instances, replace(samples, sample_ids=sample_ids, mask_ids=mask_ids)


def _read_shard(file: Path, size: int, kinds: Sequence[str], numbers: Numbers) -> tuple[list[ItemSet], Tensor]:
    """Its pictures or drawings by kind, and the masks (M, S, S)."""
    try:
        raw = load_file(file)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {file}: {error}; pack the data again") from None
    ids, held_out = raw["class_ids"].long(), raw["held_out"].bool()
    own = read_samples(raw, len(ids), size)
    instances, samples = numbers.follow(instance_ids(item_keys(file)), own)
    if "points" in raw:
        points, stroke_ids = resample(unpack_points(raw["points"]), raw["stroke_sizes"].numpy(),
                                      raw["num_strokes"].numpy(), POINTS_PER_SIDE * size)
        return [StrokeSet("drawing", points, stroke_ids, ids, instances, held_out, size)], samples.masks
    read: dict[str, tuple[Tensor, Tensor]] = {}
    content = torch.full((len(ids), 4), float("nan"))
    for number, kind in enumerate(KINDS):
        rows = torch.nonzero(raw["kinds"] == number).flatten()
        if len(rows) and kind in kinds:
            pixels, content[rows] = _decode(raw["data"].numpy(), raw["offsets"].numpy(), rows.tolist(), kind, size)
            read[kind] = rows, pixels
    keypoints = own.on_canvas(content)
    return [PictureSet(kind, pixels, content[rows], ids[rows], instances[rows], held_out[rows],
                       samples.sample_ids[rows], samples.mask_ids[rows], keypoints[rows])
            for kind, (rows, pixels) in read.items()], samples.masks


def _decode(data: np.ndarray, offsets: np.ndarray, rows: list[int], kind: str, size: int) -> tuple[Tensor, Tensor]:
    pixels = torch.empty(len(rows), CHANNELS[kind], size, size, dtype=torch.uint8)
    content = torch.empty(len(rows), 4)

    def read(index: int) -> None:
        row = rows[index]
        with Image.open(io.BytesIO(data[offsets[row]:offsets[row + 1]].tobytes())) as image:
            pixels[index], content[index] = _on_canvas(image, kind, size)

    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        list(pool.map(read, range(len(rows))))
    return pixels, content


def _on_canvas(image: Image.Image, kind: str, size: int) -> tuple[Tensor, Tensor]:
    """(C, S, S) uint8 and the (4,) box of the picture."""
    if kind == "emoji":
        scaled = image.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(scaled)).permute(2, 0, 1), torch.tensor([0.0, 0.0, size, size])
    colours = CanvasConfig(size=size)
    canvas = place_on_canvas(image.convert("RGB"), size, colours.padding("photo" if kind == "photo" else "sketch"))
    return canvas.pixels[0, :CHANNELS[kind]], canvas.content[0]


def _paper(images_01: Tensor) -> Tensor:
    """(B, C, 1, 1): what lies in the corner: the paper, or the ground of an emoji."""
    return images_01[:, :, :1, :1]


def _bars(images_01: Tensor) -> Tensor:
    return _bar_colour(images_01.device).expand(len(images_01), -1, -1, -1)


@functools.cache  # a copy to a GPU makes the processor wait, so it is made once
def _bar_colour(device: torch.device) -> Tensor:
    return torch.tensor(CanvasConfig(size=1).padding("photo"), device=device).view(1, 3, 1, 1) / 255


def _take(items: ItemSet, rows: Tensor) -> ItemSet:
    return _with_tensors(items, {name: value[rows] for name, value in _tensors(items).items()})


def _join(parts: Sequence[ItemSet]) -> ItemSet:
    names = _tensors(parts[0])
    return _with_tensors(parts[0], {name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _tensors(items: ItemSet) -> dict[str, Any]:
    return {name: value for name, value in vars(items).items() if isinstance(value, Tensor)}


def _with_tensors(items: ItemSet, tensors: dict[str, Any]) -> ItemSet:
    return replace(items, **tensors)


def spread(items: ItemSet, count: int) -> Tensor:
    """(min(N, count),) rows, evenly spread over the set, so that all its sources and classes have a share."""
    total = len(items.class_ids)
    return torch.linspace(0, total - 1, min(total, count), dtype=torch.float64, device=items.class_ids.device).long()


def item_keys(file: Path) -> list[str]:
    """The keys of a shard's items, in order: which files they were.

    Raises:
        DataError: unreadable.
    """
    try:
        with safe_open(file, "pt") as shard:
            return zlib.decompress(shard.get_tensor("keys").numpy().tobytes()).decode().split("\n")
    except (OSError, SafetensorError, zlib.error) as error:
        raise DataError(f"cannot read {file}: {error}; pack the data again") from None
