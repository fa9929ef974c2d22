"""What frozen means, recomputation in the backward pass, compiling the repeated parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch
from torch import nn

from sketchfusion.backbones.base import Frozen, checkpoint_blocks, compile_repeated
from sketchfusion.fusion.checkpoint import REPEATED
from sketchfusion.fusion.extractor import SketchFusion


class Part(Frozen):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part, self.head = Part().freeze(), nn.Linear(3, 3)


def test_frozen_stays_in_evaluation_through_train() -> None:
    whole = Whole().train()
    assert whole.head.training
    assert not any(module.training for module in whole.part.modules())
    assert not any(parameter.requires_grad for parameter in whole.part.parameters())
    assert all(parameter.requires_grad for parameter in whole.head.parameters())


def test_gradients_pass_through_what_is_frozen() -> None:
    given = torch.randn(2, 3, requires_grad=True)
    Part().freeze().inner(given).sum().backward()
    assert given.grad is not None


def gradients(model: SketchFusion, images_01: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(images_01, keys=["a", "b"]).feature_map.square().mean().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_recomputation_gives_the_same_gradients(make_tiny: Callable[..., SketchFusion]) -> None:
    model, images = make_tiny("injection.init=torch"), torch.rand(2, 3, 64, 64)
    before = gradients(model, images)
    checkpoint_blocks(model.diffusion.unet)
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    after = gradients(model, images)
    assert after.keys() == before.keys()
    for name, gradient in before.items():
        torch.testing.assert_close(after[name], gradient, atol=1e-7, rtol=1e-4)


def test_recomputation_is_really_done(make_tiny: Callable[..., SketchFusion]) -> None:
    """Although frozen blocks stay in evaluation mode."""
    model, calls = make_tiny("injection.init=torch"), []
    checkpoint_blocks(model.diffusion.unet)
    model.diffusion.unet.down_blocks[1].resnets[0].register_forward_pre_hook(lambda *unused: calls.append(1))
    model(torch.rand(1, 3, 64, 64)).feature_map.sum().backward()
    assert len(calls) == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_compiled_blocks_give_the_same_features(make_tiny: Callable[..., SketchFusion]) -> None:
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = make_tiny()(images)
        model = make_tiny()
        assert compile_repeated(model, REPEATED) > 10
        found = model(images)
    torch.testing.assert_close(found.feature_map, expected.feature_map, atol=1e-4, rtol=1e-3)
