"""Sketchy and its extension: layouts, pairs, photos that occur twice, invalid sketches, and broken folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from sketchfusion.data.sets.classes import load_split
from sketchfusion.data.sets.sketchy import read_sketchy, read_sketchy_extended
from sketchfusion.errors import ConfigError, DataError

Plant = Callable[..., Path]
PlantSketchy = Callable[[Iterable[str]], Path]
TWO = ("bat", "ant")  # unseen, seen


def test_photos_sketches_and_pairs(plant_sketchy: PlantSketchy) -> None:
    found = read_sketchy(plant_sketchy(TWO), classes=TWO)
    assert found.class_names == ("ant", "bat")
    assert [photo.path.name for photo in found.photos] == ["n01_10.jpg", "n01_2.jpg"] * 2
    assert [photo.instance for photo in found.photos[:2]] == ["n01_10", "n01_2"]
    assert [sketch.path.name for sketch in found.sketches[:3]] == ["n01_10-1.png", "n01_2-1.png", "n01_2-2.png"]
    assert found.pairs == ((0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 3))
    assert (found.seen, found.unseen) == (("ant",), ("bat",))


@pytest.mark.parametrize("split", ["sketchy-21", "sketchy-25"])
def test_the_whole_data_set(plant_sketchy: PlantSketchy, split: str) -> None:
    seen, unseen = load_split(split)
    found = read_sketchy(plant_sketchy(seen + unseen), split=split)
    assert len(found.class_names) == 125
    assert (found.seen, found.unseen) == (tuple(sorted(seen)), tuple(sorted(unseen)))
    assert len(found.part(unseen).photos) == 2 * len(unseen)


@pytest.mark.parametrize("place", ["", "256x256", "rendered_256x256/256x256", "Sketchy/256x256"])
@pytest.mark.parametrize("ending", ["", "_ready"])
def test_all_layouts(plant: Plant, place: str, ending: str) -> None:
    base = f"data/{place}/" if place else "data/"
    root = plant(f"{base}photo/tx_000000000000{ending}/ant/n1_2.jpg",
                 f"{base}sketch/tx_000000000000{ending}/ant/n1_2-1.png")
    assert read_sketchy(root / "data", classes=["ant"]).pairs == ((0, 0),)


def test_a_photo_in_two_formats(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(TWO)
    plant("EXTEND_image_sketchy/bat/ext_1.png")  # of which nobody drew a sketch
    assert len(read_sketchy_extended(root, classes=TWO).photos) == 7
    plant("256x256/photo/tx_000000000000/bat/n01_2.png")
    with pytest.raises(DataError, match=r"1 photo\(s\) are there twice under one name: bat/n01_2.jpg and n01_2.png"):
        read_sketchy(root, classes=TWO)


def test_two_spellings_of_a_class(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(["hot-air_balloon"])
    plant("256x256/sketch/tx_000000000000/hot air balloon/n01_2-9.png")
    with pytest.raises(DataError, match=r"sketch.* holds the class hot-air_balloon twice, in hot air balloon and "
                                        r"hot-air_balloon; expected one folder of it: move the other away"):
        read_sketchy(root, classes=["hot-air_balloon"])


def test_another_transform(plant: Plant) -> None:
    root = plant("photo/tx_000100000000/ant/n1_2.jpg", "sketch/tx_000100000000/ant/n1_2-1.png")
    assert len(read_sketchy(root, classes=["ant"], transform="tx_000100000000").photos) == 1


def test_names_are_official_however_the_folders_are_spelt(plant: Plant) -> None:
    root = plant("photo/tx_000000000000/hot_air_balloon/n1_2.jpg", "sketch/tx_000000000000/hot-air_balloon/n1_2-1.png")
    assert read_sketchy(root, classes=["hot-air_balloon"]).class_names == ("hot-air_balloon",)


def test_without_a_split(plant_sketchy: PlantSketchy) -> None:
    found = read_sketchy(plant_sketchy(TWO), split=None, classes=TWO)
    assert found.seen is None
    assert found.unseen is None


def test_photos_of_the_extension_that_occur_twice_count_once(plant_sketchy: PlantSketchy) -> None:
    root = plant_sketchy(TWO)
    found = read_sketchy_extended(root, classes=TWO)
    assert [photo.path.relative_to(root).parts[0] for photo in found.photos[:3]] == ["256x256", "256x256",
                                                                                   "EXTEND_image_sketchy"]
    assert len(found.photos) == 6
    assert "4 photos of the extension are photos of 256x256/photo once more; the copies are left out" in found.notes
    assert len(found.pairs) == 6


def test_they_can_be_kept_and_have_no_sketches(plant_sketchy: PlantSketchy) -> None:
    found = read_sketchy_extended(plant_sketchy(TWO), classes=TWO, duplicates="keep")
    assert len(found.photos) == 10
    assert "the copies are kept" in found.notes[0]
    assert {found.photos[photo].path.parent.parent.name for _, photo in found.pairs} == {"tx_000000000000"}


def test_equal_names_in_two_classes_are_two_photos(plant_sketchy: PlantSketchy) -> None:
    root = plant_sketchy(["ant"])
    (root / "EXTEND_image_sketchy/bat").mkdir()
    for side in ("photo", "sketch"):
        shutil.copytree(root / f"256x256/{side}/tx_000000000000/ant", root / f"256x256/{side}/tx_000000000000/bat")
    (root / "256x256/photo/tx_000000000000/bat/n01_2.jpg").unlink()
    (root / "256x256/sketch/tx_000000000000/bat/n01_2-1.png").unlink()
    (root / "256x256/sketch/tx_000000000000/bat/n01_2-2.png").unlink()
    shutil.copy(root / "EXTEND_image_sketchy/ant/n01_2.jpg", root / "EXTEND_image_sketchy/bat/n01_2.jpg")
    found = read_sketchy_extended(root, classes=TWO)
    assert [photo.path.parent.parent.name for photo in found.photos if photo.class_name == "bat"] == [
        "tx_000000000000", "EXTEND_image_sketchy"]


@pytest.mark.parametrize("place", ["EXTEND_image_sketchy_ready", "EXTEND_image_sketchy/all_photo", "extended_photo",
                                   "256x256/EXTEND_image_sketchy"])
def test_layouts_of_the_extension(plant: Plant, place: str) -> None:
    root = plant(f"{place}/ant/n1_2.jpg", f"{place}/ant/ext_7.jpg", "256x256/sketch/tx_000000000000/ant/n1_2-1.png")
    found = read_sketchy_extended(root, classes=["ant"])
    assert [photo.instance for photo in found.photos] == ["ext_7", "n1_2"]
    assert found.pairs == ((0, 1),)
    assert [note for note in found.notes if "extension" in note] == []


def test_invalid_sketches_are_left_out(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(["ant"])
    plant("info/invalid-error.txt", content=b"n01_2-1\r\nn99_9-9\r\n\r\n")
    plant("info/invalid-pose.txt", content=b"ant/n01_10-1.png\n")
    found = read_sketchy(root, classes=["ant"])
    assert [sketch.path.stem for sketch in found.sketches] == ["n01_2-2"]
    assert found.notes == ("2 sketches are left out because info/invalid-*.txt lists them",)
    kept = read_sketchy(root, classes=["ant"], invalid="keep")
    assert len(kept.sketches) == 3
    assert kept.notes == ("2 sketches are kept although info/invalid-*.txt lists them",)


@pytest.mark.parametrize("place", ["256x256/info", "info-06-04/info", "info-06-04"])
def test_invalid_sketches_are_listed_where_the_archive_has_them(plant_sketchy: PlantSketchy, plant: Plant,
                                                                place: str) -> None:
    root = plant_sketchy(["ant"])
    assert read_sketchy(root, classes=["ant"]).notes == (
        "there is no info/invalid-*.txt (archive info-06-04), so no invalid sketch is left out",)
    assert read_sketchy(root, classes=["ant"], invalid="keep").notes == ()
    plant(f"{place}/invalid-context.txt", content=b"n01_2-1\n")
    assert len(read_sketchy(root, classes=["ant"]).sketches) == 2


def test_a_half_is_missing(plant_sketchy: PlantSketchy) -> None:
    root = plant_sketchy(TWO)
    shutil.rmtree(root / "256x256/sketch")
    with pytest.raises(DataError, match=r"256x256 has no folder of sketches; expected one of sketch/tx_000000000000, "):
        read_sketchy(root, classes=TWO)
    with pytest.raises(DataError, match=r"has no folder of photos; expected one of photo/tx_000100000000"):
        read_sketchy(root, classes=TWO, transform="tx_000100000000")


def test_the_extension_is_missing(plant_sketchy: PlantSketchy) -> None:
    root = plant_sketchy(TWO)
    shutil.rmtree(root / "EXTEND_image_sketchy")
    with pytest.raises(DataError, match=r"has no folder of extension photos; expected one of EXTEND_image_sketchy_re"):
        read_sketchy_extended(root, classes=TWO)


def test_classes_are_missing_unknown_or_empty(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(TWO)
    with pytest.raises(DataError, match=r"photo.tx_0+ lacks 123 of 125 classes: airplane, alarm_clock, ape, \.\.\.; "):
        read_sketchy(root)
    (root / "256x256/photo/tx_000000000000/bat/n01_2.jpg").unlink()
    (root / "256x256/photo/tx_000000000000/bat/n01_10.jpg").unlink()
    with pytest.raises(DataError, match=r"has no pictures of 1 class\(es\): bat"):
        read_sketchy(root, classes=TWO)
    seen, unseen = load_split("sketchy-21")
    plant_sketchy(seen + unseen)
    plant("256x256/photo/tx_000000000000/dinosaur/n1_2.jpg", "256x256/photo/tx_000000000000/__MACOSX/x.jpg")
    with pytest.raises(DataError, match=r"has 1 folder\(s\) that are no class of this data set: dinosaur; rename"):
        read_sketchy(root)
    with pytest.raises(DataError, match="sketchy has no class dinosaur; expected some of airplane, alarm_clock"):
        read_sketchy(root, classes=["dinosaur"])


def test_a_sketch_has_no_photo(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(TWO)
    plant("256x256/sketch/tx_000000000000/ant/n77_1-4.png")
    with pytest.raises(DataError, match=r"1 sketch\(es\) have no photo: ant/n77_1-4.png; expected the photo of"):
        read_sketchy(root, classes=TWO)


def test_a_sketch_is_not_named_after_a_photo(plant_sketchy: PlantSketchy, plant: Plant) -> None:
    root = plant_sketchy(TWO)
    plant("256x256/sketch/tx_000000000000/ant/doodle.png")
    with pytest.raises(DataError, match=r"1 sketch\(es\) are not named after a photo: ant/doodle.png; expected names"):
        read_sketchy(root, classes=TWO)


def test_wrong_options(plant_sketchy: PlantSketchy, tmp_path: Path) -> None:
    root = plant_sketchy(TWO)
    with pytest.raises(ConfigError, match="duplicates must be drop or keep, got 'no'"):
        read_sketchy_extended(root, duplicates="no")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is no split 'sketchy-22'"):
        read_sketchy(root, split="sketchy-22")
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; expected one with 256x256/photo"):
        read_sketchy(tmp_path / "nowhere")
