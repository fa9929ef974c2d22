"""The recipes of the backbones, as frozen sections and YAML files (``configs/pretrain``)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from sketchfusion.config import Positive, Section
from sketchfusion.data.packed.augment import Share
from sketchfusion.engine.config import ExportConfig, NonNegative, Recipe


class BackboneRecipe(Recipe):
    """What the three recipes share. ``initial`` is a folder of weights in the hub's layout to start from."""

    size: Positive
    initial: str = ""
    export: ExportConfig = ExportConfig()


class VaeLossConfig(Section):
    """Weights of the terms of the autoencoder's loss."""

    l1: NonNegative = 1.0
    pyramid: NonNegative = 1.0
    edges: NonNegative = 1.0
    kl: NonNegative = 1e-6


class VaeRecipe(BackboneRecipe):
    """The autoencoder: ``architecture`` is the ``config.json`` of a diffusers AutoencoderKL."""

    architecture: dict[str, Any]
    loss: VaeLossConfig = VaeLossConfig()


class ClipLossConfig(Section):
    """The contrastive loss: ``cross_domain`` weighs pictures of one class against each other, without text."""

    cross_domain: NonNegative = 0.0
    cross_domain_temperature: Annotated[float, Field(gt=0)] = 0.1
    initial_temperature: Annotated[float, Field(gt=0)] = 0.07


class ClipRecipe(BackboneRecipe):
    """Both towers: ``text`` and ``vision`` are the ``config.json`` of transformers models with projection.

    Vocabulary size and special tokens of ``text`` come from the tokenizer, which is made from the names in the data.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    vocabulary: Positive = 4096
    loss: ClipLossConfig = ClipLossConfig()


class SamplingConfig(Section):
    """The pictures drawn while training: DDIM with guidance, one column per name."""

    names: tuple[str, ...] = ()
    per_name: Positive = 4
    steps: Positive = 30
    guidance: NonNegative = 3.0


class DiffusionRecipe(BackboneRecipe):
    """The UNet over the latents of a finished autoencoder and the text of a finished CLIP.

    Attributes:
        unet, scheduler: as in the ``config.json`` of diffusers.
        vae: folder of the autoencoder.
        clip: folder that ``sketchfusion pretrain clip`` wrote.
        latent_views: how many augmented views of each picture are encoded; half of them are mirrored.
        caption_dropout: share of pictures seen with the null prompt.
        min_snr: gamma of min-SNR loss weights; 0: the plain loss.
    """

    unet: dict[str, Any]
    scheduler: dict[str, Any]
    vae: str
    clip: str
    latent_views: Positive = 4
    caption_dropout: Share = 0.15
    min_snr: NonNegative = 5.0
    sampling: SamplingConfig = SamplingConfig()
