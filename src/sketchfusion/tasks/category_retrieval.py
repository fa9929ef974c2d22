"""Category-level zero-shot retrieval (Sec. 6.1): a sketch shall be nearer to photos of its class than to others."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from sketchfusion.config import Section
from sketchfusion.tasks.contrast import multi_positive_loss
from sketchfusion.tasks.triplet import random_negative, triplet_loss

Positive = Annotated[float, Field(gt=0)]


class RetrievalLossConfig(Section):
    """How pairs of sketch and photo are pulled together and others pushed apart.

    Attributes:
        kind: "triplet" is Eq. 1; "contrast" compares each sketch with all photos of the batch, and each photo with all
            sketches (InfoNCE with several matches).
        margin, distance: of the triplets; the paper gives neither. 0.2 and cosine are those of the protocol it cites.
        temperature: of the contrast.
    """

    kind: Literal["triplet", "contrast"] = "triplet"
    margin: Positive = 0.2
    distance: Literal["cosine", "euclidean"] = "cosine"
    temperature: Positive = 0.07


def category_loss(sketches: Tensor, photos: Tensor, sketch_classes: Tensor, photo_classes: Tensor,
                  config: RetrievalLossConfig, generator: torch.Generator) -> Tensor:
    """The loss of a batch; row i of ``photos`` shows the class of row i of ``sketches``.

    Args:
        sketches, photos: (N, D) unit vectors.
        sketch_classes, photo_classes: (N,).
        generator: picks the negative photos of the triplets: any of another class (paper).
    Returns:
        Scalar; with triplets 0 where the batch holds one class only.
    Source: Eq. 1; Yang et al., UniCL, 2022, Eq. 3 for "contrast".
    """
    if config.kind == "contrast":
        return contrast_both_ways(sketches, photos, sketch_classes, photo_classes, config.temperature)
    other = sketch_classes[:, None] != photo_classes[None]
    rows, negatives = random_negative(other, generator)
    if not len(rows):
        return sketches.sum() * 0
    return triplet_loss(sketches[rows], photos[rows], photos[negatives], margin=config.margin,
                        distance=config.distance)


def contrast_both_ways(sketches: Tensor, photos: Tensor, sketch_ids: Tensor, photo_ids: Tensor,
                       temperature: float) -> Tensor:
    """Mean of the losses of sketches against photos and of photos against sketches; equal ids match."""
    scale = sketches.new_tensor(1 / temperature)
    forth = multi_positive_loss(sketches, photos, sketch_ids, photo_ids, scale)
    back = multi_positive_loss(photos, sketches, photo_ids, sketch_ids, scale)
    return (forth + back) / 2
