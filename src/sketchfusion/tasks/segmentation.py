"""Sketch-based image segmentation (Sec. 6.4): foreground is where the photo's features are like the sketch's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.canvas import Canvas
from sketchfusion.config import DescriptorConfig
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.descriptor import content_mask, pool
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.images import Picture, as_image, each_picture
from sketchfusion.tasks.refinement import bands, refine, resample

GLOBAL_MAX = DescriptorConfig(pooling="max")  # of the sketch, whatever the descriptors of retrieval are made with
FOREGROUND = 0.5


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What of a photo a sketch shows, at the size of the upright photo; all on the CPU.

    Attributes:
        mask: (H, W) bool, the foreground.
        probability: (H, W) float32 in [0, 1], of the foreground; the mask is where it is above a half.
        threshold: of the cosine, at which the probability was a half before any refinement.
        score: mean probability inside the mask, 0 where it is empty.
    """

    mask: Tensor
    probability: Tensor
    threshold: float
    score: float

    @staticmethod
    def of(probability: Tensor, threshold: float) -> Segmentation:
        """From an (H, W) probability on the CPU."""
        mask = probability > FOREGROUND
        return Segmentation(mask, probability, threshold, float(probability[mask].mean()) if mask.any() else 0.0)


def similarity_map(descriptors: Tensor, maps: Tensor) -> Tensor:
    """Cosine of each photo's cells with its sketch.

    Args:
        descriptors: (B, D), of the sketches.
        maps: (B, D, Hf, Wf), of the photos.
    Returns:
        (B, Hf, Wf) float32 in [-1, 1].
    Source: Sec. 6.4, the map c.
    """
    sketches = F.normalize(descriptors.float(), dim=1, eps=1e-10)
    return (F.normalize(maps.float(), dim=1, eps=1e-10) * sketches[:, :, None, None]).sum(1)


def soft_mask(similarity: Tensor, threshold: Tensor | float, softness: Tensor | float) -> Tensor:
    """Cosines, of any shape, to probabilities of the foreground: a half at the threshold.

    Args:
        softness: positive; the cosine that lies so far above the threshold has the probability 0.73.
    Source: Sec. 6.4; Chen et al., Localizing Visual Sounds the Hard Way, 2021, Eq. 3, for the sigmoid.
    """
    return torch.sigmoid((similarity - threshold) / softness)


