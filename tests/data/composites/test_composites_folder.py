"""Preparing, the data set, the written folder and the command line, on photos drawn here."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from sketchfusion.apps.cli.composites import make_composites
from sketchfusion.data.composites import Composites, SampleOptions, prepare, verify, write_composites
from sketchfusion.data.composites.prepare import RECORDS
from sketchfusion.data.composites.sheet import composite_sheet, cutout_sheet, save_sheet, sketch_sheet
from sketchfusion.errors import DataError

Draw = Callable[[tuple[int, int], int], Image.Image]


def thing(kind: str, seed: int) -> Image.Image:
    """A photo of a leaf or a house on paper."""
    image = Image.new("RGB", (120, 100), (238 - seed * 20, 240, 236))
    draw = ImageDraw.Draw(image)
    if kind == "leaf":
        draw.ellipse((20 + seed, 30, 100, 72), fill=(40, 130, 50))
        draw.line((24, 51, 96, 51), fill=(200, 230, 160), width=2)
        draw.polygon([(98, 48), (112, 44), (112, 56)], fill=(90, 60, 30))
    else:
        draw.polygon([(30, 50), (60, 18 + seed), (92, 50), (84, 50), (84, 84), (38, 84), (38, 50)], fill=(170, 60, 50))
        draw.rectangle((50, 60, 62, 84), fill=(240, 220, 120))
    return image


@pytest.fixture
def photos(tmp_path: Path, draw_picture: Draw) -> Path:
    """Two classes of three clean photos each, three busy ones and a damaged file."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for kind in ("leaf", "house"):
        (root / kind).mkdir(parents=True)
        for seed in range(3):
            thing(kind, seed).save(root / kind / f"{seed}.png")
    (root / "scene").mkdir()
    for seed in range(3):
        busy = np.asarray(draw_picture((140, 110), seed), dtype=float) + rng.normal(size=(110, 140, 3)) * 40
        Image.fromarray(np.clip(busy, 0, 255).astype(np.uint8)).save(root / "scene" / f"{seed}.jpg")
    (root / "scene" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    return root


@pytest.fixture
def prepared(photos: Path, tmp_path: Path) -> Path:
    prepare(photos, tmp_path / "prepared")
    return tmp_path / "prepared"


def test_prepare_cuts_what_it_can_and_lists_the_rest(photos: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = prepare(photos, tmp_path / "p", on_progress=lambda done, total: seen.append((done, total)))
    assert result.cut == {"house": 3, "leaf": 3}
    assert result.seen == {"house": 3, "leaf": 3, "scene": 4}
    assert result.refused == {"the ground is not plain": 3}
    assert [failure["photo"] for failure in result.failures] == ["scene/torn.jpg"]
    assert seen[-1] == (10, 10)
    assert len(list((tmp_path / "p" / "backgrounds").rglob("*.jpg"))) == 3


def test_prepare_goes_on_where_it_was_stopped(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(photos, out, on_progress=stop)
    with (out / RECORDS).open("a") as log:
        log.write('{"photo": "leaf/1.png", "cl')  # the power failed while this was written
    kept = {path: path.stat().st_mtime_ns for path in (out / "cutouts").rglob("*.webp")}
    result = prepare(photos, out)
    assert result.skipped == 4
    assert result.cut == {"house": 3, "leaf": 3}
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    again = prepare(photos, out)
    assert again.skipped == 10
    assert len((out / RECORDS).read_text().splitlines()) == 10


def test_prepare_refuses_foreign_folders(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not empty"):
        prepare(photos, photos)
    prepare(photos, tmp_path / "p", skip_classes=("scene",))
    with pytest.raises(DataError, match="other settings"):
        prepare(photos, tmp_path / "p", backgrounds=False)
    with pytest.raises(DataError, match="no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "q")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="one folder per class"):
        prepare(tmp_path / "empty", tmp_path / "q")


def test_the_data_set_is_a_function_of_seed_and_index(prepared: Path) -> None:
    first, second = Composites(prepared, count=14, seed=5), Composites(prepared, count=20, seed=5)
    assert len(first) == 14
    assert first.class_names == ["house", "leaf"]
    for index in (13, 2, 7):
        np.testing.assert_array_equal(first[index].photo, second[index].photo)
        np.testing.assert_array_equal(first[index].sketch, second[index].sketch)
    assert (first[0].photo != Composites(prepared, seed=6)[0].photo).any()
    copied = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copied[3].sketch, first[3].sketch)
    with pytest.raises(IndexError):
        first[14]


def test_every_round_uses_each_cutout_once(prepared: Path) -> None:
    dataset = Composites(prepared, count=12)
    names = [sample.cutout for sample in dataset]
    assert sorted(names[:6]) == sorted(names[6:]) == [name for _, name in dataset.cutouts]


def test_missing_things_are_named(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a prepared folder"):
        Composites(tmp_path)
    with pytest.raises(DataError, match="count must be"):
        Composites(prepared, count=0)
    with pytest.raises(DataError, match="no photos in"):
        Composites(prepared, backgrounds=tmp_path / "none")
    dataset = Composites(prepared)
    (prepared / "cutouts" / "leaf" / "0.png.webp").unlink()
    with pytest.raises(DataError, match="cannot read"):
        list(dataset)


def test_what_is_written_is_found_in_order(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dataset = Composites(prepared, count=4, options=SampleOptions(size=64))
    assert write_composites(out, dataset, abstraction=(0.1, 0.9)) == 8
    assert verify(out) == []
    records = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [len(record["sketches"]) for record in records] == [2, 2, 2, 2]
    assert Image.open(out / records[0]["photo"]).size == (64, 64)
    (out / records[1]["mask"]).unlink()
    Image.new("L", (64, 64)).save(out / records[2]["mask"])
    problems = verify(out)
    assert len(problems) == 2
    assert "FileNotFoundError" in problems[0]
    assert "mask is empty" in problems[1]
    with pytest.raises(DataError, match=r"samples\.jsonl"):
        verify(tmp_path / "nowhere")


def test_sheets(prepared: Path, tmp_path: Path) -> None:
    dataset = Composites(prepared, count=6)
    save_sheet(cutout_sheet(dataset, range(4), columns=2), tmp_path / "a.png")
    save_sheet(sketch_sheet(dataset, [0, 5], size=48), tmp_path / "b.png")
    save_sheet(composite_sheet(dataset, count=3), tmp_path / "c.jpg")
    assert Image.open(tmp_path / "a.png").size == (2 * 88 + 2, 2 * (88 + 13))
    with pytest.raises(DataError, match="cannot write"):
        save_sheet(Image.new("RGB", (4, 4)), tmp_path / "a.nothing")
    with pytest.raises(DataError, match="at least one"):
        cutout_sheet(dataset, [])


def test_the_command(photos: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(make_composites)
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    arguments = [str(photos), str(out), "--count", "3", "--size", "64", "--abstraction", "0", "--abstraction", "0.8"]
    done = CliRunner().invoke(app, [*arguments, "--sheet", str(sheet), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["composites"], result["sketches"], result["problems"]) == (3, 6, [])
    assert result["cutouts"] == {"house": 3, "leaf": 3}
    assert sheet.exists()
    again = CliRunner().invoke(app, [*arguments, "--backgrounds", str(photos / "leaf")])
    assert again.exit_code == 0, again.output
    assert "from 6 cut-outs of 10 photos" in again.stdout
    missing = CliRunner().invoke(app, [str(tmp_path / "nowhere"), str(tmp_path / "o")])
    assert missing.exit_code == 6
