"""The drawn world on disk, its contact sheet, and the command that makes both."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli.data import app
from sketchfusion.data.world import contact_sheet, make_sample, save_sheet, write_world
from sketchfusion.data.world.folder import simplify, to_drawing
from sketchfusion.errors import DataError

CHOICE = {"categories": ["cup", "wine glass"], "photos_per_class": 2, "sketches_per_photo": 2, "size": 64,
    "seed": 5}


def read(path):
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "new" / "toy"
    calls = []
    summary = write_world(folder, **CHOICE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (summary.photos, summary.sketches, summary.categories) == (4, 8, 2)
    return folder


def test_files_hold_what_make_sample_gives(written):
    lines = [json.loads(line) for line in (written / "annotations.jsonl").read_text().splitlines()]
    assert [line["instance_id"] for line in lines] == [
        "cup_00000", "cup_00001", "wine_glass_00000", "wine_glass_00001"]
    for line in lines:
        for entry in line["sketches"]:
            sample = make_sample(line["category"], line["instance"], seed=5, size=64,
                variant=entry["variant"])
            assert np.array_equal(read(written / line["photo"]), sample.photo)
            assert np.array_equal(read(written / line["mask"]) > 0, sample.mask)
            assert np.array_equal(read(written / line["parts"]), sample.parts)
            assert np.abs(read(written / entry["file"]).astype(int) - sample.sketch[..., 0]).max() <= 2
            np.testing.assert_allclose(line["keypoints_px"], sample.photo_keypoints_px, atol=0.011)
            np.testing.assert_allclose(entry["keypoints_px"], sample.sketch_keypoints_px, atol=0.011)
            assert line["visible"] == sample.photo_visible.tolist()
            assert entry["visible"] == sample.sketch_visible.tolist()
            assert line["part_names"] == list(sample.part_names)
            assert line["keypoint_names"] == list(sample.keypoint_names)
    assert sorted(path.name for path in written.iterdir()) == [
        "annotations.jsonl", "mask", "parts", "photo", "sketch", "strokes", "world.json"]
    assert json.loads((written / "world.json").read_text())["class_names"] == ["cup", "wine glass"]


def test_strokes_are_in_the_quick_draw_format(written):
    records = [json.loads(line)
        for line in (written / "strokes" / "wine glass.ndjson").read_text().splitlines()]
    assert len(records) == 4
    assert len({record["key_id"] for record in records}) == 4
    for record in records:
        assert record["word"] == "wine glass"
        assert record["key_id"].isdigit()
        assert record["drawing"]
        for xs, ys in record["drawing"]:
            assert len(xs) == len(ys) >= 2
            assert all(isinstance(value, int) and 0 <= value <= 255 for value in (*xs, *ys))


def test_the_folder_appears_only_when_complete(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "toy", **CHOICE, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_world_is_replaced_and_others_are_refused(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    write_world(folder, **CHOICE)
    write_world(folder, **{**CHOICE, "categories": ["key"], "photos_per_class": 1}, image_format="jpg")
    assert [path.name for path in (folder / "photo").iterdir()] == ["key"]
    assert (folder / "photo" / "key" / "key_00000.jpg").exists()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError,
            match=r"toy is not empty and holds other files \(notes.txt\); expected a new or empty"):
        write_world(folder, **CHOICE)
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_foreign_folder_file_and_format_are_refused(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo").mkdir()
    with pytest.raises(DataError, match=r"holds other files \(photo\)"):
        write_world(tmp_path / "holiday", **CHOICE)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; expected a new or empty folder"):
        write_world(tmp_path / "file", **CHOICE)
    with pytest.raises(DataError, match="cannot write the drawn world to"):
        write_world(tmp_path / "file" / "below", **CHOICE)
    with pytest.raises(DataError, match="image_format must be png, jpg or webp, got 'gif'"):
        write_world(tmp_path / "new", **CHOICE, image_format="gif")


def test_contact_sheet(tmp_path):
    sheet = contact_sheet(["cat", "dog", "key"], size=40, columns=2)
    assert sheet.shape == (2 * (2 * 40 + 14), 80, 3)
    assert np.array_equal(sheet[:40, :40], make_sample("cat", 0, size=40).photo)
    assert np.array_equal(sheet[40:80, 40:80], make_sample("dog", 0, size=40).sketch)
    save_sheet(sheet, tmp_path / "a" / "sheet.png")
    assert Image.open(tmp_path / "a" / "sheet.png").size == (80, 188)
    with pytest.raises(DataError,
            match="at least one column and one category, got 0 columns and 1 categories"):
        contact_sheet(["cat"], columns=0)
    with pytest.raises(DataError, match="cannot write the contact sheet"):
        save_sheet(sheet, tmp_path)


def test_command_line(tmp_path):
    arguments = ["make-world", str(tmp_path / "toy"), "--photos-per-class", "1", "--sketches-per-photo", "2",
        "--size",
                 "32", "--seed", "4", "--classes", "cat, wine glass", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["photos"], summary["sketches"], summary["seed"]) == (2, 4, 4)
    assert (tmp_path / "sheet.png").exists()
    assert (tmp_path / "toy" / "sketch" / "wine glass" / "wine_glass_00000_1.png").exists()
    failed = CliRunner().invoke(app, ["make-world", str(tmp_path), "--classes", "cat"])
    assert failed.exit_code == DataError.exit_code
    assert "is not empty" in failed.output


@given(st.lists(st.tuples(st.floats(0, 255), st.floats(0, 255)), min_size=2, max_size=30))
def test_simplified_lines_stay_close(points):
    line = np.array(points)
    kept = simplify(line, 2.0)
    assert np.array_equal(kept[[0, -1]], line[[0, -1]])
    for point in line:
        gaps = []
        for start, stop in pairwise(kept):
            along = stop - start
            share = np.clip((point - start) @ along / max(along @ along, 1e-12), 0, 1)
            gaps.append(np.linalg.norm(point - start - share * along))
        assert min(gaps) <= 2.0 + 1e-6
    straight = np.stack([np.linspace(0, 9, 10)] * 2, axis=1)
    assert len(simplify(straight, 0.5)) == 2


def test_a_drawing_keeps_the_canvas_frame():
    strokes = [np.array([(0, 0), (64, 0), (64, 64)], dtype=np.float32)]
    assert to_drawing(strokes, 64) == [[[0, 255, 255], [0, 0, 255]]]
