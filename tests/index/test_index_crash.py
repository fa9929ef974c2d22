"""Killed at any moment, two writers at once: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.errors import GalleryError
from sketchfusion.index.folder import writing
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.lance import LanceStore
from sketchfusion.index.verify import verify

pytestmark = pytest.mark.thorough

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from fake_describer import FakeDescriber
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.update import UpdateOptions
describer = FakeDescriber(seed={seed}, delay_s=0.06)
folder = Path({gallery!r})
gallery = Gallery.open(folder) if (folder / "gallery.json").exists() else Gallery.create(folder, describer)
print("ready", flush=True)
gallery.update([{photos!r}], describer, rebuild={rebuild}, options=UpdateOptions(batch_size=2, commit_seconds=0))
print("done", flush=True)
"""


def start(gallery: Path, photos: Path, *, seed: int = 0, rebuild: bool = False) -> subprocess.Popen[str]:
    script = SCRIPT.format(here=str(Path(__file__).parent), gallery=str(gallery), photos=str(photos), seed=seed,
                           rebuild=rebuild)
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.Popen([sys.executable, "-c", script], text=True, stdout=subprocess.PIPE,
                            env={**os.environ, "PYTHONPATH": source})


def wait_for_commit(process: subprocess.Popen[str], store: Path, more_than: int = 0) -> None:
    """Return as soon as the process is at work and the store holds more rows than that."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(3000):
        with suppress(GalleryError):  # not made yet
            if LanceStore(store, 32).count() > more_than:
                return
        time.sleep(0.01)
    pytest.fail("nothing was committed")


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture
def many(tmp_path: Path, save_photo: Callable[..., Path]) -> Path:
    for number in range(50):
        save_photo(tmp_path / "many" / f"{number:02}.jpg", number)
    return tmp_path / "many"


def test_killed_while_indexing_again_and_again_then_resumed(tmp_path: Path, many: Path, describer: Any) -> None:
    done = 0
    for _ in range(2):
        process = start(tmp_path / "gallery", many)
        wait_for_commit(process, tmp_path / "gallery" / "store-1", more_than=done)
        kill(process)
        gallery = Gallery.open(tmp_path / "gallery")
        assert done < gallery.store.count() < 50  # nothing that was committed is lost
        assert verify(gallery, deep=True) == []  # only complete rows, each path once
        done = gallery.store.count()
    summary = gallery.update([many], describer)
    assert (summary.unchanged, summary.added, describer.num_described) == (done, 50 - done, 50 - done)
    assert gallery.store.count() == 50
    assert verify(gallery, deep=True) == []


def test_killed_while_rebuilding(tmp_path: Path, many: Path, describer: Any, sketch_file: Path,
                                 make_describer: Callable[..., Any]) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    gallery.update([many], describer)
    process = start(tmp_path / "gallery", many, seed=7, rebuild=True)
    wait_for_commit(process, tmp_path / "gallery" / "store-2")
    kill(process)
    gallery = Gallery.open(tmp_path / "gallery")
    assert len(gallery.search(sketch_file, describer).hits) == 20  # the old rows still serve
    assert gallery.info()["unfinished_rebuild"] is True
    other = make_describer(seed=7)
    assert gallery.update([], other, rebuild=True).photos == 50
    assert other.num_described < 50  # what the killed run did was not done again
    assert verify(gallery, deep=True) == []


def test_a_second_writer_is_refused_at_once_and_readers_are_not(tmp_path: Path, many: Path, describer: Any,
                                                                sketch_file: Path) -> None:
    process = start(tmp_path / "gallery", many)
    wait_for_commit(process, tmp_path / "gallery" / "store-1")
    gallery = Gallery.open(tmp_path / "gallery")
    started = time.monotonic()
    with pytest.raises(GalleryError, match=r"another process is writing to the gallery .*wait until it is done"):
        gallery.update([many], describer)
    assert time.monotonic() - started < 1
    gallery.search(sketch_file, describer)
    kill(process)
    assert gallery.update([many], describer).photos == 50  # a killed writer leaves no lock behind


def test_two_writers_in_one_process(gallery: Gallery, photos: Path, describer: Any) -> None:
    with writing(gallery.folder), pytest.raises(GalleryError, match="another process is writing"):
        gallery.update([photos], describer)
    gallery.update([photos], describer)


def test_a_gallery_folder_that_cannot_be_made(tmp_path: Path, describer: Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryError, match=r"cannot (use|write)"):
        Gallery.create(tmp_path / "file" / "gallery", describer)
