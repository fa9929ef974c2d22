"""Links in the folder of photos: indexing from the page follows none that leads out of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sketchfusion.apps.web.settings import API
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.pipeline import PhotoReader
from sketchfusion.index.scan import OUTSIDE, FoundFile, scan
from sketchfusion.index.store import path_id

OpenClient = Callable[..., TestClient]
Finished = Callable[[TestClient, str], dict[str, Any]]


@pytest.fixture
def linked(own_place: Path) -> Path:
    """A place in whose folder of photos links lead inside and outside."""
    photos, secret = own_place / "photos", own_place / "secret"
    (secret / "deep").mkdir(parents=True)
    shutil.copy(photos / "photo0.png", secret / "known.png")
    shutil.copy(photos / "photo1.png", secret / "deep" / "private.png")
    (secret / "deep" / "private.png").write_bytes((photos / "photo1.png").read_bytes() + b"\0")  # of unknown content
    (photos / "out.png").symlink_to(secret / "deep" / "private.png")
    (photos / "out-known.png").symlink_to(secret / "known.png")
    (photos / "out-folder").symlink_to(secret)
    (photos / "out-notes.txt").symlink_to(secret / "known.png")
    (photos / "in.png").symlink_to(photos / "photo0.png")
    (photos / "in-folder").symlink_to(photos / "album")
    (photos / "album" / "hop").symlink_to(photos / "out-folder")  # out through another link
    (secret / "back.png").symlink_to(photos / "photo2.png")
    (photos / "round.png").symlink_to(secret / "back.png")  # out and in again
    return own_place


def indexed(client: TestClient, finished: Finished, body: dict[str, str] | None, gallery: str = "") -> dict[str, Any]:
    """How a job that makes or updates a gallery ended, and the files that it named, with reasons."""
    address = f"{gallery}/update" if gallery else f"{API}/galleries"
    state = finished(client, client.post(address, json=body).json()["job"])
    assert state["state"] == "done", state
    return {**state, "errors": {each["file"]: each["reason"] for each in state["errors"]}}


def test_links_that_lead_out_are_listed_and_not_followed(open_client: OpenClient, linked: Path,
                                                         finished: Finished) -> None:
    client = open_client(linked)
    state = indexed(client, finished, {"name": "new", "folder": ""})
    assert state["errors"] == dict.fromkeys(["album/hop", "out-folder", "out-known.png", "out.png"], OUTSIDE)
    assert "private" not in str(state)  # not even the names of files out there
    assert state["summary"]["photos"] == 7 + 2  # in.png and round.png really lie below the folder
    paths = Gallery.open(linked / "home" / "new").store.states()
    assert all(Path(path).resolve().is_relative_to(linked / "photos") for path in paths)


def test_a_gallery_of_the_operator_is_no_way_out(open_client: OpenClient, linked: Path, finished: Finished,
                                                 gallery_of: Callable[[Path], str]) -> None:
    client, gallery = open_client(linked), gallery_of(linked)
    for body in ({"folder": ""}, None):
        state = indexed(client, finished, body, gallery)
        assert set(state["errors"]) == {"album/hop", "out-folder", "out-known.png", "out.png"}
        assert state["summary"]["photos"] == 9
    answer = client.get(f"{gallery}/photos/{path_id(str(linked / 'photos' / 'out.png'))}/original")
    assert answer.json()["error"]["code"] == "unknown_photo"


def test_what_the_operator_indexed_is_looked_at_again(open_client: OpenClient, linked: Path, finished: Finished,
                                                      tiny_model: SketchFusion,
                                                      gallery_of: Callable[[Path], str]) -> None:
    """Its folders lie outside --photos; its links were followed then, and stay."""
    Gallery.open(linked / "gallery").update([linked / "photos"], tiny_model)
    before = set(Gallery.open(linked / "gallery").store.states())
    assert str(linked / "photos" / "out.png") in before
    (linked / "narrow").mkdir()
    shutil.copy(linked / "photos" / "photo3.png", linked / "photos" / "later.png")
    client = open_client(linked, photos=linked / "narrow")
    state = indexed(client, finished, None, gallery_of(linked))
    assert "out.png" in state["errors"]
    assert set(Gallery.open(linked / "gallery").store.states()) == before | {str(linked / "photos" / "later.png")}


def test_a_folder_that_became_a_link(open_client: OpenClient, linked: Path, finished: Finished) -> None:
    client = open_client(linked)
    job = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"}).json()
    assert finished(client, job["job"])["summary"]["photos"] == 2
    (linked / "photos" / "album").rename(linked / "kept")
    (linked / "photos" / "album").symlink_to(linked / "secret" / "deep")
    state = indexed(client, finished, None, f"{API}/galleries/{job['gallery']}")
    assert state["errors"] == {"album": OUTSIDE}
    assert state["summary"]["photos"] == 2  # what it had stays, nothing new came


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_link_swapped_in_after_the_scan(linked: Path, tiny_model: SketchFusion, moment: str,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """The file behind it has the size and time of the one that was found."""
    photos, secret = linked / "photos", linked / "secret" / "known.png"
    [found] = [file for file in scan([photos], within=(str(photos),)).files if file.path.endswith("photo0.png")]
    os.utime(secret, ns=(found.mtime_ns, found.mtime_ns))

    def swap() -> None:
        (photos / "photo0.png").rename(linked / "kept.png")
        (photos / "photo0.png").symlink_to(secret)

    reader = PhotoReader(tiny_model.canvas_size, lambda image, size: tiny_model.place(image, "photo", size), (),
                         within=(str(photos),))
    if moment == "before":
        swap()
    else:
        decode = reader.decode

        def swapped(file: FoundFile, *arguments: Any, **options: Any) -> Any:
            swap()
            return decode(file, *arguments, **options)

        monkeypatch.setattr(reader, "decode", swapped)
    assert getattr(reader.read(found), "reason", None) == OUTSIDE


def test_without_a_limit_links_are_followed(linked: Path, tiny_model: SketchFusion) -> None:
    """As `sketchfusion index` does."""
    summary = Gallery.create(linked / "all", tiny_model).update([linked / "photos"], tiny_model)
    assert not summary.failures
    assert summary.photos > 9
