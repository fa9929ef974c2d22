"""The cost of a preset against sums by hand, and that nothing but shapes is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sketchfusion.backbones import weights
from sketchfusion.config import load_preset
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.cost import PartCost, count_cost
from sketchfusion.fusion.extractor import SketchFusion

PATCHES, PATCH_CHANNELS, CELLS = 8 * 8, 32, 16 * 16  # of ``tiny``: 64 px in patches of 8, on a grid of 16
BLOCKS = (16, 32, 48, 48, 48, 48, 32)  # channels of down1 .. down4, up1 .. up3, which are run and injected
TAPS, OUT, MIDDLE = (48, 48, 32), 64, 16  # of up1 .. up3


@pytest.fixture(scope="module")
def tiny_cost() -> dict[str, PartCost]:
    return count_cost(load_preset("tiny"))


def test_injection_by_hand(tiny_cost: dict[str, PartCost]) -> None:
    """One 1x1 convolution with bias per block, over the patches."""
    found = tiny_cost["injection"]
    assert found.parameters == sum(channels * (PATCH_CHANNELS + 1) for channels in BLOCKS)
    assert found.gflop * 1e9 == pytest.approx(sum(2 * PATCHES * PATCH_CHANNELS * channels for channels in BLOCKS))


def test_aggregation_by_hand(tiny_cost: dict[str, PartCost]) -> None:
    """Per tap 1x1, 3x3, 1x1 and the shortcut, all but the last tap's with norms of two numbers a channel."""
    convolutions = [tap * MIDDLE + 9 * MIDDLE * MIDDLE + MIDDLE * OUT + tap * OUT for tap in TAPS]
    norms = 2 * (MIDDLE + MIDDLE + OUT + OUT)
    found = tiny_cost["aggregation"]
    assert found.parameters == sum(convolutions) + len(TAPS) * (norms + 1)  # and a branch weight each
    assert found.gflop * 1e9 == pytest.approx(2 * CELLS * sum(convolutions))


def test_patch_encoder_by_hand(tiny_cost: dict[str, PartCost]) -> None:
    """The blocks that are run (two of three, the penultimate is read): projections, MLP and attention."""
    tokens, width, hidden = PATCHES + 1, PATCH_CHANNELS, 64
    embedding = 2 * PATCHES * 3 * 8 * 8 * width
    block = 2 * tokens * (4 * width * width + 2 * width * hidden) + 2 * 2 * tokens * tokens * width
    assert tiny_cost["patch encoder"].gflop * 1e9 == pytest.approx(embedding + 2 * block)


def test_parameters_are_those_of_the_model(tiny_cost: dict[str, PartCost], tiny_model: SketchFusion) -> None:
    modules = {"VAE encoder": tiny_model.diffusion.vae, "UNet": tiny_model.diffusion.unet,
               "patch encoder": tiny_model.encoder, "injection": tiny_model.injector,
               "aggregation": tiny_model.aggregator}
    assert {part: cost.parameters for part, cost in tiny_cost.items()} == {
        part: sum(parameter.numel() for parameter in module.parameters()) for part, module in modules.items()}


def test_work_grows_with_timesteps_and_noise_samples(tiny_cost: dict[str, PartCost]) -> None:
    more = count_cost(load_preset("tiny", ["diffusion.timesteps=[5, 195]", "diffusion.num_noise_samples=3"]))
    assert more["UNet"].parameters == tiny_cost["UNet"].parameters
    assert more["UNet"].gflop == pytest.approx(6 * tiny_cost["UNet"].gflop, rel=0.05)
    assert more["VAE encoder"] == tiny_cost["VAE encoder"]


def test_no_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKETCHFUSION_CACHE", str(tmp_path))
    for name in ("snapshot_download", "hf_hub_download"):
        monkeypatch.setattr(weights, name, lambda *arguments, **options: pytest.fail("weights were asked for"))
    state = torch.random.get_rng_state()
    assert count_cost(load_preset("tiny"))["UNet"].parameters > 0
    assert not list(tmp_path.iterdir())  # where random weights would be written
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_architectures() -> None:
    preset = load_preset("tiny").model_copy(update={"architectures": {}})
    with pytest.raises(ConfigError, match="names no architectures"):
        count_cost(preset)
