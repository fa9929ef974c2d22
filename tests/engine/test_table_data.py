"""Which data of a table are there: found by their usual names or where the user says, missing, or broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sketchfusion.data.sets import Picture
from sketchfusion.data.world import write_world
from sketchfusion.engine.protocol_data import size_note
from sketchfusion.engine.protocols import find_protocol
from sketchfusion.engine.table_data import Skip, class_note, find_folder, merged, named_folders, read_table
from sketchfusion.engine.tables import find_table
from sketchfusion.errors import ConfigError, DataError

Draw = Callable[[tuple[int, int], int], Image.Image]


@pytest.fixture
def root(tmp_path: Path, draw_picture: Draw) -> Path:
    """``pacs`` with one class, and nothing else."""
    for side in ("photo", "sketch"):
        (tmp_path / "pacs" / side / "cat").mkdir(parents=True)
        draw_picture((40, 30), 1).save(tmp_path / "pacs" / side / "cat" / "0.png")
    return tmp_path


def test_usual_names_then_those_that_are_given(root: Path, tmp_path: Path) -> None:
    (root / "pacs_dev").mkdir()
    assert find_folder("pacs", root, {}) == root / "pacs"
    (root / "pacs").rename(root / "elsewhere")
    assert find_folder("pacs", root, {}) == root / "pacs_dev"
    assert find_folder("pacs", root, named_folders([f"pacs={root / 'elsewhere'}"])) == root / "elsewhere"
    assert find_folder("psc6k", root, {}) is None


def test_caltech_and_quickdraw_may_lie_side_by_side(root: Path) -> None:
    (root / "quickdraw").mkdir()
    assert find_folder("caltech-quickdraw", root, {}) is None
    (root / "caltech101").mkdir()
    assert find_folder("caltech-quickdraw", root, {}) == root
    (root / "caltech-quickdraw").mkdir()
    assert find_folder("caltech-quickdraw", root, {}) == root / "caltech-quickdraw"


def test_missing_and_broken_are_told_apart(root: Path) -> None:
    (root / "caltech-quickdraw").mkdir()
    found, skips = read_table(find_table("1"), root, {})
    assert list(found) == ["pacs"]
    kinds = {skip.name: skip.kind for skip in skips}
    assert kinds == {"sketchy-extended": "missing data", "tu-berlin-extended": "missing data",
                     "quickdraw-extended": "missing data", "caltech-quickdraw": "broken data"}
    sketchy = skips[0]
    assert sketchy.protocols == ("sketchy-21",)
    assert sketchy.reason.count("EXTEND_image_sketchy/<class>") == 1  # the layout is told once
    assert "from http://sketchy.eye.gatech.edu" in sketchy.reason  # the reader's own words
    assert "--data-at sketchy-extended=FOLDER" in sketchy.reason
    assert "has no folder of photos" in skips[-1].reason


def test_a_set_of_several_protocols_is_told_once(root: Path) -> None:
    _, skips = read_table(find_table("6"), root, {})
    assert [skip.protocols for skip in skips if skip.name == "composites"] == [
        ("composites-points", "composites-segmentation")]
    one, other = Skip("failed", "a", ("x",), "why"), Skip("failed", "b", ("x",), "why")
    assert merged([one], other) == [one, other]
    again = Skip("failed", "a", ("y",), "why")
    assert merged([one, other], again) == [Skip("failed", "a", ("x", "y"), "why"), other]
    assert len(merged([one], Skip("failed", "a", ("x",), "why else"))) == 2


def test_the_identity_follows_the_files(root: Path, draw_picture: Draw) -> None:
    def identity() -> str:
        return read_table(find_table("2"), root, {})[0]["pacs-instances"].files

    (root / "pacs" / "instance_pairs.csv").write_text("class,photo,sketch\ncat,photo/cat/0.png,sketch/cat/0.png\n")
    first = identity()
    assert identity() == first
    (root / "pacs" / "notes.txt").write_text("no part of it")
    assert identity() == first
    draw_picture((40, 30), 2).save(root / "pacs" / "photo" / "cat" / "0.png")
    assert identity() != first
    second = identity()
    os.utime(root / "pacs" / "sketch" / "cat" / "0.png", (1, 1))
    assert identity() != second


def test_the_identity_has_what_baselines_choose_their_threshold_by(tmp_path: Path) -> None:
    write_world(tmp_path / "world-test", categories=["cup"], photos_per_class=6, size=32)
    table = find_table("5")
    found, _ = read_table(table, tmp_path, {})
    tested = found["world-segmentation"]
    held = {pair.mask for pair in tested.data.masked}
    others = sorted(set((tmp_path / "world-test" / "mask" / "cup").iterdir()) - held)
    changed = set()
    for mask in others:
        before = read_table(table, tmp_path, {})[0]["world-segmentation"].files
        os.utime(mask, (1, 1))
        changed.add(before == read_table(table, tmp_path, {})[0]["world-segmentation"].files)
    assert changed == {True, False}  # validation has a part in it, training has not


def test_pictures_may_lie_beside_their_table(tmp_path: Path, draw_picture: Draw) -> None:
    """PSC6K as published: the table in a folder of its own, the pictures of Sketchy in another next to it."""
    rows, places = [], "16;240;16;240;128;128;100;60"
    for number in range(50):
        photo, sketch = f"photo/tx_000000000000/ant/n{number:02}.jpg", f"sketch/tx_000000000000/ant/n{number:02}-1.png"
        for place in (photo, sketch):
            file = tmp_path / "Sketchy/rendered_256x256/256x256" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            draw_picture((256, 256), number).save(file)
        rows.append(",".join([photo, sketch, "1", *[places] * 4]))
    (tmp_path / "psc6k").mkdir()
    (tmp_path / "psc6k" / "test_pairs_ps.csv").write_text("\n".join(["photo,sketch,class,XA,YA,XB,YB", *rows]))
    found, _ = read_table(find_table("4"), tmp_path, {})
    assert len(found["psc6k"].data.key_points) == 50
    before = found["psc6k"].files
    os.utime(tmp_path / "Sketchy/rendered_256x256/256x256/photo/tx_000000000000/ant/n00.jpg", (1, 1))
    assert read_table(find_table("4"), tmp_path, {})[0]["psc6k"].files != before


def test_a_further_split_may_be_empty(tmp_path: Path, draw_picture: Draw) -> None:
    """One photo in all: it is the test's, and only a method that chooses a threshold lacks something."""
    for part in ("photos", "masks", "sketches"):
        (tmp_path / "masked" / part / "cat").mkdir(parents=True)
        draw_picture((32, 32), 1).convert("L" if part == "masks" else "RGB").save(
            tmp_path / "masked" / part / "cat" / "0.png")
    found, _ = read_table(find_table("5"), tmp_path, {})
    assert len(found["segmentation"].data.masked) == 1


