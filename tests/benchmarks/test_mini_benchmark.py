"""The command behind the figures of `mini`: what it adds up, what it prints, and that it times what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sketchfusion import Gallery, SketchFusion

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = ("measuring", "mini_backbones", "mini_speed", "mini")  # in the order of their imports


@pytest.fixture(scope="module")
def modules(load_modules: Any) -> Any:
    """Name -> module of benchmarks/."""
    return load_modules(*MODULES)


def figures(mean: float) -> dict[str, dict[str, float]]:
    return {"mAP@all": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}}


def test_the_table_shows_every_method_with_its_interval_in_per_cent(modules: Any) -> None:
    methods = {"fused": figures(0.25), "chance": figures(0.1)}
    report = {"retrieval": {"methods": methods}}
    lines = modules["mini"].markdown(report).splitlines()
    assert lines[0] == "| method | mAP@all |"
    assert "| fused | 25.0 (24.0-26.0) |" in lines
    assert "| chance | 10.0 (9.0-11.0) |" in lines


def test_every_part_of_a_query_is_timed(modules: Any, tiny_model: SketchFusion, photo_folder: Path, sketch_file: Path,
                                        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules["mini_speed"], "REPEATS", 2)
    monkeypatch.setattr(modules["mini_speed"], "WARM_UP", 1)
    gallery = Gallery.create(tmp_path / "gallery", tiny_model)
    gallery.update([photo_folder], tiny_model)
    found = modules["mini_speed"].measure_query(tiny_model, gallery, sketch_file)
    assert list(found) == ["VAE", "UNet", "CLIP", "fusion", "store", "query"]
    assert all(value > 0 for value in found.values())
