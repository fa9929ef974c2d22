"""Figures of retrieval from descriptors: the one place where scores meet labels."""

from __future__ import annotations

import torch
from torch import Tensor

from sketchfusion.metrics.retrieval import accuracy_at_k, average_precision, precision_at_k, rank


def judge_categories(sketches: Tensor, photos: Tensor, sketch_ids: Tensor, photo_ids: Tensor, *,
                     k: int = 100) -> dict[str, Tensor]:
    """Category-level retrieval: photos of the sketch's class are relevant.

    Args:
        sketches, photos: (Q, D), (G, D) unit vectors; compared by cosine.
        sketch_ids, photo_ids: (Q,), (G,) classes.
    Returns:
        "mAP@all" (plain average precision) and "P@k", (Q,) each; NaN for queries without relevant photos.
    """
    order = rank(sketches @ photos.T)
    relevant = (sketch_ids[:, None] == photo_ids[None]).gather(1, order)
    precision = precision_at_k(relevant, k).masked_fill(~relevant.any(1), float("nan"))
    return {"mAP@all": average_precision(relevant), f"P@{k}": precision}


def judge_instances(sketches: Tensor, photos: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Fine-grained retrieval: only the photo that was drawn is relevant.

    Args:
        sketches, photos: (Q, D), (G, D) unit vectors.
        truth: (Q,) row of the photo that each sketch was drawn from.
    Returns:
        "Acc@1", "Acc@5", "Acc@10", (Q,) of 0 and 1 each.
    """
    order = rank(sketches @ photos.T)
    relevant = order == truth[:, None]
    return {f"Acc@{k}": accuracy_at_k(relevant, k) for k in (1, 5, 10)}


def instance_truth(sketch_instances: Tensor, photo_instances: Tensor) -> tuple[Tensor, Tensor]:
    """Which sketches have their photo in the gallery, and where.

    Returns:
        (K,) rows of such sketches, and (K,) the first photo of the same instance.
    """
    same = sketch_instances[:, None] == photo_instances[None]
    rows = torch.nonzero(same.any(1)).flatten()
    return rows, same[rows].float().argmax(1)
