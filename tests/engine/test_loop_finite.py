"""What is not finite ends a run; what lies on the disk is from before, and the run goes on from there."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine import loop
from sketchfusion.engine.averaging import Average
from sketchfusion.engine.checkpoint import BEST, FOLDER, STATE, collect, latest_checkpoint
from sketchfusion.engine.config import DataConfig, Recipe, TrainingConfig
from sketchfusion.engine.meter import Meter
from sketchfusion.engine.run import Run
from sketchfusion.engine.runtime import open_run
from sketchfusion.errors import DataError, SketchFusionError

TRAINING: dict[str, Any] = {"steps": 8, "batch_size": 1, "lr": 0.1, "warmup": 0, "log_every": 100, "sample_every": 0,
                            "checkpoint_every": 0, "ema": 0.5}
SPOILT = 4  # number of the batch, so it is the step after four
GOOD = {"step-00000001", "step-00000002", "step-00000003", "step-00000004"}
Spoil = Callable[[Tensor, Tensor], Tensor]
SPOIL: dict[str, Spoil] = {
    "nan": lambda loss, slope: loss * math.nan,
    "infinite": lambda loss, slope: loss * math.inf,
    "gradient alone": lambda loss, slope: loss + (slope - slope.detach()).abs().sum().sqrt(),  # 0, whose root is steep
    "loss alone": lambda loss, slope: loss + math.inf}


class Slope(nn.Module):
    """Learns the factor between two numbers, but that one batch may be spoilt and SIGTERM come with one."""

    def __init__(self, spoil: Spoil | None, stopped: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(2, 1))
        self.spoil, self.stopped = spoil, stopped

    def forward(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        given = torch.randn(16, 2, generator=generator_for("cpu", "toy", number))
        loss = ((given @ self.slope - given.sum(1, keepdim=True)) ** 2).mean()
        if number == self.stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.spoil(loss, self.slope) if self.spoil and number == SPOILT else loss, {}


class Toy:
    """Counts how often it is judged and pictured."""

    def __init__(self, spoil: Spoil | None = None, *, stopped: int = -1) -> None:
        self.learner, self.looks = Slope(spoil, stopped), 0

    def evaluate(self) -> dict[str, float]:
        self.looks += 1
        return {"score": float(self.looks)}

    def picture(self, file: Path) -> None:
        pass


def make_recipe(output: Path, **training: Any) -> Recipe:
    return Recipe(output=str(output), data=DataConfig(), training=TrainingConfig(**TRAINING | training))


def train(task: Toy, output: Path, **training: Any) -> Average | None:
    recipe = make_recipe(output, **training)
    return loop.fit(task, recipe, open_run(recipe, device="cpu"))[1]


def kept(output: Path) -> set[str]:
    """Names of the checkpoints."""
    return {folder.name for folder in (output / FOLDER).glob("*")}


def all_finite(output: Path) -> bool:
    return all(value.isfinite().all() for file in output.rglob("*.safetensors") for value in load_file(file).values())


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize(("training", "looks"), [
    ({"log_every": 1}, 0), ({"checkpoint_every": 1}, 0), ({"sample_every": 1}, 4),
    ({"evaluate_every": 1, "best": "score", "checkpoint_every": 2}, 1 + 4), ({}, 0)],
    ids=["log", "checkpoint", "picture", "evaluation", "end"])
def test_after_it_nothing_is_kept_and_nothing_judged(training: dict[str, Any], looks: int, how: str,
                                                     tmp_path: Path) -> None:
    task = Toy(SPOIL[how])
    with pytest.raises(SketchFusionError, match=r"not finite at step 5, and nothing was kept .* lower training\.lr"):
        train(task, tmp_path, **training)
    assert kept(tmp_path) <= GOOD
    assert all_finite(tmp_path)
    assert task.looks == looks
    assert task.learner.slope.isfinite().all()
    assert (tmp_path / BEST).exists() == ("best" in training)


def test_a_run_that_is_stopped_or_out_of_time_does_not_keep_it_either(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SketchFusionError, match=r"at step 5, .* go on from the start, and"):
        train(Toy(SPOIL["nan"], stopped=SPOILT + 1), tmp_path / "stopped")
    monkeypatch.setattr(Meter, "share", lambda self, step: float(step >= 6))
    with pytest.raises(SketchFusionError, match=r"at step 5, .* go on from step-00000003"):
        train(Toy(SPOIL["nan"]), tmp_path / "late", checkpoint_every=3, steps=1000)
    assert not kept(tmp_path / "stopped")
    assert kept(tmp_path / "late") == {"step-00000003"}
    assert all_finite(tmp_path)


def test_the_step_is_told_after_going_on_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(Toy(stopped=1), tmp_path)
    assert kept(tmp_path) == {"step-00000002"}
    with pytest.raises(SketchFusionError, match=r"at step 5, .* go on from step-00000002"):
        train(Toy(SPOIL["nan"]), tmp_path)


def test_a_run_goes_on_from_before_as_if_nothing_had_happened(tmp_path: Path) -> None:
    straight, resumed = Toy(), Toy()
    with pytest.raises(SketchFusionError):
        train(Toy(SPOIL["nan"]), tmp_path / "spoilt", checkpoint_every=3)
    assert latest_checkpoint(tmp_path / "spoilt") == tmp_path / "spoilt" / FOLDER / "step-00000003"
    averages = [train(straight, tmp_path / "straight"), train(resumed, tmp_path / "spoilt")]
    assert torch.equal(straight.learner.slope, resumed.learner.slope)
    assert torch.equal(*(average.values["slope"] for average in averages if average is not None))


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
@pytest.mark.parametrize("how", ["nan", "infinite", "gradient alone"])
def test_such_a_gradient_moves_neither_weights_nor_moments(how: str, clip_norm: float, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, clip_norm=clip_norm)
    learner, accelerator = Slope(SPOIL[how], -1), open_run(recipe, device="cpu").accelerator
    optimizer = loop.make_optimizer(learner, recipe.training)
    states = []
    for number in (0, SPOILT, 1):
        _, finite = loop._step(learner, optimizer, recipe.training, accelerator, number)
        assert bool(finite) == (number != SPOILT)
        states.append({name: value.clone() for name, value in collect(learner, optimizer, None).items()})
    assert len(states[0]) == 4  # weights, two moments, steps
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not any(torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_without_clipping_a_finite_gradient_stays_as_it_is(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, clip_norm=0.0)
    learner, plain, accelerator = Slope(None, -1), Slope(None, -1), open_run(recipe, device="cpu").accelerator
    optimizer, other = (loop.make_optimizer(module, recipe.training) for module in (learner, plain))
    for number in range(3):
        loop._step(learner, optimizer, recipe.training, accelerator, number)
        plain(number)[0].backward()
        other.step()
        other.zero_grad()
    assert torch.equal(learner.slope, plain.slope)


def test_if_it_is_another_process_this_one_ends_too(tmp_path: Path) -> None:
    class Both:
        """This process and one whose first step was spoilt."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def gather(self, mine: Tensor) -> Tensor:
            return torch.cat([mine, torch.zeros_like(mine)])

    recipe = make_recipe(tmp_path, checkpoint_every=2)
    run = open_run(recipe, device="cpu")
    with pytest.raises(SketchFusionError, match="at step 1, "):
        loop.fit(Toy(), recipe, Run(tmp_path, Both(run.accelerator), run.started))
    assert not kept(tmp_path)


def test_a_checkpoint_that_is_not_finite_is_refused_and_the_one_before_is_good(tmp_path: Path) -> None:
    """Such as earlier versions wrote."""
    straight, resumed = Toy(), Toy()
    train(straight, tmp_path, checkpoint_every=4)
    last = tmp_path / FOLDER / "step-00000008"
    state = load_file(last / STATE)
    save_file(state | {"model/slope": state["model/slope"] * math.nan}, last / STATE)
    with pytest.raises(DataError, match=r"step-00000008 is damaged: model/slope is not finite; delete that folder"):
        train(Toy(), tmp_path)
    shutil.rmtree(last)
    train(resumed, tmp_path)
    assert torch.equal(straight.learner.slope, resumed.learner.slope)
