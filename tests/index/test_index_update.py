"""Incremental updates: what is described, what is reused, what leaves, what is refused."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.images import as_image
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.pipeline import PhotoReader
from sketchfusion.index.update import Summary, UpdateOptions
from sketchfusion.index.verify import verify

SavePhoto = Callable[..., Path]


def names(gallery: Gallery) -> list[str]:
    return sorted(Path(path).name for path in gallery.store.states())


def counts(summary: Summary) -> tuple[int, int, int, int]:
    return summary.added, summary.changed, summary.unchanged, summary.removed


def test_a_first_run_describes_everything_in_batches(tmp_path: Path, photos: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    calls: list[tuple[int, int]] = []
    summary = gallery.update([photos], describer, options=UpdateOptions(batch_size=4),
                             on_progress=lambda done, total: calls.append((done, total)))
    assert counts(summary) == (6, 0, 0, 0)
    assert (summary.described, summary.reused, summary.photos, summary.failures) == (6, 0, 6, [])
    assert describer.batches == [4, 2]
    assert calls[0] == (0, 6)
    assert calls == sorted(calls)
    assert gallery.record.roots == (str(photos),)
    assert verify(gallery, deep=True) == []


def test_the_stored_descriptor_is_that_of_the_photo_alone(gallery: Gallery, photos: Path, describer: Any) -> None:
    for name in ("a0.jpg", "sub/b4.png"):
        canvas = describer.place(as_image(photos / name), "photo")
        stored = gallery.store.get([str(photos / name)])[str(photos / name)].descriptor
        assert np.abs(stored - describer.describe_canvas(canvas)[0].numpy()).max() < 1e-6


def test_nothing_changed_nothing_read(gallery: Gallery, photos: Path, describer: Any,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sketchfusion.index.pipeline.hash_file", lambda path: pytest.fail(f"{path} was read"))
    summary = gallery.update([photos], describer)
    assert counts(summary) == (0, 0, 6, 0)
    assert describer.num_described == 6


def test_a_touched_file_is_hashed_but_not_described(gallery: Gallery, photos: Path, describer: Any) -> None:
    os.utime(photos / "a0.jpg", (1_500_000_000, 1_500_000_000))
    summary = gallery.update([photos], describer)
    assert counts(summary) == (0, 0, 6, 0)
    assert (summary.described, summary.reused, describer.num_described) == (0, 0, 6)
    assert gallery.store.states()[str(photos / "a0.jpg")].mtime_ns == 1_500_000_000_000_000_000
    assert gallery.store.get([str(photos / "a0.jpg")])[str(photos / "a0.jpg")].date.year == 2017
    assert verify(gallery) == []


def test_changed_moved_copied_and_vanished(gallery: Gallery, photos: Path, describer: Any,
                                           save_photo: SavePhoto) -> None:
    before = gallery.store.get([str(photos / "a1.jpg"), str(photos / "a2.jpg")])
    save_photo(photos / "a0.jpg", 50)
    (photos / "a1.jpg").rename(photos / "sub" / "moved.jpg")
    shutil.copy(photos / "a2.jpg", photos / "copied.jpg")
    (photos / "a3.jpg").unlink()
    summary = gallery.update([photos], describer)
    assert counts(summary) == (2, 1, 3, 2)
    assert (summary.described, summary.reused, describer.num_described) == (1, 2, 7)
    assert names(gallery) == ["a0.jpg", "a2.jpg", "b4.png", "b5.webp", "copied.jpg", "moved.jpg"]
    moved = gallery.store.get([str(photos / "sub" / "moved.jpg")])[str(photos / "sub" / "moved.jpg")]
    assert np.array_equal(moved.descriptor, before[str(photos / "a1.jpg")].descriptor)
    assert moved.thumbnail == before[str(photos / "a1.jpg")].thumbnail
    assert (moved.folder, moved.root) == (str(photos / "sub"), str(photos))
    assert verify(gallery, deep=True) == []


@pytest.mark.parametrize("commit_rows", [1, 100])
def test_two_photos_that_swap_names(gallery: Gallery, photos: Path, describer: Any, commit_rows: int) -> None:
    first, second = photos / "a0.jpg", photos / "a1.jpg"
    before = gallery.store.get([str(first), str(second)])
    first.rename(photos / "x")
    second.rename(first)
    (photos / "x").rename(second)
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    gallery.update([photos], describer, options=UpdateOptions(commit_rows=commit_rows))
    after = gallery.store.get([str(first), str(second)])
    assert np.allclose(after[str(first)].descriptor, before[str(second)].descriptor, atol=1e-6)
    assert np.allclose(after[str(second)].descriptor, before[str(first)].descriptor, atol=1e-6)
    assert verify(gallery, deep=True) == []


def test_the_same_content_is_described_once(tmp_path: Path, describer: Any, save_photo: SavePhoto) -> None:
    for number in range(7):
        save_photo(tmp_path / "p" / f"{number}.png", 1)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    summary = gallery.update([tmp_path / "p"], describer, options=UpdateOptions(batch_size=2, commit_rows=3))
    assert (summary.added, summary.described, summary.reused) == (7, 1, 6)
    assert len({photo.descriptor.tobytes() for photo in gallery.store.get(list(gallery.store.states())).values()}) == 1


def test_other_roots_stay_and_all_roots_are_remembered(gallery: Gallery, photos: Path, describer: Any, tmp_path: Path,
                                                       save_photo: SavePhoto) -> None:
    more = tmp_path / "more"
    save_photo(more / "c.jpg", 70)
    single = save_photo(tmp_path / "loose" / "d.jpg", 71)
    (photos / "a0.jpg").unlink()
    assert counts(gallery.update([more, single], describer)) == (2, 0, 0, 0)
    assert "a0.jpg" in names(gallery)
    assert gallery.record.roots == (str(more), str(photos))
    save_photo(single, 72)
    summary = gallery.update([], describer)  # everything known
    assert counts(summary) == (0, 1, 6, 1)
    (photos / "sub" / "b4.png").unlink()
    assert gallery.update([photos / "sub"], describer).removed == 1
    assert gallery.record.roots == (str(more), str(photos))


def test_a_missing_root_changes_nothing(gallery: Gallery, photos: Path, describer: Any) -> None:
    (photos / "a0.jpg").unlink()
    with pytest.raises(GalleryError, match="nothing was changed"):
        gallery.update([photos, photos / "nowhere"], describer)
    assert gallery.store.count() == 6


def test_an_empty_root_looks_like_an_unmounted_disk(gallery: Gallery, photos: Path, describer: Any) -> None:
    shutil.rmtree(photos)
    photos.mkdir()
    with pytest.raises(GalleryError, match=r"had 6 photos and now has none; nothing was changed.*--allow-empty"):
        gallery.update([photos], describer)
    assert gallery.store.count() == 6
    assert gallery.update([photos], describer, options=UpdateOptions(allow_empty=True)).removed == 6
    assert gallery.store.count() == 0


def test_a_folder_that_cannot_be_listed_keeps_its_photos(gallery: Gallery, photos: Path, describer: Any,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (photos / "a0.jpg").unlink()
    summary = gallery.update([photos], describer)
    assert summary.removed == 1
    assert names(gallery) == ["a1.jpg", "a2.jpg", "a3.jpg", "b4.png", "b5.webp"]
    assert "already in the gallery are kept" in summary.failures[0].reason


def test_photos_that_were_named_one_by_one_survive_a_scan_that_does_not_enter_their_folder(
        gallery: Gallery, photos: Path, describer: Any, save_photo: SavePhoto) -> None:
    hidden = save_photo(photos / ".private" / "h.jpg", 80)
    gallery.update([hidden], describer)
    assert gallery.update([photos], describer).removed == 0
    assert "h.jpg" in names(gallery)


def test_odd_and_broken_files(tmp_path: Path, describer: Any, save_photo: SavePhoto) -> None:
    folder = tmp_path / "p"
    save_photo(folder / "ok.jpg", 1)
    whole = save_photo(tmp_path / "whole.jpg", 2).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[:-80])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "zero.png").touch()
    (folder / "renamed.png").write_bytes(whole)
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)).save(folder / "deep.png")
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2019:07:20 20:17:40"
    save_photo(folder / "turned.jpg", 3, exif=exif)
    (folder / "line\nbreak.jpg").write_bytes(b"junk")

    gallery = Gallery.create(tmp_path / "gallery", describer)
    summary = gallery.update([folder], describer)
    reasons = {Path(failure.path).name: failure.reason for failure in summary.failures}
    assert sorted(reasons) == ["cut.jpg", "huge.png", "line\nbreak.jpg", "text.jpg", "zero.png"]
    assert "damaged or cut off" in reasons["cut.jpg"]
    assert "not a picture in a known format" in reasons["text.jpg"]
    assert reasons["zero.png"] == "the file is empty"
    assert "too large" in reasons["huge.png"] or "more than the limit" in reasons["huge.png"]
    assert names(gallery) == ["cmyk.jpg", "deep.png", "moving.gif", "ok.jpg", "renamed.png", "turned.jpg"]

    rows = {Path(path).name: row for path, row in gallery.store.get(list(gallery.store.states())).items()}
    assert (rows["turned.jpg"].width, rows["turned.jpg"].height) == (40, 60)
    assert rows["turned.jpg"].date == datetime(2019, 7, 20, 20, 17, 40)
    assert rows["ok.jpg"].date == datetime.fromtimestamp(int((folder / "ok.jpg").stat().st_mtime))
    red = Image.open(io.BytesIO(rows["moving.gif"].thumbnail)).convert("RGB").getpixel((10, 10))
    assert red[0] > 200 > 60 > red[2]
    assert Image.open(io.BytesIO(rows["turned.jpg"].thumbnail)).size == (40, 60)
    assert verify(gallery, deep=True) == []


def test_a_photo_that_breaks_leaves_and_comes_back_when_mended(gallery: Gallery, photos: Path, describer: Any,
                                                               save_photo: SavePhoto) -> None:
    (photos / "a0.jpg").write_bytes(b"broken")
    summary = gallery.update([photos], describer)
    assert (summary.removed, len(summary.failures)) == (1, 1)
    assert "a0.jpg" not in names(gallery)
    save_photo(photos / "a0.jpg", 0)
    assert gallery.update([photos], describer).added == 1


def test_a_photo_that_cannot_be_opened_stays(gallery: Gallery, photos: Path, describer: Any,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(13, "Permission denied")

    os.utime(photos / "a0.jpg", (1, 1))
    monkeypatch.setattr("sketchfusion.index.pipeline.hash_file", refuse)
    summary = gallery.update([photos], describer)
    assert summary.failures[0].reason == "the file cannot be read: Permission denied"
    assert gallery.store.count() == 6


def test_a_descriptor_that_is_not_finite_is_a_failure_of_that_photo(tmp_path: Path, photos: Path,
                                                                    describer: Any) -> None:
    describer.spoil = 1
    gallery = Gallery.create(tmp_path / "gallery", describer)
    summary = gallery.update([photos], describer)
    assert (summary.added, len(summary.failures)) == (5, 1)
    assert "not finite" in summary.failures[0].reason


def test_an_interruption_keeps_what_was_described(tmp_path: Path, photos: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    real = describer.describe_canvas

    def interrupt(canvas: Any) -> Any:
        if describer.num_described >= 4:
            raise KeyboardInterrupt
        return real(canvas)

    describer.describe_canvas = interrupt
    with pytest.raises(KeyboardInterrupt):
        gallery.update([photos], describer, options=UpdateOptions(batch_size=2))
    assert Gallery.open(gallery.folder).store.count() == 4
    del describer.describe_canvas
    summary = gallery.update([photos], describer)
    assert counts(summary) == (2, 0, 4, 0)


def test_an_extractor_that_lies_about_its_size(tmp_path: Path, photos: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    describer.projection = describer.projection[:, :5]
    with pytest.raises(GalleryError, match=r"gave descriptors of shape \(6, 5\), expected \(6, 32\)"):
        gallery.update([photos], describer)


def test_look_ahead_is_bounded(tmp_path: Path, describer: Any, save_photo: SavePhoto,
                               monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        save_photo(tmp_path / "p" / f"{number:02}.png", number)
    read: list[str] = []
    real = PhotoReader.read

    def note(self: PhotoReader, file: Any, **options: Any) -> Any:
        read.append(file.path)
        return real(self, file, **options)

    monkeypatch.setattr(PhotoReader, "read", note)
    most = 0
    real_describe = describer.describe_canvas

    def watch(canvas: Any) -> Any:
        nonlocal most
        most = max(most, len(read) - describer.num_described)
        return real_describe(canvas)

    describer.describe_canvas = watch
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([tmp_path / "p"], describer, options=UpdateOptions(batch_size=4, workers=2))
    assert most <= 4 + (4 + 2 * 2)
    assert gallery.store.count() == 60


@pytest.mark.parametrize("option", ["batch_size", "workers", "commit_rows"])
def test_options_must_be_positive(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be at least 1, got 0"):
        UpdateOptions(**{option: 0})


actions = st.lists(st.tuples(st.sampled_from(["write", "copy", "move", "delete", "touch", "break"]),
                             st.integers(0, 4), st.integers(0, 4)), max_size=6)


@settings(max_examples=8, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rounds=st.lists(actions, min_size=1, max_size=3))
def test_any_changes_end_as_a_fresh_gallery_would(rounds: list[list[tuple[str, int, int]]], save_photo: SavePhoto,
                                                  make_describer: Callable[..., Any],
                                                  tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("rounds")
    folder, describer = base / "p", make_describer()
    save_photo(folder / "keep.png", 99)
    gallery = Gallery.create(base / "gallery", describer)
    options = UpdateOptions(batch_size=2, commit_rows=2, workers=1)
    clock = 1_000_000_000
    for todo in [[], *rounds]:
        for action, one, other in todo:
            clock += 1
            source, target = folder / f"{one}.png", folder / f"{other}.png"
            if action == "write":
                save_photo(target, one)
            elif action == "break":
                target.write_bytes(b"broken")
            elif source.exists() and action == "delete":
                source.unlink()
            elif source.exists() and source != target and action in ("copy", "move"):
                shutil.copy(source, target) if action == "copy" else source.rename(target)
            for changed in (source, target):
                if changed.exists():
                    os.utime(changed, (clock, clock))
        gallery.update([folder], describer, options=options)
        again = gallery.update([folder], describer, options=options)
        assert (again.added, again.changed, again.removed, again.described) == (0, 0, 0, 0)
        fresh = make_describer()
        wanted = Gallery.create(base / f"fresh-{clock}-{len(list(base.iterdir()))}", fresh)
        wanted.update([folder], fresh, options=options)
        assert gallery.store.states() == wanted.store.states()
        rows, other_rows = (store.get(list(store.states())) for store in (gallery.store, wanted.store))
        for path, row in rows.items():
            assert np.allclose(row.descriptor, other_rows[path].descriptor, atol=1e-6)
            assert (row.date, row.thumbnail) == (other_rows[path].date, other_rows[path].thumbnail)
    assert verify(gallery, deep=True) == []
