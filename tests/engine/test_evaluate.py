"""Running protocols: values where descriptors and maps are known, the whole way with ``tiny``, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from sketchfusion.canvas import Canvas
from sketchfusion.data.pacs import read_pacs
from sketchfusion.data.sets import Picture, read_drawing, read_quickdraw
from sketchfusion.engine import evaluate as runner
from sketchfusion.engine import evaluate_pairs
from sketchfusion.engine.evaluate import Evaluation, evaluate
from sketchfusion.engine.evaluate_pairs import iou_by_threshold, thresholds
from sketchfusion.engine.methods import maps_of, opened, side_by_side
from sketchfusion.engine.pacs_retrieval import describe_all, judge_pacs
from sketchfusion.engine.protocols import Iou, KeyPoints, Protocol, Recognised, find_protocol
from sketchfusion.engine.results import Result, compare
from sketchfusion.errors import ConfigError, DataError, ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.segmentation import intersection_over_union
from sketchfusion.sketches import render

Draw = Callable[[tuple[int, int], int], Image.Image]
Vector = Callable[[Picture], Tensor]
METHODS = ("fused", "B-CLIP", "B-SD", "B-SD+CLIP", "HOG")


def means(found: Evaluation) -> dict[str, float]:
    return {name: measure.mean for name, measure in found.result.measures.items()}


@pytest.fixture
def know(monkeypatch: pytest.MonkeyPatch) -> Callable[[Vector], None]:
    """``know(vector)``: descriptors are what ``vector`` says of each picture; nothing is read."""

    def know(vector: Vector) -> None:
        def describe(model: object, method: str, pictures: Sequence[Picture], kind: str, *, batch_size: int,
                     advance: Callable[[int], None]) -> Tensor:
            advance(len(pictures))
            return F.normalize(torch.stack([vector(picture) for picture in pictures]), dim=1)

        monkeypatch.setattr(runner, "describe", describe)

    return know


@pytest.fixture
def folders(tmp_path: Path, draw_picture: Draw) -> Path:
    """Two classes of three photos and two sketches."""
    for seed, name in enumerate(("cat", "house")):
        for side, count in (("photos", 3), ("sketches", 2)):
            (tmp_path / side / name).mkdir(parents=True)
            for index in range(count):
                draw_picture((40, 30), 100 * seed + index).save(tmp_path / side / name / f"{index}.png")
    return tmp_path


def by_class(picture: Picture) -> Tensor:
    return torch.eye(4)[["cat", "house", "dog", "cup"].index(picture.class_name)]


def test_perfect_descriptors_give_one(folders: Path, tiny_model: SketchFusion, know: Callable[[Vector], None]) -> None:
    know(by_class)
    steps: list[tuple[int, int]] = []
    found = evaluate(tiny_model, "folders", folders, on_progress=lambda *step: steps.append(step))
    assert means(found) == {"mAP@all": 1.0, "P@100": 0.5}  # 3 of 6 photos are of the class
    assert (found.photos, found.sketches, found.split) == (6, 4, "test")
    assert steps[-1] == (14, 14)  # ten pictures, four rankings
    assert found.notes == ("4 queries, 6 photos in the gallery",)


def test_average_precision_by_hand(folders: Path, tiny_model: SketchFusion, know: Callable[[Vector], None],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos stand on a line, so that the ranking for every cat is cat 0, house 0, cat 1, house 1, ..."""
    def on_a_line(picture: Picture) -> Tensor:
        if "sketches" in picture.path.parts:
            return torch.tensor([1.0, 0.0])
        angle = 0.1 * (2 * int(picture.path.stem) + (picture.class_name == "house"))
        return torch.tensor([1.0, angle])

    know(on_a_line)
    monkeypatch.setattr(runner, "CHUNK", 7)  # one query at a time
    measures = evaluate(tiny_model, "folders", folders).result
    cat, house = (1 + 2 / 3 + 3 / 5) / 3, (1 / 2 + 2 / 4 + 3 / 6) / 3
    assert measures.queries["queries"] == ("sketches/cat/0.png", "sketches/cat/1.png", "sketches/house/0.png",
                                           "sketches/house/1.png")
    assert measures.measures["mAP@all"].values == pytest.approx([cat, cat, house, house], abs=1e-6)


