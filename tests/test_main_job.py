"""The main job on real photos and real sketches, through the command line, with a SIGKILL in the middle."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "main_job.py"


@pytest.fixture
def main_job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("main_job", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.thorough
def test_real_photos_are_indexed_killed_resumed_and_searched(main_job: ModuleType, data_root: Path,
                                                             tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("airplanes", "dalmatian", "electric_guitar", "camera", "sunflower"):  # a subset: `tiny` is untrained
        (photos / name).symlink_to(data_root / "caltech101" / name)
    freehand = sorted((data_root / "pacs_dev" / "sketch" / "giraffe").iterdir())[0]
    sketches = [f"{data_root / 'quickdraw' / 'camera.ndjson'}#1", f"{data_root / 'quickdraw' / 'guitar.ndjson'}#3",
                str(freehand)]

    report = main_job.run_main_job(photos, sketches, tmp_path / "gallery", "tiny")

    assert report["whole"], report
    assert 0 < report["killed_at"] < report["files"]
    assert report["failures"] == 0
    assert [len(search["results"]) for search in report["searches"]] == [3, 3, 3]
    for search in report["searches"]:
        scores = [hit["score"] for hit in search["results"]]
        assert scores == sorted(scores, reverse=True)
