"""The triplet loss of Sec. 6.1 and which triplets of a batch it sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.errors import ConfigError

DISTANCES = ("cosine", "euclidean")


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float,
                 distance: str = "cosine") -> Tensor:
    """max{0, margin + d(anchor, positive) - d(anchor, negative)}, the mean over the triplets.

    Args:
        anchor, positive, negative: (N, D) unit vectors; sketch, its photo, another photo.
        margin: mu of the paper, which gives no value.
        distance: "cosine" (1 - cosine) or "euclidean".
    Returns:
        Scalar.
    Raises:
        ConfigError: unknown distance.
    Source: Eq. 1.
    """
    near, far = pair_distance(anchor, positive, distance), pair_distance(anchor, negative, distance)
    return F.relu(margin + near - far).mean()


def pair_distance(first: Tensor, second: Tensor, distance: str) -> Tensor:
    """(N, D), (N, D) unit vectors -> (N,) distances. Raises ConfigError: unknown distance."""
    if distance == "cosine":
        return 1 - (first * second).sum(-1)
    if distance == "euclidean":
        return (first - second).square().sum(-1).clamp(min=1e-12).sqrt()
    raise ConfigError(f"unknown distance {distance!r}; expected {' or '.join(DISTANCES)}")


def hardest(sketches: Tensor, photos: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """For each sketch the most similar photo among those allowed to be its negative.

    Args:
        sketches: (N, D) unit vectors.
        photos: (M, D) unit vectors.
        allowed: (N, M) bool.
    Returns:
        (K,) sketches that have any, and (K,) the photo of each.
    """
    rows = torch.nonzero(allowed.any(1)).flatten()
    scores = (sketches.detach() @ photos.detach().T).masked_fill(~allowed, float("-inf"))
    return rows, scores[rows].argmax(1)


def random_negative(allowed: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As ``hardest``, any of the photos allowed, by lot."""
    rows = torch.nonzero(allowed.any(1)).flatten()
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(allowed[rows].float(), 1, generator=generator).flatten()
