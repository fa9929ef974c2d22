"""Frozen patch encoders of the transformers library: one class, one row per family (paper Sec. 5.1, f_v = V(i)).

CLIP and SigLIP checkpoints may hold the text tower too; it is never built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sketchfusion.backbones.base import PatchEncoder
from sketchfusion.backbones.loading import StockModel, load_transformer, read_json
from sketchfusion.backbones.weights import OPTION, fingerprint, resolve
from sketchfusion.canvas import InputSpec
from sketchfusion.config import EncoderConfig, digest
from sketchfusion.errors import ConfigError
from sketchfusion.features import FeatureInfo

PATTERNS = ("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json",
            "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")  # the last for ``zero_shot``

Feed = Callable[[Tensor, int], dict[str, Any]]


def _feed_pixels(pixels: Tensor, patch: int) -> dict[str, Any]:
    return {"pixel_values": pixels}


def _feed_any_size(pixels: Tensor, patch: int) -> dict[str, Any]:
    return {"pixel_values": pixels, "interpolate_pos_encoding": True}


def _feed_patches(pixels: Tensor, patch: int) -> dict[str, Any]:
    """Rows of patches, each flattened as (patch row, patch column, channel), with the grid's shape."""
    batch, channels, height, width = pixels.shape
    grid = (height // patch, width // patch)
    rows = pixels.reshape(batch, channels, grid[0], patch, grid[1], patch).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": rows.reshape(batch, grid[0] * grid[1], -1),
        "pixel_attention_mask": torch.ones(batch, grid[0] * grid[1], dtype=torch.long, device=pixels.device),
        "spatial_shapes": torch.tensor([grid] * batch, device=pixels.device),
    }


@dataclass(frozen=True)
class Family:
    """How one family of encoders is built and fed.

    Attributes:
        model_class: name of the stock class in transformers.
        blocks: dotted path of its list of transformer blocks.
        norm: dotted path of its closing LayerNorm.
        mean, std: what its checkpoints were trained with, where a folder has no preprocessor configuration.
        prefix: attributes of its configuration that count tokens before the patches; an int counts itself.
        feed: pixels and patch size -> the arguments of its forward.
        options: further arguments that build the stock class.
    """

    model_class: str
    blocks: str
    norm: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    prefix: tuple[int | str, ...] = ()
    feed: Feed = _feed_pixels
    options: Mapping[str, Any] = field(default_factory=dict)


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
CLIP = Family("CLIPVisionModel", "encoder.layers", "post_layernorm", CLIP_MEAN, CLIP_STD, (1,), _feed_any_size)
SIGLIP = Family("SiglipVisionModel", "encoder.layers", "post_layernorm", HALF, HALF, (), _feed_any_size)
SIGLIP2 = Family("Siglip2VisionModel", "encoder.layers", "post_layernorm", HALF, HALF, (), _feed_patches)

FAMILIES = {  # by the checkpoint's model_type; fixed-size SigLIP 2 checkpoints are of type "siglip"
    "clip": CLIP,
    "clip_vision_model": CLIP,
    "siglip": SIGLIP,
    "siglip_vision_model": SIGLIP,
    "siglip2": SIGLIP2,
    "siglip2_vision_model": SIGLIP2,
    "vit": Family("ViTModel", "layers", "layernorm", IMAGENET_MEAN, IMAGENET_STD, (1,), _feed_any_size,
                  {"add_pooling_layer": False}),  # DINO's first version among them; its checkpoints hold no pooler
    "dinov2": Family("Dinov2Model", "encoder.layer", "layernorm", IMAGENET_MEAN, IMAGENET_STD, (1,)),
    "dinov2_with_registers": Family("Dinov2WithRegistersModel", "encoder.layer", "layernorm", IMAGENET_MEAN,
                                    IMAGENET_STD, (1, "num_register_tokens")),
    "dinov3_vit": Family("DINOv3ViTModel", "model.layer", "norm", IMAGENET_MEAN, IMAGENET_STD,
                         (1, "num_register_tokens")),
}


