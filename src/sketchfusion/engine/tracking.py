"""Where a run's numbers go beside ``log.jsonl``: nowhere, or to TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sketchfusion.engine.config import TrainingConfig
from sketchfusion.errors import ConfigError

FOLDER = "tensorboard"


class Tracker(Protocol):
    """Takes the numbers of a run as they come."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """The named numbers of one step; kept even if the process is killed afterwards."""
        ...

    def close(self) -> None:
        """No more is to come."""
        ...


class NoTracker:
    """Takes numbers and keeps none."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class TensorBoard:
    """Scalars for ``tensorboard --logdir OUTPUT``; its file is begun with the first of them.

    Where an earlier start of the run got further than this one begins, TensorBoard hides what is done anew.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError("training.tensorboard is true, but the tensorboard package is missing: pip install "
                              "'sketchfusion[tensorboard]', or set training.tensorboard=false") from None
        self._make, self._folder = SummaryWriter, folder
        self._writer: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        if self._writer is None:
            self._writer = self._make(str(self._folder), purge_step=step + 1)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """See ``Tracker``."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def open_tracker(config: TrainingConfig, output: Path) -> Tracker:
    """What ``config`` asks for, writing below ``output``.

    Raises:
        ConfigError: the tensorboard package is wanted and missing.
    """
    return TensorBoard(output / FOLDER) if config.tensorboard else NoTracker()


def remove_tracked(output: Path) -> None:
    """Forget an earlier run."""
    shutil.rmtree(output / FOLDER, ignore_errors=True)
