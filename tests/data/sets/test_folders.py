"""Data sets in folders by class, and published file lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sketchfusion.data.sets.base import Picture
from sketchfusion.data.sets.classes import load_split
from sketchfusion.data.sets.folders import (
    read_file_list,
    read_folders,
    read_pacs_set,
    read_quickdraw_extended,
    read_tu_berlin,
    read_tu_berlin_extended,
)
from sketchfusion.errors import DataError

Plant = Callable[..., Path]


@pytest.mark.parametrize(("sketches", "photos"), [("png_ready", "ImageResized_ready"), ("png", "ImageResized"),
                                                  ("TU-Berlin/sketches", "TU-Berlin/images")])
def test_tu_berlin(plant: Plant, sketches: str, photos: str) -> None:
    root = plant(f"{sketches}/hot air balloon/8485.png", f"{sketches}/hot air balloon/901.png",
                 f"{sketches}/giraffe/1.png", f"{photos}/hotairballoon/n01_1.JPEG", f"{photos}/griaffe/2.jpg",
                 f"{sketches}/filelist.txt")
    classes = ("giraffe", "hot air balloon")
    found = read_tu_berlin_extended(root, classes=classes)
    assert found.class_names == classes
    assert [(photo.class_name, photo.path.name) for photo in found.photos] == [("giraffe", "2.jpg"),
                                                                              ("hot air balloon", "n01_1.JPEG")]
    assert (found.seen, found.unseen) == (("giraffe",), ("hot air balloon",))
    assert found.pairs == ()
    alone = read_tu_berlin(root, classes=classes)
    assert alone.sketches == found.sketches
    assert alone.photos == ()


def test_all_of_tu_berlin_must_be_there(plant: Plant) -> None:
    seen, unseen = load_split("tuberlin-30")
    root = plant(*(f"png/{name}/1.png" for name in seen + unseen))
    assert len(read_tu_berlin(root).class_names) == 250
    (root / "png/horse/1.png").unlink()
    (root / "png/horse").rmdir()
    with pytest.raises(DataError, match="png lacks 1 of 250 classes: horse; unpack it again"):
        read_tu_berlin(root)


@pytest.mark.parametrize(("one", "other", "name"), [("hot air balloon", "hotairballoon", "hot air balloon"),
                                                    ("giraffe", "griaffe", "giraffe")])
def test_two_folders_of_one_class(plant: Plant, one: str, other: str, name: str) -> None:
    root = plant(f"png/{name}/1.png", f"ImageResized/{one}/1.jpg", f"ImageResized/{other}/2.jpg")
    with pytest.raises(DataError, match=f"ImageResized holds the class {name} twice, in {one} and {other}; expected"):
        read_tu_berlin_extended(root, classes=[name])


@pytest.mark.parametrize(("sketches", "photos"), [("QuickDraw_sketches_final", "QuickDraw_images_final"),
                                                  ("sketches", "images"), ("QuickDraw/sketches", "QuickDraw/images")])
def test_quickdraw_extended(plant: Plant, sketches: str, photos: str) -> None:
    root = plant(f"{sketches}/palm_tree/4522163761577984.png", f"{photos}/palm tree/image_1.jpg",
                 f"{sketches}/ant/1.png", f"{photos}/ant/image_2.jpg", f"{sketches}/bee/1.png")
    found = read_quickdraw_extended(root, classes=["palm tree", "ant"])
    assert found.class_names == ("ant", "palm tree")
    assert (found.seen, found.unseen) == (("ant",), ("palm tree",))
    assert len(found.photos) == len(found.sketches) == 2


def test_any_folders(plant: Plant) -> None:
    root = plant("photos/Dog/1.jpg", "sketches/Dog/a.png", "photos/.trash/x.jpg", "photos/Dog/notes.txt")
    found = read_folders(root)
    assert found.class_names == ("Dog",)
    assert found.photos == (Picture(root / "photos/Dog/1.jpg", "Dog"),)
    plant("photos/cat/1.jpg", "sketches/emu/1.png")
    with pytest.raises(DataError, match=r"1 class\(es\) have photos but no sketches: cat; expected the same on both"):
        read_folders(root)
    assert read_folders(root, classes=["Dog"]) == found


def test_folders_without_a_side_or_a_class(plant: Plant) -> None:
    root = plant("photos/dog/1.jpg")
    with pytest.raises(DataError, match=r"has no folder of sketches; expected one of sketches, sketch, drawings"):
        read_folders(root)
    (root / "sketches").mkdir()
    with pytest.raises(DataError, match=r"sketches has no class; expected one folder of pictures per class"):
        read_folders(root)


def test_pacs_in_the_common_shape(plant: Plant) -> None:
    root = plant("photo/dog/b.jpg", "photo/dog/a.jpg", "photo/dog/c.jpg", "sketch/dog/b-1.png", "sketch/dog/b-2.png",
                 "sketch/dog/z.png")
    (root / "instance_pairs.csv").write_text("class,photo,sketch\ndog,photo/dog/b.jpg,sketch/dog/b-2.png\n"
                                             "dog,photo/dog/b.jpg,sketch/dog/b-1.png\n")
    found = read_pacs_set(root)
    assert [photo.instance for photo in found.photos] == ["", "photo/dog/b.jpg", ""]
    assert [sketch.instance for sketch in found.sketches] == ["photo/dog/b.jpg", "photo/dog/b.jpg", ""]
    assert found.pairs == ((0, 1), (1, 1))
    (root / "instance_pairs.csv").write_text("nonsense\n")
    with pytest.raises(DataError, match="expected the header class,photo,sketch"):
        read_pacs_set(root)


def test_some_classes_of_pacs(plant: Plant) -> None:
    root = plant("photo/dog/b.jpg", "sketch/dog/b-1.png", "photo/cat/c.jpg", "sketch/cat/c-1.png")
    (root / "instance_pairs.csv").write_text("class,photo,sketch\ndog,photo/dog/b.jpg,sketch/dog/b-1.png\n"
                                             "cat,photo/cat/c.jpg,sketch/cat/c-1.png\n")
    dogs = read_pacs_set(root).part(["dog"])
    (root / "photo/cat/c.jpg").unlink()
    assert read_pacs_set(root, classes=["dog"]) == dogs
    with pytest.raises(DataError, match="the class cat has no pictures"):
        read_pacs_set(root)


def test_file_lists_keep_order_and_repetitions(plant: Plant) -> None:
    root = plant("png_ready/hot air balloon/8518.png", "png_ready/horse/3.png")
    table = root / "list.txt"
    table.write_text("png_ready/hot air balloon/8518.png 14\npng_ready/horse/3.png 29\n\npng_ready/horse/3.png 29\n")
    assert [(picture.class_name, picture.path.name) for picture in read_file_list(table, root)] == [
        ("hot air balloon", "8518.png"), ("horse", "3.png"), ("horse", "3.png")]


@pytest.mark.parametrize(("line", "text"), [
    ("png_ready/horse/3.png", r"line 1 is 'png_ready/horse/3.png'; expected <folder>/<class>/<picture> and a class"),
    ("png_ready/horse/4.png 29", r"names 1 pictures that are not there: .*4.png; expected them below"),
    ("horse.png 29", r"line 1 is 'horse.png 29'")])
def test_broken_file_lists(plant: Plant, line: str, text: str) -> None:
    root = plant("png_ready/horse/3.png")
    (root / "list.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=text):
        read_file_list(root / "list.txt", root)


def test_no_file_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*list.txt: .*expected a text file of paths"):
        read_file_list(tmp_path / "list.txt", tmp_path)


@pytest.mark.realdata
def test_real_pacs(data_root: Path) -> None:
    if not (data_root / "pacs_dev").is_dir():
        pytest.skip(f"{data_root} holds no pacs_dev")
    found = read_pacs_set(data_root / "pacs_dev")
    assert (len(found.photos), len(found.pairs)) == (837, 1744)
    assert len({photo for _, photo in found.pairs}) == 273
