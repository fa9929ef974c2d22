"""The backbones that a configuration names: the one place that knows the concrete classes."""

from __future__ import annotations

from sketchfusion.backbones.base import DenoisingBackbone, PatchEncoder
from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.patch_encoder import TransformerEncoder
from sketchfusion.config import ExtractorConfig


def build_backbones(config: ExtractorConfig) -> tuple[PatchEncoder, DenoisingBackbone]:
    """Patch encoder and diffusion model, loaded from the first place that has their weights, on the CPU.

    Raises:
        WeightsUnavailable: weights found nowhere or incomplete.
        ConfigError: settings that do not fit the backbones.
    """
    diffusion = LatentDiffusion.from_config(config.diffusion, taps=config.aggregation.taps,
                                            canvas_size=config.canvas.size)
    return TransformerEncoder.from_config(config.encoder), diffusion
