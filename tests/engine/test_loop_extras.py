"""The loop beside its steps: the best weights so far, what a kill loses, memory, and what leaves the weights alone."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine import checkpoint
from sketchfusion.engine.averaging import Average
from sketchfusion.engine.checkpoint import (
    BEST,
    BEST_RECORD,
    FOLDER,
    STATE,
    latest_checkpoint,
    load_best,
    read_best,
)
from sketchfusion.engine.config import DataConfig, Recipe, TrainingConfig
from sketchfusion.engine.loop import fit, is_due, recipe_digest
from sketchfusion.engine.memory import peak_memory_bytes
from sketchfusion.engine.run import Run, Status
from sketchfusion.engine.runtime import open_run
from sketchfusion.errors import ConfigError, DataError

TRAINING: dict[str, Any] = {"steps": 8, "batch_size": 1, "lr": 0.1, "warmup": 0, "log_every": 1, "sample_every": 0,
                            "checkpoint_every": 0, "ema": 0.0}
BY_SCORE = {"evaluate_every": 2, "best": "score"}


class Slope(nn.Module):
    """Learns the factor between two numbers; one weight is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(2, 1))
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        given = torch.randn(16, 2, generator=generator_for("cpu", "toy", number))
        loss = ((given @ self.slope - given.sum(1, keepdim=True) * self.fixed) ** 2).mean()
        return loss, {"root": loss.sqrt()}


class Toy:
    """Gives the scores that it is told to, one after the other, and notes the weights that were judged."""

    def __init__(self, scores: Sequence[float] = ()) -> None:
        self.learner, self.scores, self.pictures = Slope(), list(scores), 0
        self.judged: list[Tensor] = []

    def evaluate(self) -> dict[str, float]:
        assert not self.learner.training
        self.judged.append(self.learner.slope.detach().clone())
        return {"score": self.scores[len(self.judged) - 1] if self.scores else 0.5, "other": 1.0}

    def picture(self, file: Path) -> None:
        self.pictures += 1


def make_recipe(output: Path, **training: Any) -> Recipe:
    return Recipe(output=str(output), data=DataConfig(), training=TrainingConfig(**TRAINING | training))


def train(task: Toy, output: Path, *, stop_at: int = 0, kill_at: int = 0, resume: bool = True,
          **training: Any) -> Average | None:
    """Run a recipe; ended after a step by SIGTERM or SIGKILL if told so."""
    recipe = make_recipe(output, **training)

    def end(status: Status) -> None:
        for step, number in ((stop_at, signal.SIGTERM), (kill_at, signal.SIGKILL)):
            if status.step == step:
                os.kill(os.getpid(), number)

    _, average = fit(task, recipe, open_run(recipe, device="cpu", resume=resume, on_status=end))
    return average


