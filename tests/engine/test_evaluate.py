"""Running protocols: values where descriptors are known, the whole way with ``tiny``, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sketchfusion.data.pacs import read_pacs
from sketchfusion.data.sets import Picture, read_drawing, read_quickdraw
from sketchfusion.engine import evaluate as runner
from sketchfusion.engine.evaluate import Evaluation, evaluate
from sketchfusion.engine.methods import opened
from sketchfusion.engine.pacs_retrieval import describe_all, judge_pacs
from sketchfusion.engine.protocols import Protocol, Recognised
from sketchfusion.engine.results import Result, compare
from sketchfusion.errors import BlankPicture, ConfigError, DataError, ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.sketches import render

Draw = Callable[[tuple[int, int], int], Image.Image]
Vector = Callable[[Picture], Tensor]
METHODS = ("fused", "B-CLIP", "B-SD", "B-SD+CLIP", "chance", "HOG")


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
    assert found.notes == (
        "4 queries, 6 photos in the gallery", "P@100 is of all 6 photos, which are fewer",
        "mAP@all, P@100: of 4 independent values only; an interval from fewer than 5 says nothing")


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
    assert found.notes[0] == "class means of 6 to 13 sketches of each class, 10 on average"
    assert "nearest class mean" in found.notes[1]
    assert found.notes[2] == (
        "Acc@1 (classes): of 2 independent values only; an interval from fewer than 5 says nothing")
    validated = evaluate(tiny_model, RECOGNITION, many, method="B-CLIP", split="validation")
    assert not set(validated.result.queries["queries"]) & set(tests)
    assert validated.result.protocol == "own-recognition, validation split"


def test_the_head_is_asked_about_the_classes_of_the_data(many: Path, make_tiny: Callable[..., SketchFusion],
                                                         know: Callable[[Vector], None]) -> None:
    model = make_tiny()
    know(lambda picture: F.pad(by_class(picture), (0, model.descriptor_size - 4)))
    assert evaluate(model, RECOGNITION, many).notes[1].endswith("the model has no recognition head")
    model.learn_anew(0, ["house", "dragon", "cat"])
    head = model.heads.recognition
    assert head is not None
    head.eval()
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))  # "dragon" would win, but no sketch shows one
        head.linear.weight[0, 1] = head.linear.weight[2, 0] = 1.0
    assert means(evaluate(model, RECOGNITION, many))["Acc@1"] == 1.0
    for side in ("photos", "sketches"):
        (many / side / "house").rename(many / side / "motorcycle")
    know(lambda item: F.pad(torch.eye(2)[int(item.class_name != "cat")], (0, model.descriptor_size - 2)))
    head.class_names = ("motorbike", "dragon", "cat")  # as packed data call it
    assert means(evaluate(model, RECOGNITION, many))["Acc@1"] == 1.0
    model.learn_anew(0, ["cat", "dragon"])
    with pytest.raises(ConfigError, match="does not know 1 of 2 classes, such as motorcycle"):
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


def test_a_photo_without_lines_ranks_last_by_hog_and_a_blank_sketch_is_refused(folders: Path) -> None:
    assert not [note for note in evaluate(None, "folders", folders, method="HOG").notes if "blank" in note]
    Image.new("RGB", (40, 30), "grey").save(folders / "photos" / "cat" / "0.png")
    found = evaluate(None, "folders", folders, method="HOG")
    assert "1 of 6 photos are blank to HOG and rank last" in found.notes
    assert found.photos == 6
    Image.new("RGB", (40, 30), "white").save(folders / "sketches" / "cat" / "0.png")
    with pytest.raises(BlankPicture, match=r"0.png: the sketch is blank.*leave it out, or draw it again"):
        evaluate(None, "folders", folders, method="HOG")


def test_sketches_of_one_photo_are_one_group(pacs: Path, folders: Path, tiny_model: SketchFusion) -> None:
    """Of each class the first two sketches show one photo, the third another, the fourth none."""
    for protocol, groups in (("pacs", (0, 0, 1, 2, 3, 3, 4, 5)), ("pacs-instances", (0, 0, 1, 2, 2, 3))):
        assert evaluate(tiny_model, protocol, pacs).result.groups == {"queries": groups}
    assert not evaluate(tiny_model, "folders", folders).result.groups  # nothing says what was drawn of what
