"""The running average of the weights (EMA), which is what is evaluated and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def moving(module: nn.Module) -> dict[str, Tensor]:
    """Everything that training moves, by name: parameters that learn, and statistics such as a normalisation's."""
    learning = {name: value for name, value in module.named_parameters() if value.requires_grad}
    kept = module.state_dict(keep_vars=True)
    return learning | {name: value for name, value in module.named_buffers()
                       if name in kept and value.is_floating_point()}


class Average:
    """Exponential moving average of everything that training moves.

    The decay grows with the steps, ``min(decay, (1 + step) / (10 + step))``, so that the first, random weights fade.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = moving(module)
        self.values = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the present weights, after step number ``step``, from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(self._live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module holds the average inside, and its own weights again afterwards."""
        kept = {name: value.detach().clone() for name, value in self._live.items()}
        self._set(self.values)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, live in self._live.items():
            live.copy_(values[name])
