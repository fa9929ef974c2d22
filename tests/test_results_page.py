"""docs/results.md: its tables are what the result files give, and its verdicts mean what they say."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def results_page() -> Iterator[Any]:
    """scripts/results_page.py."""
    spec = importlib.util.spec_from_file_location("results_page", ROOT / "scripts/results_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "results_page", module)
        spec.loader.exec_module(module)
        yield module


def test_the_page_is_what_the_result_files_give(results_page: Any) -> None:
    page = results_page.PAGE.read_text()
    assert results_page.written(page) == page, "run python scripts/results_page.py"
    for name in results_page.BLOCKS:
        assert f"<!-- begin {name} -->" in page


def test_a_changed_figure_would_be_noticed(results_page: Any) -> None:
    page = results_page.PAGE.read_text()
    assert results_page.written(page.replace("| B-CLIP |", "| B-CLIP, better |")) == page


def test_an_unknown_block_is_refused(results_page: Any) -> None:
    with pytest.raises(SystemExit, match="'nothing'; expected one of paper-1"):
        results_page.written("<!-- begin nothing --><!-- end nothing -->")


def test_a_block_without_an_end_is_refused(results_page: Any) -> None:
    with pytest.raises(SystemExit, match="without an end"):
        results_page.written("<!-- begin trained -->")


def test_differences_are_paired_by_seed(results_page: Any) -> None:
    better = {seed: {"a": 0.5 + 0.1 * seed} for seed in range(4)}
    worse = {seed: {"a": 0.4 + 0.1 * seed} for seed in (1, 2, 3, 7)}  # the seeds differ far more than the two methods
    found = results_page.difference(better, worse, "a")
    assert found.seeds == 3
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0, abs=1e-9)
    assert results_page.difference(better, worse, "b") is None


@pytest.mark.parametrize(("values", "verdict"), [
    ([0.01, 0.012, 0.011], "yes"), ([-0.01, -0.012, -0.011], "reversed"), ([-0.01, 0.02, 0.01], "open"), ([0.3], "?")])
def test_a_verdict_needs_an_interval_off_zero(results_page: Any, values: list[float], verdict: str) -> None:
    assert results_page.Estimate.of(values).verdict == verdict


def test_the_interval_is_students(results_page: Any) -> None:
    found = results_page.Estimate.of([0.2, 0.4, 0.3])
    assert found.half == pytest.approx(4.302653 * 0.1 / math.sqrt(3))  # t of 2 degrees of freedom
    assert str(found) == "30.0 ± 24.8"


@pytest.mark.parametrize(("unit", "value"), [("percent", 28.1), ("share", 0.281)])
def test_shares_and_per_cent_are_shown_alike(results_page: Any, unit: str, value: float) -> None:
    column = {"unit": unit}
    assert results_page.printed(value, column) == "28.1"
    assert results_page.interval({"mean": value, "low": 0.9 * value, "high": 1.2 * value}, column) == "28.1 ± 4.2"
    assert results_page.printed(None, column) == results_page.interval(None, column) == "-"
