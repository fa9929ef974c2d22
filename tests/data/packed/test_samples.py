"""What ties a photo to its sketches survives packing and loading: sample, mask, key points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sketchfusion.data.composites import Composites, SampleOptions, prepare, write_composites
from sketchfusion.data.packed.corpus import Corpus, PictureSet, load_corpus
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.packed.samples import MAX_KEYPOINTS, Samples, pack_samples, read_samples
from sketchfusion.data.packed.sources import Item, KeyPoints
from sketchfusion.data.world import make_sample, write_world
from sketchfusion.errors import DataError, ImageError

SIDE = 64
WORLD = {"categories": ["cup", "giraffe"], "photos_per_class": 3, "sketches_per_photo": 2, "size": SIDE}


def pictures(corpus: Corpus, kind: str) -> PictureSet:
    found = corpus.sets[kind]
    assert isinstance(found, PictureSet)
    return found


# The drawn world and composites

@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn world, composites of two objects in two photos each, and both packed: first the one, then the other."""
    root = tmp_path_factory.mktemp("made")
    write_world(root / "world", **WORLD)  # type: ignore[arg-type]
    for number in range(2):
        (root / "clean" / "ball").mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (100, 80), (240, 240, 236))
        ImageDraw.Draw(image).ellipse((26, 16, 74, 64), fill=(40 + 60 * number, 90, 120))
        image.save(root / "clean" / "ball" / f"{number}.png")
    prepare(root / "clean", root / "prepared")
    options = SampleOptions(size=SIDE, plain=1.0, occluded=0.0)
    write_composites(root / "composites", Composites(root / "prepared", count=4, options=options))
    pack(None, root / "shards", PackOptions(size=SIDE, held_out=0.34),
         extra=[f"world={root / 'world'}", f"composites={root / 'composites'}"])
    return root


@pytest.fixture(scope="module")
def packed(folders: Path) -> Corpus:
    return load_corpus(folders / "shards", SIDE, ["photo", "sketch"])


def test_a_photo_and_its_sketches_have_one_sample_and_no_two_photos_have(packed: Corpus) -> None:
    photos, sketches = pictures(packed, "photo"), pictures(packed, "sketch")
    assert photos.sample_ids.tolist() == list(range(6 + 4))
    assert sketches.sample_ids.tolist() == [number for number in range(6) for _ in range(2)] + [6, 7, 8, 9]
    instance = dict(zip(photos.sample_ids.tolist(), photos.instance_ids.tolist(), strict=True))
    assert [instance[number] for number in sketches.sample_ids.tolist()] == sketches.instance_ids.tolist()
    assert len(set(photos.instance_ids[6:].tolist())) == 2  # four photos of two objects


def test_the_mask_is_that_of_the_photo_whichever_shard_it_comes_from(folders: Path, packed: Corpus) -> None:
    files = [json.loads(line)["mask"] for line in (folders / "world" / "annotations.jsonl").read_text().splitlines()]
    masks = [folders / "world" / file for file in files]
    masks += [folders / "composites" / json.loads(line)["mask"]
              for line in (folders / "composites" / "samples.jsonl").read_text().splitlines()]
    photos = pictures(packed, "photo")
    assert packed.masks.shape == (10, SIDE, SIDE)
    assert packed.masks.dtype == torch.bool
    for row, file in enumerate(masks):
        truth = torch.from_numpy(np.array(Image.open(file).convert("L"))) > 127
        assert torch.equal(packed.masks[photos.mask_ids[row]], truth)
    assert (pictures(packed, "sketch").mask_ids == -1).all()


