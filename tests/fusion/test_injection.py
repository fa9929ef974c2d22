"""fhat = f + C(f_v): values, where it goes, what it costs, how it starts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sketchfusion.backbones.build import shape_backbones
from sketchfusion.config import InjectionConfig, load_preset
from sketchfusion.errors import ConfigError
from sketchfusion.features import FeatureInfo
from sketchfusion.fusion.injection import FeatureInjector, injected_blocks, resample_channels

BLOCKS = {"down1": FeatureInfo(6, 8), "down2": FeatureInfo(4, 16), "mid": FeatureInfo(4, 16), "up1": FeatureInfo(10, 8)}


def injector(**settings: object) -> FeatureInjector:
    torch.manual_seed(0)
    return FeatureInjector(InjectionConfig(**settings), 5, BLOCKS)  # type: ignore[arg-type]


@torch.no_grad()
def test_value_equals_a_slow_loop() -> None:
    """Projected per patch, resized, and added to the row's own image."""
    module, patches = injector(init="torch"), torch.randn(2, 5, 3, 3)
    hidden, rows = torch.randn(4, 6, 7, 7), torch.tensor([1, 0, 0, 1])
    found = module(patches).for_rows(rows)("down1", hidden)
    convolution = module.projections["down1"]
    projected = torch.zeros(2, 6, 3, 3)
    for image in range(2):
        for y in range(3):
            for x in range(3):
                projected[image, :, y, x] = convolution.weight[:, :, 0, 0] @ patches[image, :, y, x] + convolution.bias
    for row, image in enumerate(rows.tolist()):
        resized = F.interpolate(projected[image][None], (7, 7), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(found[row], hidden[row] + resized, atol=1e-5, rtol=1e-4)


def test_the_given_tensor_is_left_alone() -> None:
    hidden = torch.randn(1, 6, 7, 7)
    before = hidden.clone()
    injector(init="torch")(torch.randn(1, 5, 3, 3)).for_rows(torch.tensor([0]))("down1", hidden)
    assert torch.equal(hidden, before)


def test_zero_start_adds_nothing_bit_for_bit() -> None:
    hidden = torch.randn(2, 6, 7, 7)
    found = injector()(torch.randn(2, 5, 3, 3)).for_rows(torch.tensor([0, 1]))("down1", hidden)
    assert torch.equal(found, hidden)


def test_torch_start_is_the_default_of_conv2d() -> None:
    module = injector(init="torch")
    torch.manual_seed(0)
    for name, channels in (("down1", 6), ("down2", 4), ("up1", 10)):
        expected = torch.nn.Conv2d(5, channels, 1)
        assert torch.equal(module.projections[name].weight, expected.weight)


def test_all_means_every_block_but_the_middle() -> None:
    assert injected_blocks(InjectionConfig(), BLOCKS) == ["down1", "down2", "up1"]


def test_a_subset_is_taken_in_running_order() -> None:
    module = injector(blocks=("up1", "mid"))
    assert list(module.channels) == ["mid", "up1"]
    assert module(torch.randn(1, 5, 3, 3)).blocks == {"mid", "up1"}


def test_an_unknown_block_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"injection\.blocks names up3, which is not run before the last tap; "
                                          r"the blocks that are run: down1, down2, mid, up1"):
        injector(blocks=("up1", "up3"))


def test_parameter_count_is_one_convolution_per_block() -> None:
    count = sum(parameter.numel() for parameter in injector().parameters())
    assert count == 5 * (6 + 4 + 10) + (6 + 4 + 10)


def test_parameter_count_at_the_papers_shapes() -> None:
    """Seven convolutions from 1024 channels to 320, 640, 1280, 1280 (down) and 1280, 1280, 640 (up)."""
    config = load_preset("sd21-clip-l14").extractor
    encoder, diffusion = shape_backbones(config, diffusion="sd21", encoder="clip-vit-l14-336")
    module = FeatureInjector(config.injection, encoder.patch_info.channels, diffusion.blocks)
    assert module.channels == {"down1": 320, "down2": 640, "down3": 1280, "down4": 1280,
                               "up1": 1280, "up2": 1280, "up3": 640}
    assert sum(parameter.numel() for parameter in module.parameters()) == 1024 * 6720 + 6720 == 6_888_000


def test_without_convolutions_nothing_is_learned_and_channels_are_interpolated() -> None:
    """Table 6, "w/o 1D convolutions"."""
    module, patches = injector(convolutions=False), torch.randn(1, 5, 3, 3)
    assert not list(module.parameters())
    hidden = torch.zeros(1, 10, 3, 3)
    found = module(patches).for_rows(torch.tensor([0]))("up1", hidden)
    for y in range(3):
        for x in range(3):
            for channel in range(10):
                place = min(max((channel + 0.5) * 5 / 10 - 0.5, 0), 4)
                low = int(place)
                high, share = min(low + 1, 4), place - low
                expected = patches[0, low, y, x] * (1 - share) + patches[0, high, y, x] * share
                torch.testing.assert_close(found[0, channel, y, x], expected, atol=1e-5, rtol=1e-4)


def test_equal_channels_are_not_resampled() -> None:
    features = torch.randn(2, 5, 3, 4)
    assert resample_channels(features, 5) is features


def test_gradients_reach_the_convolutions_and_the_hidden_tensor() -> None:
    module, hidden = injector(), torch.randn(1, 6, 7, 7, requires_grad=True)
    module(torch.randn(1, 5, 3, 3)).for_rows(torch.tensor([0]))("down1", hidden).square().sum().backward()
    assert hidden.grad is not None
    assert module.projections["down1"].weight.grad.abs().sum() > 0
    assert module.projections["down1"].bias.grad.abs().sum() > 0
