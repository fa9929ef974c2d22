"""What ties a photo to the sketches of exactly this photo: sample numbers, the object's mask, common key points."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import place_on_canvas
from sketchfusion.data.masks import MARKED, mask_levels
from sketchfusion.data.packed.sources import Item

MAX_KEYPOINTS = 16  # of a sketch
BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Samples:
    """Of the N pictures of a shard.

    Attributes:
        sample_ids: (N,) long, -1 for none.
        mask_ids: (N,) long, row in ``masks``, -1 where it is not known.
        masks: (M, S, S) bool, on the canvas.
        keypoints: (N, MAX_KEYPOINTS, 4) shares of the sides, (x, y) in the sketch and in the photo of its sample; NaN
            where not visible or not there.
    """

    sample_ids: Tensor
    mask_ids: Tensor
    masks: Tensor
    keypoints: Tensor

    def on_canvas(self, content: Tensor) -> Tensor:
        """The key points in pixels.

        Args:
            content: (N, 4) boxes of the pictures on their canvases; NaN for pictures that were not read.
        """
        rows = torch.nonzero(self.sample_ids >= 0).flatten()
        photos = rows[self.mask_ids[rows] >= 0]  # every photo of a sample has a mask
        photo_of = torch.full((int(self.sample_ids.max()) + 2,), -1)
        photo_of[self.sample_ids[photos]] = photos
        own = photo_of[self.sample_ids]
        shown_in = torch.where(own[:, None] < 0, float("nan"), content[own])
        return torch.cat([_in_box(self.keypoints[..., :2], content),
                          _in_box(self.keypoints[..., 2:], shown_in)], dim=-1)


def _in_box(shares: Tensor, boxes: Tensor) -> Tensor:
    """(N, K, 2) shares of the sides of (N, 4) boxes -> pixels."""
    corner, opposite = boxes[:, None, :2], boxes[:, None, 2:]
    return corner + shares.float() * (opposite - corner)


def pack_samples(items: Sequence[Item], size: int) -> dict[str, Tensor]:
    """As tensors of a shard; none where no item belongs to a sample.

    Args:
        size: longer side of stored masks, in pixels; smaller ones are not enlarged.
    Returns:
        ``sample_ids``, ``keypoints`` as in ``Samples``; ``masks``, PNG after PNG, with ``mask_offsets`` (N + 1,).
    Raises:
        DataError: a mask marks nothing, or has a palette.
        ImageError: a mask is unreadable.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(item.sample for item in items if item.sample))}
    if not names:
        return {}
    masks = [_encode_mask(item.mask, size) if item.mask else b"" for item in items]
    points = np.full((len(items), MAX_KEYPOINTS, 4), np.nan, np.float16)
    for row, item in enumerate(items):
        if item.keypoints is not None:
            seen = item.keypoints.visible.nonzero()[0][:MAX_KEYPOINTS]
            points[row, :len(seen)] = np.concatenate([item.keypoints.sketch[seen], item.keypoints.photo[seen]], axis=1)
    return {"sample_ids": torch.tensor([names.get(item.sample, -1) for item in items], dtype=torch.int32),
            "masks": torch.from_numpy(np.frombuffer(b"".join(masks), np.uint8).copy()),
            "mask_offsets": torch.from_numpy(np.cumsum([0, *map(len, masks)]).astype(np.int64)),
            "keypoints": torch.from_numpy(points)}


def read_samples(raw: dict[str, Tensor], count: int, size: int) -> Samples:
    """From the tensors of a shard with so many items; masks on a canvas of ``size`` pixels."""
    if "sample_ids" not in raw:
        nothing = torch.full((count,), -1)
        return Samples(nothing, nothing, torch.zeros(0, size, size, dtype=torch.bool),
                       torch.full((count, MAX_KEYPOINTS, 4), float("nan"), dtype=torch.float16))
    data, offsets = raw["masks"].numpy(), raw["mask_offsets"]
    rows = torch.nonzero(offsets.diff()).flatten()
    masks = torch.zeros(len(rows), size, size, dtype=torch.bool)
    for place, row in enumerate(rows.tolist()):
        with Image.open(io.BytesIO(data[offsets[row]:offsets[row + 1]].tobytes())) as mask:
            masks[place] = place_on_canvas(mask.convert("RGB"), size, BLACK).pixels[0, 0] > MARKED
    mask_ids = torch.full((count,), -1)
    mask_ids[rows] = torch.arange(len(rows))
    return Samples(raw["sample_ids"].long(), mask_ids, masks, raw["keypoints"])


def _encode_mask(file: Path, size: int) -> bytes:
    """1-bit PNG, scaled like its photo."""
    mask = mask_levels(file)
    scale = min(1.0, size / max(mask.size))
    shown = mask.resize((max(1, round(mask.width * scale)), max(1, round(mask.height * scale))), Image.Resampling.BOX)
    stream = io.BytesIO()
    shown.point(lambda value: 255 * (value > MARKED)).convert("1").save(stream, "PNG", optimize=True)
    return stream.getvalue()
