"""The cache of encoded pictures: written part by part, found again, and made anew where it is torn."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from sketchfusion.data.packed.augment import PLAIN
from sketchfusion.data.packed.corpus import Corpus, load_corpus
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.engine import encoded as module
from sketchfusion.engine.encoded import LARGE, SIDES, EncodedSide, cached_side, encode_side
from sketchfusion.engine.parts import Begin, InMemory, OnDisk, Parts
from sketchfusion.errors import DataError
from sketchfusion.fusion.extractor import SketchFusion

Make = Callable[..., SketchFusion]
VIEWS = {kind: PLAIN.model_copy(update={"flip": 0.5, "shift": 0.1}) for kinds in SIDES.values() for kind in kinds}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Corpus:
    """Nine photos."""
    root = tmp_path_factory.mktemp("encoded")
    (root / "data" / "caltech101" / "cup").mkdir(parents=True)
    for index in range(9):
        draw_picture((60, 40), index).save(root / "data" / "caltech101" / "cup" / f"image_{index:04d}.jpg")
    pack(root / "data", root / "shards", PackOptions(size=64, held_out=0))
    return load_corpus(root / "shards", 64, ["photo"])


@pytest.fixture(scope="module")
def photos(corpus: Corpus, tiny_model: SketchFusion) -> EncodedSide:
    return encode_side(tiny_model, corpus, "photos", VIEWS, num_views=1, seed=0)


def same(one: EncodedSide, other: EncodedSide) -> bool:
    """Everything, the key points that are not there too."""
    return vars(one).keys() == vars(other).keys() and all(
        value.dtype == getattr(other, name).dtype and torch.allclose(value, getattr(other, name), 0, 0, equal_nan=True)
        for name, value in vars(one).items())


class Maker:
    """Gives a side, and counts how often."""

    def __init__(self, side: EncodedSide) -> None:
        self.side, self.calls = side, 0

    def __call__(self, begin: Begin) -> EncodedSide:
        self.calls += 1
        return replace(self.side, **{name: self.put(begin, name) for name in LARGE})

    def put(self, begin: Begin, name: str) -> Tensor:
        value = getattr(self.side, name)
        parts = begin(name, value.shape[:1])
        parts.append(value)
        return parts.whole()


@pytest.mark.parametrize("overrides", [(), ("finetune=true",)])
@pytest.mark.parametrize("keep_images", [False, True])
def test_what_is_written_part_by_part_is_bit_for_bit_what_is_made_in_memory(
    overrides: tuple[str, ...], keep_images: bool, corpus: Corpus, make_tiny: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    model = make_tiny(*overrides)
    make = partial(encode_side, model, corpus, "photos", VIEWS, num_views=2, seed=0, keep_images=keep_images)
    expected = make()
    assert same(cached_side(tmp_path, "key", lambda begin: make(begin=begin)), expected)
    assert same(cached_side(tmp_path, "key", lambda begin: pytest.fail("it is there")), expected)


def test_no_more_than_one_part_is_in_memory(corpus: Corpus, tiny_model: SketchFusion, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten parts of each tensor; those that are still there are counted when the next one comes."""
    monkeypatch.setattr(module, "CHUNK", 2)

    def most(kind: Callable[..., Parts]) -> dict[str, int]:
        counts: dict[str, int] = {}

        def begin(name: str, rows: tuple[int, ...]) -> Parts:
            parts, seen = kind(name, rows), []
            append = parts.append

            def note(part: Tensor) -> None:
                seen.append(weakref.ref(part))
                counts[name] = max(counts.get(name, 0), sum(one() is not None for one in seen))
                append(part)

            monkeypatch.setattr(parts, "append", note)
            return parts

        encode_side(tiny_model, corpus, "photos", VIEWS, num_views=2, seed=0, begin=begin)
        return counts

    assert most(partial(OnDisk, tmp_path)) == {"latents": 1, "patch_features": 1, "images": 1}
    assert most(InMemory) == {"latents": 10, "patch_features": 10, "images": 1}