def test_a_smaller_set_than_the_published_one_is_said(root: Path) -> None:
    found, _ = read_table(find_table("1"), root, {})
    assert size_note(find_protocol("sketchy-21"), found["pacs"].data) == (
        f"{root / 'pacs'} holds 1 photos, published are 10,453: these are not quite the paper's data")
    assert size_note(find_protocol("pacs"), found["pacs"].data) == ""
    assert class_note(found["pacs"]) == ""
    several = replace(found["pacs"].data, sketches=found["pacs"].data.sketches * 3
                      + (Picture(root / "a.ndjson", "dog", "", 1),))
    drawn = replace(found["pacs"], protocol=find_protocol("caltech-10"), data=several)
    assert class_note(drawn) == "1 to 3 sketches of each class are judged"


def test_what_is_wrong_is_said(root: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; expected one that holds a folder for each"):
        read_table(find_table("1"), root / "nowhere", {})
    with pytest.raises(ConfigError, match="cannot read 'pacs'; expected a data set and its folder"):
        named_folders(["pacs"])
    with pytest.raises(ConfigError, match="there is no data set 'pacs_'; did you mean pacs"):
        named_folders([f"pacs_={root}"])
    with pytest.raises(ConfigError, match="there is no folder nowhere, which was named for the data set pacs"):
        named_folders(["pacs=nowhere"])
