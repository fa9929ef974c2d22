"""The patch encoder's features as a tap: what trained baselines without injection need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sketchfusion.config import load_preset
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion

NO_INJECTION = "injection.blocks=[]"


def build(*overrides: str) -> SketchFusion:
    return SketchFusion.from_config(load_preset("tiny", overrides).extractor).eval()


def test_with_patches_alone_the_diffusion_model_is_not_run_and_has_no_blocks() -> None:
    model = build("aggregation.taps=[patches]", NO_INJECTION)
    calls = []
    model.diffusion.unet.register_forward_hook(lambda *_: calls.append("unet"))
    model.diffusion.vae.encoder.register_forward_hook(lambda *_: calls.append("vae"))
    features = model(torch.rand(2, 3, 64, 64))
    assert features.feature_map.shape == (2, 64, 16, 16)
    assert (calls, model.diffusion.blocks) == ([], {})


def test_the_branch_of_the_patches_sees_exactly_the_patch_features() -> None:
    model, images = build("aggregation.taps=[patches]", NO_INJECTION), torch.rand(2, 3, 64, 64)
    expected = model.aggregator.branch("patches", model.encoder.patch_features(images))
    torch.testing.assert_close(model(images).feature_map, expected)


def test_patches_beside_the_taps_of_the_unet_change_nothing_of_these() -> None:
    both, images = build("aggregation.taps=[up1, up2, patches]", NO_INJECTION), torch.rand(1, 3, 64, 64)
    alone = build("aggregation.taps=[up1, up2]", NO_INJECTION)
    (with_patches,), (without,) = (model.pyramids(model.encode(images)) for model in (both, alone))
    assert list(with_patches) == ["up1", "up2", "patches"]
    for tap in without:
        torch.testing.assert_close(with_patches[tap], without[tap])


def test_without_injection_and_patches_the_patch_encoder_is_not_run(make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny(NO_INJECTION)
    assert not model.uses_patches
    assert model.encode(torch.rand(1, 3, 64, 64)).patch_features is None


def test_gradients_reach_every_branch() -> None:
    model = build("aggregation.taps=[up2, patches]", NO_INJECTION)
    model(torch.rand(1, 3, 64, 64)).feature_map.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.aggregator.parameters())


def test_a_tap_that_is_neither_block_nor_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match="aggregation"):
        build("aggregation.taps=[tokens]")
