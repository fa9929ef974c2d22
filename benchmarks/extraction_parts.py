"""The two sides of benchmarks/extraction.py, built in memory from one set of random weights."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from measuring import Stages, weight_bytes
from released_procedure import ReleasedProcedure
from torch import Tensor, nn

from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.noise import gaussian, noise_samples
from sketchfusion.backbones.patch_encoder import FAMILIES, TransformerEncoder
from sketchfusion.backbones.prompts import PromptEmbeds
from sketchfusion.backbones.random_weights import build_part, load_architecture
from sketchfusion.config import ExtractorConfig, load_preset
from sketchfusion.fusion.extractor import SketchFusion

CONFIGURATION = Path(__file__).resolve().parents[1] / "configs" / "official_code.yaml"
ENCODERS = {"tiny-sd": "tiny-clip"}  # what goes with an architecture; the paper's encoder with any other
OVERRIDES = {"tiny-sd": ("canvas.size=64", "aggregation.grid_size=16", "aggregation.out_channels=64",
                         "aggregation.norm_groups=8")}
SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
UNET_SEED, VAE_SEED, TEXT_SEED, VISION_SEED, LEARNED_SEED = range(5)


@dataclass
class Bench:
    """Our extractor, and what the released procedure needs besides.

    Attributes:
        model: with non-zero injection, on the CPU (or "meta").
        diffusion: its diffusion model.
        shapes: part -> configuration of the diffusion checkpoint.
        device: where it was built.
        text_encoder: gone once the prompt was encoded.
    """

    model: SketchFusion
    diffusion: LatentDiffusion
    shapes: Mapping[str, Mapping[str, Any]]
    device: str
    text_encoder: weakref.ref[nn.Module]

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """(1, 3, S, S)."""
        return (1, 3, self.model.canvas_size, self.model.canvas_size)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(4, h, w)."""
        side = self.model.canvas_size // self.diffusion.latent_stride
        return (int(self.diffusion.vae.config.latent_channels), side, side)

    def parts(self) -> dict[str, nn.Module]:
        """Part -> module, all that our extractor keeps."""
        return {"UNet": self.diffusion.unet, "VAE encoder": self.diffusion.vae, "patch encoder": self.model.encoder,
                "injection": self.model.injector, "aggregation": self.model.aggregator}

    def text_encoder_bytes(self) -> int:
        """Bytes of the text encoder that are still held."""
        alive = self.text_encoder()
        return 0 if alive is None else weight_bytes(alive)

    def noise(self, key: str, samples: int) -> tuple[Tensor, Tensor]:
        """What our extractor draws for an image: for the VAE's posterior, repeated, and for the timestep."""
        seed, shape = self.model.config.diffusion.seed, self.latent_shape
        return gaussian(f"{key}:vae", seed, shape).repeat(samples, 1, 1, 1), noise_samples([key], seed, samples, shape)

    def procedure(self) -> ReleasedProcedure:
        """The released procedure on the same weights, in the stock memory layout; it shares the modules."""
        model, diffusion = self.model, self.diffusion
        for stock in (diffusion.unet, diffusion.vae):
            stock.to(memory_format=torch.contiguous_format)
        device, dtype = diffusion.unet.device, diffusion.unet.dtype
        text_encoder = build_part(dict(self.shapes["text_encoder"]), seed=TEXT_SEED, device=self.device)
        return ReleasedProcedure(
            unet=diffusion.unet, vae=diffusion.vae, text_encoder=text_encoder.to(device=device, dtype=dtype),
            vision=model.encoder.get_submodule("model"), tokens=null_tokens(text_encoder.config, device),
            scheduler=DDIMScheduler(**schedule(self.shapes)),
            projections=dict(model.injector.projections.items()), branches=dict(model.aggregator.branches.items()),
            mixing=model.aggregator.mixing, layer=model.config.encoder.layer, timestep=diffusion.timesteps[0],
            grid_size=model.config.aggregation.grid_size)


