"""What the project makes itself, packed: photo and sketch of one instance stay together, and the two parts apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from sketchfusion.apps.cli.composites import make_composites
from sketchfusion.data.composites import Composites, SampleOptions, prepare
from sketchfusion.data.packed.corpus import Corpus, instance_ids, item_keys, load_corpus
from sketchfusion.data.packed.packing import PackOptions, held_out_photos, pack
from sketchfusion.data.packed.sources import MADE, composites, drawn_world, extra_source
from sketchfusion.data.world import write_world
from sketchfusion.errors import ConfigError, DataError

READERS = {"composites": (composites, "samples.jsonl", "make-composites"),
           "world": (drawn_world, "annotations.jsonl", "make-world")}
WORLD = {"categories": ["cup", "wine glass"], "photos_per_class": 3, "sketches_per_photo": 2, "size": 32}


def thing(kind: str, number: int) -> Image.Image:
    """A house or a ball on paper, of a colour that tells its number."""
    image = Image.new("RGB", (100, 80), (240, 240, 236))
    draw = ImageDraw.Draw(image)
    fill = (30 + 25 * number, 90, 140 - 20 * number)
    if kind == "house":
        draw.polygon([(22, 36), (50, 10), (80, 36), (72, 36), (72, 68), (30, 68), (30, 36)], fill=fill)
    else:
        draw.ellipse((26, 16, 74, 64), fill=fill)
    draw.line((36, 44, 66, 44), fill=(230, 210, 120), width=3)
    return image


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six clean photos, one of six busy ones."""
    root = tmp_path_factory.mktemp("photos") / "caltech101"
    rng = np.random.default_rng(0)
    for kind in ("house", "ball", "scene"):
        (root / kind).mkdir(parents=True)
    for number in range(6):
        for kind in ("house", "ball"):
            thing(kind, number).save(root / kind / f"image_{number:04d}.png")
        noise = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        busy = Image.fromarray(noise).resize((110, 90), Image.Resampling.BICUBIC)
        busy.save(root / "scene" / f"image_{number:04d}.jpg")
    return root


@pytest.fixture(scope="module")
def prepared(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "folder"
    result = prepare(photos, folder)
    assert result.cut == {"ball": 6, "house": 6}
    assert sum(result.refused.values()) == 6
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of three instances with two sketches each."""
    folder = tmp_path_factory.mktemp("made") / "world"
    write_world(folder, **WORLD)  # type: ignore[arg-type]
    return folder


def test_photo_and_sketches_of_a_drawn_instance_have_one_key_and_sample(world: Path) -> None:
    items = list(drawn_world(world))
    assert [item.kind for item in items] == ["photo", "sketch", "sketch"] * 6
    assert len({item.key for item in items}) == 6
    for first in range(0, len(items), 3):
        photo, *sketches = items[first: first + 3]
        assert photo.file
        assert photo.file.stem == photo.key
        assert {(sketch.key, sketch.name) for sketch in sketches} == {(photo.key, photo.name)}
        assert {item.sample for item in (photo, *sketches)} == {photo.key}
        assert photo.mask
        assert photo.mask.is_file()
        assert photo.keypoints is None
        assert all(sketch.mask is None and sketch.keypoints is not None for sketch in sketches)
        assert [sketch.file.stem for sketch in sketches if sketch.file] == [f"{photo.key}_0", f"{photo.key}_1"]
        assert all(item.file and item.file.is_file() for item in items)
    assert {item.name for item in items} == {"cup", "wine glass"}


def test_photos_of_one_cutout_have_one_key(tmp_path: Path) -> None:
    """And one sample each; of key points only the sketch's side knows."""
    records = []
    for number, (label, sketches) in enumerate((("Motorbikes", ["0_a20", "0_a80"]), ("leaf", ["1"]),
                                                ("Motorbikes", []))):
        for name in sketches:
            Image.new("L", (40, 20)).save(tmp_path / f"{name}.png")
        points = {"sketch_px": [[10, 5], [20, 20]], "photo_px": [[0, 10], [40, 0]], "visible": [True, False]}
        records.append({"id": f"{number:06d}", "class": label, "cutout": f"{label}/a.jpg", "photo": f"{number}.jpg",
                        "mask": f"{number}m.png",
                        "sketches": [{"file": f"{name}.png", "keypoints": points} for name in sketches]})
    (tmp_path / "samples.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    items = list(composites(tmp_path))
    assert [(item.kind, item.name, item.key, item.sample, item.file and item.file.name) for item in items] == [
        ("photo", "motorbike", "Motorbikes/a.jpg", "000000", "0.jpg"),
        ("sketch", "motorbike", "Motorbikes/a.jpg", "000000", "0_a20.png"),
        ("sketch", "motorbike", "Motorbikes/a.jpg", "000000", "0_a80.png"),
        ("photo", "leaf", "leaf/a.jpg", "000001", "1.jpg"), ("sketch", "leaf", "leaf/a.jpg", "000001", "1.png"),
        ("photo", "motorbike", "Motorbikes/a.jpg", "000002", "2.jpg")]
    assert [item.mask and item.mask.name for item in items] == ["0m.png", None, None, "1m.png", None, "2m.png"]
    assert [item.keypoints is None for item in items] == [True, False, False, True, False, True]
    shared = items[1].keypoints
    assert shared
    assert shared.sketch.tolist() == [[0.25, 0.25], [0.5, 1.0]]
    assert shared.photo.tolist() == [[0.0, 0.5], [1.0, 0.0]]
    assert shared.visible.tolist() == [True, False]


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", [None, '{"class": "leaf", "cut', "not json\n"])
def test_a_folder_without_annotation_names_the_command(kind: str, content: str | None, tmp_path: Path) -> None:
    read, file, verb = READERS[kind]
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))} is not a folder that `sketchfusion data {verb}`"):
        list(read(tmp_path))


