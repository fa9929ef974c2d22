"""The command behind the figures of all tasks: what it adds up, what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def tasks(load_modules: Any) -> Any:
    """benchmarks/tasks.py."""
    return load_modules("tasks")["tasks"]


def figures(mean: float) -> dict[str, dict[str, float]]:
    return {"pacs mAP@all": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}}


def test_all_classes_count_alike(tasks: Any) -> None:
    values, targets = torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([5, 5, 5, 2])
    assert tasks.by_class(values, targets).tolist() == [0.0, 1.0]  # over all drawings it would be .75


def test_over_seeds_has_students_interval(tasks: Any) -> None:
    found = tasks.over_seeds([figures(0.2), figures(0.4), figures(0.3)])["pacs mAP@all"]
    assert found["mean"] == pytest.approx(0.3)
    assert found["std"] == pytest.approx(0.1)
    half = 4.302653 * 0.1 / 3 ** 0.5  # t of 2 degrees of freedom
    assert (found["low"], found["high"]) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))


def test_the_tables_show_means_with_half_their_interval(tasks: Any) -> None:
    seeds = [figures(0.2), figures(0.4), figures(0.3)]
    methods = {"one": {"by_seed": [figures(0.25)], "over_seeds": tasks.over_seeds([figures(0.25)])},
               "three": {"by_seed": seeds, "over_seeds": tasks.over_seeds(seeds)}}
    text = tasks.markdown(methods)
    assert "| one | 25.0 ± 1.0 | - " in text
    assert "| three, 3 seeds | 30.0 ± 24.8 | - " in text
    assert len(text.split("\n\n")) == len(tasks.TABLES)


def test_a_method_needs_a_name_and_folders_that_are_there(tasks: Any, tmp_path: Path) -> None:
    assert tasks.named_folders([f"a={tmp_path} {tmp_path}"]) == {"a": [tmp_path, tmp_path]}
    for wrong in ("a=", f"a={tmp_path / 'nothing'}", str(tmp_path)):
        with pytest.raises(SystemExit, match="expected NAME=FOLDER"):
            tasks.named_folders([wrong])
