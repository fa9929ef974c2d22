"""Packing: what is refused, what is held out, what comes back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sketchfusion.data.packed.corpus import item_keys, load_corpus
from sketchfusion.data.packed.names import captions, class_name, emoji_name
from sketchfusion.data.packed.packing import MANIFEST, PackOptions, held_out_keys, pack
from sketchfusion.data.packed.strokes import resample
from sketchfusion.errors import ConfigError, DataError

OPTIONS = PackOptions(size=16, held_out=0.2)


@pytest.mark.parametrize("folder", ["pacs_dev", "pacs_dev/photo", "my/PACS/photo"])
def test_evaluation_data_are_refused_by_name(folder: str, open_data: Path, tmp_path: Path) -> None:
    place = tmp_path / folder
    (place / "dog").mkdir(parents=True)
    with pytest.raises(ConfigError, match="evaluation only"):
        pack(place, tmp_path / "out", OPTIONS)
    with pytest.raises(ConfigError, match="evaluation only"):
        pack(open_data, tmp_path / "out", OPTIONS, extra=[f"photo={place}"])
    with pytest.raises(ConfigError, match="evaluation only"):
        pack(open_data, tmp_path / "out", PackOptions(only=("pacs_dev",)))
    assert not (tmp_path / "out").exists()


def test_the_forbidden_folder_beside_the_others_is_not_read(shards: Path) -> None:
    manifest = json.loads((shards / MANIFEST).read_text())
    assert {entry["source"] for entry in manifest["shards"]} == {"caltech101", "quickdraw", "emoji_noto"}
    for entry in manifest["shards"]:
        assert hashlib.sha256((shards / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert entry["licence"]
        assert entry["attribution"]


def test_a_full_folder_and_wrong_extra_data_are_refused(open_data: Path, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("keep me")
    with pytest.raises(DataError, match="not empty"):
        pack(open_data, tmp_path, OPTIONS)
    with pytest.raises(ConfigError, match="KIND=FOLDER"):
        pack(open_data, tmp_path / "out", OPTIONS, extra=[str(tmp_path)])
    with pytest.raises(DataError, match="no folder"):
        pack(open_data, tmp_path / "out", OPTIONS, extra=["photo=nowhere"])
    with pytest.raises(DataError, match="none of the data sets"):
        pack(tmp_path, tmp_path / "out", OPTIONS)


def test_extra_pictures_join_as_a_kind_of_their_own(open_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "umbrella"
    folder.mkdir(parents=True)
    for index in range(5):
        Image.new("L", (9, 5), 40 * index).save(folder / f"{index}.png")
    pack(open_data, tmp_path / "out", OPTIONS, extra=[f"sketch={tmp_path / 'mine'}"])
    corpus = load_corpus(tmp_path / "out", 16, ["sketch", "icon"])
    sketches = corpus.sets["sketch"]
    assert {corpus.classes[index] for index in sketches.class_ids.tolist()} == {"umbrella"}
    assert sketches.held_out.sum() == 1


def test_the_split_is_stable_disjoint_and_of_the_stated_share(open_data: Path, shards: Path, tmp_path: Path) -> None:
    pack(open_data, tmp_path / "again", OPTIONS)
    for name in ("caltech101.safetensors", "quickdraw.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (shards / name).read_bytes()
    corpus = load_corpus(shards, 16, ["photo", "drawing", "emoji", "icon"])
    train, held_out = corpus.part(held_out=False), corpus.part(held_out=True)
    for kind, count in (("photo", 2), ("drawing", 2)):
        per_class = Counter(held_out.sets[kind].class_ids.tolist())
        assert list(per_class.values()) == [count] * 3
        assert len(train.sets[kind].class_ids) + len(held_out.sets[kind].class_ids) == 30
    # The colour picture and the line icon of a thing are held out together.
    assert held_out.sets["emoji"].class_ids.tolist() == held_out.sets["icon"].class_ids.tolist()


def test_more_files_hardly_change_the_split() -> None:
    few = [("dog", f"image_{index:04d}") for index in range(40)]
    chosen = held_out_keys(few, 0.25, "somewhere")
    assert len(chosen) == 10
    assert chosen == held_out_keys(reversed(few), 0.25, "somewhere")
    assert len(chosen - held_out_keys([*few, ("dog", "new")], 0.25, "somewhere")) <= 1
    assert len(held_out_keys([("cat", str(index)) for index in range(5)], 0.01, "")) == 1
    assert held_out_keys(few, 0.0, "") == set()


def test_data_without_a_held_out_part_are_refused_for_training(open_data: Path, tmp_path: Path) -> None:
    pack(open_data, tmp_path / "out", PackOptions(size=16, held_out=0.0))
    with pytest.raises(DataError, match="no held-out part of photo"):
        load_corpus(tmp_path / "out", 16, ["photo"]).part(held_out=True)


def test_drawings_come_back_as_they_were(open_data: Path, shards: Path) -> None:
    corpus = load_corpus(shards, 32, ["drawing"])
    line = json.loads((open_data / "quickdraw" / "airplane.ndjson").read_text().splitlines()[4])
    row = item_keys(shards / "quickdraw.safetensors").index(line["key_id"])
    points = np.concatenate([np.array(stroke).T for stroke in line["drawing"]])
    low, high = points.min(0), points.max(0)
    unit = (points - (low + high) / 2) / (high - low).max()
    drawn = corpus.sets["drawing"].points[row].float()
    assert torch.cdist(torch.tensor(unit, dtype=torch.float32), drawn).min(dim=1).values.max() < 0.05


def test_resampling_keeps_strokes_apart_and_dots() -> None:
    points = np.array([[0, 0], [100, 0], [0, 50], [100, 50], [50, 100]], dtype=np.uint8)
    placed, strokes = resample(points, np.array([2, 2, 1]), np.array([3]), 64)
    assert set(strokes[0].tolist()) == {0, 1, 2}
    for number, height in ((0, -0.5), (1, 0.0), (2, 0.5)):
        assert torch.allclose(placed[0, strokes[0] == number, 1].float(), torch.tensor(height), atol=1e-3)


def test_one_name_for_one_thing() -> None:
    assert class_name("Motorbikes") == class_name("motorcycle") == "motorbike"
    assert class_name("fruit_granny-smith") == "apple"
    assert class_name("packages_arla-standard-milk") == "milk carton"
    assert class_name("car_side") == "car"
    assert emoji_name("dog face", "animals-nature") == "dog"
    assert captions("photo", "apple")[0] == "a photo of an apple"
    assert captions("photo", "") == ["a photo"] * 4


@pytest.mark.thorough
@pytest.mark.realdata
def test_real_data_pack(data_root: Path, tmp_path: Path) -> None:
    manifest = pack(data_root, tmp_path / "out", PackOptions(size=64, per_class=2, only=(
        "trashnet", "quickdraw", "emoji_noto")))
    counts = {entry["source"]: entry["items"] for entry in manifest["shards"]}
    assert counts["trashnet"] == 12
    assert counts["quickdraw"] == 690
    assert not any("pacs" in entry["source"] for entry in manifest["shards"])
    corpus = load_corpus(tmp_path / "out", 64, ["photo", "drawing", "emoji", "icon"])
    assert {"cat", "glass", "airplane"} <= set(corpus.classes)