def test_pacs_is_judged_as_the_benchmark_does(pacs: Path, tiny_model: SketchFusion,
                                              know: Callable[[Vector], None]) -> None:
    folder = read_pacs(pacs)
    generator = torch.Generator().manual_seed(3)
    drawn = {item.path: torch.randn(6, generator=generator) for item in (*folder.photos, *folder.sketches)}
    sketches, photos = (F.normalize(torch.stack([drawn[item.path] for item in items]), dim=1)
                        for items in (folder.sketches, folder.photos))
    expected = {name: float(values.mean()) for name, values in judge_pacs(folder, sketches, photos).items()}
    know(lambda picture: drawn[picture.path])
    found = means(evaluate(tiny_model, "pacs", pacs)) | means(evaluate(tiny_model, "pacs-instances", pacs))
    assert found == pytest.approx(expected, abs=1e-6)


def test_instances_are_searched_among_all_unseen_classes(tmp_path: Path, tiny_model: SketchFusion,
                                                         know: Callable[[Vector], None]) -> None:
    for name in ("bat", "cow"):
        for place in (f"photo/tx_000000000000/{name}/n1_1.jpg", f"photo/tx_000000000000/{name}/n1_2.jpg",
                      f"sketch/tx_000000000000/{name}/n1_1-1.png", f"sketch/tx_000000000000/{name}/n1_2-1.png"):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).touch()
    know(lambda picture: torch.eye(2)[int(picture.instance[-1]) - 1])  # right instance, blind to the class
    found = evaluate(tiny_model, "sketchy-21-instances", tmp_path, classes=["cow", "bat"])
    assert means(found) == {"Acc@1": 0.5, "Acc@5": 1.0}
    assert found.result.protocol == "sketchy-21-instances, test split, bat, cow only"
    assert found.result.queries["queries"][0] == (
        "sketch/tx_000000000000/bat/n1_1-1.png > photo/tx_000000000000/bat/n1_1.jpg")


def test_every_method_goes_the_whole_way(folders: Path, tiny_model: SketchFusion, tmp_path: Path) -> None:
    results = {}
    for method in METHODS:
        found = evaluate(tiny_model, "folders", folders, method=method, batch_size=4)
        saved = found.result.save(tmp_path / f"{method}.json")
        results[method] = Result.load(saved)
        assert results[method].settings["evaluation"]["method"] == method
        assert results[method].settings["evaluation"]["split"] == "test"
    assert len({result.fingerprint for result in results.values()}) == len(METHODS)
    assert len({result.data for result in results.values()}) == 1
    assert results["fused"].model == "tiny"
    assert results["B-SD"].model == "tiny, B-SD"
    assert (results["HOG"].model, results["HOG"].seeds) == ("HOG", ())
    assert len(compare(results["HOG"], results["fused"]).measures) == 2  # same queries, files and definitions
    assert results["fused"].measures["mAP@all"].values != results["B-CLIP"].measures["mAP@all"].values


def test_baselines_are_pooled_as_in_the_benchmark(pacs: Path, tiny_model: SketchFusion) -> None:
    folder = read_pacs(pacs)
    both = [describe_all(tiny_model, [item.path for item in items], kind, baselines=True)
            for items, kind in ((folder.sketches, "sketch"), (folder.photos, "photo"))]
    expected = judge_pacs(folder, both[0]["B-SD+CLIP (max)"], both[1]["B-SD+CLIP (max)"])["mAP@all"]
    found = evaluate(tiny_model, "pacs", pacs, method="B-SD+CLIP", batch_size=32).result.measures["mAP@all"]
    assert found.mean == pytest.approx(float(expected.mean()), abs=1e-5)


