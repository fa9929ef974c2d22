"""Finding pictures: what is entered, what is skipped, what is said about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sketchfusion.errors import GalleryError
from sketchfusion.index.scan import is_reached, is_under, printable, scan

as_root = os.name == "posix" and os.geteuid() == 0


def names(folder: Path, *roots: Path) -> list[str]:
    return [str(Path(file.path).relative_to(folder)) for file in scan(list(roots) or [folder]).files]


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def test_all_formats_in_a_stable_order_and_other_files_counted(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.JPG", "b/10.jpeg", "a.png", "c.webp", "a/x.avif", "a/y.bmp", "z.gif", "z.tiff", "z.tif",
          "i.heic", "notes.txt", "more.TXT", "README", "clip.mp4")
    found = scan([tmp_path])
    assert [Path(file.path).name for file in found.files] == [
        "a.png", "c.webp", "i.heic", "z.gif", "z.tif", "z.tiff", "x.avif", "y.bmp", "10.jpeg", "2.JPG"]
    assert found.not_pictures == {".txt": 2, "(none)": 1, ".mp4": 1}
    assert found.files == scan([tmp_path]).files
    assert all(Path(file.path).is_absolute() and file.root == str(tmp_path) and file.size == 1 for file in found.files)


def test_hidden_and_system_folders_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "ok.jpg", ".hidden.jpg", ".git/a.jpg", "@eaDir/b.jpg", "$RECYCLE.BIN/c.jpg",
          "System Volume Information/d.jpg", "__MACOSX/e.jpg", "node_modules/f.jpg", "lost+found/g.jpg", "sub/h.jpg")
    assert names(tmp_path) == ["ok.jpg", "sub/h.jpg"]
    assert names(tmp_path, tmp_path / ".git") == [".git/a.jpg"]
    assert names(tmp_path, tmp_path / ".hidden.jpg", tmp_path) == [".hidden.jpg", "ok.jpg", "sub/h.jpg"]


def test_overlapping_roots_give_each_file_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/1.jpg", "a/2.jpg")
    assert names(tmp_path, tmp_path / "a/b", tmp_path / "a", tmp_path / "a/2.jpg") == ["a/b/1.jpg", "a/2.jpg"]


def test_links_neither_loop_nor_double(tmp_path: Path) -> None:
    touch(tmp_path, "z/1.jpg", "elsewhere/2.jpg")
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    shutil.move(tmp_path / "z", photos / "z")
    (photos / "a-link").symlink_to(photos / "z")
    (photos / "deep" / "up").symlink_to(photos)
    (photos / "out").symlink_to(tmp_path / "elsewhere")
    (photos / "gone.jpg").symlink_to(tmp_path / "nothing")
    found = scan([photos])
    assert [Path(file.path).relative_to(photos).as_posix() for file in found.files] == ["z/1.jpg", "out/2.jpg"]
    assert [(Path(failure.path).name, "looked at" in failure.reason) for failure in found.failures] == [
        ("gone.jpg", True)]


def test_links_that_cannot_be_followed_stop_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "ok.jpg", "z/also.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    (tmp_path / "long").symlink_to("x" * 300)
    found = scan([tmp_path])
    assert [Path(file.path).name for file in found.files] == ["ok.jpg", "also.jpg"]
    assert [Path(failure.path).name for failure in found.failures] == ["long", "loop.jpg", "one", "other"]
    assert all(failure.reason.startswith("cannot be looked at: ") for failure in found.failures)
    assert found.unlisted == [failure.path for failure in found.failures]
    with pytest.raises(GalleryError, match=r"loop\.jpg cannot be looked at: .*; nothing was changed"):
        scan([tmp_path / "loop.jpg"])


def test_pipes_and_names_that_are_not_text_are_reported(tmp_path: Path) -> None:
    touch(tmp_path, "ok.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"x")
    found = scan([tmp_path])
    assert [Path(file.path).name for file in found.files] == ["ok.jpg"]
    reasons = {Path(failure.path).name: failure.reason for failure in found.failures}
    assert reasons == {"pipe.jpg": "it is not a regular file", "bad\\xff.jpg": "its name is not valid UTF-8; rename it"}


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ok.jpg", "closed/a.jpg")
    if as_root:  # root may list anything
        real = os.scandir

        def scandir(path: str) -> object:
            if Path(path).name == "closed":
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
    else:
        (tmp_path / "closed").chmod(0)
    found = scan([tmp_path])
    (tmp_path / "closed").chmod(0o755)
    assert [Path(file.path).name for file in found.files] == ["ok.jpg"]
    assert found.unlisted == [str(tmp_path / "closed")]
    assert "cannot be listed: Permission denied" in found.failures[0].reason


def test_the_gallery_itself_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "gallery/b.jpg")
    assert [Path(file.path).name for file in scan([tmp_path], leave_out=[str(tmp_path / "gallery")]).files] == ["a.jpg"]


def test_the_gallery_is_left_out_by_whatever_path(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "gallery/b.jpg")
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "gallery")
    (tmp_path / "alias").symlink_to(tmp_path / "gallery")
    for gallery in ("gallery", "alias"):
        for root in (tmp_path / "photos", tmp_path):
            found = scan([root], leave_out=[str(tmp_path / gallery)])
            assert [Path(file.path).name for file in found.files] == ["a.jpg"]


def test_missing_roots_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"there is no file or folder .*nowhere; nothing was changed"):
        scan([tmp_path, tmp_path / "nowhere"])
    with pytest.raises(GalleryError, match="no photos were given"):
        scan([])


@pytest.mark.parametrize(("path", "folder", "under", "reached"), [
    ("/a/b", "/a", True, True), ("/a", "/a", True, True), ("/ab", "/a", False, False), ("/a", "/", True, True),
    ("/a/.b/c", "/a", True, False), ("/a/@eaDir", "/a", True, False), ("/.a/b", "/.a", True, True)])
def test_what_lies_under_a_folder(path: str, folder: str, under: bool, reached: bool) -> None:
    assert (is_under(path, folder), is_reached(path, folder)) == (under, reached)


def test_printable() -> None:
    assert printable(os.fsdecode(b"/a/\xe9\xff")) == "/a/\\xe9\\xff"


def test_save_photo_is_deterministic(tmp_path: Path, save_photo: Callable[..., Path]) -> None:
    assert save_photo(tmp_path / "1.png", 1).read_bytes() == save_photo(tmp_path / "2.png", 1).read_bytes()
