"""sum alpha_n A(fhat_n): values, weights, the switches of Table 6."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.backbones.build import shape_backbones
from sketchfusion.config import AggregationConfig, load_preset
from sketchfusion.errors import ConfigError
from sketchfusion.features import FeatureInfo
from sketchfusion.fusion.aggregation import AggregationNetwork
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.fusion.injection import resample_channels

BLOCKS = {"up1": FeatureInfo(12, 32), "up2": FeatureInfo(16, 16), "up3": FeatureInfo(6, 8)}


def network(num_timesteps: int = 1, **settings: object) -> AggregationNetwork:
    chosen = {"grid_size": 5, "out_channels": 16, "norm_groups": 2, **settings}
    torch.manual_seed(0)
    return AggregationNetwork(AggregationConfig(**chosen), BLOCKS, num_timesteps)  # type: ignore[arg-type]


def pyramid(seed: int = 0, batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, info.channels, 96 // info.stride, 96 // info.stride, generator=generator)
            for name, info in BLOCKS.items()}


def slow_group_norm(values: Tensor, groups: int) -> Tensor:
    """(B, C, H, W), weight one and bias zero, group by group."""
    result = torch.empty_like(values)
    width = values.shape[1] // groups
    for image in range(len(values)):
        for group in range(groups):
            part = values[image, group * width : (group + 1) * width]
            result[image, group * width : (group + 1) * width] = \
                (part - part.mean()) / (part.var(unbiased=False) + 1e-5).sqrt()
    return result


def slow_branch(module: AggregationNetwork, tap: str, features: Tensor) -> Tensor:
    """The bottleneck written out: 1x1, 3x3, 1x1, with a 1x1 shortcut where the width changes."""
    weights = {name: value for name, value in module.state_dict().items() if name.startswith(f"branches.{tap}.")}

    def layer(name: str, values: Tensor, padding: int = 0) -> Tensor:
        return slow_group_norm(F.conv2d(values, weights[f"branches.{tap}.{name}.0.weight"], padding=padding), 2)

    resized = F.interpolate(features, (5, 5), mode="bilinear", align_corners=False)
    hidden = layer("reduce", resized).clamp(min=0)
    hidden = layer("mix", hidden, padding=1).clamp(min=0)
    shortcut = layer("shortcut", resized) if features.shape[1] != 16 else resized
    return (layer("expand", hidden) + shortcut).clamp(min=0)


@torch.no_grad()
def test_value_equals_the_formula_written_out() -> None:
    module, taps = network(), pyramid()
    module.mixing.copy_(torch.tensor([[0.3, -1.0, 2.0]]))
    alpha = module.mixing[0].exp() / module.mixing[0].exp().sum()
    expected = sum(alpha[index] * slow_branch(module, tap, taps[tap]) for index, tap in enumerate(BLOCKS))
    torch.testing.assert_close(module([taps]), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_each_timestep_and_tap_has_a_weight_and_bottlenecks_are_shared() -> None:
    module, early, late = network(num_timesteps=2), pyramid(0), pyramid(1)
    module.mixing.copy_(torch.randn(2, 3))
    alpha = module.mixing.flatten().softmax(0).view(2, 3)
    expected = sum(alpha[step, index] * slow_branch(module, tap, taps[tap])
                   for step, taps in enumerate((early, late)) for index, tap in enumerate(BLOCKS))
    torch.testing.assert_close(module([early, late]), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("weights", ["softmax", "free"])
@pytest.mark.parametrize("num_timesteps", [1, 4])
def test_weights_are_equal_at_the_start(weights: str, num_timesteps: int) -> None:
    alpha = network(num_timesteps, weights=weights).branch_weights
    torch.testing.assert_close(alpha, torch.full((num_timesteps, 3), 1 / (3 * num_timesteps)))


def test_softmax_weights_are_positive_and_sum_to_one_whatever_is_learned() -> None:
    module = network(2)
    torch.nn.init.normal_(module.mixing, std=10)
    assert (module.branch_weights > 0).all()
    assert module.branch_weights.sum().item() == pytest.approx(1)


def test_parameter_count_at_the_papers_shapes() -> None:
    """2,361,600 + 2 x 1,744,640 + 3 branch weights; the released log's two more are unused logit scales."""
    config = load_preset("sd21-clip-l14").extractor
    _, diffusion = shape_backbones(config, diffusion="sd21", encoder="clip-vit-l14-336")
    module = AggregationNetwork(config.aggregation, diffusion.blocks)
    assert {tap: diffusion.blocks[tap].channels for tap in config.aggregation.taps} == \
        {"up1": 1280, "up2": 1280, "up3": 640}
    assert sum(parameter.numel() for parameter in module.parameters()) == 2_361_600 + 2 * 1_744_640 + 3 == 5_850_883


def test_without_network_resized_taps_are_summed() -> None:
    """Table 6, "w/o aggregation network"."""
    module, taps = network(network=False), pyramid()
    assert [name for name, _ in module.named_parameters()] == ["mixing"]
    expected = sum(resample_channels(F.interpolate(taps[tap], (5, 5), mode="bilinear", align_corners=False), 16)
                   for tap in BLOCKS) / 3
    torch.testing.assert_close(module([taps]), expected)


def test_without_learned_weights_they_stay_equal() -> None:
    """Table 6, "w/o learnable weights"."""
    module = network(learned_weights=False)
    assert "mixing" not in dict(module.named_parameters())
    torch.testing.assert_close(module.branch_weights, torch.full((1, 3), 1 / 3))


def test_a_subset_of_taps_has_only_its_branches() -> None:
    module = network(taps=("up3", "up1"))
    assert list(module.branches) == ["up3", "up1"]
    assert module.mixing.shape == (1, 2)
    assert module([pyramid()]).shape == (2, 16, 5, 5)


def test_grid_size_and_channels_are_what_comes_out() -> None:
    assert network(grid_size=9, out_channels=32)([pyramid()]).shape == (2, 32, 9, 9)


def test_dropout_is_for_training_and_takes_whole_channels() -> None:
    module, taps = network(dropout=0.5), pyramid()
    module.eval()
    assert torch.equal(module([taps]), module([taps]))
    module.train()
    assert not torch.allclose(module([taps]), module([taps]))
    dropped = module.dropout(torch.ones(1, 200, 3, 3))[0]
    assert all(channel.unique().tolist() in ([0.0], [2.0]) for channel in dropped)


def test_every_parameter_gets_a_gradient() -> None:
    module = network(2)
    module([pyramid(0), pyramid(1)]).square().mean().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_channels_that_the_norm_cannot_split_are_named() -> None:
    with pytest.raises(ConfigError, match=r"out_channels 20 must be a multiple of 4 \* norm_groups = 8"):
        network(out_channels=20)


def test_checkpointing_changes_neither_features_nor_gradients(make_tiny: Callable[..., SketchFusion]) -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        model = make_tiny("aggregation.dropout=0.5").train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        images = torch.rand(2, 3, model.canvas_size, model.canvas_size, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(1)  # of the dropout
        found = model(images)
        found.feature_map.square().mean().backward()
        return [found.feature_map.detach(), *(value.grad for value in model.aggregator.parameters())]

    for plain, again in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(plain, again)
