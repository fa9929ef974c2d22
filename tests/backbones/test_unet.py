"""Hooks at the blocks of a stock UNet, and what stands in for the blocks that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from sketchfusion.backbones.unet import drop_blocks_after, named_blocks, visiting
from sketchfusion.errors import ConfigError


@pytest.fixture
def unet(diffusion_folder: Callable[[str], Path]) -> Any:
    return diffusers.UNet2DConditionModel.from_pretrained(diffusion_folder("sd2") / "unet").eval()


@torch.no_grad()
def run(unet: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noisy, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 7, 32, generator=generator)
    return unet(noisy, 195, encoder_hidden_states=text).sample


def test_blocks_are_named_in_the_order_in_which_they_run(unet: Any) -> None:
    seen: list[str] = []

    def visit(name: str, hidden: Tensor) -> Tensor:
        seen.append(name)
        return hidden

    with visiting(named_blocks(unet), visit, into_skips=False):
        run(unet)
    assert seen == list(named_blocks(unet)) == ["down1", "down2", "down3", "down4", "mid", "up1", "up2", "up3", "up4"]


def test_looking_changes_nothing_and_hooks_are_taken_off(unet: Any) -> None:
    before = run(unet)
    with visiting(named_blocks(unet), lambda name, hidden: hidden, into_skips=True):
        assert torch.equal(run(unet), before)
    with pytest.raises(RuntimeError, match="stop"), visiting(named_blocks(unet), fail, into_skips=False):
        run(unet)
    assert torch.equal(run(unet), before)
    assert not any(block._forward_hooks for block in named_blocks(unet).values())


def fail(name: str, hidden: Tensor) -> Tensor:
    raise RuntimeError("stop")


@pytest.mark.parametrize("into_skips", [False, True])
def test_what_visit_returns_takes_the_outputs_place(into_skips: bool, unet: Any) -> None:
    """Against additions written into a hand-rolled forward; in place, a block's last skip tensor changes too."""
    with visiting(named_blocks(unet), lambda name, hidden: hidden + 0.5, into_skips=into_skips):
        found = run(unet)
    generator = torch.Generator().manual_seed(0)
    sample, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 7, 32, generator=generator)
    with torch.no_grad():
        emb = unet.time_embedding(unet.time_proj(torch.tensor([195, 195])))
        sample = unet.conv_in(sample)
        skips: tuple[Tensor, ...] = (sample,)
        for block in unet.down_blocks:
            given = {"encoder_hidden_states": text} if hasattr(block, "attentions") else {}
            sample, more = block(sample, emb, **given)
            if into_skips:
                sample += 0.5          # the released code: in place, on the tensor that is also the last skip
                assert more[-1] is sample
            else:
                sample = sample + 0.5
            skips += more
        sample = unet.mid_block(sample, emb, encoder_hidden_states=text) + 0.5
        for block in unet.up_blocks:
            given = {"encoder_hidden_states": text} if hasattr(block, "attentions") else {}
            count = len(block.resnets)
            sample = block(sample, skips[-count:], emb, **given) + 0.5
            skips = skips[:-count]
        expected = unet.conv_out(unet.conv_act(unet.conv_norm_out(sample)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_two_kinds_of_injection_differ(unet: Any) -> None:
    outputs = []
    for into_skips in (False, True):
        with visiting(named_blocks(unet), lambda name, hidden: hidden + 0.5, into_skips=into_skips):
            outputs.append(run(unet))
    assert not torch.allclose(*outputs)


@pytest.mark.parametrize("last", ["down1", "down4", "mid", "up1", "up4"])
def test_dropped_blocks_leave_the_kept_ones_alone(last: str, unet: Any) -> None:
    def record() -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def visit(name: str, hidden: Tensor) -> Tensor:
            seen[name] = hidden
            return hidden

        with visiting(named_blocks(unet), visit, into_skips=False):
            run(unet)
        return seen

    whole = record()
    kept = drop_blocks_after(unet, last)
    rest = record()
    assert kept == list(whole)[: list(whole).index(last) + 1]
    for name in kept:
        assert torch.equal(rest[name], whole[name]), name


def test_an_unknown_last_block_is_named_with_the_known_ones(unet: Any) -> None:
    with pytest.raises(ConfigError, match="names up9, but this diffusion model has down1, down2"):
        drop_blocks_after(unet, "up9")