class TransformerEncoder(PatchEncoder):
    """Patch tokens of a chosen block of a stock vision transformer; the blocks after it are dropped."""

    def __init__(self, model: StockModel, family: Family, config: EncoderConfig, processor: dict[str, Any],
                 identity: str = "") -> None:
        """
        Args:
            model: the stock model in one piece; it is cut after the chosen block.
            family: its row.
            config: which block, which size.
            processor: its preprocessor configuration; empty where the checkpoint has none.
            identity: fingerprint of its weights.
        Raises:
            ConfigError: no such block, or a size that its patches do not fill.
        """
        super().__init__()
        shape = model.config
        self.family = family
        self.patch = int(shape.patch_size)
        size = config.size or native_size(shape)
        if size % self.patch:
            raise ConfigError(f"encoder.size {size} is not a multiple of the encoder's patch size {self.patch}; "
                              f"take {size // self.patch * self.patch or self.patch} or leave it out")
        self.input_spec = InputSpec(size, tuple(processor.get("image_mean") or family.mean),
                                    tuple(processor.get("image_std") or family.std))
        self.identity = digest([identity, size, self.input_spec.mean, self.input_spec.std])
        self.patch_info = FeatureInfo(int(shape.hidden_size), self.patch)
        self.num_prefix = sum(item if isinstance(item, int) else int(getattr(shape, item)) for item in family.prefix)
        norm = model.get_submodule(family.norm)
        self.final_norm = norm if config.final_norm else nn.Identity()
        self.model = cut(model, family, config.layer)
        self.freeze()

    @classmethod
    def from_config(cls, config: EncoderConfig, *, what: str = "patch encoder",
                    option: str = OPTION) -> TransformerEncoder:
        """Load the first of the configured places that has weights.

        Args:
            what, option: see ``weights.resolve``.
        Raises:
            WeightsUnavailable: nowhere found, or the files do not hold all weights.
            ConfigError: a family that is not supported.
        """
        folder = resolve(config.source, what=what, patterns=PATTERNS, option=option)
        family = family_of(folder)
        processor_file = folder / "preprocessor_config.json"
        processor = read_json(processor_file) if processor_file.is_file() else {}
        model = load_transformer(family.model_class, folder, **family.options)
        return cls(model, family, config, processor, fingerprint(folder))

    def patch_features(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, C, Hp, Wp)."""
        pixels = self.input_spec.apply(images_01).to(self.model.dtype)
        captured: list[Tensor] = []
        last_block = self.model.get_submodule(self.family.blocks)[-1]
        handle = last_block.register_forward_hook(
            lambda module, inputs, output: captured.append(output[0] if isinstance(output, tuple) else output))
        try:
            self.model(**self.family.feed(pixels, self.patch))
        finally:
            handle.remove()
        tokens = self.final_norm(captured[0])[:, self.num_prefix:]            # (B, Hp * Wp, C)
        side = self.input_spec.size // self.patch
        return tokens.transpose(1, 2).unflatten(2, (side, side))              # -> (B, C, Hp, Wp)


def native_size(shape: Any) -> int:
    """Side in pixels of what the checkpoint was trained with."""
    if hasattr(shape, "image_size"):
        return int(shape.image_size)
    return int(shape.num_patches ** 0.5) * int(shape.patch_size)


def family_of(folder: Path) -> Family:
    """The family of the checkpoint in a folder.

    Raises:
        ConfigError: no configuration, or a family without a row.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ConfigError(f"{folder} has no config.json; expected a patch encoder in the hub's layout")
    model_type = read_json(file).get("model_type")
    if model_type not in FAMILIES:
        raise ConfigError(f"{folder} holds a model of type {model_type!r}; supported: {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def cut(model: StockModel, family: Family, layer: int) -> StockModel:
    """The model without the blocks, norm and head after block ``layer``.

    Raises:
        ConfigError: no such block.
    """
    blocks = model.get_submodule(family.blocks)
    assert isinstance(blocks, nn.ModuleList)
    index = layer if layer >= 0 else len(blocks) + layer
    if not 0 <= index < len(blocks):
        raise ConfigError(f"encoder.layer {layer} does not exist: the encoder has {len(blocks)} blocks, "
                          f"so {-len(blocks)} to {len(blocks) - 1}")
    model.set_submodule(family.blocks, blocks[: index + 1])
    model.set_submodule(family.norm, nn.Identity())
    if getattr(model, "use_head", False):
        model.use_head = False
        del model.head
    return model
