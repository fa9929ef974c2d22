"""The kinds of features that the pilot study looks at side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from sketchfusion.canvas import Canvas
from sketchfusion.config import PATCHES
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion

DEFAULT_TAP = "up2"  # the second up block, as in the paper
FUSED = "fused"


def check_tap(model: SketchFusion, tap: str) -> str:
    """The tap. Raises ConfigError: it is none of those that the model reads."""
    taps = model.config.aggregation.unet_taps
    if tap not in taps:
        raise ConfigError(f"this model reads no tap {tap!r}; it reads {', '.join(taps) or 'none of its UNet'}: name "
                          "one of these, or set aggregation.taps")
    return tap


@torch.no_grad()
def source_maps(model: SketchFusion, canvas: Canvas, tap: str = DEFAULT_TAP) -> dict[str, Tensor]:
    """Features of a batch of canvases from each source.

    Args:
        tap: a tap of the UNet, read without any injection, at the first timestep.
    Returns:
        "patches", the name of the tap, "fused" -> (B, C, Hf, Wf) float32 on the CPU; grids differ.
    Raises:
        ConfigError: the model does not read that tap.
    Source: Sec. 4: f_v, f_u^2 of the UNet as it is, and the aggregated features.
    """
    check_tap(model, tap)
    encoded = model.encode(canvas.images_01, always_patches=True)
    assert encoded.patch_features is not None
    plain = model.diffusion.forward_taps(encoded.latents, encoded.keys, None)[0][tap]
    maps = {PATCHES: encoded.patch_features, tap: plain, FUSED: model.fuse(encoded).feature_map}
    return {name: features.float().cpu() for name, features in maps.items()}
