"""Folders that are moved or gone for good, and photos that occur many times."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.errors import GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.update import Update, UpdateOptions
from sketchfusion.index.verify import verify

SavePhoto = Callable[..., Path]
EMPTY = UpdateOptions(allow_empty=True)


@pytest.mark.parametrize("named", ["the old one", "both", "none"])
def test_a_moved_folder_leaves_for_good_and_is_not_described_again(gallery: Gallery, photos: Path, describer: Any,
                                                                   tmp_path: Path, named: str) -> None:
    moved = photos.rename(tmp_path / "moved")
    if named != "both":
        summary = gallery.update([moved], describer)
        assert (summary.added, summary.reused, summary.photos) == (6, 6, 12)
        assert summary.notes == [f"{photos} is missing; its photos stay in the gallery. If they are meant to go, "
                                 "index it again with --allow-empty"]
    asked = {"the old one": [photos], "both": [photos, moved], "none": []}[named]
    with pytest.raises(GalleryError, match=r"there is no file or folder .*photos; nothing was changed.*--allow-empty"):
        gallery.update(asked, describer)
    summary = gallery.update(asked, describer, options=EMPTY)
    assert (summary.removed, summary.photos, summary.described, summary.notes) == (6, 6, 0, [])
    assert describer.num_described == 6
    assert gallery.record.roots == (str(moved),)
    assert gallery.update([], describer).unchanged == 6
    assert verify(gallery, deep=True) == []


def test_what_was_never_indexed_cannot_be_gone(gallery: Gallery, photos: Path, describer: Any, tmp_path: Path) -> None:
    for missing in (tmp_path / "typo", photos / "typo"):
        with pytest.raises(GalleryError, match=r"there is no file or folder .*typo; nothing was changed\. Check the"):
            gallery.update([missing], describer, options=EMPTY)
        with pytest.raises(GalleryError, match=r"typo; nothing was changed\. Check the path"):
            gallery.check_photos([missing], allow_empty=True)
    assert gallery.store.count() == 6


def test_a_folder_below_and_a_single_photo_may_go_too(gallery: Gallery, photos: Path, describer: Any, tmp_path: Path,
                                                      save_photo: SavePhoto) -> None:
    single = save_photo(tmp_path / "loose" / "d.jpg", 71)
    gallery.update([single], describer)
    shutil.rmtree(photos / "sub")
    single.unlink()
    assert gallery.update([photos / "sub"], describer, options=EMPTY).removed == 2
    assert gallery.record.roots == (str(photos),)
    assert gallery.update([], describer).photos == 5  # its disk may be away
    with pytest.raises(GalleryError, match=r"d\.jpg; nothing was changed.*--allow-empty"):
        gallery.update([single], describer)
    assert gallery.update([], describer, options=EMPTY).photos == 4


def test_the_only_photo_that_was_named_is_renamed(tmp_path: Path, describer: Any, save_photo: SavePhoto) -> None:
    single = save_photo(tmp_path / "loose" / "d.jpg", 71)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([single], describer)
    single.rename(single.with_name("e.jpg"))
    for index in (gallery.check_photos, lambda photos: gallery.update(photos, describer)):
        with pytest.raises(GalleryError, match=r"no file or folder .*d\.jpg; nothing was changed.*--allow-empty"):
            index([])
    assert gallery.update([], describer, options=EMPTY).removed == 1
    with pytest.raises(GalleryError, match="no photos were given"):
        gallery.update([], describer)


def test_photos_that_were_named_and_are_missing_are_told(gallery: Gallery, describer: Any, tmp_path: Path,
                                                         save_photo: SavePhoto) -> None:
    singles = [save_photo(tmp_path / "loose" / f"{number}.jpg", 70 + number) for number in range(2)]
    assert gallery.update(singles, describer).notes == []
    for single in singles:
        single.unlink()
    assert gallery.update([], describer).notes == [
        f"photos that were named one by one are missing, 2 of them, such as {singles[0]}; they stay in the gallery. If "
        "they are meant to go, index again with --allow-empty"]
    summary = gallery.update([], describer, options=EMPTY)
    assert (summary.removed, summary.notes) == (2, [])


def test_a_folder_stays_known_until_its_rows_have_left(gallery: Gallery, photos: Path, describer: Any,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(photos)

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Update, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        gallery.update([], describer, options=EMPTY)
    monkeypatch.undo()
    assert gallery.record.roots == (str(photos),)
    assert gallery.update([], describer, options=EMPTY).photos == 0
    assert gallery.record.roots == ()


def test_a_rebuild_drops_a_folder_that_is_gone(gallery: Gallery, photos: Path, describer: Any, tmp_path: Path) -> None:
    moved = photos.rename(tmp_path / "moved")
    summary = gallery.update([photos, moved], describer, rebuild=True, options=EMPTY)
    assert (summary.photos, gallery.record.roots) == (6, (str(moved),))


def test_many_copies_take_little_memory_and_show_progress(tmp_path: Path, describer: Any, save_photo: SavePhoto,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    first = save_photo(tmp_path / "p" / "000.png", 1)
    for number in range(1, 60):
        shutil.copy(first, first.with_name(f"{number:03}.png"))
    held: list[tuple[int, int]] = []
    real = Update.take

    def take(self: Update, result: Any) -> None:
        real(self, result)
        twins = [reading for readings in self.waiting.values() for reading in readings]
        held.append((len(twins), sum(reading.canvas is not None or bool(reading.thumbnail) for reading in twins)))

    monkeypatch.setattr(Update, "take", take)
    calls: list[int] = []
    gallery = Gallery.create(tmp_path / "gallery", describer)
    summary = gallery.update([tmp_path / "p"], describer, options=UpdateOptions(batch_size=4),
                             on_progress=lambda done, total: calls.append(done))
    assert max(waiting for waiting, _ in held) < 4 * 4
    assert max(canvases for _, canvases in held) == 1
    assert {16, 30, 59} <= set(calls)
    assert calls == sorted(calls)
    assert (summary.photos, summary.described) == (60, 1)
    assert len({photo.thumbnail for photo in gallery.store.get(list(gallery.store.states())).values()}) == 1


def test_finding_no_picture_is_said(tmp_path: Path, describer: Any) -> None:
    text = tmp_path / "notes"
    text.write_text("no picture")
    gallery = Gallery.create(tmp_path / "gallery", describer)
    summary = gallery.update([text], describer)
    assert summary.notes == ["no file with the suffix of a picture was found"]