def test_key_points_of_the_world_are_those_of_the_same_named_part(packed: Corpus) -> None:
    """Point by point, those that are visible in both pictures, in the order of their names."""
    photos, sketches = pictures(packed, "photo"), pictures(packed, "sketch")
    names = [(category, instance) for category in ("cup", "giraffe") for instance in range(3)]
    hidden, compared = {"sketch": 0, "photo": 0}, 0
    for row in range(12):
        category, instance = names[int(torch.nonzero(photos.sample_ids == sketches.sample_ids[row]))]
        sample = make_sample(category, instance, size=SIDE, variant=row % 2)
        expected = {name: (*sample.sketch_keypoints_px[place].tolist(), *sample.photo_keypoints_px[place].tolist())
                    for place, name in enumerate(sample.keypoint_names)
                    if sample.sketch_visible[place] and sample.photo_visible[place]}
        hidden["photo"] += int((sample.sketch_visible & ~sample.photo_visible).sum())
        hidden["sketch"] += int((~sample.sketch_visible & sample.photo_visible).sum())
        found = sketches.keypoints[row]
        assert int((~found.isnan().any(1)).sum()) == len(expected)
        for point, (name, truth) in zip(found, expected.items(), strict=False):
            assert point.tolist() == pytest.approx(truth, abs=0.06), name
            compared += 1
    assert compared > 24
    assert all(hidden.values())  # some are hidden in one of the two alone


def test_key_points_of_composites_are_those_written_and_lie_on_the_object(folders: Path, packed: Corpus) -> None:
    photos, sketches = pictures(packed, "photo"), pictures(packed, "sketch")
    for number, line in enumerate((folders / "composites" / "samples.jsonl").read_text().splitlines()):
        points = json.loads(line)["sketches"][0]["keypoints"]
        visible = np.array(points["visible"])
        truth = np.concatenate([points["sketch_px"], points["photo_px"]], axis=1)[visible]
        found = sketches.keypoints[12 + number]
        np.testing.assert_allclose(found[:len(truth)], truth, atol=0.06)
        assert found[len(truth):].isnan().all()
        mask = packed.masks[photos.mask_ids[6 + number]]
        grown = torch.nn.functional.max_pool2d(mask[None, None].float(), 5, stride=1, padding=2)[0, 0]
        cells = found[:len(truth), 2:].long().clamp(0, SIDE - 1)
        assert (grown[cells[:, 1], cells[:, 0]] > 0).float().mean() > 0.8


def test_packing_twice_gives_the_same_bytes(folders: Path, tmp_path: Path) -> None:
    pack(None, tmp_path / "again", PackOptions(size=SIDE, held_out=0.34),
         extra=[f"world={folders / 'world'}", f"composites={folders / 'composites'}"])
    files = sorted(file.name for file in (folders / "shards").iterdir())
    assert files == ["composites.safetensors", "manifest.json", "world.safetensors"]
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (folders / "shards" / name).read_bytes()


def test_of_a_kind_that_is_left_out_nothing_remains(folders: Path, packed: Corpus) -> None:
    whole = pictures(packed, "sketch")
    photos = load_corpus(folders / "shards", SIDE, ["photo"])
    assert set(photos.sets) == {"photo"}
    assert torch.equal(pictures(photos, "photo").sample_ids, pictures(packed, "photo").sample_ids)
    assert torch.equal(photos.masks, packed.masks)
    alone = pictures(load_corpus(folders / "shards", SIDE, ["sketch"]), "sketch")
    assert torch.equal(alone.sample_ids, whole.sample_ids)
    assert torch.equal(alone.keypoints[..., :2].nan_to_num(-9), whole.keypoints[..., :2].nan_to_num(-9))
    assert alone.keypoints[..., 2:].isnan().all()  # nobody knows where its photo would lie
    with pytest.raises(DataError, match="holds no icon; it has photo, sketch"):
        load_corpus(folders / "shards", SIDE, ["photo", "icon"])