@pytest.mark.parametrize("kind", MADE)
def test_made_data_are_named_by_their_kind(kind: str, tmp_path: Path) -> None:
    source, folder = extra_source(f"{kind}={tmp_path}")
    assert source is MADE[kind]
    assert source.read is READERS[kind][0]
    assert folder == tmp_path
    with pytest.raises(DataError, match="there is no folder"):
        extra_source(f"{kind}={tmp_path / 'nowhere'}")
    with pytest.raises(ConfigError, match=r"KIND one of photo, .*composites, world"):
        extra_source(f"worlds={tmp_path}")
    (tmp_path / "pacs_world").mkdir()
    with pytest.raises(ConfigError, match="evaluation only"):
        extra_source(f"{kind}={tmp_path / 'pacs_world'}")


def test_instance_ids_number_the_keys_as_they_appear() -> None:
    found = instance_ids(["b", "a", "b", "c", "a"])
    assert found.tolist() == [0, 1, 0, 2, 1]
    assert found.dtype == torch.long


@pytest.fixture(scope="module")
def packed(photos: Path, world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Corpus]:
    """The photos and the drawn world."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack(photos.parent, out, PackOptions(size=16, held_out=1 / 3), extra=[f"world={world}"])
    return out, load_corpus(out, 16, ["photo", "sketch"])


def test_packed_photos_and_sketches_of_an_instance_have_its_id(packed: tuple[Path, Corpus]) -> None:
    folder, corpus = packed
    photos, sketches = corpus.sets["photo"], corpus.sets["sketch"]
    assert len(photos.class_ids) == 18 + 6
    assert len(sketches.class_ids) == 12
    keys = item_keys(folder / "world.safetensors")
    drawn = photos.instance_ids[18:].tolist()
    assert len(set(drawn)) == 6
    assert sketches.instance_ids.tolist() == [number for number in drawn for _ in range(2)]
    assert dict(zip(drawn, keys[::3], strict=True)).keys() == set(sketches.instance_ids.tolist())
    for number in drawn:
        both = torch.cat([photos.class_ids[photos.instance_ids == number],
                          sketches.class_ids[sketches.instance_ids == number]])
        assert len(both) == 3
        assert len(set(both.tolist())) == 1


def test_ids_of_different_shards_do_not_collide(packed: tuple[Path, Corpus]) -> None:
    ids = packed[1].sets["photo"].instance_ids.tolist()
    assert len(set(ids)) == 24
    assert not set(ids[:18]) & set(packed[1].sets["sketch"].instance_ids.tolist())


def test_an_instance_is_held_out_as_a_whole(packed: tuple[Path, Corpus]) -> None:
    corpus = packed[1]
    parts = {held_out: {number for items in corpus.part(held_out=held_out).sets.values()
                        for number in items.instance_ids.tolist()} for held_out in (False, True)}
    assert not parts[False] & parts[True]
    assert sum(corpus.part(held_out=True).sets["sketch"].held_out) == 2 * 2  # one of the three instances per class


def test_held_out_photos_are_those_that_packing_holds_out(photos: Path, packed: tuple[Path, Corpus]) -> None:
    folder, corpus = packed
    found = held_out_photos(photos, 1 / 3)
    held_out = corpus.sets["photo"].held_out[:18].tolist()
    packed_keys = [key for key, out in zip(item_keys(folder / "caltech101.safetensors"), held_out, strict=True) if out]
    assert {f"{name}/{stem}" for name, stem in found} == set(packed_keys)
    assert sorted(name for name, _ in found) == ["ball", "ball", "house", "house", "scene", "scene"]
    assert len(held_out_photos(photos)) == 3  # of six, a tenth is at least one


Uses = list[tuple[str, str]]


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> Uses:
    """(class folder, name without suffix) of every cut-out and background that is opened."""
    from sketchfusion.data.composites import dataset

    opened: Uses = []
    read: Callable[[Path, str], Image.Image] = dataset.read_image

    def note(path: Path, mode: str) -> Image.Image:
        opened.append((path.parent.name, path.name.partition(".")[0]))
        return read(path, mode)

    monkeypatch.setattr(dataset, "read_image", note)
    return opened


@pytest.mark.parametrize("held_out", [True, False])
def test_only_kept_photos_are_cut_out_or_pasted_on(held_out: bool, photos: Path, prepared: Path, uses: Uses) -> None:
    apart = held_out_photos(photos, 1 / 3)
    dataset = Composites(prepared, count=24, options=SampleOptions(size=32, plain=0, occluded=1),
                         keep=lambda name, stem: ((name, stem) in apart) == held_out)
    assert len(dataset.cutouts) == (4 if held_out else 8)
    assert len(dataset.backgrounds) == (2 if held_out else 4)
    for number in range(24):
        dataset[number]
    every = {(name, f"image_{number:04d}") for name in ("house", "ball", "scene") for number in range(6)}
    assert set(uses) == (apart if held_out else every - apart)


def test_keeping_nothing_is_refused(prepared: Path) -> None:
    with pytest.raises(DataError, match="holds no cut-outs"):
        Composites(prepared, keep=lambda name, stem: False)


@pytest.mark.parametrize("part", ["train", "held-out"])
def test_the_command_keeps_the_parts_apart(part: str, photos: Path, tmp_path: Path, uses: Uses) -> None:
    app = typer.Typer()
    app.command()(make_composites)
    arguments = [str(photos), str(tmp_path / "out"), "--count", "12", "--size", "32"]
    done = CliRunner().invoke(app, [*arguments, "--part", part])
    assert done.exit_code == 0, done.output
    apart = held_out_photos(photos)
    records = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    cut = {(Path(record["cutout"]).parent.name, Path(record["cutout"]).stem) for record in records}
    assert len(cut) == (2 if part == "held-out" else 10)
    assert "scene" in {name for name, _ in uses}
    for used in (*cut, *uses):
        assert (used in apart) == (part == "held-out")
    assert {item.key for item in composites(tmp_path / "out")} == {record["cutout"] for record in records}
