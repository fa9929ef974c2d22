"""Galleries: identity, search, similar, rebuild, and the files they consist of."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sketchfusion.errors import ConfigError, GalleryError, ImageError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import RECORD_NAME, read_record
from sketchfusion.index.scan import scan
from sketchfusion.index.search import SearchOptions
from sketchfusion.index.update import Summary, UpdateOptions
from sketchfusion.index.verify import verify

SavePhoto = Callable[..., Path]


def found(result: Any) -> list[str]:
    return [Path(hit.path).name for hit in result.hits]


def test_record(gallery: Gallery, photos: Path, describer: Any) -> None:
    record = json.loads((gallery.folder / RECORD_NAME).read_text())
    created = record.pop("created")
    assert record == {"format": 2, "fingerprint": "fake-32-0", "model": "fake", "overrides": ["some.setting=1"],
                      "descriptor_size": 32, "dense_rank": 16, "store": "store-1", "roots": [str(photos)]}
    assert date.fromisoformat(created[:10]) >= date(2024, 1, 1)
    assert not list(gallery.folder.glob("*.partial"))


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_as_good_as_many(tmp_path: Path, photos: Path, describer: Any, monkeypatch: pytest.MonkeyPatch,
                                     kind: Callable[[Path], Any]) -> None:
    monkeypatch.chdir(photos)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    assert gallery.update(kind(Path("sub")), describer).added == 2
    gallery.check_photos(kind(Path("sub")))
    assert gallery.update(kind(Path("..", "photos", "a0.jpg")), describer).added == 1
    assert gallery.update((path for path in [photos / "a1.jpg"]), describer, rebuild=True).photos == 4
    assert gallery.record.roots == (str(photos / "sub"),)
    thumbnail = gallery.thumbnails([str(photos / "a0.jpg")])
    assert gallery.thumbnails(kind(Path("a0.jpg"))) == thumbnail
    assert len(scan(kind(Path("sub"))).files) == 2


def test_a_record_that_cannot_be_written(gallery: Gallery, photos: Path, tmp_path: Path, describer: Any,
                                         save_photo: SavePhoto, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photo(tmp_path / "more" / "c.jpg", 70)
    before = (gallery.folder / RECORD_NAME).read_bytes()

    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        message = r"cannot write .*\.json: No space left on device; what was done is kept\. Make room .* again to go on"
        for rebuild in (False, True):
            with pytest.raises(GalleryError, match=message):
                gallery.update([tmp_path / "more"], describer, rebuild=rebuild)
        with pytest.raises(GalleryError, match=message):
            Gallery.create(tmp_path / "another", describer)
    assert (gallery.folder / RECORD_NAME).read_bytes() == before
    assert not list(tmp_path.rglob("*.partial"))
    gallery.update([tmp_path / "more"], describer)
    assert Gallery.open(gallery.folder).record.roots == (str(tmp_path / "more"), str(photos))
    Gallery.create(tmp_path / "another", describer)


def test_a_model_folder_is_recorded_by_its_absolute_path(tmp_path: Path, describer: Any,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/mine").mkdir(parents=True)
    describer.name = "runs/mine"
    assert Gallery.create("gallery", describer).record.model == str(tmp_path / "runs" / "mine")


def test_another_extractor_is_refused(gallery: Gallery, photos: Path, sketch_file: Path,
                                      make_describer: Callable[..., Any]) -> None:
    other = make_describer(seed=5)
    pattern = (r"was made by 'fake' \(some.setting=1\) with fingerprint fake-32-0 .*has fake-32-5.*"
               r"`sketchfusion index --rebuild`")
    with pytest.raises(GalleryError, match=pattern):
        gallery.search(sketch_file, other)
    with pytest.raises(GalleryError, match=pattern):
        gallery.update([photos], other)
    with pytest.raises(GalleryError, match=pattern):
        gallery.similar(sketch_file, other)


def test_no_gallery_damaged_or_newer(tmp_path: Path, gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"there is no gallery in .*nowhere.*sketchfusion index PHOTOS"):
        Gallery.open(tmp_path / "nowhere")
    record = gallery.folder / RECORD_NAME
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "format": 3, "unheard_of": 1}))
    with pytest.raises(GalleryError, match="has format 3, this version of sketchfusion knows formats up to 2"):
        Gallery.open(gallery.folder)
    for text in ("{", json.dumps({**content, "surprise": 1}), json.dumps({**content, "store": "../elsewhere"}), "[]"):
        record.write_text(text)
        with pytest.raises(GalleryError, match="is damaged"):
            Gallery.open(gallery.folder)


def test_a_gallery_is_not_made_among_other_files(tmp_path: Path, photos: Path, describer: Any,
                                                 gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"is not a gallery and not empty \(it holds 'a0.jpg'\)"):
        Gallery.create(photos, describer)
    with pytest.raises(GalleryError, match=r"there is a gallery in .* already"):
        Gallery.create(gallery.folder, describer)
    half_made = tmp_path / "half"
    (half_made / "store-1").mkdir(parents=True)
    (half_made / "gallery.json.partial").touch()
    assert Gallery.create(half_made, describer).store.count() == 0


def test_rows_whose_record_is_lost_are_not_deleted(gallery: Gallery, describer: Any) -> None:
    record = gallery.folder / "gallery.json"
    record.rename(gallery.folder.parent / "away.json")
    with pytest.raises(GalleryError, match=r"photos of a gallery whose gallery.json is gone; put that back"):
        Gallery.create(gallery.folder, describer)
    (gallery.folder.parent / "away.json").rename(record)
    assert Gallery.open(gallery.folder).store.count() == gallery.store.count() > 0


def test_a_gallery_that_was_cut_off_while_it_was_made_is_begun_anew(tmp_path: Path, describer: Any) -> None:
    begun = Gallery.create(tmp_path / "new", describer)
    (begun.folder / "gallery.json").unlink()  # the store is there, the record is not written yet
    assert Gallery.create(begun.folder, describer).store.count() == 0


def test_a_photo_as_query_finds_itself_first(gallery: Gallery, photos: Path, describer: Any) -> None:
    place = describer.place  # so that photo and sketch go through the same preprocessing
    describer.place = lambda image, kind, size=None: place(image, "photo", size)
    for name in ("a0.jpg", "a3.jpg"):
        result = gallery.search(photos / name, describer)
        assert found(result)[0] == name
        assert result.hits[0].score == pytest.approx(1, abs=1e-5)
        assert result.best == result.hits[0].score
    assert len(result.hits) == 6
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)


def test_every_kind_of_sketch(gallery: Gallery, describer: Any, sketch_file: Path) -> None:
    strokes = '{"drawing": [[[0, 100, 50], [0, 0, 80]]]}'
    for sketch in (sketch_file, str(sketch_file), sketch_file.read_bytes(), strokes, Image.open(sketch_file)):
        assert len(gallery.search(sketch, describer).hits) == 6
    for blank in ('{"drawing": []}', Image.new("RGB", (20, 20), "white")):
        with pytest.raises(ImageError, match="blank"):
            gallery.search(blank, describer)


def test_a_transparent_sketch_in_memory_lies_on_white(gallery: Gallery, describer: Any, sketch_file: Path) -> None:
    ink = Image.open(sketch_file).convert("L")
    clear = Image.new("RGBA", ink.size, (0, 0, 0, 0))
    clear.putalpha(ink.point(lambda level: 255 - level))
    on_white, transparent = (gallery.search(sketch, describer) for sketch in (ink, clear))
    assert [hit.score for hit in transparent.hits] == pytest.approx([hit.score for hit in on_white.hits], abs=1e-3)


def test_the_real_extractor_fits(tmp_path: Path, photo_folder: Path, sketch_file: Path, tiny_model: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", tiny_model)
    assert gallery.update([photo_folder], tiny_model).photos == 7
    assert (gallery.record.model, gallery.record.fingerprint) == ("tiny", tiny_model.fingerprint)
    path = str(photo_folder / "photo0.jpg")
    alone = tiny_model.describe(path)[0].numpy()
    assert np.abs(gallery.store.get([path])[path].descriptor - alone).max() < 1e-5
    expected = float(tiny_model.describe(sketch_file, kind="sketch")[0].numpy() @ alone)
    scores = {hit.path: hit.score for hit in gallery.search(sketch_file, tiny_model).hits}
    assert scores[path] == pytest.approx(expected, abs=1e-5)
    assert len(gallery.similar(path).hits) == 6


def test_search_options(tmp_path: Path, describer: Any, save_photo: SavePhoto, sketch_file: Path) -> None:
    folder = tmp_path / "p"
    for number, day in enumerate(["2020:01:01", "2020:01:02", "2020:06:01", "2021:12:31"]):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"{day} 23:59:59"
        save_photo(folder / ("x" if number % 2 else "xy") / f"{number}.jpg", number, exif=exif)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([folder], describer)

    def search(**options: Any) -> list[str]:
        return found(gallery.search(sketch_file, describer, SearchOptions(**options)))

    ranked = search()
    assert search(top=2) == ranked[:2]
    assert search(sort="date") == ["3.jpg", "2.jpg", "1.jpg", "0.jpg"]
    assert sorted(search(sort="date", top=2)) == sorted(ranked[:2])
    assert set(search(folder=folder / "x")) == {"1.jpg", "3.jpg"}
    assert set(search(folder=folder)) == set(ranked)
    assert set(search(before=date(2020, 1, 2))) == {"0.jpg", "1.jpg"}  # the day itself counts
    assert set(search(after=date(2020, 1, 2), before=date(2020, 6, 1))) == {"1.jpg", "2.jpg"}
    assert set(search(after=date(2021, 12, 31), before=date.max)) == {"3.jpg"}
    result = gallery.search(sketch_file, describer)
    middle = (result.hits[1].score + result.hits[2].score) / 2
    assert search(min_score=middle) == ranked[:2]
    nothing = gallery.search(sketch_file, describer, SearchOptions(min_score=1))
    assert (nothing.hits, nothing.best) == ((), result.hits[0].score)
    assert gallery.search(sketch_file, describer, SearchOptions(folder=tmp_path / "other")).best is None


@pytest.mark.parametrize(("options", "message"), [
    ({"top": 0}, "top must be at least 1"), ({"sort": "name"}, "'score' or 'date'"), ({"min_score": 1.5}, "cosine"),
    ({"after": date(2021, 1, 2), "before": date(2021, 1, 1)}, "no photo can match")])
def test_search_options_validate_themselves(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchOptions(**options)


def test_similar_leaves_out_the_photo_and_its_copies(gallery: Gallery, photos: Path, describer: Any,
                                                     tmp_path: Path, save_photo: SavePhoto) -> None:
    shutil.copy(photos / "a0.jpg", photos / "twin.jpg")
    gallery.update([photos], describer)
    described = describer.num_described
    assert gallery.knows(photos / "a0.jpg")
    inside = gallery.similar(photos / "a0.jpg")  # its descriptor is known: no extractor is needed
    assert sorted(found(inside)) == ["a1.jpg", "a2.jpg", "a3.jpg", "b4.png", "b5.webp"]
    assert describer.num_described == described
    outside = shutil.copy(photos / "a0.jpg", tmp_path / "outside.jpg")
    assert found(gallery.similar(outside)) == found(inside)
    stranger = save_photo(tmp_path / "stranger.jpg", 40)
    with pytest.raises(GalleryError, match="is not in the gallery"):
        gallery.similar(stranger)
    assert len(gallery.similar(stranger, describer).hits) == 7
    assert found(gallery.similar(stranger, describer, SearchOptions(top=1))) == found(
        gallery.similar(stranger, describer))[:1]
    with pytest.raises(ImageError, match="there is no file"):
        gallery.similar(tmp_path / "none.jpg", describer)


def test_a_photo_outside_is_described_as_indexing_does(gallery: Gallery, photos: Path, describer: Any,
                                                       tmp_path: Path, save_photo: SavePhoto) -> None:
    stranger = save_photo(tmp_path / "more" / "stranger.jpg", 41)
    before = gallery.similar(stranger, describer)
    gallery.update([tmp_path / "more"], describer)
    after = gallery.similar(stranger)
    assert [hit.score for hit in after.hits] == pytest.approx([hit.score for hit in before.hits], abs=1e-6)


def test_thumbnails(gallery: Gallery, photos: Path) -> None:
    assert gallery.thumbnail(photos / "a0.jpg").startswith(b"\xff\xd8")
    assert len(gallery.thumbnails([str(photos / "a0.jpg"), str(photos / "a1.jpg")])) == 2
    with pytest.raises(GalleryError, match="is not in the gallery"):
        gallery.thumbnail(photos / "zzz.jpg")


def test_info(gallery: Gallery, photos: Path) -> None:
    facts = gallery.info()
    assert (facts["photos"], facts["search"], facts["model"], facts["roots"]) == (6, "exact", "fake", [str(photos)])
    assert facts["num_bytes"] > 1000
    assert facts["unfinished_rebuild"] is False
    json.dumps(facts)


def test_rebuild_takes_the_place_of_the_old_rows(gallery: Gallery, photos: Path, tmp_path: Path, save_photo: SavePhoto,
                                                 describer: Any, make_describer: Callable[..., Any],
                                                 sketch_file: Path) -> None:
    loose = save_photo(tmp_path / "loose" / "one.jpg", 60)
    gallery.update([loose], describer)
    reader = Gallery.open(gallery.folder)
    reader.search(sketch_file, describer)
    other = make_describer(size=24, seed=1)
    summary = gallery.update([], other, rebuild=True)
    assert (summary.added, summary.described, summary.photos) == (7, 7, 7)
    record = read_record(gallery.folder)
    assert (record.fingerprint, record.store, record.descriptor_size) == ("fake-24-1", "store-2", 24)
    assert record.roots == (str(photos),)
    assert sorted(path.name for path in gallery.folder.glob("[!.]*")) == ["gallery.json", "store-2"]
    assert verify(gallery, deep=True) == []
    assert len(reader.search(sketch_file, other).hits) == 7  # an open gallery follows
    with pytest.raises(GalleryError, match="fake-24-1"):
        reader.search(sketch_file, describer)


def test_a_rebuild_that_is_cut_off_harms_nothing_and_goes_on(gallery: Gallery, photos: Path, describer: Any,
                                                             sketch_file: Path,
                                                             make_describer: Callable[..., Any]) -> None:
    other = make_describer(seed=1)
    real = other.describe_canvas
    options = UpdateOptions(batch_size=2)

    def interrupt(canvas: Any) -> Any:
        if other.num_described >= 4:
            raise KeyboardInterrupt
        return real(canvas)

    other.describe_canvas = interrupt
    with pytest.raises(KeyboardInterrupt):
        gallery.update([photos], other, rebuild=True, options=options)
    gallery = Gallery.open(gallery.folder)
    assert len(gallery.search(sketch_file, describer).hits) == 6
    assert gallery.info()["unfinished_rebuild"] is True
    assert "finishes it" in gallery.update([photos], describer).notes[0]
    del other.describe_canvas
    other.batches.clear()
    summary = gallery.update([photos], other, rebuild=True, options=options)
    assert (other.num_described, summary.photos) == (2, 6)
    assert gallery.record.fingerprint == other.fingerprint
    assert gallery.info()["unfinished_rebuild"] is False


def test_a_rebuild_that_was_given_up_is_cleared_away(gallery: Gallery, photos: Path,
                                                     make_describer: Callable[..., Any]) -> None:
    first, second = make_describer(seed=1), make_describer(seed=2)
    first.describe_canvas = lambda canvas: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        gallery.update([photos], first, rebuild=True)
    gallery.update([photos], second, rebuild=True)
    assert gallery.record.fingerprint == second.fingerprint
    assert sorted(path.name for path in gallery.folder.glob("store-*")) == [gallery.record.store]


def test_a_rebuild_does_not_forget_folders_that_are_away(gallery: Gallery, photos: Path, tmp_path: Path,
                                                         describer: Any, save_photo: SavePhoto) -> None:
    save_photo(tmp_path / "more" / "c.jpg", 70)
    gallery.update([tmp_path / "more"], describer)
    photos.rename(tmp_path / "away")
    with pytest.raises(GalleryError, match=r"there is no file or folder .*photos; nothing was changed"):
        gallery.update([tmp_path / "more"], describer, rebuild=True)
    assert gallery.store.count() == 7
    options = UpdateOptions(allow_empty=True)
    assert gallery.update([tmp_path / "more"], describer, rebuild=True, options=options).photos == 1


def test_a_rebuild_mends_rows_that_are_beyond_reading(gallery: Gallery, describer: Any) -> None:
    shutil.rmtree(gallery.folder / "store-1" / "photos.lance" / "_versions")
    damaged = Gallery.open(gallery.folder)
    with pytest.raises(GalleryError, match="--rebuild"):
        damaged.store.count()
    summary = damaged.update([], describer, rebuild=True)
    assert (summary.photos, "unreadable" in summary.notes[0]) == (6, True)
    assert verify(damaged, deep=True) == []


def test_the_gallery_may_lie_among_the_photos(photos: Path, describer: Any) -> None:
    gallery = Gallery.create(photos / "gallery", describer)
    summary = gallery.update([photos], describer)
    assert (summary.photos, summary.failures, summary.not_pictures) == (6, [], {})


def test_moving_the_gallery_folder(gallery: Gallery, tmp_path: Path, describer: Any, sketch_file: Path) -> None:
    gallery.folder.rename(tmp_path / "else where")
    assert len(Gallery.open(tmp_path / "else where").search(sketch_file, describer).hits) == 6


def test_summary_is_empty_by_default() -> None:
    assert Summary().failures == []


def test_search_by_descriptor(gallery: Gallery, photos: Path) -> None:
    row = gallery.store.get([str(photos / "a2.jpg")])[str(photos / "a2.jpg")]
    hits = gallery.search_descriptor(row.descriptor, SearchOptions(top=1)).hits
    assert (hits[0].path, os.path.basename(hits[0].path)) == (row.path, "a2.jpg")  # noqa: PTH119
    assert hits[0].score == pytest.approx(float(np.dot(row.descriptor, row.descriptor)), abs=1e-6)


def test_a_descriptor_of_another_extractor_is_not_compared(gallery: Gallery, photos: Path, describer: Any,
                                                           make_describer: Callable[..., Any]) -> None:
    row = gallery.store.get([str(photos / "a2.jpg")])[str(photos / "a2.jpg")]
    assert gallery.search_descriptor(row.descriptor, fingerprint=describer.fingerprint).hits
    for other in (make_describer(seed=1), make_describer(size=8)):
        Gallery.open(gallery.folder).update([], other, rebuild=True)  # as another process would
        with pytest.raises(GalleryError, match=f"{other.fingerprint}, but the descriptor by one with fake-32-0"):
            gallery.search_descriptor(row.descriptor, fingerprint=describer.fingerprint)


def test_the_rows_are_those_of_the_record_whatever_another_thread_put_there(gallery: Gallery, describer: Any) -> None:
    old = (gallery.record.store, gallery.store)
    Gallery.open(gallery.folder).update([], describer, rebuild=True)
    gallery.refresh()
    gallery.opened = old  # by a thread that had read the old record before
    assert gallery.store.folder.name == gallery.record.store != old[0]