def log(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_the_best_weights_are_kept_and_the_run_ends_as_it_would(tmp_path: Path) -> None:
    """Evaluated before the first step and after 2, 4, 6 and 8; of two equals the first stays."""
    task = Toy([0.9, 0.1, 0.5, 0.3, 0.5])
    train(task, tmp_path, **BY_SCORE)
    record = {"step": 4, "figure": "score", "value": 0.5}
    assert read_best(tmp_path) == json.loads((tmp_path / BEST / BEST_RECORD).read_text()) == record
    assert [line["step"] for line in log(tmp_path) if line.get("event") == "evaluation"] == [0, 2, 4, 6, 8]
    assert [(line["step"], line["best_score"]) for line in log(tmp_path) if line.get("event") == "best"] == [
        (2, 0.1), (4, 0.5)]
    assert load_file(tmp_path / BEST / STATE).keys() == {"slope"}
    assert torch.equal(task.learner.slope, task.judged[-1])
    assert not torch.equal(task.learner.slope, task.judged[2])
    assert load_best(task.learner, tmp_path) == record
    assert torch.equal(task.learner.slope, task.judged[2])
    assert task.learner.slope.requires_grad


def test_with_an_average_it_is_the_average_that_is_judged_and_kept(tmp_path: Path) -> None:
    task = Toy([0.0, 0.1, 0.2, 0.3, 0.4])
    average = train(task, tmp_path, ema=0.5, **BY_SCORE)
    assert average is not None
    live = task.learner.slope.detach().clone()
    load_best(task.learner, tmp_path)
    assert torch.equal(task.learner.slope, average.values["slope"])
    assert not torch.equal(task.learner.slope, live)


@pytest.mark.parametrize("steps", [7, 8])
def test_the_last_step_is_judged_once(steps: int, tmp_path: Path) -> None:
    train(Toy([0.0, 0.1, 0.2, 0.3, 0.9]), tmp_path, steps=steps, **BY_SCORE)
    assert read_best(tmp_path) == {"step": steps, "figure": "score", "value": 0.9}


def test_a_resumed_run_keeps_the_best_so_far(tmp_path: Path) -> None:
    first, second = Toy([0.0, 0.2, 0.8]), Toy([0.7, 0.6])
    with pytest.raises(KeyboardInterrupt):
        train(first, tmp_path, stop_at=5, **BY_SCORE)
    train(second, tmp_path, **BY_SCORE)
    assert read_best(tmp_path) == {"step": 4, "figure": "score", "value": 0.8}
    load_best(second.learner, tmp_path)
    assert torch.equal(second.learner.slope, first.judged[2])


def test_another_figure_a_restart_or_a_new_run_forgets_the_best(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Toy([0.0, 0.2, 0.8]), tmp_path, stop_at=5, **BY_SCORE)
    with pytest.raises(KeyboardInterrupt):
        train(Toy([0.7]), tmp_path, stop_at=6, evaluate_every=2, best="other")
    assert read_best(tmp_path) == {"step": 6, "figure": "other", "value": 1.0}
    train(Toy([0.0, 0.1, 0.2, 0.3, 0.1]), tmp_path, resume=False, **BY_SCORE)
    assert read_best(tmp_path) == {"step": 6, "figure": "score", "value": 0.3}
    shutil.rmtree(tmp_path / FOLDER)  # as if the run had been killed before its first checkpoint
    train(Toy(), tmp_path)
    assert read_best(tmp_path) is None


def test_an_unknown_figure_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.best is 'scare', .* expected one of other, score"):
        train(Toy(), tmp_path, evaluate_every=2, best="scare")
    assert not [line for line in log(tmp_path) if "loss" in line]


def test_a_figure_that_is_no_number_is_never_best(tmp_path: Path) -> None:
    train(Toy([0.0, math.nan, 0.1, math.nan, -1.0]), tmp_path, **BY_SCORE)
    assert read_best(tmp_path) == {"step": 4, "figure": "score", "value": 0.1}


def test_best_needs_evaluations() -> None:
    with pytest.raises(ValueError, match="best is score, but evaluate_every is 0; set the steps between evaluations"):
        TrainingConfig(best="score")


def test_a_crash_while_the_best_is_written_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Slope()
    checkpoint.save_best(tmp_path, {"step": 1, "figure": "score", "value": 0.1}, module)

    def half(tensors: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="disk is full"):
        checkpoint.save_best(tmp_path, {"step": 2, "figure": "score", "value": 0.2}, module)
    assert load_best(Slope(), tmp_path) == {"step": 1, "figure": "score", "value": 0.1}


def test_best_weights_that_are_missing_of_other_networks_or_damaged(tmp_path: Path) -> None:
    module = Slope()
    assert load_best(module, tmp_path) is None
    checkpoint.save_best(tmp_path, {"step": 1, "figure": "score", "value": 0.1}, nn.Linear(3, 2))
    with pytest.raises(ConfigError, match=r"are of other networks than this recipe's; restore the recipe"):
        load_best(module, tmp_path)
    (tmp_path / BEST / STATE).write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"are damaged: .*; delete that file"):
        load_best(module, tmp_path)
    assert torch.equal(module.slope, torch.zeros(2, 1))


def test_evaluations_without_a_figure_to_choose_by_are_logged_alone(tmp_path: Path) -> None:
    task = Toy()
    train(task, tmp_path, evaluate_every=3)
    assert [line["step"] for line in log(tmp_path) if line.get("event") == "evaluation"] == [3, 6]
    assert task.pictures == 0
    assert not (tmp_path / BEST).exists()


def test_a_picture_and_an_evaluation_of_one_step_judge_once(tmp_path: Path) -> None:
    task = Toy()
    train(task, tmp_path, evaluate_every=2, sample_every=4)
    assert (len(task.judged), task.pictures) == (4, 2)


