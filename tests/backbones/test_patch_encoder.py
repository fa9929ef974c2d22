"""Patch features against the stock models of every family, called without any of our code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from sketchfusion.backbones.patch_encoder import FAMILIES, TransformerEncoder, _feed_patches
from sketchfusion.canvas import resize_images
from sketchfusion.config import EncoderConfig
from sketchfusion.errors import ConfigError, WeightsUnavailable

CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
STOCK = {  # name -> stock class, tokens before the patches, name of the closing norm, (mean, std) of its processor
    "clip": ("CLIPVisionModel", 1, "post_layernorm", CLIP),
    "clip-with-text": ("CLIPVisionModel", 1, "post_layernorm", CLIP),
    "dino": ("ViTModel", 1, "layernorm", IMAGENET),
    "dinov2": ("Dinov2Model", 1, "layernorm", IMAGENET),
    "dinov2-registers": ("Dinov2WithRegistersModel", 1 + 4, "layernorm", IMAGENET),
    "dinov3": ("DINOv3ViTModel", 1 + 4, "norm", IMAGENET),
    "siglip": ("SiglipVisionModel", 0, "post_layernorm", HALF),
    "siglip-with-text": ("SiglipVisionModel", 0, "post_layernorm", HALF),
    "siglip2-naflex": ("Siglip2VisionModel", 0, "post_layernorm", HALF),
    "siglip2-naflex-with-text": ("Siglip2VisionModel", 0, "post_layernorm", HALF),
}
PATCH = 8


def slow_patches(image: Tensor) -> Tensor:
    """(3, H, W) -> (patches, patch * patch * 3) in SigLIP 2's order, one number at a time."""
    rows = []
    for top in range(0, image.shape[1], PATCH):
        for left in range(0, image.shape[2], PATCH):
            rows.append([image[channel, top + y, left + x].item()
                         for y in range(PATCH) for x in range(PATCH) for channel in range(3)])
    return torch.tensor(rows)


@torch.no_grad()
def stock_features(name: str, folder: Path, images_01: Tensor, *, layer: int, size: int, final_norm: bool) -> Tensor:
    """What an independent call of the stock model says: (B, 32, side, side)."""
    class_name, prefix, norm, (mean, std) = STOCK[name]
    model = getattr(transformers, class_name).from_pretrained(folder).eval()
    images = resize_images(images_01, size)
    pixels = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    side = size // PATCH
    inputs: dict[str, Any] = {"pixel_values": pixels}
    if name.startswith("siglip2"):
        inputs = {"pixel_values": torch.stack([slow_patches(image) for image in pixels]),
                  "pixel_attention_mask": torch.ones(len(images), side * side, dtype=torch.long),
                  "spatial_shapes": torch.tensor([[side, side]] * len(images))}
    elif not name.startswith("dinov"):  # those two adapt to any size unasked
        inputs["interpolate_pos_encoding"] = True
    states = model(**inputs, output_hidden_states=True).hidden_states     # embeddings, then one per block
    chosen = states[1 + layer] if layer >= 0 else states[layer]
    if final_norm:
        chosen = getattr(model, norm)(chosen)
    return chosen[:, prefix:].transpose(1, 2).reshape(len(images), -1, side, side)


@pytest.fixture(scope="module")
def images_01() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize(("layer", "size", "final_norm"), [(-2, 64, False), (-1, 64, True), (0, 96, False)])
def test_features_equal_the_stock_models_hidden_states(name: str, layer: int, size: int, final_norm: bool,
                                                       images_01: Tensor,
                                                       encoder_folder: Callable[[str], Path]) -> None:
    """Any layer, any size (position embeddings interpolated), CLS and register tokens dropped, no text tower."""
    folder = encoder_folder(name)
    encoder = TransformerEncoder.from_config(
        EncoderConfig(source=(str(folder),), layer=layer, size=size, final_norm=final_norm))
    expected = stock_features(name, folder, images_01, layer=layer, size=size, final_norm=final_norm)
    features = encoder.patch_features(images_01)
    assert features.shape == (2, 32, size // PATCH, size // PATCH)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)
    assert not any("text" in part for part, _ in encoder.named_parameters())


def test_a_checkpoint_of_dino_holds_no_pooler(tmp_path: Path, images_01: Tensor,
                                              encoder_folder: Callable[[str], Path]) -> None:
    """As it was published; what nobody reads is not missed, what somebody reads is."""
    whole = encoder_folder("dino")
    transformers.ViTModel.from_pretrained(whole, add_pooling_layer=False).save_pretrained(tmp_path)
    assert not any("pooler" in name for name in load_file(tmp_path / "model.safetensors"))
    found, expected = (TransformerEncoder.from_config(EncoderConfig(source=(str(folder),))).patch_features(images_01)
                       for folder in (tmp_path, whole))
    assert torch.equal(found, expected)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("layernorm.weight")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnavailable, match=r"incomplete: 1 missing.*layernorm\.weight"):
        TransformerEncoder.from_config(EncoderConfig(source=(str(tmp_path),)))


