"""What an extractor costs, counted from its shapes alone: no weights are needed and nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sketchfusion.backbones.build import shape_backbones
from sketchfusion.config import Preset
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion


@dataclass(frozen=True)
class PartCost:
    """One part of the extractor.

    Attributes:
        parameters: numbers that are kept in memory.
        gflop: 1e9 multiplications and additions for one image, a fused multiply-add counted as two.
    """

    parameters: int
    gflop: float


def count_cost(preset: Preset) -> dict[str, PartCost]:
    """Part -> cost for one image at the preset's canvas size, timesteps and noise samples.

    Raises:
        ConfigError: the preset names no architectures.
    """
    names = preset.architectures
    if not {"diffusion", "encoder"} <= names.keys():
        raise ConfigError(f"preset {preset.name!r} names no architectures, so its cost cannot be counted")
    encoder, diffusion = shape_backbones(preset.extractor, diffusion=names["diffusion"], encoder=names["encoder"])
    model = SketchFusion(encoder, diffusion, preset.extractor).to("meta")
    side = preset.extractor.canvas.size
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.empty(1, 3, side, side, device="meta"), keys=["image"])
    counted = {name.partition(".")[2]: sum(flops.values()) for name, flops in counter.get_flop_counts().items()}
    parts: dict[str, tuple[nn.Module, tuple[str, ...]]] = {
        "VAE encoder": (diffusion.vae, ("diffusion.vae.encoder", "diffusion.vae.quant_conv")),
        "UNet": (diffusion.unet, ("diffusion.unet",)),
        "patch encoder": (encoder, ("encoder.model",)),
        "injection": (model.injector, ("injector",)),
        "aggregation": (model.aggregator, ("aggregator",)),
    }
    return {part: PartCost(sum(parameter.numel() for parameter in module.parameters()),
                           sum(counted.get(name, 0) for name in names) / 1e9)
            for part, (module, names) in parts.items()}
