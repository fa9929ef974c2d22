"""The training-free baselines of Sec. 6.1 over the backbones of an extractor: B-CLIP, B-SD and B-SD+CLIP.

The paper says "off the shelf" and, of the last, "straightforward combination". Here: pooled patch features; the pooled
taps, each of unit length, one after the other; and both of these together. Nothing is injected, nothing was learned for
the task, and canvas, noise, prompt, layer and taps are those of the extractor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.config import DescriptorConfig
from sketchfusion.errors import ConfigError
from sketchfusion.features import Encoded
from sketchfusion.fusion.descriptor import content_mask, pool
from sketchfusion.fusion.extractor import SketchFusion


@torch.no_grad()
def baseline_vectors(model: SketchFusion, encoded: Encoded, content: Tensor,
                     pooling: DescriptorConfig) -> dict[str, Tensor]:
    """Descriptors of pictures by each baseline.

    Args:
        encoded: as ``SketchFusion.encode`` gives it, with latents and patch features.
        content: (B, 4) boxes of the pictures on their canvases.
        pooling: over the picture's own cells, for all baselines alike.
    Returns:
        "B-CLIP", "B-SD", "B-SD+CLIP": (B, D) float32 of unit length, on the CPU.
    Raises:
        ConfigError: the extractor lacks one of the backbones.
    """
    if encoded.patch_features is None or not model.config.aggregation.unet_taps:
        raise ConfigError("the baselines need both backbones; take an extractor that injects, with taps of its UNet")

    def pooled(features: Tensor) -> Tensor:
        mask = content_mask(content.to(features.device), model.canvas_size, (features.shape[2], features.shape[3]))
        return pool(features, mask, pooling).cpu()

    clip = pooled(encoded.patch_features)
    pyramids = model.diffusion.forward_taps(encoded.latents, encoded.keys, None)
    taps = [pooled(features) for pyramid in pyramids for features in pyramid.values()]
    sd = F.normalize(torch.cat(taps, dim=1), dim=1)
    return {"B-CLIP": clip, "B-SD": sd, "B-SD+CLIP": F.normalize(torch.cat([sd, clip], dim=1), dim=1)}
