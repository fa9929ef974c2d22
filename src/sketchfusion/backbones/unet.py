"""Reaching into a stock UNet: named blocks, hooks at their outputs, and leaving out what nobody reads.

diffusers' classes are neither copied nor changed: a hook hands each block's output to the caller and may replace it,
and the blocks after the last one wanted are swapped for stand-ins that cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from sketchfusion.backbones.loading import StockModel
from sketchfusion.errors import ConfigError

Visit = Callable[[str, Tensor], Tensor]


def named_blocks(unet: StockModel) -> dict[str, nn.Module]:
    """Block name -> block, in the order in which they are run: down1, ..., mid, up1, ..."""
    blocks = {f"down{index}": block for index, block in enumerate(unet.down_blocks, start=1)}
    if unet.mid_block is not None:
        blocks["mid"] = unet.mid_block
    return blocks | {f"up{index}": block for index, block in enumerate(unet.up_blocks, start=1)}


def check_names(names: set[str], known: list[str], what: str) -> None:
    """Raise ConfigError where a name is not a block of this UNet."""
    unknown = sorted(names - set(known))
    if unknown:
        raise ConfigError(f"{what} names {', '.join(unknown)}, but this diffusion model has {', '.join(known)}")


def drop_blocks_after(unet: StockModel, last: str | None) -> list[str]:
    """Swap every block after ``last`` for a stand-in, free its weights, and return the names of the blocks that stay.

    Without ``last`` none stays.

    Raises:
        ConfigError: no such block.
    """
    names = list(named_blocks(unet))
    check_names({last} if last else set(), names, "the last tap")
    kept = names[: names.index(last) + 1] if last else []
    for index, block in enumerate(unet.down_blocks):
        if f"down{index + 1}" not in kept:
            unet.down_blocks[index] = _SkippedDown(len(block.resnets) + len(block.downsamplers or ()))
    if "mid" not in kept:
        unet.mid_block = None
    for index, block in enumerate(unet.up_blocks):
        if f"up{index + 1}" not in kept:
            unet.up_blocks[index] = _SkippedUp(len(block.resnets))
    unet.conv_norm_out, unet.conv_out = None, nn.Identity()
    return kept


@contextmanager
def visiting(blocks: dict[str, nn.Module], visit: Visit, *, into_skips: bool) -> Iterator[None]:
    """While active, ``visit(name, hidden)`` sees the output of each block and what it returns takes its place.

    A down block gives its output twice, as the next block's input and as its last skip tensor. With ``into_skips`` the
    skip is replaced too; that is what the released code's in-place addition does.
    """
    handles = [block.register_forward_hook(_hook(name, visit, into_skips)) for name, block in blocks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, visit: Visit, into_skips: bool) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, tuple):
            return visit(name, output)
        hidden, skips = output
        visited = visit(name, hidden)
        return visited, ((*skips[:-1], visited) if into_skips else skips)

    return hook


class _SkippedDown(nn.Module):
    """In place of a down block: hands its input on, with as many skip tensors as the block would give."""

    def __init__(self, num_skips: int) -> None:
        super().__init__()
        self.num_skips = num_skips

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        return hidden_states, (hidden_states,) * self.num_skips


class _SkippedUp(nn.Module):
    """In place of an up block: hands its input on; ``resnets`` tells the UNet how many skip tensors to take away."""

    def __init__(self, num_skips: int) -> None:
        super().__init__()
        self.resnets = (None,) * num_skips

    def forward(self, hidden_states: Tensor, **unused: Any) -> Tensor:
        return hidden_states
