"""Cross-category fine-grained retrieval (Sec. 6.1): the very photo that was drawn, among many."""

from __future__ import annotations

from torch import Tensor

from sketchfusion.tasks.category_retrieval import RetrievalLossConfig, contrast_both_ways
from sketchfusion.tasks.triplet import hardest, triplet_loss


def fine_grained_loss(sketches: Tensor, photos: Tensor, instances: Tensor, classes: Tensor,
                      config: RetrievalLossConfig) -> Tensor:
    """The loss of a batch; row i of ``photos`` is what row i of ``sketches`` was drawn from.

    Args:
        sketches, photos: (N, D) unit vectors.
        instances, classes: (N,).
    Returns:
        Scalar. "triplet": the negative is the most similar photo of another instance of the same class (hard triplets
        of the paper); sketches without one in the batch are left out. "contrast": all other photos are negatives.
    Source: Eq. 1 with hard triplets, Sec. 6.1.
    """
    if config.kind == "contrast":
        return contrast_both_ways(sketches, photos, instances, instances, config.temperature)
    siblings = (classes[:, None] == classes[None]) & (instances[:, None] != instances[None])
    rows, negatives = hardest(sketches, photos, siblings)
    if not len(rows):
        return sketches.sum() * 0
    return triplet_loss(sketches[rows], photos[rows], photos[negatives], margin=config.margin,
                        distance=config.distance)
