"""TensorBoard gets the numbers of the log under the same names, and nothing is written unless it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sketchfusion.engine.config import DataConfig, Recipe, TrainingConfig
from sketchfusion.engine.run import Run, write_log
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.tracking import FOLDER, NoTracker, open_tracker, remove_tracked
from sketchfusion.errors import ConfigError

ON = TrainingConfig(tensorboard=True)
LINES: list[dict[str, Any]] = [
    {"event": "start", "device": "cpu", "parameters": 12, "recipe": {"seed": 0}},
    {"step": 10, "loss": 0.5, "lr": 1e-3, "peak_memory_mb": 100.5},
    {"event": "evaluation", "step": 10, "category_mAP@all": 0.25},
    {"step": 20, "loss": 0.25, "lr": 5e-4, "peak_memory_mb": 101.0},
    {"event": "saved", "folder": "fusion"},
]


def read(output: Path) -> dict[str, dict[int, float]]:
    """Name -> step -> value, as TensorBoard shows them."""
    events = EventAccumulator(str(output / FOLDER))
    events.Reload()
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    def make(**training: Any) -> Run:
        recipe = Recipe(output=str(tmp_path), data=DataConfig(), training=TrainingConfig(**training))
        return open_run(recipe, device="cpu")

    return make


def test_all_numbers_of_the_log_are_there_under_their_names(make_run: Callable[..., Run]) -> None:
    run = make_run(tensorboard=True)
    for line in LINES:
        write_log(run, line)
    expected = {"parameters": {0: 12}, "loss": {10: 0.5, 20: 0.25}, "lr": {10: 1e-3, 20: 5e-4},
                "peak_memory_mb": {10: 100.5, 20: 101.0}, "category_mAP@all": {10: 0.25}}
    found = read(run.output)  # without closing: a killed process leaves what it wrote
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(values) for name, values in expected.items())
    assert [json.loads(line) for line in (run.output / "log.jsonl").read_text().splitlines()] == LINES
    run.tracker.close()


def test_off_it_writes_the_log_alone(make_run: Callable[..., Run]) -> None:
    run = make_run()
    for line in LINES:
        write_log(run, line)
    run.tracker.close()
    assert isinstance(run.tracker, NoTracker)
    assert [file.name for file in run.output.iterdir()] == ["log.jsonl"]


def test_steps_that_are_done_anew_replace_what_was_drawn(tmp_path: Path) -> None:
    """Killed after step 30 and resumed from step 10: the first numbers come with the step that it begins from."""
    killed = open_tracker(ON, tmp_path)
    for step in (0, 10, 20, 30):
        killed.scalars(step, {"loss": 1.0})
    killed.close()
    resumed = open_tracker(ON, tmp_path)
    resumed.scalars(10, {"parameters": 12})
    resumed.scalars(20, {"loss": 2.0})
    resumed.close()
    assert read(tmp_path)["loss"] == {0: 1.0, 10: 1.0, 20: 2.0}


def test_what_comes_after_closing_is_added(tmp_path: Path) -> None:
    tracker = open_tracker(ON, tmp_path)
    tracker.scalars(5, {"loss": 1.0})
    tracker.close()
    tracker.scalars(5, {"score": 0.5})
    tracker.close()
    tracker.close()
    assert read(tmp_path) == {"loss": {5: 1.0}, "score": {5: 0.5}}


def test_nothing_is_written_before_the_first_number_so_that_a_restart_can_forget(tmp_path: Path) -> None:
    open_tracker(ON, tmp_path).close()
    assert not (tmp_path / FOLDER).exists()
    tracker = open_tracker(ON, tmp_path)
    tracker.scalars(1, {"loss": 1.0})
    tracker.close()
    remove_tracked(tmp_path)
    assert not (tmp_path / FOLDER).exists()
    remove_tracked(tmp_path)


def test_without_the_package_it_says_what_to_install(make_run: Callable[..., Run],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"package is missing: pip install 'sketchfusion\[tensorboard\]'"):
        make_run(tensorboard=True)
    assert isinstance(make_run().tracker, NoTracker)
