"""The training-free baselines: pooled by hand, untouched by what was learned, and nothing runs in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sketchfusion.backbones.build import build_encoder
from sketchfusion.config import DescriptorConfig, EncoderConfig
from sketchfusion.engine.baselines import as_baseline, baseline_vectors, encode_for, own_encoder
from sketchfusion.errors import ConfigError, WeightsUnavailable
from sketchfusion.fusion.extractor import SketchFusion

CONTENT = torch.tensor([[0.0, 0.0, 64.0, 64.0], [0.0, 16.0, 64.0, 48.0]])


def test_they_are_the_pooled_patches_the_pooled_taps_and_both(tiny_model: SketchFusion) -> None:
    images = torch.rand(2, 3, 64, 64)
    encoded = tiny_model.encode(images)
    found = baseline_vectors(tiny_model, encoded, CONTENT, DescriptorConfig())
    assert encoded.patch_features is not None
    patches = encoded.patch_features
    rows = [patches[0].amax((1, 2)), patches[1][:, 2:6].amax((1, 2))]  # rows 16 to 48 of 64, in cells of 8
    torch.testing.assert_close(found["B-CLIP"], F.normalize(torch.stack(rows), dim=1))
    (plain,) = tiny_model.diffusion.forward_taps(encoded.latents, encoded.keys, None)
    taps = [F.normalize(plain[tap][0].amax((1, 2)), dim=0) for tap in plain]
    torch.testing.assert_close(found["B-SD"][0], F.normalize(torch.cat(taps), dim=0))
    torch.testing.assert_close(found["B-SD+CLIP"][0],
                               F.normalize(torch.cat([found["B-SD"][0], found["B-CLIP"][0]]), dim=0))


def test_what_was_learned_has_no_part_in_them(make_tiny: Callable[..., SketchFusion]) -> None:
    model, images = make_tiny(), torch.rand(2, 3, 64, 64)
    before = baseline_vectors(model, model.encode(images), CONTENT, DescriptorConfig(pooling="mean"))
    with torch.no_grad():
        for parameter in [*model.injector.parameters(), *model.aggregator.parameters()]:
            parameter.add_(torch.randn_like(parameter))
    after = baseline_vectors(model, model.encode(images), CONTENT, DescriptorConfig(pooling="mean"))
    for name in before:
        assert torch.equal(before[name], after[name]), name


def test_an_extractor_without_one_of_the_backbones_is_refused(make_tiny: Callable[..., SketchFusion]) -> None:
    model, images = make_tiny("injection.blocks=[]"), torch.rand(1, 3, 64, 64)
    with pytest.raises(ConfigError, match="B-CLIP needs patch features; encode with always_patches"):
        baseline_vectors(model, model.encode(images), CONTENT[:1], DescriptorConfig())
    patches_only = make_tiny("injection.blocks=[]", "aggregation.taps=[patches]")
    with pytest.raises(ConfigError, match="B-SD needs a diffusion model"):
        baseline_vectors(patches_only, patches_only.encode(images), CONTENT[:1], DescriptorConfig(), ["B-SD"])


def count_runs(module: torch.nn.Module) -> list[int]:
    """A list that gets an entry each time the module runs."""
    runs: list[int] = []
    module.register_forward_hook(lambda *_: runs.append(1))
    return runs


@pytest.mark.parametrize(("name", "encoder_runs", "unet_runs"), [("B-CLIP", 1, 0), ("B-SD", 0, 1), ("B-SD+CLIP", 1, 1)])
def test_nothing_runs_but_what_a_baseline_names(name: str, encoder_runs: int, unet_runs: int,
                                                make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny()
    patches = count_runs(next(child for child in model.encoder.children()))
    steps = count_runs(model.diffusion.unet.conv_in)
    encoded = encode_for(model, name, torch.rand(2, 3, 64, 64))
    assert baseline_vectors(model, encoded, CONTENT, DescriptorConfig(), [name]).keys() == {name}
    assert (len(patches), len(steps)) == (encoder_runs, unet_runs)


@pytest.mark.parametrize(("name", "checkpoint"), [("B-DINO", "dino"), ("B-DINOv2", "dinov2")])
def test_a_baseline_with_an_encoder_of_its_own_pools_that_ones_patches(
    name: str, checkpoint: str, tiny_model: SketchFusion, encoder_folder: Callable[[str], Path],
) -> None:
    folder, images = encoder_folder(checkpoint), torch.rand(2, 3, 64, 64)
    other = as_baseline(tiny_model, name, [f"source={folder}"])
    found = baseline_vectors(other, encode_for(other, name, images), CONTENT, DescriptorConfig(), [name])[name]
    config = EncoderConfig(source=(str(folder),), layer=-1, final_norm=True)
    patches = build_encoder(config).patch_features(images)
    expected = torch.stack([patches[0].amax((1, 2)), patches[1][:, 2:6].amax((1, 2))])
    torch.testing.assert_close(found, F.normalize(expected, dim=1))
    assert other.fingerprint != tiny_model.fingerprint
    with pytest.raises(ConfigError, match=f"{name} has a patch encoder of its own"):
        encode_for(tiny_model, name, images)


def test_missing_weights_of_a_baseline_are_named_and_nothing_takes_their_place(tiny_model: SketchFusion) -> None:
    with pytest.raises(WeightsUnavailable,
                       match=r"(?s)patch encoder of B-DINO\. .*facebook/dino-vits8.*--baseline-set source=FOLDER"):
        as_baseline(tiny_model, "B-DINO")


@pytest.mark.parametrize(("name", "settings", "text"), [
    ("B-CLIP", ["source=x"], "B-CLIP has no encoder of its own that 'source=x' could set, B-DINO, B-DINOv2 have"),
    ("B-DINO", ["depth=3"], "the encoder of B-DINO does not fit: depth is not a setting")])
def test_settings_that_do_not_fit(name: str, settings: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        own_encoder(name, settings)


def test_backbones_that_learned_are_no_training_free_baseline(make_tiny: Callable[..., SketchFusion]) -> None:
    with pytest.raises(ConfigError, match="B-CLIP would not be free of training"):
        as_baseline(make_tiny("finetune=true"), "B-CLIP")