RECOGNITION = Protocol("own-recognition", "recognition", "folders",
                       (Recognised(1), Recognised(2), Recognised(1, "class")), "pictures", "test")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Ten sketches of cats, twenty of houses; pictures are only names."""
    for name, count in (("cat", 10), ("house", 20)):
        for place in ("photos", "sketches"):
            (tmp_path / place / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.png").touch()
        for index in range(count):
            (tmp_path / "sketches" / name / f"{index}.png").write_text(f"{name} {index}")
    return tmp_path


def test_nearest_class_mean(many: Path, tiny_model: SketchFusion, know: Callable[[Vector], None]) -> None:
    know(by_class)
    perfect = evaluate(tiny_model, RECOGNITION, many, method="B-CLIP")
    assert means(perfect) == {"Acc@1": 1.0, "Acc@2": 1.0, "Acc@1 (classes)": 1.0}
    tests = perfect.result.queries["queries"]
    assert len(tests) == 2 + 4
    know(lambda item: by_class(item) if item.path.relative_to(many).as_posix() not in tests else torch.eye(4)[0])
    found = evaluate(tiny_model, RECOGNITION, many, method="B-CLIP")  # all tests look like cats: 2 of 6, 1 of 2 classes
    assert means(found) == pytest.approx({"Acc@1": 1 / 3, "Acc@2": 1.0, "Acc@1 (classes)": 0.5}, abs=1e-6)
    assert found.result.queries["classes"] == ("cat", "house")
    assert "nearest class mean" in found.notes[-1]
    validated = evaluate(tiny_model, RECOGNITION, many, method="B-CLIP", split="validation")
    assert not set(validated.result.queries["queries"]) & set(tests)
    assert validated.result.protocol == "own-recognition, validation split"


def test_the_head_is_asked_about_the_classes_of_the_data(many: Path, make_tiny: Callable[..., SketchFusion],
                                                         know: Callable[[Vector], None]) -> None:
    model = make_tiny()
    know(lambda picture: F.pad(by_class(picture), (0, model.descriptor_size - 4)))
    assert evaluate(model, RECOGNITION, many).notes[-1].endswith("the model has no recognition head")
    model.learn_anew(0, ["house", "dragon", "cat"])
    head = model.heads.recognition
    assert head is not None
    head.eval()
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))  # "dragon" would win, but no sketch shows one
        head.linear.weight[0, 1] = head.linear.weight[2, 0] = 1.0
    assert means(evaluate(model, RECOGNITION, many))["Acc@1"] == 1.0
    model.learn_anew(0, ["cat", "dragon"])
    with pytest.raises(ConfigError, match="does not know 1 of 2 classes, such as house"):
        evaluate(model, RECOGNITION, many)


def test_drawings_are_read_in_one_pass(tmp_path: Path) -> None:
    for name, count in (("cat", 4), ("dog", 2)):
        (tmp_path / f"{name}.ndjson").write_text("\n".join(
            json.dumps({"word": name, "drawing": [[[0, 20 * index + 20], [0, 50]]]}) for index in range(count)))
    sketches = [item for item in read_quickdraw(tmp_path, classes=["cat", "dog"]).sketches if item.line != 2]
    pictures = list(opened(sketches))
    assert len(pictures) == 4
    for item, picture in zip(sketches, pictures, strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(render(read_drawing(item))))
    with pytest.raises(DataError, match=r"cat.ndjson has no drawing 9"):
        list(opened([Picture(tmp_path / "cat.ndjson", "cat", "", 9)]))


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
    assert values[16:18] == (0.0, 0.0)


@pytest.mark.parametrize(("strict", "expected"), [(False, 1.0), (True, 0.5)])
def test_strict_is_below_the_limit(plant_psc6k: Callable[..., Path], tiny_model: SketchFusion, strict: bool,
                                   expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the points are found exactly 10 % of 256 px = 25.6 px beside their place."""
    beside = torch.tensor([25.6, 0.0], dtype=torch.float64) * torch.tensor([[1.0], [0.0]] * 4)
    monkeypatch.setattr(evaluate_pairs, "find_points", lambda model, source, target, points: points * 0 + beside)
    monkeypatch.setattr(evaluate_pairs, "framed", lambda asked, true, rounded: (asked, true * 0))
    own = Protocol("own", "correspondence", "psc6k", (KeyPoints(10, strict=strict),), "whole", "test")
    assert means(evaluate(tiny_model, own, plant_psc6k())) == {"PCK@10": expected}


def test_published_points_are_pixel_numbers_where_they_are_rounded() -> None:
    asked, true = evaluate_pairs.framed(torch.tensor([[1.4, 2.0]]), torch.tensor([[3.4, 4.0]]), rounded=True)
    assert asked.tolist() == [[1.5, 2.5]]
    assert true[0].tolist() == pytest.approx([3.9, 4.5])


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
    assert best.notes[-1].endswith("the best on 2 other pairs")
    assert best.result.data == found.result.data


@pytest.mark.usefixtures("dark")
def test_a_mask_of_another_size_is_refused(masked: Path, tiny_model: SketchFusion) -> None:
    for file in (masked / "masks" / "box").iterdir():
        Image.new("L", (32, 64)).save(file)
    with pytest.raises(DataError, match=r"mask .* has 32 x 64 pixels and its photo 64 x 64"):
        evaluate(tiny_model, SEGMENTATION, masked)


