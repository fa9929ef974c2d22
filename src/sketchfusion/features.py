"""What travels between the parts, and the shape letters used everywhere.

B batch, C channels, D descriptor size, H W image, Hf Wf feature grid, Hp Wp patch grid, N points, Q queries,
G gallery, K classes, T taps, S canvas side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

FeaturePyramid = dict[str, Tensor]
"""Features of one pass through the UNet: tap name -> (B, C, Hf, Wf); names in ``backbones.base.DenoisingBackbone``."""

Inject = Callable[[str, Tensor], Tensor]
"""``inject(block_name, hidden) -> hidden``, out of place: the one seam between the UNet and whoever adds to it."""


@dataclass(frozen=True)
class FeatureInfo:
    """What a tap or patch encoder gives: channels, and the canvas pixels that one cell covers."""

    channels: int
    stride: int


@dataclass(frozen=True)
class Encoded:
    """What the frozen encoders make of pictures before anything learned: may be kept while only the fusion learns.

    Attributes:
        latents: (B, 4, h, w), z_0; (B, 0) where the diffusion model has no part.
        patch_features: (B, C, Hp, Wp), f_v; None where they have no part.
        keys: B strings that the noise of each picture may depend on.
    """

    latents: Tensor
    patch_features: Tensor | None
    keys: Sequence[str]


@dataclass(frozen=True)
class Features:
    """What the extractor gives.

    Attributes:
        feature_map: (B, D, Hf, Wf), the aggregated features, row 0 at the top of the canvas.
        descriptor: (B, D), pooled over the picture's own cells, unit length.
    """

    feature_map: Tensor
    descriptor: Tensor