@pytest.mark.parametrize("cut", ["part", "first", "named"])
def test_masks_and_points_stay_with_their_pictures_when_some_are_taken(cut: str, packed: Corpus) -> None:
    taken = {"part": lambda: packed.part(held_out=True), "first": lambda: packed.first(4), "named": packed.named}[cut]()
    whole, photos, sketches = (pictures(packed, "photo"), pictures(taken, "photo"), pictures(taken, "sketch"))
    for row, sample in enumerate(photos.sample_ids.tolist()):
        before = int(torch.nonzero(whole.sample_ids == sample))
        assert torch.equal(photos.pixels[row], whole.pixels[before])
        assert torch.equal(taken.masks[photos.mask_ids[row]], packed.masks[whole.mask_ids[before]])
    for row in range(len(sketches.class_ids)):
        before = next(place for place, pixels in enumerate(pictures(packed, "sketch").pixels)
                      if torch.equal(pixels, sketches.pixels[row]))
        assert torch.equal(sketches.keypoints[row].nan_to_num(-9),
                           pictures(packed, "sketch").keypoints[before].nan_to_num(-9))


def test_a_sample_is_held_out_as_a_whole(packed: Corpus) -> None:
    parts = [packed.part(held_out=held_out) for held_out in (False, True)]
    train, held_out = ({sample for items in part.sets.values() for sample in items.sample_ids.tolist()}
                       for part in parts)
    assert not train & held_out
    for part in parts:
        assert set(pictures(part, "photo").sample_ids.tolist()) == set(pictures(part, "sketch").sample_ids.tolist())


@pytest.mark.parametrize("size", [SIDE, 32, 100])
def test_on_another_canvas_everything_scales(size: int, folders: Path, packed: Corpus) -> None:
    scaled = load_corpus(folders / "shards", size, ["photo", "sketch"])
    assert scaled.masks.shape[1:] == (size, size)
    shares = packed.masks.float().mean((1, 2)), scaled.masks.float().mean((1, 2))
    torch.testing.assert_close(*shares, atol=0.03, rtol=0)
    own, other = (pictures(corpus, "sketch").keypoints for corpus in (packed, scaled))
    torch.testing.assert_close(own * size / SIDE, other, equal_nan=True)


# Packing by itself

def item(kind: str, sample: str = "", *, mask: Path | None = None, keypoints: KeyPoints | None = None) -> Item:
    return Item(kind, "leaf", sample, Path("nowhere"), sample=sample, mask=mask, keypoints=keypoints)


def key_points(count: int, visible: list[int]) -> KeyPoints:
    """Point i at (i / count, 0) in the sketch and at (0, i / count) in the photo."""
    shares, nought = np.arange(count) / count, np.zeros(count)
    return KeyPoints(np.stack([shares, nought], 1), np.stack([nought, shares], 1), np.isin(np.arange(count), visible))


def test_without_samples_nothing_is_stored_and_nothing_read() -> None:
    assert pack_samples([item("photo"), item("sketch")], 16) == {}
    found = read_samples({}, 2, 16)
    assert (found.sample_ids.tolist(), found.mask_ids.tolist(), found.masks.shape) == ([-1, -1], [-1, -1], (0, 16, 16))
    assert found.on_canvas(torch.zeros(2, 4)).isnan().all()


def test_visible_points_come_first_and_no_more_than_there_is_room_for() -> None:
    count = MAX_KEYPOINTS + 6
    many = pack_samples([item("sketch", "a", keypoints=key_points(count, list(range(2, count))))], 16)["keypoints"]
    assert many.shape == (1, MAX_KEYPOINTS, 4)
    assert many[0, :, 0].tolist() == pytest.approx([i / count for i in range(2, MAX_KEYPOINTS + 2)], abs=1e-3)
    few = pack_samples([item("sketch", "a", keypoints=key_points(8, [1, 6]))], 16)["keypoints"].float()
    assert few[0, :2].tolist() == [[1 / 8, 0, 0, 1 / 8], [6 / 8, 0, 0, 6 / 8]]
    assert few[0, 2:].isnan().all()
    none = pack_samples([item("sketch", "a", keypoints=key_points(8, []))], 16)["keypoints"]
    assert none.isnan().all()


