"""The parts of a diffusion checkpoint from their folders: UNet, VAE and noise schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sketchfusion.backbones.loading import StockModel, load_diffuser, read_json
from sketchfusion.backbones.weights import resolve
from sketchfusion.config import DiffusionConfig
from sketchfusion.errors import ConfigError, WeightsUnavailable

UNET_PATTERNS = ("unet/config.json", "unet/*.safetensors", "unet/*.index.json")
VAE_PATTERNS = ("vae/config.json", "vae/*.safetensors", "config.json", "*.safetensors")
PATTERNS = ("model_index.json", "scheduler/*.json", "tokenizer*/*", "text_encoder*/config.json",
            "text_encoder*/*.safetensors", "text_encoder*/*.index.json", *UNET_PATTERNS, *VAE_PATTERNS[:2])

Latents = Callable[[Any], Tensor]
POSTERIOR: dict[str, tuple[Latents, Latents]] = {  # VAE class -> (mean, standard deviation) of what it encodes to
    "AutoencoderKL": (lambda encoded: encoded.latent_dist.mean, lambda encoded: encoded.latent_dist.std),
    "AutoencoderTiny": (lambda encoded: encoded.latents, lambda encoded: torch.zeros_like(encoded.latents)),
}


def load_unet(folder: Path, config: DiffusionConfig) -> tuple[StockModel, Path]:
    """The checkpoint's UNet, or the one that replaces it, and the place of its weights."""
    if config.unet is None:
        return load_diffuser("UNet2DConditionModel", folder / "unet", variant=config.variant), folder / "unet"
    place = resolve(config.unet, what="replacement UNet", patterns=UNET_PATTERNS)
    if place.is_dir():
        place = place / "unet" if (place / "unet").is_dir() else place
        return load_diffuser("UNet2DConditionModel", place), place
    unet = _empty_unet(folder / "unet")
    try:
        unet.load_state_dict(load_file(place), strict=True)
    except Exception as error:
        raise WeightsUnavailable(f"{place} does not fit the UNet of {folder}: {str(error)[:300]}") from None
    return unet.float().eval(), place


def _empty_unet(folder: Path) -> StockModel:
    from diffusers import UNet2DConditionModel

    shape: Any = UNet2DConditionModel.load_config(folder, local_files_only=True)
    return UNet2DConditionModel.from_config(shape)


def load_vae(folder: Path, config: DiffusionConfig) -> tuple[StockModel, Path]:
    """The encoder half of the checkpoint's VAE, or of the one that replaces it, and the place of its weights."""
    place = resolve(config.vae, what="replacement VAE", patterns=VAE_PATTERNS) if config.vae else folder
    place = place / "vae" if (place / "vae").is_dir() else place
    file = place / "config.json"
    if not file.is_file():
        raise WeightsUnavailable(f"{place} has no config.json; expected a VAE in the hub's layout")
    class_name = read_json(file).get("_class_name", "")
    if class_name not in POSTERIOR:
        raise ConfigError(f"{place} holds a VAE of class {class_name!r}; supported: {', '.join(POSTERIOR)}")
    vae = load_diffuser(class_name, place, variant=None if config.vae else config.variant)
    vae.decoder = None
    return vae, place


def read_schedule(folder: Path) -> dict[str, Any]:
    """The settings of the checkpoint's noise schedule, whichever sampler it names.

    Raises:
        WeightsUnavailable: the checkpoint has no scheduler configuration.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        raise WeightsUnavailable(f"{folder} has no scheduler/scheduler_config.json, which holds the noise schedule")
    raw = read_json(file)
    known = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
             "rescale_betas_zero_snr")
    return {key: raw[key] for key in known if key in raw}


def alphas_cumprod(schedule: dict[str, Any]) -> Tensor:
    """(steps,) abar_t of a noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(**schedule).alphas_cumprod