def test_every_family_is_tried() -> None:
    """The families of this file are the families of the package."""
    tried = {getattr(transformers, row[0]).config_class.model_type for row in STOCK.values()}
    assert {family.model_class for family in FAMILIES.values()} == {row[0] for row in STOCK.values()}
    assert tried <= set(FAMILIES)


def test_blocks_after_the_layer_are_dropped(encoder_folder: Callable[[str], Path]) -> None:
    def count(layer: int) -> int:
        encoder = TransformerEncoder.from_config(EncoderConfig(source=(str(encoder_folder("clip")),), layer=layer))
        return sum(parameter.numel() for parameter in encoder.parameters())

    assert count(0) < count(1) < count(-1)
    assert count(-2) == count(1)


def test_patches_are_ordered_as_the_librarys_own_processor_does() -> None:
    processing = pytest.importorskip("transformers.models.siglip2.image_processing_pil_siglip2")
    images = torch.rand(2, 3, 24, 40)
    fed = _feed_patches(images, PATCH)
    for image, patches in zip(images, fed["pixel_values"], strict=True):
        theirs = processing.convert_image_to_patches(image.numpy(), PATCH)
        assert torch.equal(patches, torch.from_numpy(theirs))
        assert torch.equal(patches, slow_patches(image))
    assert fed["spatial_shapes"].tolist() == [[3, 5], [3, 5]]


def test_preprocessor_configuration_decides_mean_and_std(tmp_path: Path, images_01: Tensor,
                                                         encoder_folder: Callable[[str], Path]) -> None:
    folder = shutil.copytree(encoder_folder("clip"), tmp_path / "clip")
    family = TransformerEncoder.from_config(EncoderConfig(source=(str(folder),)))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3],
                                                                 "image_std": [0.4, 0.5, 0.6]}))
    told = TransformerEncoder.from_config(EncoderConfig(source=(str(folder),)))
    assert family.input_spec.mean == tuple(CLIP[0])
    assert (told.input_spec.mean, told.input_spec.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert told.identity != family.identity
    same = images_01 * 0.1
    shifted = (same - torch.tensor(CLIP[0]).view(3, 1, 1)) / torch.tensor(CLIP[1]).view(3, 1, 1)
    shifted = shifted * torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1) + torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(told.patch_features(shifted), family.patch_features(same), atol=1e-5, rtol=1e-4)


def test_any_canvas_is_resized_to_the_encoders_size(encoder_folder: Callable[[str], Path]) -> None:
    encoder = TransformerEncoder.from_config(EncoderConfig(source=(str(encoder_folder("dinov2")),)))
    assert encoder.patch_features(torch.rand(1, 3, 200, 200)).shape == (1, 32, 8, 8)
    assert (encoder.patch_info.channels, encoder.patch_info.stride) == (32, 8)


@pytest.mark.parametrize(("settings", "says"), [
    ({"layer": 3}, "has 3 blocks, so -3 to 2"),
    ({"layer": -4}, "has 3 blocks"),
    ({"size": 60}, "take 56"),
])
def test_settings_that_do_not_fit_are_named(settings: dict[str, int], says: str,
                                            encoder_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=says):
        TransformerEncoder.from_config(EncoderConfig(source=(str(encoder_folder("clip")),), **settings))


def test_an_unknown_family_is_named_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(ConfigError, match=r"'resnet'; supported: clip"):
        TransformerEncoder.from_config(EncoderConfig(source=(str(tmp_path),)))


def test_a_damaged_configuration_is_an_error_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(WeightsUnavailable, match=r"config\.json"):
        TransformerEncoder.from_config(EncoderConfig(source=(str(tmp_path),)))