def test_iou_at_every_threshold_is_that_of_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    similarity = torch.rand(7, 9, generator=generator) * 2 - 1
    truth = torch.rand(7, 9, generator=generator) > 0.6
    fast = iou_by_threshold(similarity, truth)
    for step in range(0, len(fast), 37):
        mask = similarity.double() >= thresholds()[step]
        assert float(fast[step]) == pytest.approx(float(intersection_over_union(mask[None], truth[None])))


@pytest.mark.parametrize("method", METHODS[:-1])
def test_maps_of_every_method(tiny_model: SketchFusion, pictures: list[Image.Image], method: str) -> None:
    canvas = Canvas.stack([tiny_model.read(picture, "photo") for picture in pictures[:2]])
    maps = maps_of(tiny_model, method, canvas)  # type: ignore[arg-type]
    assert maps.shape[0] == 2
    assert torch.isfinite(maps).all()
    if method == "fused":
        assert torch.equal(maps, tiny_model.features_of(canvas).feature_map)
    assert not torch.allclose(maps[0], maps[1])


def test_the_cosine_of_maps_side_by_side_is_the_mean_of_their_cosines() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, channels, 5, 4, generator=generator) for channels in (3, 6)]
    one, other = side_by_side(parts)
    expected = sum(F.cosine_similarity(part[0], part[1], dim=0) for part in parts) / 2
    assert torch.allclose(F.cosine_similarity(one, other, dim=0), expected, atol=1e-6)
    assert side_by_side([parts[0], parts[1][:, :, :2, :2]]).shape == (2, 9, 5, 4)


def test_dense_tasks_go_the_whole_way(masked: Path, tiny_model: SketchFusion,
                                      plant_psc6k: Callable[..., Path]) -> None:
    plain = find_protocol("segmentation-plain")
    for method in ("fused", "B-SD+CLIP"):
        values = means(evaluate(tiny_model, plain, masked, method=method))
        assert all(0 <= value <= 1 for value in values.values())
    refined = evaluate(tiny_model, "segmentation", masked, method="B-CLIP")
    assert refined.result.measures.keys() == set(values)
    assert 0 <= means(evaluate(tiny_model, "psc6k", plant_psc6k(), method="B-CLIP"))["PCK@10"] <= 1


@pytest.mark.parametrize(("protocol", "method", "split", "text"), [
    ("psc6k", "HOG", "test", "HOG cannot do correspondence: it gives one vector per picture and no feature map"),
    ("segmentation", "HOG", "test", "HOG cannot do segmentation"),
    ("folders", "B-MAE", "test", "unknown method 'B-MAE'; choose one of fused, B-CLIP, B-DINO, B-DINOv2, B-SD"),
    ("folders", "fused", "train", "split must be validation or test"),
    ("folders", "fused", "validation", "folders has no validation split")])
def test_what_cannot_be_done(folders: Path, tiny_model: SketchFusion, protocol: str, method: str, split: str,
                             text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        evaluate(tiny_model, protocol, folders, method=method, split=split)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["fused", "HOG"])
def test_a_picture_that_cannot_be_used_is_named(folders: Path, tiny_model: SketchFusion, method: str) -> None:
    (folders / "photos" / "cat" / "1.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"photos/cat/1\.png"):
        evaluate(tiny_model, "folders", folders, method=method)  # type: ignore[arg-type]


def test_other_content_is_other_data(folders: Path, tiny_model: SketchFusion, know: Callable[[Vector], None]) -> None:
    know(by_class)
    first = evaluate(tiny_model, "folders", folders).result
    (folders / "photos" / "cat" / "1.png").write_text("something else")
    second = evaluate(tiny_model, "folders", folders).result
    with pytest.raises(DataError, match="the results are of different data"):
        compare(first, second)


def test_a_few_real_pictures(data_root: Path, tmp_path: Path, tiny_model: SketchFusion) -> None:
    folder = read_pacs(data_root / "pacs_dev")
    for items in (folder.photos, folder.sketches):
        for name in folder.class_names[:2]:
            for item in [item for item in items if item.class_name == name][:4]:
                place = tmp_path / item.path.relative_to(data_root / "pacs_dev")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(item.path)
    for method in ("fused", "HOG"):
        found = evaluate(tiny_model, "pacs", tmp_path, method=method)  # type: ignore[arg-type]
        assert (found.photos, found.sketches) == (8, 8)
        assert 0.3 < means(found)["mAP@all"] <= 1
