"""The backbones that a configuration names: the one place that knows the concrete classes."""

from __future__ import annotations

import torch

from sketchfusion.backbones.base import DenoisingBackbone, PatchEncoder
from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.patch_encoder import FAMILIES, TransformerEncoder
from sketchfusion.backbones.prompts import PromptEmbeds
from sketchfusion.backbones.random_weights import build_part, load_architecture
from sketchfusion.backbones.weights import OPTION
from sketchfusion.config import EncoderConfig, ExtractorConfig


def build_backbones(config: ExtractorConfig) -> tuple[PatchEncoder, DenoisingBackbone]:
    """Patch encoder and diffusion model, loaded from the first place that has their weights, on the CPU.

    Raises:
        WeightsUnavailable: weights found nowhere or incomplete.
        ConfigError: settings that do not fit the backbones.
    """
    diffusion = LatentDiffusion.from_config(config.diffusion, taps=config.aggregation.unet_taps,
                                            canvas_size=config.canvas.size)
    return build_encoder(config.encoder), diffusion


def build_encoder(config: EncoderConfig, *, what: str = "patch encoder", option: str = OPTION) -> PatchEncoder:
    """A patch encoder alone, loaded from the first place that has its weights, on the CPU.

    Args:
        what, option: see ``weights.resolve``.
    Raises:
        WeightsUnavailable, ConfigError: see ``build_backbones``.
    """
    return TransformerEncoder.from_config(config, what=what, option=option)


def shape_backbones(config: ExtractorConfig, *, diffusion: str, encoder: str,
                    device: str = "meta") -> tuple[TransformerEncoder, LatentDiffusion]:
    """Both backbones with random weights in packaged shapes, without any file: for counting and timing.

    Args:
        diffusion, encoder: names of packaged architectures.
        device: "meta" takes no memory and computes nothing but shapes.
    Raises:
        ConfigError: no such architecture, or settings that do not fit it.
    """
    parts, shape = load_architecture(diffusion), load_architecture(encoder)["."]
    unet, vae = build_part(parts["unet"], device=device), build_part(parts["vae"], seed=1, device=device)
    vae.decoder = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.diffusion.seed)
        prompt = PromptEmbeds(torch.randn(1, 77, unet.config.cross_attention_dim),
                              torch.randn(1, 1280) if unet.config.addition_embed_type == "text_time" else None)
    model = LatentDiffusion(unet, vae, torch.linspace(0.999, 0.005, 1000), prompt, config.diffusion,
                            taps=config.aggregation.unet_taps, canvas_size=config.canvas.size)
    patches = build_part(shape, seed=2, device=device)
    return TransformerEncoder(patches, FAMILIES[shape["model_type"]], config.encoder, {}), model
