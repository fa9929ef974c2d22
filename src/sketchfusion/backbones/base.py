"""The two interfaces that a backbone fulfils, and what it means to be frozen.

A backbone declares what it wants (``input_spec``) and what it gives (``blocks``, ``patch_info``), so that nobody else
types a size, a mean or a channel count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from sketchfusion.canvas import InputSpec
from sketchfusion.features import FeatureInfo, FeaturePyramid, Inject


class Frozen(nn.Module):
    """A module whose parameters do not learn and which stays in evaluation mode through ``.train()``.

    Whoever wants it to learn too turns the gradients of its parameters on (``ExtractorConfig.finetune``); it stays in
    evaluation mode then, so there is no dropout inside.

    Gradients still flow *through* it to whatever feeds it; whether they are recorded is the caller's choice.
    """

    def freeze(self) -> Self:
        """Turn the parameters' gradients off and switch to evaluation; returns itself."""
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Ignores ``mode``: frozen layers keep their evaluation behaviour."""
        return super().train(False)

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to a device and number format, in the memory layout that suits the backbone."""
        self.to(device=device, dtype=dtype)


class PatchEncoder(Frozen, ABC):
    """A frozen image encoder that gives one vector per patch (paper Sec. 5.1: f_v = V(i)).

    Attributes:
        input_spec: what it wants to be fed.
        patch_info: channels of a patch, and its stride in pixels of its own input.
        identity: fingerprint of its weights.
    """

    input_spec: InputSpec
    patch_info: FeatureInfo
    identity: str

    @abstractmethod
    def patch_features(self, images_01: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, C, Hp, Wp); resizes and normalises by ``input_spec`` itself."""


class Injection(Protocol):
    """Additions to the UNet's blocks, ready for one batch of images."""

    into_skips: bool
    blocks: frozenset[str]

    def for_rows(self, rows: Tensor) -> Inject:
        """The ``inject`` function for a pass whose row r belongs to image ``rows[r]``."""
        ...


class DenoisingBackbone(Frozen, ABC):
    """A frozen latent diffusion model of which the inside is wanted (paper Sec. 5.1: f_u^n).

    Block and tap names: ``down1``, ``down2``, ..., ``mid``, ``up1``, ``up2``, ... in the order in which they are run;
    ``upN`` is the paper's f_u^N.

    Attributes:
        blocks: every block that is run, in order, with what its output looks like.
        input_spec: value range and side of the canvas it wants.
        timesteps: the denoising steps at which it is run, one pass each.
        identity: fingerprint of its weights.
    """

    blocks: dict[str, FeatureInfo]
    input_spec: InputSpec
    timesteps: tuple[int, ...]
    identity: str

    @abstractmethod
    def set_prompt(self, text: str) -> None:
        """Condition every later pass on this prompt."""

    @abstractmethod
    def encode(self, images_01: Tensor, keys: Sequence[str]) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> clean latents z_0 (B, 4, h, w), already scaled; ``keys`` as in ``forward_taps``."""

    @abstractmethod
    def forward_taps(self, latents: Tensor, keys: Sequence[str], injection: Injection | None) -> list[FeaturePyramid]:
        """The taps of one pass at each timestep, averaged over the noise samples.

        Args:
            latents: (B, 4, h, w) as ``encode`` gives them.
            keys: B strings; an image's noise depends on the seed and, where it is not shared by all, on its key alone.
            injection: what is added to the blocks' outputs; None leaves the UNet as it is.
        Returns:
            One pyramid per timestep, tap name -> (B, C, Hf, Wf).
        """


def checkpoint_blocks(module: nn.Module) -> None:
    """Recompute the inside of the blocks in the backward pass instead of keeping it: slower, far less memory."""
    for part in module.modules():
        enable = getattr(part, "enable_gradient_checkpointing", None)
        if callable(enable):
            enable()


def compile_repeated(module: nn.Module, class_names: Sequence[str]) -> int:
    """Compile every submodule of the named classes in place; returns how many.

    The repeated parts are compiled rather than the whole, so that hooks at the blocks stay outside of the compiled code
    and one compilation serves all copies of a part.
    """
    parts = [part for part in module.modules() if type(part).__name__ in class_names]
    for part in parts:
        part.compile()
    return len(parts)


