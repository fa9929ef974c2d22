"""One start of a training command: where it writes, what it logs, how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchfusion.engine.memory import peak_memory_bytes
from sketchfusion.engine.tracking import NoTracker, Tracker

LOG = "log.jsonl"


@dataclass(frozen=True)
class Status:
    """Where a run stands."""

    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Run:
    """What belongs to one start of the command.

    Attributes:
        output: folder of log, pictures, checkpoints and the finished weights.
        accelerator: of the accelerate library.
        started: ``time.monotonic()`` when the command began: the time limit counts from there.
        on_status: called at every log line.
        resume: go on from the latest checkpoint if there is one; otherwise checkpoints are removed.
        tracker: gets every number that is logged.
    """

    output: Path
    accelerator: Any
    started: float
    on_status: Callable[[Status], None] | None = None
    resume: bool = True
    tracker: Tracker = field(default_factory=NoTracker)


def write_log(run: Run, line: dict[str, Any]) -> None:
    """One line of JSON at the end of the log, its numbers to the tracker; the first process alone writes."""
    if run.accelerator.is_main_process:
        with (run.output / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        numbers = {name: value for name, value in line.items() if name != "step" and isinstance(value, (int, float))}
        run.tracker.scalars(line.get("step", 0), numbers)


def peak_memory_mb(run: Run) -> float:
    """Largest memory of this process until now in megabytes (10**6 bytes); see ``memory.peak_memory_bytes``."""
    return round(peak_memory_bytes(run.accelerator.device) / 1e6, 1)
