"""Dense maps of photos in the gallery, and galleries of the first format, which had none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sketchfusion.canvas import blank_canvas
from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.fusion.compact_map import compress, expand, read_layout
from sketchfusion.images import as_image
from sketchfusion.index.export import export
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.lance import HIT_COLUMNS, LanceStore
from sketchfusion.index.record import DENSE_RANK, REBUILD_NAME, RECORD_NAME, read_record, write_record
from sketchfusion.index.store import Photo, path_id
from sketchfusion.index.update import UpdateOptions
from sketchfusion.index.verify import verify
from sketchfusion.tasks.correspondence import find_in_maps, match_points, point_features
from sketchfusion.tasks.segmentation import segment, segment_maps, sketch_descriptor


def rows_of(gallery: Gallery) -> dict[str, Photo]:
    """Whole rows by file name."""
    return {Path(path).name: row for path, row in gallery.store.get(list(gallery.store.states())).items()}


# ---- dense maps


def test_the_stored_map_is_that_of_the_photo(gallery: Gallery, photos: Path, describer: Any) -> None:
    for name in ("a0.jpg", "sub/b4.png"):
        feature_map = describer.features_of(describer.place(as_image(photos / name), "photo")).feature_map[0]
        found = expand(rows_of(gallery)[Path(name).name].dense)
        assert found.shape == feature_map.shape
        assert F.cosine_similarity(found, feature_map, dim=0).min() > 0.999


def test_one_pass_gives_descriptor_and_map(tmp_path: Path, photos: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([photos], describer, options=UpdateOptions(batch_size=4))
    assert describer.batches == [4, 2]


def test_without_maps_none_is_made(tmp_path: Path, photos: Path, describer: Any, gallery: Gallery) -> None:
    describer.features_of = lambda canvas: pytest.fail("a map was made")
    bare = Gallery.create(tmp_path / "bare", describer, dense_rank=0)
    bare.update([photos], describer)
    assert read_record(bare.folder).dense_rank == 0
    assert {row.dense for row in rows_of(bare).values()} == {b""}
    for name, row in rows_of(gallery).items():
        assert np.array_equal(row.descriptor, rows_of(bare)[name].descriptor)
    assert verify(bare, deep=True) == []


def test_the_rank_is_the_one_asked_for(tmp_path: Path, photos: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer, dense_rank=3)
    gallery.update([photos], describer)
    assert gallery.info()["dense_rank"] == 3
    assert {read_layout(row.dense).rank for row in rows_of(gallery).values()} == {3}
    with pytest.raises(ConfigError, match=r"from 0, which keeps none, to 256, got 999"):
        Gallery.create(tmp_path / "other", describer, dense_rank=999)
    assert not (tmp_path / "other").exists()


def test_another_rank_needs_a_rebuild(gallery: Gallery, photos: Path, describer: Any) -> None:
    with pytest.raises(ConfigError, match=r"maps of rank 16 \(0: none\), got 2; leave the rank out, or .*--rebuild"):
        gallery.update([photos], describer, dense_rank=2)
    gallery.update([photos], describer, dense_rank=16)
    described = describer.num_described
    gallery.update([], describer, rebuild=True, dense_rank=2)
    assert describer.num_described == described + 6
    assert {read_layout(row.dense).rank for row in rows_of(gallery).values()} == {2}
    gallery.update([], describer, rebuild=True)  # stays as it was
    assert gallery.record.dense_rank == 2


def test_an_unfinished_rebuild_of_another_rank_is_not_gone_on_with(gallery: Gallery, describer: Any) -> None:
    real, options = describer.features_of, UpdateOptions(batch_size=2)

    def interrupt(canvas: Any) -> Any:
        if describer.num_described >= 8:
            raise KeyboardInterrupt
        return real(canvas)

    describer.features_of = interrupt
    with pytest.raises(KeyboardInterrupt):
        gallery.update([], describer, rebuild=True, dense_rank=2, options=options)
    del describer.features_of
    gallery.update([], describer, rebuild=True, dense_rank=3, options=options)
    assert {read_layout(row.dense).rank for row in rows_of(gallery).values()} == {3}


def test_copies_and_moved_photos_keep_their_map(gallery: Gallery, photos: Path, describer: Any) -> None:
    described, before = describer.num_described, rows_of(gallery)["a0.jpg"].dense
    shutil.copy(photos / "a0.jpg", photos / "copy.jpg")
    (photos / "a0.jpg").rename(photos / "moved.jpg")
    gallery.update([photos], describer)
    assert describer.num_described == described
    assert rows_of(gallery)["copy.jpg"].dense == rows_of(gallery)["moved.jpg"].dense == before


def test_a_map_that_is_not_finite_is_a_failure_of_that_photo(tmp_path: Path, photos: Path, describer: Any) -> None:
    real = describer.features_of

    def spoiled(canvas: Any) -> Any:
        features = real(canvas)
        features.feature_map[1, 0, 0, 0] = float("nan")
        return features

    describer.features_of = spoiled
    summary = Gallery.create(tmp_path / "gallery", describer).update([photos], describer)
    assert (summary.photos, len(summary.failures)) == (5, 1)
    assert summary.failures[0].reason == "what the model makes of it is not finite or not of unit length"


def test_searches_read_neither_maps_nor_whole_rows(gallery: Gallery, describer: Any, sketch_file: Path, photos: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dense" not in HIT_COLUMNS
    read: list[str] = []
    real = gallery.store.where
    monkeypatch.setattr(gallery.store, "where",
                        lambda condition, columns: read.extend(columns) or real(condition, columns))
    gallery.search(sketch_file, describer)
    gallery.similar(photos / "a0.jpg")
    gallery.thumbnails([str(photos / "a0.jpg")])
    gallery.folders()
    gallery.store.states()
    assert set(read) == {"descriptor", "path", "thumbnail"}


def test_verify_finds_damaged_and_missing_maps(gallery: Gallery, describer: Any) -> None:
    rows = rows_of(gallery)
    other = compress(torch.ones(5, 4, 4), 1)
    spoiled = {"a0.jpg": b"", "a1.jpg": rows["a1.jpg"].dense[:-1], "a2.jpg": other}
    gallery.store.upsert([replace(rows[name], dense=dense) for name, dense in spoiled.items()])
    problems = {Path(problem.path).name: problem.problem for problem in verify(gallery)}
    assert problems["a0.jpg"] == "its dense map is missing; rebuild the gallery"
    assert "the dense map of a photo is damaged: it has" in problems["a1.jpg"]
    assert "has 5 channels and rank 1, expected 32 and at most 16" in problems["a2.jpg"]
    assert len(problems) == 3
    assert gallery.update([], describer, rebuild=True).photos == 6
    assert verify(gallery) == []


def test_verify_finds_ids_of_other_paths(gallery: Gallery) -> None:
    path = rows_of(gallery)["a0.jpg"].path
    gallery.store.table.update(where=f"path = '{path}'", values={"id": "0" * 20})
    assert [problem.problem for problem in verify(gallery)] == [
        f"its recorded id is {'0' * 20}, expected {path_id(path)}; rebuild the gallery"]


def test_exports_leave_the_maps_out(gallery: Gallery, tmp_path: Path) -> None:
    assert export(gallery, tmp_path / "out.npz") == 6
    assert "dense" not in np.load(tmp_path / "out.npz", allow_pickle=False)


def test_tasks_over_stored_maps_are_those_over_the_photos(tmp_path: Path, photo_folder: Path, sketch_file: Path,
                                                          tiny_model: Any) -> None:
    """Of the highest rank, nothing but int8 lies between."""
    gallery = Gallery.create(tmp_path / "gallery", tiny_model, dense_rank=256)
    gallery.update([photo_folder], tiny_model)
    rows = sorted(rows_of(gallery).values(), key=lambda row: row.path)
    maps = torch.stack([expand(row.dense) for row in rows])
    canvas = blank_canvas([(row.height, row.width) for row in rows], tiny_model.canvas_size)
    files = [row.path for row in rows]
    points = torch.tensor([[20.0, 70.0], [60.0, 20.0]])
    found = find_in_maps(tiny_model, point_features(tiny_model, sketch_file, "sketch", points), maps, canvas)
    for (_, scores), fresh in zip(found, match_points(tiny_model, sketch_file, files, points), strict=True):
        assert torch.allclose(scores, fresh.scores, atol=0.02)
    descriptor = sketch_descriptor(tiny_model, sketch_file)
    masks = segment_maps(tiny_model, descriptor, maps, canvas)
    for mask, whole in zip(masks, segment(tiny_model, sketch_file, files, refined=False), strict=True):
        assert mask.mask.shape == whole.mask.shape
        assert (mask.probability - whole.probability).abs().max() < 0.1


# ---- the first format


@pytest.fixture
def outdated(gallery: Gallery) -> Path:
    """``gallery`` as the first version of the package left it; its folder."""
    rows = list(rows_of(gallery).values())
    record = gallery.record.model_copy(update={"store": "store-7"})
    store = LanceStore(gallery.folder / "store-7", 32, create=True, first_format=True)
    store.upsert(rows)
    content = {**json.loads(record.model_dump_json()), "format": 1}
    del content["dense_rank"]
    (gallery.folder / RECORD_NAME).write_text(json.dumps(content))
    shutil.rmtree(gallery.folder / "store-1")
    return gallery.folder


def test_the_first_format_is_refused_with_what_to_do(outdated: Path, gallery: Gallery, describer: Any,
                                                     sketch_file: Path, photos: Path) -> None:
    pattern = (r"gallery .* has format 1 of an older version of sketchfusion, this version needs format 2; describe "
               r"its photos anew with `sketchfusion index --gallery .* --rebuild`")
    with pytest.raises(GalleryError, match=pattern):
        Gallery.open(outdated)
    for opened in (gallery, Gallery.open(outdated, outdated=True)):  # the first was open before it was found so
        for action in (lambda opened=opened: opened.search(sketch_file, describer), opened.info, opened.folders,
                       lambda opened=opened: opened.photo("0" * 20), lambda opened=opened: verify(opened),
                       lambda opened=opened: opened.update([photos], describer)):
            with pytest.raises(GalleryError, match=pattern):
                action()


def test_a_rebuild_brings_the_first_format_up_to_date(outdated: Path, describer: Any, sketch_file: Path) -> None:
    old = Gallery.open(outdated, outdated=True)
    old.check_photos([])
    summary = old.update([], describer, rebuild=True)
    assert (summary.photos, summary.described, summary.notes) == (6, 6, [])
    record = read_record(outdated)
    assert (record.format, record.dense_rank, record.store) == (2, DENSE_RANK, "store-8")
    assert [path.name for path in outdated.glob("store-*")] == ["store-8"]
    fresh = Gallery.open(outdated)
    assert len(fresh.search(sketch_file, describer).hits) == 6
    assert all(row.dense for row in rows_of(fresh).values())
    assert verify(fresh, deep=True) == []


def test_a_rebuild_that_an_older_version_began_is_not_gone_on_with(outdated: Path, describer: Any) -> None:
    begun = read_record(outdated, outdated=True).model_copy(update={"store": "store-9"})
    LanceStore(outdated / "store-9", 32, create=True, first_format=True)
    write_record(begun, outdated, REBUILD_NAME)
    gallery = Gallery.open(outdated, outdated=True)
    assert gallery.update([], describer, rebuild=True, dense_rank=0).photos == 6
    assert read_record(outdated).dense_rank == 0
    assert sorted(path.name for path in outdated.glob("*.json")) == [RECORD_NAME]


def test_columns_of_the_first_format_are_told_from_ours(tmp_path: Path) -> None:
    LanceStore(tmp_path / "store-1", 4, create=True, first_format=True)
    with pytest.raises(GalleryError, match="not those that this gallery's record expects"):
        LanceStore(tmp_path / "store-1", 4)