def test_a_point_lies_in_the_box_of_its_own_picture_and_of_the_photo_of_its_sample() -> None:
    """Sample 0: a wide photo and its high sketch; sample 1 the other way round; of sample 2 the photo is not there."""
    keypoints = torch.full((6, MAX_KEYPOINTS, 4), float("nan"))
    keypoints[1, 0] = torch.tensor([0.5, 0.25, 0.0, 1.0])
    keypoints[3, 0] = torch.tensor([1.0, 1.0, 0.5, 0.5])
    keypoints[4, 0] = torch.tensor([1.0, 0.0, 0.5, 0.5])
    samples = Samples(torch.tensor([0, 0, 1, 1, 2, -1]), torch.tensor([0, -1, 1, -1, -1, -1]),
                      torch.zeros(2, 8, 8).bool(), keypoints.half())
    wide, high = (0.0, 16.0, 64.0, 48.0), (24.0, 0.0, 40.0, 64.0)
    found = samples.on_canvas(torch.tensor([wide, high, high, wide, wide, (1.0, 2.0, 3.0, 4.0)]))
    assert found[1, 0].tolist() == [32, 16, 0, 48]
    assert found[3, 0].tolist() == [64, 48, 32, 32]
    assert found[4, 0, :2].tolist() == [64, 16]
    assert int((~found.isnan()).sum()) == 10


@pytest.mark.parametrize(("size", "stored"), [((40, 20), (16, 8)), ((9, 12), (9, 12)), ((200, 3), (16, 1))])
def test_masks_are_scaled_like_photos_and_never_enlarged(size: tuple[int, int], stored: tuple[int, int],
                                                         tmp_path: Path) -> None:
    Image.new("L", size, 255).save(tmp_path / "mask.png")
    raw = pack_samples([item("sketch", "a"), item("photo", "a", mask=tmp_path / "mask.png")], 16)
    assert raw["mask_offsets"].tolist()[:2] == [0, 0]
    (tmp_path / "stored.png").write_bytes(raw["masks"].numpy().tobytes())
    with Image.open(tmp_path / "stored.png") as mask:
        assert (mask.size, mask.mode) == (stored, "1")
    found = read_samples(raw, 2, 16)
    assert found.mask_ids.tolist() == [-1, 0]
    assert found.sample_ids.tolist() == [0, 0]
    width, height = (round(16 * side / max(stored)) for side in stored)
    assert int(found.masks.sum()) == pytest.approx(width * height, abs=8)  # the bars are not the object


def test_a_mask_is_true_above_the_middle_grey(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.array([0, 127, 128, 255], np.uint8), (4, 1))).save(tmp_path / "mask.png")
    found = read_samples(pack_samples([item("photo", "a", mask=tmp_path / "mask.png")], 16), 1, 4)
    assert found.masks.tolist() == [[[False, False, True, True]] * 4]


def test_a_mask_that_marks_nothing_is_not_packed(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 1).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png marks nothing: its highest level is 1; expected levels above 127"):
        pack_samples([item("photo", "a", mask=tmp_path / "mask.png")], 16)


def test_an_unreadable_mask_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"mask\.png"):
        pack_samples([item("photo", "a", mask=tmp_path / "mask.png")], 16)


def written(folder: Path, change: Callable[[dict], None]) -> Path:
    """A folder of one composite whose line was changed."""
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    record = {"id": "0", "class": "leaf", "cutout": "leaf/0", "photo": "0.png", "mask": "0.png", "sketches": [
        {"file": "0.png", "keypoints": {"sketch_px": [[1, 1]], "photo_px": [[2, 2]], "visible": [True]}}]}
    change(record)
    (folder / "samples.jsonl").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("change", [
    lambda record: record.pop("mask"), lambda record: record.pop("id"),
    lambda record: record["sketches"][0].pop("keypoints"),
    lambda record: record["sketches"][0]["keypoints"].pop("visible"),
    lambda record: record["sketches"][0].update(file="gone.png")])
def test_an_annotation_that_lacks_something_is_refused(change: Callable[[dict], None], tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    folder = written(tmp_path / "made", change)
    with pytest.raises(DataError, match=r"its samples\.jsonl is damaged .*make it again"):
        pack(None, tmp_path / "out", PackOptions(size=16), extra=[f"composites={folder}"])
    assert not (tmp_path / "out").exists()
