"""The checker: counts, everything wrong at once, equal files, decoding, and the table of data sets."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from sketchfusion.data.sets import SETS, check, find_set, read_set
from sketchfusion.data.sets.check import equal_files, measure
from sketchfusion.data.sets.classes import load_split
from sketchfusion.data.sets.registry import DataSet
from sketchfusion.errors import ConfigError

Plant = Callable[..., Path]
PlantSketchy = Callable[[Iterable[str]], Path]


@pytest.fixture
def small(plant: Plant) -> Path:
    """Own folders: two classes with real pictures."""
    root = plant("photos/dog/1.png", "photos/cat/1.png", "sketches/dog/1.png", "sketches/cat/1.png")
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        Image.new("L", (8, 8 + number), 40 * number).save(file)
    return root


def test_a_sound_folder(small: Path) -> None:
    report = check("folders", small, deep=True)
    assert report.ok
    assert {count.what: count.found for count in report.counts} == {"classes": 2, "photos": 2, "sketches": 2}
    assert (report.problems, report.doubled, report.doubled_files, report.notes) == ((), (), 0, ())
    assert report.deep


def test_everything_wrong_is_told_at_once(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    seen, unseen = load_split("sketchy-21")
    root = plant_sketchy(seen + unseen)
    plant("256x256/sketch/tx_000000000000/ant/n77_1-4.png", "256x256/photo/tx_000000000000/dinosaur/1.jpg")
    shutil.rmtree(root / "256x256/sketch/tx_000000000000/zebra")
    plant("info/invalid-error.txt", content=b"n01_2-1\n")
    report = check("sketchy", root)
    assert not report.ok
    assert [problem.kind for problem in report.problems] == ["unknown", "missing", "wrong"] + ["count"] * 4
    texts = [problem.text for problem in report.problems]
    assert "dinosaur" in texts[0]
    assert "zebra" in texts[1]
    assert "ant/n77_1-4.png" in texts[2]
    assert texts[3] == "250 photos, published are 12,500"
    assert texts[4] == "373 sketches, published are 75,471 or 75,481"
    assert report.notes == ("124 sketches are kept although info/invalid-*.txt lists them",)
    assert "sketchy.eye.gatech.edu" in report.source


def test_photos_that_occur_twice_are_told(plant_sketchy: PlantSketchy) -> None:
    report = check("sketchy-extended", plant_sketchy(["ant"]))
    assert any("2 photos of the extension are photos of 256x256/photo once more" in note for note in report.notes)


@pytest.mark.parametrize("name", SETS)
def test_nothing_there_is_missing_and_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        report = check(name, folder)
        assert not report.ok
        assert {problem.kind for problem in report.problems} <= {"missing", "wrong"}
        assert report.source
        assert report.layout


def test_a_reader_that_gives_up_is_a_problem(plant: Plant) -> None:
    report = check("psc6k", plant("test_pairs_ps.csv", content=b"photo;sketch\n"))
    assert [problem.kind for problem in report.problems] == ["wrong"]
    assert "expected the header" in report.problems[0].text


def test_equal_files(plant: Plant) -> None:
    root = plant("photos/dog/1.jpg", "photos/dog/2.jpg", "photos/cat/3.jpg", content=b"same")
    plant("photos/dog/4.jpg", content=b"diff")
    plant("sketches/dog/1.png", "sketches/cat/1.png")
    report = check("folders", root)
    assert report.ok
    assert report.doubled == (("photos/cat/3.jpg", "photos/dog/1.jpg", "photos/dog/2.jpg"),)
    assert report.doubled_files == 2


def test_only_files_of_equal_size_are_read(plant: Plant) -> None:
    root = plant("a.jpg", content=b"12")
    plant("b.jpg", content=b"123")
    plant("c.jpg", "d.jpg", content=b"1234")
    calls: list[tuple[int, int]] = []
    groups = equal_files([root / name for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "gone.jpg", "gone2.jpg")],
                         lambda done, total: calls.append((done, total)))
    assert groups == [[root / "c.jpg", root / "d.jpg"]]
    assert calls == [(1, 2), (2, 2)]


def test_deep_finds_what_cannot_be_decoded(small: Path, plant: Plant) -> None:
    plant("photos/dog/broken.jpg", content=b"no picture")
    assert check("folders", small).ok
    calls: list[tuple[int, int]] = []
    report = check("folders", small, deep=True, on_progress=lambda done, total: calls.append((done, total)))
    assert [problem.kind for problem in report.problems] == ["unreadable"]
    assert "broken.jpg is not a picture" in report.problems[0].text
    assert calls[-1] == (5, 5)


def test_deep_reads_drawings(plant: Plant) -> None:
    root = plant("cat.ndjson", content=b'{"drawing": [[[1], [2]]]}\n{"drawing": 5}\n')
    kinds = [problem.kind for problem in check("quickdraw", root, deep=True).problems]
    assert kinds == ["missing", "unreadable"]  # the lack of classes is told once


@pytest.fixture
def masked(plant: Plant) -> Path:
    """Two classes of three photos with a mask and a sketch each."""
    root = plant(*(f"{part}/{name}/{number}{ending}.png" for name in ("cat", "dog") for number in (1, 2, 3)
                   for part, ending in (("photos", ""), ("masks", ""), ("sketches", "-1"))))
    for file in sorted(root.rglob("*.png")):
        Image.new("L", (8, 8), 255).save(file)
    return root


def test_deep_looks_at_every_mask(masked: Path) -> None:
    Image.new("L", (8, 9), 255).save(masked / "masks/dog/1.png")
    Image.new("L", (8, 8), 127).save(masked / "masks/dog/2.png")
    Image.new("P", (8, 8), 255).save(masked / "masks/dog/3.png")
    problems = check("masked", masked, deep=True).problems
    assert [problem.kind for problem in problems] == ["unreadable"] * 3
    assert "1.png has 8 x 9 pixels and its photo 8 x 8" in problems[0].text
    assert "2.png marks nothing: its highest level is 127; expected levels above 127" in problems[1].text
    assert "3.png has a palette" in problems[2].text


def test_one_mask_of_each_class_is_always_looked_at(masked: Path) -> None:
    assert check("masked", masked).ok
    for name in ("cat", "dog"):
        for number in (1, 2, 3):
            Image.new("L", (8, 8), 1).save(masked / f"masks/{name}/{number}.png")
    for deep, files in ((False, ["cat/1.png", "dog/1.png"]),
                        (True, [f"{name}/{number}.png" for name in ("cat", "dog") for number in (1, 2, 3)])):
        texts = [problem.text for problem in check("masked", masked, deep=deep).problems]
        assert len(texts) == len(files)
        assert all(f"{file} marks nothing: its highest level is 1" in text
                   for file, text in zip(files, texts, strict=True))


def test_a_mask_fits_the_upright_photo(plant: Plant) -> None:
    """As it is evaluated."""
    root = plant("photos/dog/1.jpg", "masks/dog/1.png", "sketches/dog/1-1.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (9, 8)).save(root / "photos/dog/1.jpg", exif=turned)
    Image.new("L", (8, 9), 255).save(root / "masks/dog/1.png")
    Image.new("L", (8, 9), 200).save(root / "sketches/dog/1-1.png")
    assert check("masked", root, deep=True).ok
    Image.new("L", (9, 8), 255).save(root / "masks/dog/1.png")
    assert "1.png has 9 x 8 pixels and its photo 8 x 9" in check("masked", root).problems[0].text


def test_equal_files_of_drawings(plant: Plant) -> None:
    root = plant("cat.ndjson", "dog.ndjson", content=b'{"drawing": [[[1], [2]]]}\n')
    plant("ant.ndjson", content=b'{"drawing": [[[3], [2]]]}\n')
    report = check("quickdraw", root)
    assert (report.doubled, report.doubled_files) == ((("cat.ndjson", "dog.ndjson"),), 1)


def test_a_class_in_two_folders_is_wrong(plant: Plant) -> None:
    root = plant("png/hot air balloon/1.png", "png/hot-air_balloon/2.png")
    assert [problem.kind for problem in check("tu-berlin", root).problems] == ["wrong", "missing", "count"]


def test_a_report_is_plain_json(small: Path) -> None:
    shutil.rmtree(small / "sketches/dog")
    told = json.loads(json.dumps(check("folders", small).as_dict()))
    assert told["ok"] is False
    assert told["problems"][0]["kind"] == "missing"
    assert told["counts"][0] == {"what": "classes", "found": 2, "published": []}


@pytest.mark.parametrize("row", SETS.values(), ids=SETS)
def test_rows_are_complete(row: DataSet, small: Path) -> None:
    assert all((row.title, row.layout, row.source, row.licence))
    assert set(row.published) <= {*measure(read_set("folders", small)), "unseen classes", "unseen photos",
                                  "unseen sketches"}
    first = next(iter(inspect.signature(row.read).parameters))
    assert first == "folder"
    assert inspect.getdoc(row.read)


def test_no_such_data_set() -> None:
    with pytest.raises(ConfigError, match="there is no data set 'Sketchi'; did you mean sketchy"):
        find_set("Sketchi")
    with pytest.raises(ConfigError, match="there is no data set '9'; expected one of sketchy, sketchy-extended"):
        find_set("9")


def test_reading_by_name(small: Path) -> None:
    assert read_set("folders", str(small), classes=["dog"]).class_names == ("dog",)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "place"), [("quickdraw", "quickdraw"), ("pacs", "pacs_dev")])
def test_real_data_are_sound(name: str, place: str, data_root: Path) -> None:
    if not (data_root / place).is_dir():
        pytest.skip(f"{data_root} holds no {place}")
    report = check(name, data_root / place)
    assert report.ok, report.problems
