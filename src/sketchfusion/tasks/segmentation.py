"""Sketch-based image segmentation (Sec. 6.4): foreground is where the photo's features are like the sketch's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def to_picture(similarity: Tensor, canvas: Canvas, index: int) -> Tensor:
    """A map over a canvas at the full size of the picture on it.

    Each pixel's centre goes to the canvas, where the map is read bilinearly between the centres of its cells, as the
    loss reads it; beyond the outermost centres it is constant.

    Args:
        similarity: (Hf, Wf) over the whole canvas.
        canvas, index: which picture of which batch.
    Returns:
        (H, W) float32, the size of the upright picture.
    """
    height, width = canvas.sizes[index].tolist()
    diagonal = (torch.arange(max(height, width)) + 0.5)[:, None].expand(-1, 2)  # every x and every y there is
    across, down = canvas.to_canvas_frame(diagonal, index).unbind(1)
    side = canvas.pixels.shape[-1]
    columns = across[:width] * (similarity.shape[1] / side) - 0.5
    rows = down[:height] * (similarity.shape[0] / side) - 0.5
    planes = similarity.float()[None]
    return torch.cat([resample(planes, rows[band], columns)[0] for band in bands(height, width)])


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
    if threshold is not None and not -1 <= threshold <= 1:
        raise ConfigError(f"the threshold of a cosine must lie in [-1, 1], got {threshold}; leave it out to take the "
                          "model's own")
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    own = torch.as_tensor(model.heads.segmentation.threshold).item()
    descriptor = sketch_descriptor(model, sketch)
    return found_in(model, descriptor, each_picture(photos), float(own if threshold is None else threshold), refined,
                    batch_size)


def found_in(model: SketchFusion, descriptor: Tensor, photos: Iterator[Picture], threshold: float, refined: bool,
             batch_size: int) -> Iterator[Segmentation]:
    """``segment`` once the (1, D) descriptor of the sketch is known."""
    softness = model.heads.segmentation.softness.item()
    while batch := list(islice(photos, batch_size)):
        canvas = Canvas.stack([model.read(photo, "photo") for photo in batch])
        maps = similarity_map(descriptor, model.features_of(canvas).feature_map)
        for index, (photo, similarity) in enumerate(zip(batch, maps, strict=True)):
            probability = soft_mask(to_picture(similarity, canvas, index), threshold, softness)
            if refined:
                probability = refine(probability, np.array(as_image(photo)))
            yield Segmentation.of(probability, threshold)


def sketch_descriptor(model: SketchFusion, sketch: Picture) -> Tensor:
    """(1, D) float32 of unit length, max-pooled over the sketch's own cells, on the CPU."""
    canvas = model.read(sketch, "sketch")
    feature_map = model.features_of(canvas).feature_map
    grid = (feature_map.shape[2], feature_map.shape[3])
    return global_descriptor(feature_map, content_mask(canvas.content, model.canvas_size, grid))
