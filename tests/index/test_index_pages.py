"""Photos by id, folders with their numbers of photos, and search results page by page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.lance import LanceStore
from sketchfusion.index.search import SearchOptions
from sketchfusion.index.store import Filter, Photo, path_id

SavePhoto = Callable[..., Path]


# ---- ids and folders


def test_photos_are_found_by_id(gallery: Gallery, describer: Any, sketch_file: Path) -> None:
    hits = gallery.search(sketch_file, describer).hits
    for hit in hits:
        assert hit.id == path_id(hit.path)
        assert len(hit.id) == 20
        assert int(hit.id, 16) >= 0
        photo = gallery.photo(hit.id)
        assert (photo.path, photo.id) == (hit.path, hit.id)
        assert photo.dense
    ids = [hit.id for hit in reversed(hits)]
    assert list(gallery.photos(ids)) == ids
    assert gallery.photos([]) == {}
    for unknown in ("0" * 20, "' OR 1=1 --", ""):
        with pytest.raises(GalleryError, match=r"has no photo with the id .* search again"):
            gallery.photo(unknown)


def test_more_like_a_photo_of_the_gallery_does_not_open_its_file(gallery: Gallery, photos: Path) -> None:
    expected = gallery.similar(photos / "a1.jpg")
    photo_id = path_id(str(photos / "a1.jpg"))
    (photos / "a1.jpg").unlink()
    assert gallery.similar_to(photo_id) == expected
    assert len(gallery.similar_to(photo_id, SearchOptions(top=2)).hits) == 2


def test_folders_count_what_a_search_in_them_looks_at(tmp_path: Path, describer: Any, save_photo: SavePhoto,
                                                      sketch_file: Path) -> None:
    album, loose = tmp_path / "album", tmp_path / "loose"
    for number, place in enumerate(("a.jpg", "2019/may/b.jpg", "2019/may/c.jpg", "2019/june/d.jpg", "2019x/e.jpg")):
        save_photo(album / place, number)
    save_photo(loose / "f.jpg", 7)
    save_photo(loose / "not this one.jpg", 8)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    assert gallery.folders() == []
    gallery.update([album, loose / "f.jpg"], describer)
    found = gallery.folders()
    assert {folder.name: folder.photos for folder in found} == {
        "album": 5, "album/2019": 3, "album/2019/june": 1, "album/2019/may": 2, "album/2019x": 1, "loose": 1}
    assert [folder.path for folder in found] == sorted(folder.path for folder in found)
    for folder in found:
        assert folder.id == path_id(folder.path)
        result = gallery.search(sketch_file, describer, SearchOptions(folder=folder.path))
        assert len(result.hits) == result.total == folder.photos


def test_a_photo_named_itself_counts_in_the_folders_above_it(tmp_path: Path, describer: Any,
                                                             save_photo: SavePhoto) -> None:
    """It was indexed before the folder two levels up was, and its row still says so."""
    photo = save_photo(tmp_path / "album" / "deep" / "a.jpg", 1)
    save_photo(tmp_path / "album" / "b.jpg", 2)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([photo], describer)
    assert [(folder.name, folder.photos) for folder in gallery.folders()] == [("deep", 1)]
    gallery.update([tmp_path / "album"], describer)
    assert [(folder.name, folder.photos) for folder in gallery.folders()] == [("album", 2), ("album/deep", 1)]


# ---- pages


@pytest.fixture
def crowded(tmp_path: Path, describer: Any, save_photo: SavePhoto) -> Gallery:
    """24 photos, half of them copies of one."""
    folder = tmp_path / "crowd"
    for number in range(12):
        save_photo(folder / f"{number:02}.jpg", number)
        shutil.copy(folder / "00.jpg", folder / f"copy{number:02}.jpg")
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([folder], describer)
    return gallery


@pytest.mark.parametrize("top", [1, 5, 7, 24])
@pytest.mark.parametrize("sort", ["score", "date"])
def test_pages_give_each_photo_once(crowded: Gallery, describer: Any, sketch_file: Path, top: int, sort: Any) -> None:
    pages = [crowded.search(sketch_file, describer, SearchOptions(top=top, offset=offset, sort=sort))
             for offset in range(0, 24, top)]
    paths = [hit.path for page in pages for hit in page.hits]
    assert len(paths) == len(set(paths)) == 24
    assert {page.total for page in pages} == {24}
    whole = crowded.search(sketch_file, describer, SearchOptions(top=24))
    assert {page.best for page in pages} == {whole.best}
    if sort == "score":
        assert paths == [hit.path for hit in whole.hits]
    else:
        for page, start in zip(pages, range(0, 24, top), strict=True):
            assert {hit.path for hit in page.hits} == {hit.path for hit in whole.hits[start:start + top]}
            dates = [hit.date for hit in page.hits]
            assert dates == sorted(dates, reverse=True)


def test_pages_end(crowded: Gallery, describer: Any, sketch_file: Path) -> None:
    ranked = crowded.search(sketch_file, describer, SearchOptions(top=24)).hits
    beyond = crowded.search(sketch_file, describer, SearchOptions(offset=24))
    assert (beyond.hits, beyond.best, beyond.total) == ((), ranked[0].score, 24)
    cut = SearchOptions(top=4, offset=4, min_score=(ranked[3].score + ranked[0].score) / 2)
    result = crowded.search(sketch_file, describer, cut)
    assert set(result.hits) <= {hit for hit in ranked[4:8] if hit.score >= cut.min_score}  # type: ignore[operator]
    assert result.total == 24  # whatever their scores


def test_the_total_follows_the_filters(crowded: Gallery, describer: Any, sketch_file: Path) -> None:
    assert crowded.search(sketch_file, describer, SearchOptions(folder="/nowhere")).total == 0
    hits = crowded.search(sketch_file, describer, SearchOptions(top=24)).hits
    first = next(hit for hit in hits if Path(hit.path).name == "00.jpg")
    twelve = crowded.similar_to(first.id)
    assert (len(twelve.hits), twelve.total) == (11, 11)  # 12 copies and itself are left out


def test_a_negative_offset() -> None:
    with pytest.raises(ConfigError, match="offset must be at least 0, got -1"):
        SearchOptions(offset=-1)


# ---- the store


def test_counting_and_versions(tmp_path: Path) -> None:
    store = LanceStore(tmp_path / "store-1", 2, create=True)
    before = store.version()
    descriptor = np.array([1, 0], dtype=np.float32)
    store.upsert([Photo(f"/{place}/x.jpg", "/", f"/{place}", 1, 2, place, datetime(2024, 1, day), 3, 4, descriptor,
                        b"j", b"dense") for day, place in enumerate("abc", start=1)])
    assert store.version() != before
    assert store.count() == store.count(Filter()) == 3
    assert store.count(Filter(folder="/a")) == store.count(Filter(before=datetime(2024, 1, 2))) == 1
    assert store.count(Filter(not_hash="a", after=datetime(2024, 1, 2))) == 2
    assert store.get_by_id([path_id("/b/x.jpg"), "other"])[path_id("/b/x.jpg")].dense == b"dense"
    assert store.thumbnails(["/a/x.jpg", "/none.jpg"]) == {"/a/x.jpg": b"j"}
    assert sum(len(batch["path"]) for batch in store.batches(["path", "dense"], rows=1)) == 3
