"""The floor of every task: white noise of each picture's own in the place of features, which is chance.

Nothing is learned and no network runs. Ranking by it is ranking at random, naming by it is guessing, a point lands
anywhere on the other picture; and as no threshold tells its foreground from its ground, the best one marks nearly all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.backbones.noise import content_keys, gaussian
from sketchfusion.config import ExtractorConfig


def chance_vectors(images_01: Tensor, config: ExtractorConfig) -> Tensor:
    """(B, 3, S, S) canvases -> (B, D) float32 of unit length, the same for the same pixels and seed."""
    size = (config.aggregation.out_channels,)
    return F.normalize(noise(images_01, config.diffusion.seed, size), dim=1)


def chance_maps(images_01: Tensor, config: ExtractorConfig) -> Tensor:
    """(B, 3, S, S) canvases -> (B, D, Hf, Wf) float32 on the grid of the fused features."""
    side = config.aggregation.grid_size
    return noise(images_01, config.diffusion.seed, (config.aggregation.out_channels, side, side))


def noise(images_01: Tensor, seed: int, shape: tuple[int, ...]) -> Tensor:
    """(B, *shape), standard normal, by picture."""
    return torch.stack([gaussian(key, seed, shape) for key in content_keys(images_01)])
