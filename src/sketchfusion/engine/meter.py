"""What a run measures of itself from step to step."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from sketchfusion.engine import checkpoint
from sketchfusion.engine.config import TrainingConfig
from sketchfusion.engine.run import Run, Status, peak_memory_mb, write_log
from sketchfusion.errors import SketchFusionError


class Meter:
    """Time, progress, the figures between two log lines, and whether all was finite.

    Nothing waits for the device but a log line and ``require_finite``.
    """

    def __init__(self, run: Run, config: TrainingConfig, earlier: float) -> None:
        self._run, self._config, self._earlier = run, config, earlier
        self._images = config.batch_size * config.accumulate * run.accelerator.num_processes
        self._limit = max(config.max_minutes - config.reserve_minutes, 0.0) * 60
        self._sums: dict[str, Tensor] = {}
        self._count, self._since = 0, time.monotonic()
        self._done, self._good = 0, torch.zeros((), dtype=torch.long, device=run.accelerator.device)

    @property
    def elapsed(self) -> float:
        """Seconds of all starts of this run together."""
        return self._earlier + time.monotonic() - self._run.started

    def share(self, step: int) -> float:
        """How much of the run is done: of its steps or of its time, whichever is more; 1 ends it."""
        done = step / self._config.steps
        if not self._config.max_minutes:
            return done
        return max(done, self.elapsed / self._limit if self._limit else 1.0)

    def add(self, figures: dict[str, Tensor], finite: Tensor) -> None:
        """One step's figures, and whether they and its gradient are finite."""
        self._good += finite & (self._good == self._done)  # stands still from the first step on that is not
        self._done += 1
        self._count += 1
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0) + value

    def log(self, step: int, rate: float) -> None:
        """Write the means since the last line. Raises SketchFusionError: see ``require_finite``."""
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        now = time.monotonic()
        speed = self._images * self._count / max(now - self._since, 1e-9)
        left = (self._config.steps - step) * self._images / speed
        if self._config.max_minutes:
            left = min(left, max(self._limit - self.elapsed, 0.0))
        write_log(self._run, {"step": step, **{name: round(value, 6) for name, value in means.items()}, "lr": rate,
                              "images_per_s": round(speed, 1), "elapsed_s": round(self.elapsed, 1),
                              "peak_memory_mb": peak_memory_mb(self._run)})
        self.require_finite(step)
        if self._run.on_status:
            self._run.on_status(Status(step, self._config.steps, means["loss"], speed, left))
        self._sums, self._count, self._since = {}, 0, now

    def require_finite(self, step: int) -> None:
        """Asked by all processes together, before anything is judged or kept.

        Raises:
            SketchFusionError: in one of them the loss or the gradient of a step was not finite; ``step`` are done.
        """
        good = int(self._run.accelerator.gather(self._good[None]).min())
        if good == self._done:
            return
        latest = checkpoint.latest_checkpoint(self._run.output)
        raise SketchFusionError(
            f"the loss or its gradient is not finite at step {step - self._done + good + 1}, and nothing was kept from "
            f"there on; run again to go on from {latest.name if latest else 'the start'}, and if that ends in the same "
            "way, lower training.lr, or lengthen training.warmup, and start anew with --restart")