def build(architecture: str, encoder: str | None = None, *, overrides: Sequence[str] = (),
          max_batch: int | None = None, device: str = "cpu") -> Bench:
    """Our extractor with the released code's settings and random weights.

    Args:
        architecture, encoder: packaged architectures; None takes the encoder that goes with the first.
        overrides: further settings of the extractor, ``a.b=c``.
        device: "meta" builds shapes without memory.
    Raises:
        ConfigError: unknown architecture, or settings that do not fit it.
    """
    config = configuration(architecture, (*overrides, *([f"diffusion.max_batch={max_batch}"] if max_batch else [])))
    shapes = load_architecture(architecture)
    hidden, text_encoder = encode_null(shapes, device)
    unet, vae = (build_part(shapes[part], seed=seed, device=device)
                 for part, seed in (("unet", UNET_SEED), ("vae", VAE_SEED)))
    vae.decoder = None
    diffusion = LatentDiffusion(unet, vae, DDIMScheduler(**schedule(shapes)).alphas_cumprod, PromptEmbeds(hidden),
                                config.diffusion, taps=config.aggregation.taps, canvas_size=config.canvas.size)
    model = SketchFusion(build_encoder(encoder or ENCODERS.get(architecture, "clip-vit-l14-336"), config, device),
                         diffusion, config).to(device).eval()
    randomise(model)
    return Bench(model, diffusion, shapes, device, text_encoder)


def configuration(architecture: str, overrides: Sequence[str] = ()) -> ExtractorConfig:
    """configs/official_code.yaml, scaled down where the architecture is."""
    return load_preset(CONFIGURATION, (*OVERRIDES.get(architecture, ()), *overrides)).extractor


def build_encoder(name: str, config: ExtractorConfig, device: str) -> TransformerEncoder:
    """Our patch encoder with random weights."""
    shape = dict(load_architecture(name)["."])
    processor = shape.pop("preprocessor", None) or {}
    vision = build_part(shape, seed=VISION_SEED, device=device)
    return TransformerEncoder(vision, FAMILIES[shape["model_type"]], config.encoder, processor)


@torch.no_grad()
def encode_null(shapes: Mapping[str, Mapping[str, Any]], device: str) -> tuple[Tensor, weakref.ref[nn.Module]]:
    """The null prompt's (1, L, C), and a reference to the text encoder, which nobody keeps."""
    text_encoder = build_part(dict(shapes["text_encoder"]), seed=TEXT_SEED, device=device)
    hidden = text_encoder(null_tokens(text_encoder.config, device)).last_hidden_state
    return hidden, weakref.ref(text_encoder)


def null_tokens(shape: Any, device: str | torch.device) -> Tensor:
    """(1, L): the ids of "", padded with the closing token."""
    tokens = [shape.bos_token_id] + [shape.eos_token_id] * (shape.max_position_embeddings - 1)
    return torch.tensor([tokens], device=device)


def schedule(shapes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The checkpoint's noise schedule."""
    return {key: shapes["scheduler"][key] for key in SCHEDULE}


def randomise(model: SketchFusion) -> None:
    """Unequal branch weights, and an injection that adds something, so that agreement means something."""
    generator = torch.Generator().manual_seed(LEARNED_SEED)
    with torch.no_grad():
        mixing = model.aggregator.mixing
        mixing.copy_(torch.randn(mixing.shape, generator=generator))
        if mixing.device.type != "meta":
            assert all(bool(parameter.any()) for parameter in model.injector.parameters())


def with_samples(model: SketchFusion, samples: int) -> None:
    """Let the extractor average over that many noise samples."""
    diffusion: Any = model.diffusion
    diffusion.config = diffusion.config.model_copy(update={"num_noise_samples": samples})


def our_stages(model: SketchFusion, key: str) -> Stages:
    """Our extractor as parts."""
    return {
        "text encoder": lambda state: None,                                  # its output was kept, not itself
        "patch encoder": lambda state: model.encoder.patch_features(state["image"]),
        "injection": lambda state: model.injector(state["patch encoder"]),
        "VAE encoder": lambda state: model.diffusion.encode(state["image"], [key]),
        "UNet": lambda state: model.diffusion.forward_taps(state["VAE encoder"], [key], state["injection"]),
        "aggregation": lambda state: model.aggregator(state["UNet"]),
    }


def released_stages(procedure: ReleasedProcedure, vae_noise: Tensor, noise: Tensor) -> Stages:
    """The released procedure as the same parts."""
    return {
        "text encoder": lambda state: procedure.encode_prompt(),
        "patch encoder": lambda state: procedure.patch_features(state["image"]),
        "injection": lambda state: procedure.project(state["patch encoder"]),
        "VAE encoder": lambda state: procedure.encode(state["image"], vae_noise),
        "UNet": lambda state: procedure.unet_features(state["VAE encoder"], noise, state["text encoder"],
                                                      state["injection"]),
        "aggregation": lambda state: procedure.aggregate(state["UNet"]),
    }
