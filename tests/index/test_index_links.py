"""Folders that are reached by two paths, and links and mount points whose disk is away."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.errors import GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import read_record
from sketchfusion.index.update import Summary, UpdateOptions
from sketchfusion.index.verify import verify

SavePhoto = Callable[..., Path]
EMPTY = UpdateOptions(allow_empty=True)


def paths(gallery: Gallery, folder: Path) -> list[str]:
    return sorted(Path(path).relative_to(folder).as_posix() for path in gallery.store.states())


def told(summary: Summary) -> dict[str, str]:
    return {Path(failure.path).name: failure.reason for failure in summary.failures}


@pytest.fixture
def other(photos: Path, tmp_path: Path, save_photo: SavePhoto) -> Path:
    """``other/``: c0.jpg, c1.jpg, deep/c2.jpg; ``photos/link`` leads there."""
    folder = tmp_path / "other"
    for number, name in enumerate(("c0.jpg", "c1.jpg", "deep/c2.jpg")):
        save_photo(folder / name, 20 + number)
    (photos / "link").symlink_to(folder)
    return folder


# ---- two paths


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_folder_behind_a_link_that_is_indexed_itself_is_in_once(other: Path, gallery: Gallery, describer: Any,
                                                                  tmp_path: Path, save_photo: SavePhoto,
                                                                  rebuild: bool) -> None:
    gallery.update([other], describer)
    assert gallery.store.count() == 12
    save_photo(other / "c1.jpg", 40)
    assert any("index again" in problem.problem for problem in verify(gallery))
    summary = gallery.update([], describer, rebuild=rebuild)
    assert (summary.removed, summary.photos) == (0 if rebuild else 3, 9)
    assert summary.notes == ["photos that are reached by two paths, 3 of them, are in the gallery by one now; "
                             f"{tmp_path}/photos/link/c0.jpg, for one, as {other}/c0.jpg"]
    assert [path for path in paths(gallery, tmp_path) if "link" in path or "other" in path] == [
        "other/c0.jpg", "other/c1.jpg", "other/deep/c2.jpg"]
    assert verify(gallery, deep=True) == []
    assert gallery.update([], describer).notes == []


@pytest.mark.parametrize("rebuild", [False, True])
def test_two_roots_that_are_the_same_folder(tmp_path: Path, describer: Any, save_photo: SavePhoto,
                                            rebuild: bool) -> None:
    save_photo(tmp_path / "a" / "1.jpg", 1)
    save_photo(tmp_path / "a" / "sub" / "2.jpg", 2)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    gallery = Gallery.create(tmp_path / "gallery", describer)
    for root in ("a", "b"):
        gallery.update([tmp_path / root], describer)
    save_photo(tmp_path / "a" / "1.jpg", 3)
    summary = gallery.update([], describer, rebuild=rebuild)
    assert paths(gallery, tmp_path) == ["a/1.jpg", "a/sub/2.jpg"]
    assert len(summary.notes) == 1
    assert "b/1.jpg, for one, as" in summary.notes[0]
    assert verify(gallery, deep=True) == []


def test_a_path_that_is_left_for_another_is_not_described_again(other: Path, gallery: Gallery, describer: Any,
                                                                tmp_path: Path) -> None:
    described = describer.num_described
    summary = gallery.update([other, tmp_path / "photos"], describer)
    assert (summary.added, summary.removed, summary.photos, describer.num_described) == (3, 3, 9, described)


def test_photos_below_a_second_path_that_the_first_does_not_reach_stay(other: Path, gallery: Gallery, describer: Any,
                                                                       tmp_path: Path, save_photo: SavePhoto) -> None:
    save_photo(other / ".private" / "h.jpg", 80)
    gallery.update([tmp_path / "photos" / "link" / ".private" / "h.jpg"], describer)
    gallery.update([other, tmp_path / "photos"], describer)
    assert "photos/link/.private/h.jpg" in paths(gallery, tmp_path)


# ---- disks that are away


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "other files"])
def test_photos_behind_a_link_stay_while_its_disk_is_away(other: Path, gallery: Gallery, photos: Path, describer: Any,
                                                          tmp_path: Path, left: str) -> None:
    away = other.rename(tmp_path / "away")
    if left != "nothing":
        other.mkdir()
    if left == "other files":
        (other / "notes.txt").touch()
    (photos / "a0.jpg").unlink()
    summary = gallery.update([photos], describer)
    assert (summary.removed, summary.photos) == (1, 8)
    assert told(summary) == {"link": "it had photos and now has none; they stay in the gallery. If its disk is not "
                                     "mounted, mount it and index again; if they are meant to go, add --allow-empty"}
    with pytest.raises(GalleryError, match=r"photos/link has photos .* cannot be seen now; nothing was changed.*mount"):
        gallery.update([], describer, rebuild=True)
    if left != "nothing":
        shutil.rmtree(other)
    away.rename(other)
    summary = gallery.update([photos], describer)
    assert (summary.unchanged, summary.failures) == (8, [])
    shutil.rmtree(other)
    assert gallery.update([photos], describer, options=EMPTY).removed == 3


def test_a_photo_that_is_a_link_stays_while_its_disk_is_away(gallery: Gallery, photos: Path, describer: Any,
                                                             tmp_path: Path, save_photo: SavePhoto) -> None:
    far = save_photo(tmp_path / "far" / "f.jpg", 30)
    (photos / "f.jpg").symlink_to(far)
    gallery.update([photos], describer)
    far.unlink()
    summary = gallery.update([photos], describer)
    assert (summary.removed, list(told(summary))) == (0, ["f.jpg"])
    assert "--allow-empty" in told(summary)["f.jpg"]
    (photos / "f.jpg").unlink()  # without the link there is no disk to wait for
    assert gallery.update([photos], describer).removed == 1


def test_links_to_nothing_that_had_no_photos_are_not_told(gallery: Gallery, photos: Path, describer: Any) -> None:
    (photos / "latest").symlink_to(photos / "nowhere")
    (photos / "a0.jpg").unlink()
    summary = gallery.update([photos], describer)
    assert (summary.removed, summary.failures, summary.not_pictures) == (1, [], {"(none)": 1})


def test_a_folder_without_link_or_mount_may_be_emptied(gallery: Gallery, photos: Path, describer: Any) -> None:
    for photo in (photos / "sub").iterdir():
        photo.unlink()
    summary = gallery.update([photos], describer)
    assert (summary.removed, summary.failures) == (2, [])


@pytest.mark.parametrize("is_mounted", [False, True])
def test_photos_on_a_mount_point_stay_while_its_disk_is_away(tmp_path: Path, photos: Path, describer: Any,
                                                             monkeypatch: pytest.MonkeyPatch,
                                                             is_mounted: bool) -> None:
    """Without the disk it is an ordinary folder; some systems leave it mounted and empty."""
    mounts = {str(photos / "sub")}
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) in mounts)
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([photos], describer)
    assert read_record(gallery.folder).mounts == (str(photos / "sub"),)
    away = (photos / "sub").rename(tmp_path / "away")
    (photos / "sub").mkdir()
    if not is_mounted:
        mounts.clear()
    summary = Gallery.open(gallery.folder).update([photos], describer)
    assert (summary.removed, summary.photos, list(told(summary))) == (0, 6, ["sub"])
    (photos / "sub").rmdir()
    away.rename(photos / "sub")
    summary = gallery.update([photos], describer, rebuild=True)
    assert (summary.photos, summary.failures) == (6, [])
    assert gallery.record.mounts == ((str(photos / "sub"),) if is_mounted else ())
    shutil.rmtree(photos / "sub")
    assert gallery.update([photos], describer, options=EMPTY).removed == 2


def test_mount_points_leave_the_record_with_what_they_are_below(tmp_path: Path, photos: Path, describer: Any,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "sub")
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([photos], describer)
    shutil.rmtree(photos)
    gallery.update([], describer, options=EMPTY)
    assert (gallery.record.roots, gallery.record.mounts) == ((), ())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """``photos/disk``, a file system of its own."""
    folder = tmp_path / "photos" / "disk"
    folder.mkdir(parents=True)
    mounting = shutil.which("mount") and subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True)
    if not mounting or mounting.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    if os.path.ismount(folder):
        subprocess.run(["umount", folder], check=True)


def test_a_real_disk(disk: Path, gallery: Gallery, photos: Path, describer: Any, save_photo: SavePhoto) -> None:
    save_photo(disk / "d.jpg", 60)
    gallery.update([photos], describer)
    subprocess.run(["umount", disk], check=True)
    summary = gallery.update([photos], describer)
    assert (summary.removed, summary.photos, list(told(summary))) == (0, 7, ["disk"])
