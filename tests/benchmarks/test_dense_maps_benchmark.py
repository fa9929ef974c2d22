"""The benchmark of dense maps: what it compares, on maps small enough to see."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from sketchfusion.index.record import DENSE_RANK


@pytest.fixture
def dense_maps(load_modules: Callable[..., dict[str, ModuleType]]) -> Any:
    return load_modules("measuring", "dense_maps")["dense_maps"]


def test_every_way_of_keeping_a_map_gives_one_back(dense_maps: Any) -> None:
    feature_map = torch.randn(64, 16, 16, generator=torch.Generator().manual_seed(0))
    kept = dense_maps.keep(feature_map)
    assert torch.equal(kept[dense_maps.WHOLE][1], feature_map)
    assert f"rank {DENSE_RANK}" in kept
    assert {name: found.shape for name, (_, found) in kept.items()} == {
        name: (64, 8, 8) if name == "side 8" else (64, 16, 16) for name in kept}
    sizes = {name: size for name, (size, _) in kept.items()}
    assert sizes[dense_maps.WHOLE] == 2 * sizes["whole, float16"] == 4 * 64 * 256
    assert sizes["rank 8"] < sizes["rank 16"] < sizes["rank 32"] < sizes["whole, float16"]


def test_differences_are_paired_and_missing_pairs_left_out(dense_maps: Any) -> None:
    nothing = float("nan")  # a pair none of whose points is seen
    whole = torch.tensor([1.0, 0.5, nothing, 0.0])
    values = {dense_maps.WHOLE: dict.fromkeys(("PCK@5", "PCK@10", "IoU"), whole),
              "rank 4": dict.fromkeys(("PCK@5", "PCK@10", "IoU"), whole - 0.25)}
    report = dense_maps.compared(values)
    assert report[dense_maps.WHOLE]["IoU"] == 0.5
    assert report[dense_maps.WHOLE]["IoU difference"] == {"difference": 0, "low": 0, "high": 0}
    assert report["rank 4"]["PCK@10"] == 0.25
    assert report["rank 4"]["PCK@10 difference"] == pytest.approx({"difference": -0.25, "low": -0.25, "high": -0.25})