def test_the_second_time_it_comes_from_the_disk(tmp_path: Path, photos: EncodedSide) -> None:
    make, key = Maker(photos), ["weights", {"views": 2}]
    first = cached_side(tmp_path / "new" / "cache", key, make)
    second = cached_side(tmp_path / "new" / "cache", ["weights", {"views": 2}], make)
    assert make.calls == 1
    assert same(first, photos)
    assert same(second, photos)
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1 + len(LARGE)


def test_another_key_is_another_file(tmp_path: Path, photos: EncodedSide) -> None:
    make = Maker(photos)
    for key in (["a", 1], ["a", 2], ["b", 1], ["a", 1]):
        cached_side(tmp_path, key, make)
    assert make.calls == 3
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


@pytest.mark.parametrize("name", ["", *LARGE])
@pytest.mark.parametrize("left", [0, 5, 100])
def test_a_damaged_file_is_made_anew(name: str, left: int, tmp_path: Path, photos: EncodedSide) -> None:
    make = Maker(photos)
    cached_side(tmp_path, "key", make)
    file, = tmp_path.glob(f"*.{name}.npy" if name else "*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    assert same(cached_side(tmp_path, "key", make), photos)
    assert make.calls == 2
    assert file.read_bytes() == whole
    assert same(cached_side(tmp_path, "key", make), photos)
    assert make.calls == 2


@pytest.mark.parametrize("name", LARGE)
def test_a_file_that_is_gone_is_made_anew(name: str, tmp_path: Path, photos: EncodedSide) -> None:
    make = Maker(photos)
    cached_side(tmp_path, "key", make)
    next(tmp_path.glob(f"*.{name}.npy")).unlink()
    assert same(cached_side(tmp_path, "key", make), photos)
    assert make.calls == 2


def test_a_cache_with_everything_in_one_file_is_still_read(tmp_path: Path, photos: EncodedSide) -> None:
    make = Maker(photos)
    cached_side(tmp_path, "key", make)
    file, = tmp_path.glob("*.safetensors")
    for other in tmp_path.glob("*.npy"):
        other.unlink()
    save_file({name: value.contiguous() for name, value in vars(photos).items()}, file)
    assert same(cached_side(tmp_path, "key", make), photos)
    assert make.calls == 1


def test_boxes_are_kept_before_and_told_after_a_view_moves_them(tmp_path: Path, corpus: Corpus,
                                                                photos: EncodedSide) -> None:
    """So that a cache holds for each view what it always held."""
    cached_side(tmp_path, "key", Maker(photos))
    kept = cached_side(tmp_path, "key", lambda begin: pytest.fail("it is there"))
    assert torch.equal(kept.content, corpus.sets["photo"].content)
    rows = torch.arange(len(kept))
    boxes = kept.shown(rows, torch.zeros_like(rows))
    assert torch.equal(boxes, photos.shown(rows, torch.zeros_like(rows)))
    assert (boxes != kept.content).any(1).all()


def test_what_fails_while_it_is_made_leaves_nothing_behind(tmp_path: Path, photos: EncodedSide) -> None:
    def stop(begin: Begin) -> EncodedSide:
        Maker(photos).put(begin, "latents")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_side(tmp_path, "key", stop)
    assert not list(tmp_path.iterdir())
    make = Maker(photos)
    cached_side(tmp_path, "key", make)
    assert make.calls == 1


def test_where_there_is_no_room_it_says_so_and_leaves_nothing_behind(tmp_path: Path, photos: EncodedSide,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def full(parts: OnDisk, part: Tensor) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OnDisk, "append", full)
    with pytest.raises(DataError, match=r"cannot write encoded pictures to .*No space left .*the recipe's cache"):
        cached_side(tmp_path, "key", Maker(photos))
    assert not list(tmp_path.iterdir())
