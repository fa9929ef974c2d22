"""The training-free baselines of Sec. 6.1: a baseline is a row of ``BASELINES`` that says whose features it compares.

The paper says "off the shelf" and, of the last, "straightforward combination". Here: pooled patch features; the pooled
taps, each of unit length, one after the other; and both of these together. Nothing is injected, nothing was learned for
the task, and canvas, noise, prompt, taps and, unless a row names another patch encoder, that encoder and its layer are
those of the extractor. Nothing runs but what a row names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.backbones.build import build_encoder
from sketchfusion.config import DescriptorConfig, EncoderConfig, assign, settle_place, validate
from sketchfusion.errors import ConfigError
from sketchfusion.features import Encoded
from sketchfusion.fusion.descriptor import content_mask, pool
from sketchfusion.fusion.extractor import SketchFusion


@dataclass(frozen=True)
class Baseline:
    """Whose features a training-free baseline compares.

    Attributes:
        taps: the UNet's, as it is.
        patches: a patch encoder's.
        encoder: the one that takes the place of the extractor's own; None: its own.
    """

    taps: bool = False
    patches: bool = False
    encoder: EncoderConfig | None = None


def last_tokens(place: str) -> EncoderConfig:
    """The patch tokens that a checkpoint gives off the shelf: of the last block, through the closing LayerNorm."""
    return EncoderConfig(source=(place,), layer=-1, final_norm=True)


BASELINES: dict[str, Baseline] = {
    "B-CLIP": Baseline(patches=True),
    "B-DINO": Baseline(patches=True, encoder=last_tokens("facebook/dino-vits8")),  # ViT-S/8, the paper's
    "B-DINOv2": Baseline(patches=True, encoder=last_tokens("facebook/dinov2-small")),  # ViT-S/14, the paper's
    "B-SD": Baseline(taps=True),
    "B-SD+CLIP": Baseline(taps=True, patches=True),
}
OPTION = "--baseline-set source=FOLDER"
OWN = tuple(name for name, row in BASELINES.items() if row.encoder is None)  # those that need no further weights


class OtherEncoder(SketchFusion):
    """An extractor whose patch encoder is that of the baseline called ``baseline``; its fusion has learned nothing."""

    baseline = ""


def own_encoder(name: str, settings: Sequence[str]) -> EncoderConfig | None:
    """The other patch encoder of a baseline, with ``key=value`` settings on top; None: it has none.

    Args:
        name: of any method.
        settings: of ``source`` (its places of weights), ``layer``, ``size`` and ``final_norm``.
    Raises:
        ConfigError: a setting that is unknown, does not fit, or has nothing to be set on.
    """
    config = BASELINES[name].encoder if name in BASELINES else None
    if config is None:
        if settings:
            having = ", ".join(other for other, row in BASELINES.items() if row.encoder)
            raise ConfigError(f"{name} has no encoder of its own that {settings[0]!r} could set, {having} have; to set "
                              "the model's own, override encoder.source and the like")
        return None
    raw = config.model_dump()
    for setting in settings:
        assign(raw, settle_place(setting))
    return validate(EncoderConfig, raw, origin=f"the encoder of {name}")


def as_baseline(model: SketchFusion, name: str, settings: Sequence[str] = ()) -> SketchFusion:
    """The extractor that a baseline takes its features from, on the same device: the model itself, or, for a baseline
    with a patch encoder of its own, the same diffusion model, canvas and heads beside that encoder.

    Args:
        name: of a baseline.
        settings: see ``own_encoder``.
    Raises:
        WeightsUnavailable: the weights of its encoder are nowhere found.
        ConfigError: a setting does not fit, or the model's backbones are not as they were published.
    """
    config = own_encoder(name, settings)
    if config is None:
        if model.config.finetune:
            raise ConfigError(f"the backbones of {model.name!r} were trained too, so {name} would not be free of "
                              "training; take a model with frozen backbones")
        return model
    encoder = build_encoder(config, what=f"patch encoder of {name}", option=OPTION)
    encoder.place(model.device, model.dtype)
    other = OtherEncoder(encoder, model.diffusion, model.config.model_copy(update={"encoder": config}))
    other.baseline, other.heads, other.name, other.overrides = name, model.heads, model.name, model.overrides
    return other.eval()


@torch.no_grad()
def encode_for(model: SketchFusion, name: str, images_01: Tensor) -> Encoded:
    """What a baseline needs of (B, 3, S, S) canvases: the VAE runs for taps only, the patch encoder for patches only.

    Raises:
        ConfigError: the extractor has not the baseline's patch encoder.
    """
    if BASELINES[name].encoder is not None and getattr(model, "baseline", "") != name:
        raise ConfigError(f"{name} has a patch encoder of its own; give what as_baseline(model, {name!r}) makes")
    row = BASELINES[name]
    without: list[Literal["latents", "patches"]] = []
    if not row.taps:
        without.append("latents")
    if not row.patches:
        without.append("patches")
    return model.encode(images_01, always_patches=True, without=without)


@torch.no_grad()
def baseline_maps(model: SketchFusion, name: str, encoded: Encoded) -> list[Tensor]:
    """(B, C, Hf, Wf) of each tap and of the patches, as far as the baseline has them; grids differ.

    Raises:
        ConfigError: the extractor lacks the backbone, or ``encoded`` its part.
    """
    row = BASELINES[name]
    taps = tap_maps(model, name, encoded) if row.taps else []
    return [*taps, *([patch_map(name, encoded)] if row.patches else [])]


def tap_maps(model: SketchFusion, name: str, encoded: Encoded) -> list[Tensor]:
    """(B, C, Hf, Wf) of each tap at each timestep; errors as ``baseline_maps``."""
    if not model.config.aggregation.unet_taps:
        raise ConfigError(f"{name} needs a diffusion model; take an extractor with taps of its UNet")
    pyramids = model.diffusion.forward_taps(encoded.latents, encoded.keys, None)
    return [features for pyramid in pyramids for features in pyramid.values()]


def patch_map(name: str, encoded: Encoded) -> Tensor:
    """(B, C, Hp, Wp); errors as ``baseline_maps``."""
    if encoded.patch_features is None:
        raise ConfigError(f"{name} needs patch features; encode with always_patches, or take an extractor that injects")
    return encoded.patch_features


@torch.no_grad()
def baseline_vectors(model: SketchFusion, encoded: Encoded, content: Tensor, pooling: DescriptorConfig,
                     names: Sequence[str] = OWN) -> dict[str, Tensor]:
    """Descriptors of pictures by baselines, from one pass through whatever any of them needs.

    Args:
        encoded: with latents and patch features, as far as the baselines need them.
        content: (B, 4) boxes of the pictures on their canvases.
        pooling: over the picture's own cells, for all baselines alike.
        names: of baselines whose patch encoder is the extractor's.
    Returns:
        Name -> (B, D) float32 of unit length, on the CPU.
    Raises:
        ConfigError: see ``baseline_maps``.
    """

    def pooled(maps: Sequence[Tensor]) -> Tensor:
        vectors = []
        for features in maps:
            mask = content_mask(content.to(features.device), model.canvas_size, (features.shape[2], features.shape[3]))
            vectors.append(pool(features, mask, pooling).cpu())
        return F.normalize(torch.cat(vectors, dim=1), dim=1)

    rows = {name: BASELINES[name] for name in names}
    with_taps, with_patches = ([name for name, row in rows.items() if getattr(row, part)]
                               for part in ("taps", "patches"))
    taps = [pooled(tap_maps(model, with_taps[0], encoded))] if with_taps else []
    patches = [pooled([patch_map(with_patches[0], encoded)])] if with_patches else []
    return {name: F.normalize(torch.cat([*(taps if row.taps else []), *(patches if row.patches else [])], dim=1), dim=1)
            for name, row in rows.items()}