def test_the_other_processes_neither_evaluate_nor_write_but_wait(tmp_path: Path) -> None:
    class Other:
        """Another process than the first."""

        is_main_process, waited = False, 0

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def wait_for_everyone(self) -> None:
            self.waited += 1

    task, recipe = Toy(), make_recipe(tmp_path, **BY_SCORE)
    real = open_run(recipe, device="cpu")
    other = Other(real.accelerator)
    fit(task, recipe, Run(tmp_path, other, real.started))
    assert not task.judged
    assert {file.name for file in tmp_path.iterdir()} == {"recipe.json"}
    assert other.waited == 1 + 5 + 1  # the beginning, the evaluations, the last checkpoint


@pytest.mark.parametrize(("every", "expected"), [(0, []), (1, [1, 2, 3, 4]), (2, [2, 4]), (9, [])])
def test_what_is_due(every: int, expected: list[int]) -> None:
    assert [step for step in range(1, 5) if is_due(every, step)] == expected


FREE = {"evaluate_every": 3, "best": "score", "tensorboard": True, "gradient_checkpointing": True}


def test_evaluating_changes_nothing_in_the_weights(tmp_path: Path) -> None:
    plain, looked_at = Toy(), Toy()
    train(plain, tmp_path / "plain", ema=0.9)
    train(looked_at, tmp_path / "looked-at", ema=0.9, **FREE)
    assert torch.equal(plain.learner.slope, looked_at.learner.slope)
    digests = [recipe_digest(make_recipe(tmp_path, **training)) for training in ({}, FREE, {"lr": 0.2})]
    assert digests[0] == digests[1] != digests[2]


def test_a_restart_forgets_what_was_drawn(tmp_path: Path) -> None:
    train(Toy(), tmp_path, tensorboard=True)
    drawn = set((tmp_path / "tensorboard").iterdir())
    train(Toy(), tmp_path, resume=False)
    assert drawn
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("every", [2, 3])
def test_a_kill_loses_the_steps_since_the_last_checkpoint_and_no_more(every: int, tmp_path: Path) -> None:
    """SIGKILL after step 5, in a process of its own; what goes on from there ends as if nothing had happened."""
    script = ("import runpy, sys; from pathlib import Path; toy = runpy.run_path(sys.argv[1]); "
              "toy['train'](toy['Toy'](), Path(sys.argv[2]), kill_at=5, checkpoint_every=int(sys.argv[3]), ema=0.9)")
    killed, settings = tmp_path / "killed", {"checkpoint_every": every, "ema": 0.9}
    done = subprocess.run([sys.executable, "-c", script, __file__, str(killed), str(every)], check=False)
    assert done.returncode == -signal.SIGKILL
    last = 5 - 5 % every
    assert latest_checkpoint(killed) == killed / FOLDER / f"step-{last:08d}"
    before = len(log(killed))
    straight, resumed = Toy(), Toy()
    averages = [train(straight, tmp_path / "straight", **settings), train(resumed, killed, **settings)]
    assert [line["step"] for line in log(killed)[before:] if "loss" in line] == list(range(last + 1, 9))
    assert torch.equal(straight.learner.slope, resumed.learner.slope)
    assert torch.equal(*(average.values["slope"] for average in averages if average is not None))


def test_a_checkpoint_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    """What a kill in the middle of writing leaves behind."""
    with pytest.raises(KeyboardInterrupt):
        train(Toy(), tmp_path, stop_at=3)
    half = tmp_path / FOLDER / ".building-abc"
    half.mkdir()
    (half / STATE).write_bytes(b"half")
    assert latest_checkpoint(tmp_path) == tmp_path / FOLDER / "step-00000003"
    train(Toy(), tmp_path)
    assert [line["step"] for line in log(tmp_path) if "loss" in line] == list(range(1, 9))


def test_every_line_of_figures_says_how_much_memory_was_needed(tmp_path: Path) -> None:
    train(Toy(), tmp_path, evaluate_every=4)
    lines = [line for line in log(tmp_path) if "loss" in line or line.get("event") == "evaluation"]
    peaks = [line["peak_memory_mb"] for line in lines]
    assert peaks == sorted(peaks)
    assert peaks[-1] == pytest.approx(peak_memory_bytes(torch.device("cpu")) / 1e6, abs=50)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells it there")
def test_peak_memory_is_what_the_system_says_in_bytes() -> None:
    status = Path("/proc/self/status").read_text()
    high, = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_memory_bytes(torch.device("cpu")) == pytest.approx(high * 1024, rel=0.05)


def test_on_a_gpu_it_is_the_memory_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: {torch.device("cuda:1"): 123}[device])
    assert peak_memory_bytes(torch.device("cuda:1")) == 123
