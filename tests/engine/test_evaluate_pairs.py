"""Protocols of correspondence and segmentation: values where maps are known, the whole way with ``tiny``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from sketchfusion.canvas import Canvas
from sketchfusion.engine import evaluate_pairs
from sketchfusion.engine.evaluate import Evaluation, evaluate
from sketchfusion.engine.evaluate_pairs import iou_by_threshold, thresholds
from sketchfusion.engine.protocol_data import read_split
from sketchfusion.engine.protocols import Iou, KeyPoints, Protocol, find_protocol
from sketchfusion.errors import DataError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.segmentation import intersection_over_union


def means(found: Evaluation) -> dict[str, float]:
    return {name: measure.mean for name, measure in found.result.measures.items()}


POINTS = "16;240;16;240;128;128;100;60", "16;16;240;240;128;64;100;200"


@pytest.fixture
def plant_psc6k(tmp_path: Path) -> Callable[..., Path]:
    """``plant_psc6k(xs, side=256)``: a photo and two sketches; the first has the photo's points, the second ``xs``."""

    def plant(xs: str = POINTS[0], side: int = 256) -> Path:
        rows = []
        for number, own in enumerate((POINTS[0], xs)):
            photo, sketch = "photo/tx_000000000000/ant/n1.jpg", f"sketch/tx_000000000000/ant/n1-{number}.png"
            for place in (photo, sketch):
                (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
                image = Image.new("RGB", (side, side), "white")
                ImageDraw.Draw(image).ellipse((20, 30, 200, 220), outline="black", width=4)
                image.save(tmp_path / place)
            rows.append(",".join([photo, sketch, "1", *POINTS, own, POINTS[1]]))
        (tmp_path / "test_pairs_ps.csv").write_text("\n".join(["photo,sketch,class,XA,YA,XB,YB", *rows]))
        return tmp_path

    return plant


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feature maps whose cells say where they are, so that each point is found at its own place."""
    monkeypatch.setattr(evaluate_pairs, "maps_of", lambda model, method, canvas: torch.eye(1024).unflatten(
        1, (32, 32))[None].expand(len(canvas), -1, -1, -1))


@pytest.mark.usefixtures("placed")
def test_points_that_are_found_and_points_that_are_not(plant_psc6k: Callable[..., Path],
                                                       tiny_model: SketchFusion) -> None:
    moved = "236;20;16;240;128;128;100;60"  # two of eight are elsewhere in the second sketch
    found = evaluate(tiny_model, "psc6k", plant_psc6k(moved))
    assert found.result.measures["PCK@5"].values == (1.0, 0.75)
    assert (found.photos, found.sketches) == (1, 2)
    points = Protocol("own", "correspondence", "psc6k", (KeyPoints(5), KeyPoints(5, per="point")), "whole", "test")
    both = evaluate(tiny_model, points, plant_psc6k(moved)).result
    values = both.measures["PCK@5 (points)"].values
    assert len(values) == len(both.queries["points"]) == 32
    assert (sum(values[:16]), sum(values[16:])) == (16, 12)
    assert both.queries["points"][17].endswith("n1.jpg, photo to sketch 1")
    assert both.groups == {"queries": (0, 0), "points": (0,) * 32}
    assert values[16:18] == (0.0, 0.0)


@pytest.mark.parametrize(("strict", "expected"), [(False, 1.0), (True, 0.5)])
def test_strict_is_below_the_limit(plant_psc6k: Callable[..., Path], tiny_model: SketchFusion, strict: bool,
                                   expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the points are found exactly 10 % of 256 px = 25.6 px beside their place."""
    beside = torch.tensor([25.6, 0.0], dtype=torch.float64) * torch.tensor([[1.0], [0.0]] * 4)
    monkeypatch.setattr(evaluate_pairs, "find_in_maps", lambda model, rows, maps, canvas: [(beside, None)])
    monkeypatch.setattr(evaluate_pairs, "framed", lambda asked, true, rounded: (asked, true * 0))
    own = Protocol("own", "correspondence", "psc6k", (KeyPoints(10, strict=strict),), "whole", "test")
    assert means(evaluate(tiny_model, own, plant_psc6k())) == {"PCK@10": expected}


def test_published_points_are_pixel_numbers_where_they_are_rounded() -> None:
    asked, true = evaluate_pairs.framed(torch.tensor([[1.4, 2.0]]), torch.tensor([[3.4, 4.0]]), rounded=True)
    assert asked.tolist() == [[1.5, 2.5]]
    assert true[0].tolist() == pytest.approx([3.9, 4.5])


def test_pictures_of_other_classes_may_be_missing(plant_psc6k: Callable[..., Path]) -> None:
    table = plant_psc6k() / "test_pairs_ps.csv"
    table.write_text(table.read_text() + "\n" + table.read_text().splitlines()[1].replace("/ant/", "/bat/"))
    assert len(read_split(find_protocol("psc6k"), table.parent, classes=["ant"]).key_points) == 2
    with pytest.raises(DataError, match=r"names 2 pictures that are not in .*/bat/n1.jpg"):
        read_split(find_protocol("psc6k"), table.parent)


def test_other_classes_of_pacs_may_be_missing(pacs: Path) -> None:
    cats = read_split(find_protocol("pacs"), pacs).part(["cat"])
    shutil.rmtree(pacs / "photo" / "house")
    found = read_split(find_protocol("pacs-instances"), pacs, classes=["cat"])
    assert (found.photos, found.pairs) == (cats.photos, cats.pairs)


@pytest.mark.usefixtures("placed")
def test_pictures_of_another_size_do_not_fit_the_points(plant_psc6k: Callable[..., Path],
                                                        tiny_model: SketchFusion) -> None:
    with pytest.raises(DataError, match=r"n1-0.png has 240 x 240 pixels, but the points of psc6k are for 256 x 256"):
        evaluate(tiny_model, "psc6k", plant_psc6k(side=240))


SEGMENTATION = Protocol("own", "segmentation", "masked", (Iou(), Iou("both"), Iou(per="class")), "pictures", "test")


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Ten photos of 64 px with a dark square in the middle, 32 px wide, its mask, and an all but black sketch."""
    square = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(square).rectangle((16, 16, 47, 47), fill=255)
    sketch = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(sketch).rectangle((4, 4, 59, 59), fill="black")
    for number in range(10):
        for part, picture in (("photos", Image.eval(square, lambda level: 255 - level).convert("RGB")),
                              ("masks", square), ("sketches", sketch)):
            (tmp_path / part / "box").mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / part / "box" / f"{number}.png")
    return tmp_path


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of 16 x 16 cells: how dark a cell is, and 0.2. Cosine with a black sketch: 1 where dark, 0.2 where light."""

    def maps(model: object, method: str, canvas: Canvas) -> Tensor:
        ink = F.avg_pool2d(1 - canvas.images_01.mean(1, keepdim=True), 4)
        return torch.cat([ink, torch.full_like(ink, 0.2)], dim=1)

    monkeypatch.setattr(evaluate_pairs, "maps_of", maps)


@pytest.mark.usefixtures("dark")
def test_segmentation_by_hand(masked: Path, tiny_model: SketchFusion) -> None:
    """The cosine falls to 0.47 at 2.6 px from the outermost dark cells' centres: a ring of 4 x 28 px is taken too."""
    found = evaluate(tiny_model, SEGMENTATION, masked)
    box, ring = 32 ** 2, 4 * 28
    iou, ground = box / (box + ring), (64 ** 2 - box - ring) / (64 ** 2 - box)
    assert means(found) == pytest.approx({"mIoU foreground": iou, "mIoU both": (iou + ground) / 2,
                                          "mIoU foreground (classes)": iou}, abs=1e-6)
    assert len(found.result.queries["queries"]) == 2
    assert "threshold 0.470 of the cosine, the model's own" in found.notes
    best = evaluate(tiny_model, SEGMENTATION, masked, method="B-CLIP")
    assert means(best)["mIoU foreground"] == 1.0
    assert best.notes[0].endswith("the best on 2 other pairs")
    assert best.result.data == found.result.data


def test_what_was_learned_has_no_part_in_a_baselines_masks(masked: Path,
                                                           make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny()
    refined = find_protocol("segmentation")
    assert refined.refined
    before = means(evaluate(model, refined, masked, method="B-CLIP"))
    with torch.no_grad():
        model.heads.segmentation.log_softness.add_(2.0)
        model.heads.segmentation.threshold.add_(0.3)
    assert means(evaluate(model, refined, masked, method="B-CLIP")) == before


@pytest.mark.usefixtures("dark")
def test_a_mask_of_another_size_is_refused(masked: Path, tiny_model: SketchFusion) -> None:
    for file in (masked / "masks" / "box").iterdir():
        Image.new("L", (32, 64), 255).save(file)
    with pytest.raises(DataError, match=r"mask .* has 32 x 64 pixels and its photo 64 x 64"):
        evaluate(tiny_model, SEGMENTATION, masked)


@pytest.mark.usefixtures("dark")
@pytest.mark.parametrize(("mode", "text"), [("L", "marks nothing: its highest level is 1"), ("P", "has a palette")])
@pytest.mark.parametrize("method", ["fused", "B-CLIP"])
def test_masks_of_labels_are_refused(masked: Path, tiny_model: SketchFusion, mode: str, text: str, method: str) -> None:
    """They would be read as empty, and an empty mask found for them would be perfect."""
    for file in (masked / "masks" / "box").iterdir():
        with Image.open(file) as mask:
            labels = Image.eval(mask, lambda level: level // 255)
        if mode == "P":
            labels.putpalette([0, 0, 0, 128, 0, 0])
        labels.save(file)
    with pytest.raises(DataError, match=rf"the mask .*\d\.png {text}"):
        evaluate(tiny_model, SEGMENTATION, masked, method=method)


def test_one_cut_out_is_in_one_split_and_one_group(masked: Path, tiny_model: SketchFusion) -> None:
    """Ten composites of five cut-outs."""
    (masked / "samples.jsonl").write_text("\n".join(json.dumps(
        {"id": str(number), "photo": f"photos/box/{number}.png", "cutout": f"box/{number // 2}.jpg", "sketches": []})
        for number in range(10)))
    protocol = find_protocol("composites-segmentation-plain")
    parts = {split: read_split(protocol, masked, split).masked for split in ("train", "validation", "test")}
    origins = {split: {pair.photo.origin for pair in pairs} for split, pairs in parts.items()}
    assert {split: len(pairs) for split, pairs in parts.items()} == {"train": 6, "validation": 2, "test": 2}
    assert sum(len(each) for each in origins.values()) == len(set().union(*origins.values())) == 5
    assert evaluate(tiny_model, protocol, masked).result.groups == {"queries": (0, 0)}


def test_iou_at_every_threshold_is_that_of_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    similarity = torch.rand(7, 9, generator=generator) * 2 - 1
    truth = torch.rand(7, 9, generator=generator) > 0.6
    fast = iou_by_threshold(similarity, truth)
    for step in range(0, len(fast), 37):
        mask = similarity.double() >= thresholds()[step]
        assert float(fast[step]) == pytest.approx(float(intersection_over_union(mask[None], truth[None])))


def test_dense_tasks_go_the_whole_way(masked: Path, tiny_model: SketchFusion,
                                      plant_psc6k: Callable[..., Path]) -> None:
    plain = find_protocol("segmentation-plain")
    for method in ("fused", "B-SD+CLIP"):
        values = means(evaluate(tiny_model, plain, masked, method=method))
        assert all(0 <= value <= 1 for value in values.values())
    refined = evaluate(tiny_model, "segmentation", masked, method="B-CLIP")
    assert refined.result.measures.keys() == set(values)
    assert 0 <= means(evaluate(tiny_model, "psc6k", plant_psc6k(), method="B-CLIP"))["PCK@10"] <= 1
