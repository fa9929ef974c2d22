"""``sketchfusion index`` as a user meets it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.config import DEFAULT_PRESET
from sketchfusion.index.folder import writing
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.lance import LanceStore
from sketchfusion.index.record import DENSE_RANK

Run = Callable[..., Any]


def test_the_summary_lists_what_was_left_out_and_why(run: Run, album: Path, tmp_path: Path) -> None:
    ran = run("index", album, "--gallery", tmp_path / "g")
    assert ran.exit_code == 0
    assert "3 photos in" in ran.out
    assert "3 added, 0 changed, 0 unchanged, 0 removed." in ran.out
    assert "Files that are not pictures: 1 (.txt 1)." in ran.out
    assert "Could not be indexed: 1." in ran.out
    assert f"  {album / 'broken.jpg'}: the file is not a picture in a known format" in ran.out


def test_json_and_running_again(run: Run, album: Path, tmp_path: Path) -> None:
    first = run("index", album, "--gallery", tmp_path / "g", "--json").json
    assert (first["added"], first["described"], first["photos"], first["not_pictures"]) == (3, 3, 3, {".txt": 1})
    assert first["failures"] == [{"path": str(album / "broken.jpg"), "reason": first["failures"][0]["reason"]}]
    again = run("index", album, "--gallery", tmp_path / "g", "--json").json
    assert (again["added"], again["unchanged"], again["described"]) == (0, 3, 0)
    assert run("index", "--gallery", tmp_path / "g", "--json").json["unchanged"] == 3


def test_the_model_is_the_default_then_the_recorded_one(run: Run, album: Path, tmp_path: Path, loaded: Any) -> None:
    run("index", album, "--gallery", tmp_path / "a")
    assert loaded.calls.pop() == (DEFAULT_PRESET, ())
    run("index", album, "--gallery", tmp_path / "b", "--preset", "fake-3", "--set", "x.y=1", "--set", "z=2")
    assert loaded.calls.pop() == ("fake-3", ("x.y=1", "z=2"))
    run("index", album, "--gallery", tmp_path / "b")
    assert loaded.calls.pop() == ("fake-3", ("x.y=1", "z=2"))


def test_another_model_needs_rebuild(run: Run, album: Path, indexed: Path) -> None:
    refused = run("index", album, "--gallery", indexed, "--preset", "fake-1")
    assert refused.exit_code == 5
    assert "fake-32-0" in refused.err
    assert "fake-32-1" in refused.err
    assert "--rebuild" in refused.err
    assert Gallery.open(indexed).record.model == "fake-0"
    rebuilt = run("index", "--gallery", indexed, "--preset", "fake-1", "--rebuild", "--json")
    assert (rebuilt.exit_code, rebuilt.json["described"]) == (0, 3)
    assert Gallery.open(indexed).record.model == "fake-1"


def test_the_rank_of_the_dense_maps(run: Run, album: Path, tmp_path: Path, loaded: Any) -> None:
    run("index", album, "--gallery", tmp_path / "g")
    assert Gallery.open(tmp_path / "g").record.dense_rank == DENSE_RANK
    assert f"{DENSE_RANK} for a new one" in " ".join(run("index", "--help").out.replace("│", " ").split())
    loaded.calls.clear()
    refused = run("index", album, "--gallery", tmp_path / "g", "--dense-rank", "0")
    assert refused.exit_code == 2
    assert f"maps of rank {DENSE_RANK}" in refused.err
    assert "--rebuild" in refused.err
    assert loaded.calls == []
    assert run("index", "--gallery", tmp_path / "g", "--dense-rank", "0", "--rebuild").exit_code == 0
    assert Gallery.open(tmp_path / "g").record.dense_rank == 0
    assert "dense maps:   none\n" in run("gallery", "info", tmp_path / "g").out
    run("index", album, "--gallery", tmp_path / "h", "--dense-rank", "4")
    assert "dense maps:   rank 4\n" in run("gallery", "info", tmp_path / "h").out


def test_a_gallery_of_an_older_version_is_rebuilt(run: Run, album: Path, indexed: Path, loaded: Any) -> None:
    record = json.loads((indexed / "gallery.json").read_text())
    del record["dense_rank"]
    (indexed / "gallery.json").write_text(json.dumps({**record, "format": 1}))
    shutil.rmtree(indexed / "store-1")
    old = LanceStore(indexed / "store-1", 32, create=True, first_format=True)
    assert old.count() == 0
    loaded.calls.clear()
    refused = run("index", album, "--gallery", indexed)
    assert refused.exit_code == 5
    assert f"sketchfusion index --gallery {indexed} --rebuild" in refused.err
    assert loaded.calls == []
    rebuilt = run("index", "--gallery", indexed, "--rebuild", "--json")
    assert (rebuilt.exit_code, rebuilt.json["photos"]) == (0, 3)
    assert loaded.calls == [("fake-0", ())]
    assert Gallery.open(indexed).record.format == 2


@pytest.mark.parametrize("arguments", [["nowhere"], ["album", "nowhere"], []])
def test_what_is_wrong_is_said_before_the_model_is_loaded(run: Run, album: Path, loaded: Any, tmp_path: Path,
                                                          arguments: list[str]) -> None:
    ran = run("index", *(tmp_path / name for name in arguments), "--gallery", tmp_path / "g")
    assert ran.exit_code == 5
    assert ran.err.startswith("Error: ")
    assert loaded.calls == []
    assert not (tmp_path / "g").exists()


def test_a_folder_of_other_files_is_no_place_for_a_gallery(run: Run, album: Path, loaded: Any) -> None:
    ran = run("index", album, "--gallery", album, "--json")
    assert ran.exit_code == 5
    assert ran.json["error"]["type"] == "GalleryError"
    assert "not empty" in ran.json["error"]["message"]
    assert loaded.calls == []


def test_a_path_that_is_too_long(run: Run, album: Path, loaded: Any, tmp_path: Path) -> None:
    for arguments in ([album, "--gallery", tmp_path / ("x" * 300)], [album / ("x" * 300), "--gallery", tmp_path / "g"]):
        ran = run("index", *arguments)
        assert (ran.exit_code, "File name too long" in ran.err, loaded.calls) == (5, True, [])


def test_a_full_disk(run: Run, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    ran = run("index", album, "--gallery", tmp_path / "g")
    assert (ran.exit_code, "No space left on device" in ran.err, "unforeseen" in ran.err) == (5, True, False)
    monkeypatch.undo()


def test_the_only_photo_was_renamed(run: Run, album: Path, tmp_path: Path, loaded: Any) -> None:
    run("index", album / "0.png", "--gallery", tmp_path / "g", "--preset", "fake-0")
    (album / "0.png").rename(album / "9.png")
    loaded.calls.clear()
    ran = run("index", "--gallery", tmp_path / "g")
    assert (ran.exit_code, loaded.calls) == (5, [])
    assert str(album / "0.png") in ran.err
    assert "--allow-empty" in ran.err
    assert run("index", "--gallery", tmp_path / "g", "--allow-empty", "--json").json["removed"] == 1


def test_a_second_writer(run: Run, album: Path, indexed: Path, loaded: Any) -> None:
    loaded.calls.clear()
    with writing(indexed):
        ran = run("index", album, "--gallery", indexed)
    assert ran.exit_code == 5
    assert "another process is writing" in ran.err
    assert loaded.calls == []


def test_a_disk_that_is_away(run: Run, album: Path, indexed: Path) -> None:
    for file in album.iterdir():
        file.unlink()
    ran = run("index", album, "--gallery", indexed)
    assert ran.exit_code == 5
    assert "had 3 photos and now has none" in ran.err
    assert run("index", album, "--gallery", indexed, "--allow-empty", "--json").json["removed"] == 3


def test_a_moved_folder(run: Run, album: Path, indexed: Path, tmp_path: Path, loaded: Any) -> None:
    album.rename(tmp_path / "moved")
    assert f"Note: {album} is missing" in run("index", tmp_path / "moved", "--gallery", indexed).out
    loaded.calls.clear()
    for asked in ([album], []):
        ran = run("index", *asked, "--gallery", indexed)
        assert (ran.exit_code, "--allow-empty" in ran.err, loaded.calls) == (5, True, [])
    ran = run("index", album, "--gallery", indexed, "--allow-empty", "--json").json
    assert (ran["removed"], ran["photos"]) == (3, 3)
    assert run("index", "--gallery", indexed, "--json").json["unchanged"] == 3


def test_no_picture_at_all(run: Run, album: Path, tmp_path: Path) -> None:
    ran = run("index", album / "notes.txt", "--gallery", tmp_path / "g")
    assert (ran.exit_code, "Note: no file with the suffix of a picture was found" in ran.out) == (0, True)


def test_ctrl_c(run: Run, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sketchfusion.index.update.describe_photos", interrupt)
    ran = run("index", album, "--gallery", tmp_path / "g", "--json")
    assert ran.exit_code == 130
    assert "Run the same command again to go on" in ran.err
    assert ran.json["error"]["exit_code"] == 130
    monkeypatch.undo()


def test_the_unforeseen_is_short_unless_asked_for(run: Run, album: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("sketchfusion.index.update.describe_photos", fail)
    ran = run("index", album, "--gallery", tmp_path / "g", "--json")
    assert ran.exit_code == 1
    assert "ZeroDivisionError: surprise" in ran.err
    assert "SKETCHFUSION_DEBUG=1" in ran.err
    assert "Traceback" not in ran.err
    assert ran.json["error"]["type"] == "ZeroDivisionError"
    monkeypatch.setenv("SKETCHFUSION_DEBUG", "1")
    assert run("index", album, "--gallery", tmp_path / "g").exit_code == 1


@pytest.mark.parametrize("arguments", [["--batch-size", "0"], ["--workers", "0"], ["--dense-rank", "-1"],
                                       ["--dense-rank", "300"], ["--nonsense"]])
def test_wrong_options_exit_with_2(run: Run, album: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run("index", album, "--gallery", tmp_path / "g", *arguments).exit_code == 2


def test_file_names_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "\x1b[31m[red]\n.jpg").write_text("no")
    ran = run("index", tmp_path / "p", "--gallery", tmp_path / "g")
    assert "\x1b" not in ran.out
    assert "\\x1b[31m[red]\\n.jpg: the file is not a picture" in ran.out
    assert json.loads(run("index", tmp_path / "p", "--gallery", tmp_path / "g", "--json").out)["failures"][0][
        "path"].endswith("\x1b[31m[red]\n.jpg")