def segmentation_loss(similarity: Tensor, masks: Tensor, threshold: Tensor | float, softness: Tensor | float, *,
                      allowed: Tensor | None = None) -> Tensor:
    """Binary cross entropy of the soft mask, the mean over pixels.

    Args:
        similarity: (B, Hf, Wf) cosines over the canvas; enlarged bilinearly before they become probabilities.
        masks: (B, h, w) in [0, 1], the foreground on the canvas.
        threshold, softness: numbers, or 0-dim tensors that learn.
        allowed: (B, h, w) bool, pixels that count, such as those that are no padding; None: all of them.
    Returns:
        Scalar; 0 where no pixel is allowed.
    Source: Eq. 4.
    """
    size = (masks.shape[1], masks.shape[2])
    enlarged = F.interpolate(similarity[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    cost = F.binary_cross_entropy_with_logits(
        (enlarged - threshold) / softness, masks.to(enlarged.dtype), reduction="none")
    if allowed is None:
        return cost.mean()
    return (cost * allowed).sum() / allowed.sum().clamp(min=1)


def global_descriptor(feature_map: Tensor, mask: Tensor | None) -> Tensor:
    """Global max-pooling over the cells of the mask: (B, D, Hf, Wf), (B, Hf, Wf) bool -> (B, D) float32, unit length.

    Source: Sec. 6.4, f_s.
    """
    return pool(feature_map, mask, GLOBAL_MAX)


def to_picture(similarity: Tensor, canvas: Canvas, index: int, *, longest: int | None = None) -> Tensor:
    """A map over a canvas as a map over the picture on it.

    Each pixel's centre goes to the canvas, where the map is read bilinearly between the centres of its cells, as the
    loss reads it; beyond the outermost centres it is constant.

    Args:
        similarity: (Hf, Wf) over the whole canvas.
        canvas, index: which picture of which batch.
        longest: the longer side has at most so many pixels; None: as many as the picture.
    Returns:
        (H, W) float32, the size of the upright picture, or smaller at the same aspect ratio.
    """
    height, width = canvas.sizes[index].tolist()
    scale = 1.0 if longest is None else min(1.0, longest / max(height, width))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    left, top, right, bottom = canvas.content[index].tolist()
    columns = _cell_places(width, (left, right), similarity.shape[1] / canvas.side)
    rows = _cell_places(height, (top, bottom), similarity.shape[0] / canvas.side)
    planes = similarity.float()[None]
    return torch.cat([resample(planes, rows[band], columns)[0] for band in bands(height, width)])


def _cell_places(count: int, box: tuple[float, float], cells_per_pixel: float) -> Tensor:
    """(count,) centres of pixels that fill the box (low, high) of the canvas, in cells of the map."""
    low, high = box
    return ((torch.arange(count) + 0.5) * ((high - low) / count) + low) * cells_per_pixel - 0.5


def segment(model: SketchFusion, sketch: Picture, photos: Iterable[Picture] | Picture, *,
            threshold: float | None = None, refined: bool = True, batch_size: int = 8) -> Iterator[Segmentation]:
    """What the sketch shows, in each of the photos.

    Args:
        sketch: passes the networks once; see ``SketchFusion.features`` for what it may be.
        photos: one or many, any sizes; read as they are needed.
        threshold: of the cosine, in [-1, 1]; None: the model's own.
        refined: whether the edges are brought in line with those of the photo (``refinement.refine``).
        batch_size: photos that pass the networks together.
    Returns:
        One per photo, in order.
    Raises:
        ConfigError: threshold or batch size out of range.
        ImageError: a picture cannot be read, the sketch is blank, or there is no photo.
    Source: Sec. 6.4.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    threshold = chosen_threshold(model, threshold)
    descriptor = sketch_descriptor(model, sketch)
    return found_in(model, descriptor, each_picture(photos), threshold, refined, batch_size)


def chosen_threshold(model: SketchFusion, threshold: float | None) -> float:
    """The threshold of the cosine, None: the model's own. Raises ConfigError: it is not in [-1, 1]."""
    if threshold is None:
        return float(torch.as_tensor(model.heads.segmentation.threshold).item())
    if not -1 <= threshold <= 1:
        raise ConfigError(f"the threshold of a cosine must lie in [-1, 1], got {threshold}; leave it out to take the "
                          "model's own")
    return threshold


def found_in(model: SketchFusion, descriptor: Tensor, photos: Iterator[Picture], threshold: float, refined: bool,
             batch_size: int) -> Iterator[Segmentation]:
    """``segment`` once the (1, D) descriptor of the sketch is known."""
    while batch := list(islice(photos, batch_size)):
        canvas = Canvas.stack([model.read(photo, "photo") for photo in batch])
        yield from segment_maps(model, descriptor, model.features_of(canvas).feature_map, canvas, threshold=threshold,
                                photos=batch if refined else None)


def segment_maps(model: SketchFusion, descriptor: Tensor, maps: Tensor, canvas: Canvas, *,
                 threshold: float | None = None, photos: Sequence[Picture] | None = None) -> Iterator[Segmentation]:
    """What a sketch shows, in photos whose feature maps are known; nothing passes the networks.

    Args:
        descriptor: (1, D), of the sketch (``sketch_descriptor``).
        maps: (B, D, Hf, Wf), fresh or from a gallery (``compact_map.expand``), any lengths.
        canvas: where the photos of the maps lie; ``canvas.blank_canvas`` will do.
        threshold: of the cosine, in [-1, 1]; None: the model's own.
        photos: the B photos themselves, to bring the edges in line with theirs (``refinement.refine``); None: the
            edges stay as the map has them.
    Returns:
        One per photo, in order, made as it is asked for.
    Raises:
        ConfigError: the threshold is out of range.
        ImageError: a photo cannot be read.
    Source: Sec. 6.4.
    """
    threshold = chosen_threshold(model, threshold)
    softness = model.heads.segmentation.softness.item()
    for index, similarity in enumerate(similarity_map(descriptor, maps)):
        probability = soft_mask(to_picture(similarity, canvas, index), threshold, softness)
        if photos is not None:
            probability = refine(probability, np.array(as_image(photos[index])))
        yield Segmentation.of(probability, threshold)


def sketch_descriptor(model: SketchFusion, sketch: Picture) -> Tensor:
    """(1, D) float32 of unit length, max-pooled over the sketch's own cells, on the CPU."""
    canvas = model.read(sketch, "sketch")
    return sketch_descriptor_of(model.features_of(canvas).feature_map, canvas)


def sketch_descriptor_of(feature_map: Tensor, canvas: Canvas) -> Tensor:
    """As ``sketch_descriptor``, from the (1, D, Hf, Wf) map of the only sketch of the canvas."""
    grid = (feature_map.shape[2], feature_map.shape[3])
    return global_descriptor(feature_map, content_mask(canvas.content, canvas.side, grid))
