"""The protocol on a PACS folder, against a slow loop and with vectors whose ranking is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sketchfusion.data.pacs import PacsFolder, read_pacs
from sketchfusion.engine.pacs_retrieval import chance, describe_all, judge_pacs, summary
from sketchfusion.fusion.extractor import SketchFusion


@pytest.fixture
def folder(pacs: Path) -> PacsFolder:
    """What is read of the folder."""
    return read_pacs(pacs)


def test_figures_equal_a_slow_loop(folder: PacsFolder) -> None:
    generator = torch.Generator().manual_seed(3)
    sketches, photos = (F.normalize(torch.randn(len(items), 5, generator=generator), dim=1)
                        for items in (folder.sketches, folder.photos))
    figures = judge_pacs(folder, sketches, photos)
    for row, sketch in enumerate(folder.sketches):
        order = sorted(range(len(folder.photos)), key=lambda column: -float(sketches[row] @ photos[column]))
        hits, total = 0, 0.0
        for place, column in enumerate(order, start=1):
            if folder.photos[column].class_name == sketch.class_name:
                hits += 1
                total += hits / place
        assert float(figures["mAP@all"][row]) == pytest.approx(total / hits)
    drawn = sorted({photo for photo, _ in folder.pairs})
    by_path = {item.path: vector for item, vector in zip(folder.photos, photos, strict=True)}
    for row, (photo, path) in enumerate(folder.pairs):
        query = sketches[[item.path for item in folder.sketches].index(path)]
        best = max(drawn, key=lambda other: float(query @ by_path[other]))
        assert bool(figures["Acc@1"][row]) == (best == photo)


def test_only_drawn_photos_are_in_the_gallery_of_instances(folder: PacsFolder) -> None:
    photos = torch.eye(len(folder.photos))
    undrawn = next(row for row, item in enumerate(folder.photos) if item.path.name == "2.png")
    sketches = photos[undrawn].expand(len(folder.sketches), -1)  # all sketches look like a photo that nobody drew
    figures = judge_pacs(folder, sketches, photos)
    assert figures["Acc@1"].sum() == 2  # all drawn photos tie at 0: the first in order is right for its two sketches


def test_chance_is_what_vectors_by_lot_reach(folder: PacsFolder) -> None:
    figures = summary(chance(folder, draws=300))
    assert figures["Acc@1"]["mean"] == pytest.approx(1 / 4, abs=0.05)
    assert figures["Acc@1"]["low"] <= figures["Acc@1"]["mean"] <= figures["Acc@1"]["high"]


def test_describe_all_gives_the_models_own_descriptors_and_the_baselines(folder: PacsFolder,
                                                                        tiny_model: SketchFusion) -> None:
    files, seen = [item.path for item in folder.photos], []
    found = describe_all(tiny_model, files, "photo", baselines=True, on_progress=lambda *state: seen.append(state))
    torch.testing.assert_close(found["fused"], tiny_model.describe(files))
    assert set(found) == {"fused", *(f"{name} ({how})" for name in ("B-CLIP", "B-SD", "B-SD+CLIP")
                                     for how in ("max", "mean"))}
    assert all(len(value) == len(files) for value in found.values())
    assert seen[-1] == (6, 6)
