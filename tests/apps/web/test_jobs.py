"""Indexing from the page: one job at a time, stopped at any moment, and what went wrong told file by file."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from filelock import FileLock
from PIL import Image

from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.jobs import Job, Jobs
from sketchfusion.apps.web.naming import namer
from sketchfusion.apps.web.settings import API, Limits
from sketchfusion.errors import GalleryError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import RECORD_NAME
from sketchfusion.index.update import Summary, UpdateOptions

WaitFor = Callable[[Callable[[], bool]], None]

OpenClient = Callable[..., TestClient]
Finished = Callable[[TestClient, str], dict[str, Any]]


@contextmanager
def made(limits: Limits | None = None) -> Iterator[Jobs]:
    """Jobs, closed afterwards."""
    jobs = Jobs(limits or Limits())
    try:
        yield jobs
    finally:
        jobs.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What holds the model up until it is set."""
    opened = threading.Event()
    yield opened
    opened.set()


class Held:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, job: Job, on_progress: Callable[[int, int], None]) -> Summary:
        on_progress(0, 2)
        self.begun.set()
        assert self.go.wait(10)
        on_progress(1, 2)
        return Summary(added=2)


def test_jobs_are_done_one_after_another(wait_for: WaitFor) -> None:
    with made() as jobs:
        first, second = Held(), Held()
        one, two = jobs.add("a", Path("/"), first), jobs.add("b", Path("/"), second)
        assert first.begun.wait(10)
        assert (one.state, two.state, one.total) == ("running", "queued", 2)
        first.go.set()
        second.go.set()
        wait_for(lambda: two.state == "done")
        assert (one.state, one.done, one.total) == ("done", 2, 2)
        assert one.summary is not None


def test_two_jobs_for_one_gallery_and_a_full_queue(wait_for: WaitFor) -> None:
    with made(Limits(jobs_waiting=1)) as jobs:
        held = Held()
        first = jobs.add("a", Path("/"), held)
        with pytest.raises(ApiError) as refused:
            jobs.add("a", Path("/"), held)
        assert (refused.value.status_code, refused.value.code) == (409, "job_open")
        jobs.add("b", Path("/"), held)
        with pytest.raises(ApiError) as full:
            jobs.add("c", Path("/"), held)
        assert (full.value.status_code, full.value.code) == (503, "busy")
        assert int((full.value.headers or {})["Retry-After"]) > 0
        held.go.set()
        wait_for(lambda: first.state == "done")
        jobs.add("a", Path("/"), held)  # the next one for the same gallery


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_soon(wait_for: WaitFor) -> None:
    with made() as jobs:
        first, second = Held(), Held()
        one, two = jobs.add("a", Path("/"), first), jobs.add("b", Path("/"), second)
        assert first.begun.wait(10)
        assert jobs.cancel(two.id).state == "cancelled"
        assert jobs.cancel(one.id).state == "running"
        first.go.set()
        wait_for(lambda: one.state == "cancelled")
        assert not second.begun.is_set()
        assert jobs.cancel(one.id).state == "cancelled"  # once more does no harm


@pytest.mark.parametrize(("error", "message"), [
    (GalleryError("/media/photos lost its photos: /media/photos/a.png"), "the folder of photos lost its photos: a"),
    (ZeroDivisionError("a secret"), "something unforeseen happened")])
def test_a_job_that_fails_does_not_stop_the_next(error: Exception, message: str, wait_for: WaitFor) -> None:
    def fail(job: Job, on_progress: Callable[[int, int], None]) -> Summary:
        raise error

    with made(Limits(jobs_kept=2)) as jobs:
        failed, held = jobs.add("a", Path("/media/photos"), fail), Held()
        held.go.set()
        after = jobs.add("b", Path("/"), held)
        wait_for(lambda: after.state == "done")
        assert failed.state == "failed"
        assert namer(failed.names)(failed.message).startswith(message)
        assert "secret" not in failed.message
        for name in "cd":
            latest = jobs.add(name, Path("/"), held)
            wait_for(lambda: latest.state == "done")  # noqa: B023
        with pytest.raises(ApiError, match="there is no job"):
            jobs.get(failed.id)  # only the last ones are remembered


def test_files_are_named_from_the_root_on() -> None:
    job = Job("id", "gallery", Path("/media/photos"))
    assert job.name_of("/media/photos/album/a.png") == "album/a.png"
    assert job.name_of("/elsewhere/a.png") == "a.png"
    assert namer(job.names)("cannot read /media/photos/a.png") == "cannot read a.png"
    assert namer(Job("id", "gallery", Path("/")).names)("cannot read /a/b.png") == "cannot read /a/b.png"


@pytest.mark.parametrize(("text", "told"), [
    ("/mnt/second is missing; /mnt/second/a.png too", "second is missing; second/a.png too"),
    ("cannot read '/mnt/second/deep/a.png' (/media/photos)", "cannot read 'deep/a.png' (the folder of photos)"),
    ("Not found: mnt/second/a.png", "Not found: second/a.png"),
    ("/media/photos/album lost /media/photos/album/a.png", "album lost album/a.png"),
    ("GET /api/v1/second of second, /srv/mnt/second", "GET /api/v1/second of second, /srv/mnt/second"),
    ("/second and /media/photos", "second and the folder of photos")])
def test_folders_elsewhere_are_told_by_their_last_part(text: str, told: str) -> None:
    roots = ("/mnt/second", "/mnt/second/deep", "/second", "/media/photos/album", "/")
    assert namer(Job("id", "gallery", Path("/media/photos"), roots=roots).names)(text) == told


@pytest.fixture
def many(own_place: Path, draw_picture: Callable[[tuple[int, int], int], Image.Image]) -> Path:
    """A place with sixty more photos to index."""
    (own_place / "photos" / "many").mkdir()
    for index in range(60):
        draw_picture((32, 32), index).save(own_place / "photos" / "many" / f"{index:03}.png")
    return own_place


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexing describes two photos at a time and saves after each."""
    monkeypatch.setattr("sketchfusion.index.gallery.UpdateOptions",
                        lambda: UpdateOptions(batch_size=2, workers=1, commit_rows=2))


@pytest.mark.usefixtures("small_steps")
def test_a_job_is_cancelled_in_the_middle(open_client: OpenClient, many: Path, finished: Finished,
                                          tiny_model: SketchFusion, strokes: dict[str, Any], wait_for: WaitFor) -> None:
    client = open_client(many)
    [gallery] = client.get(f"{API}/galleries").json()["galleries"]
    address, sketch = f"{API}/galleries/{gallery['id']}", client.post(f"{API}/sketches", json=strokes).json()["id"]
    job = client.post(f"{address}/update", json={"folder": "many"}).json()["job"]
    wait_for(lambda: client.get(f"{API}/jobs/{job}").json()["done"] >= 4)
    assert client.get(f"{address}/search?sketch={sketch}").status_code == 200  # meanwhile
    refused = client.post(f"{address}/update")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_open")
    assert client.delete(f"{API}/jobs/{job}").status_code == 200
    state = finished(client, job)
    assert state["state"] == "cancelled"
    assert "kept" in state["message"]
    kept = client.get(f"{address}/search?sketch={sketch}").json()["total"]
    assert 7 + 4 <= kept < 67
    opened = Gallery.open(many / "gallery")  # as another process would
    assert opened.store.count() == kept
    again = client.post(f"{address}/update", json={"folder": "many"}).json()["job"]
    summary = finished(client, again)["summary"]
    assert (summary["photos"], summary["unchanged"], summary["added"]) == (67, kept - 7, 67 - kept)
    assert Gallery.open(many / "gallery").update([], tiny_model).unchanged == 67


@pytest.mark.usefixtures("small_steps")
def test_a_server_that_stops_keeps_what_was_indexed(open_client: OpenClient, many: Path,
                                                    tiny_model: SketchFusion, wait_for: WaitFor) -> None:
    client = open_client(many)
    job = client.post(f"{API}/galleries", json={"name": "new", "folder": "many"}).json()["job"]
    wait_for(lambda: client.get(f"{API}/jobs/{job}").json()["done"] >= 4)
    started = time.monotonic()
    client.__exit__(None, None, None)
    assert time.monotonic() - started < 10
    gallery = Gallery.open(many / "home" / "new")
    assert 4 <= gallery.store.count() < 60
    assert gallery.update([], tiny_model).photos == 60


def test_errors_are_listed_file_by_file(open_client: OpenClient, own_place: Path, finished: Finished) -> None:
    photos = own_place / "photos"
    (photos / "broken.png").write_bytes((photos / "photo0.png").read_bytes()[:200])
    (photos / "empty.jpg").touch()
    (photos / "words.webp").write_text("no picture")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "notes.txt").touch()
    client = open_client(own_place, limits=Limits(errors_listed=3))
    started = client.post(f"{API}/galleries", json={"name": "new", "folder": ""}).json()
    state = finished(client, started["job"])
    assert (state["state"], state["summary"]["photos"]) == ("done", 7)
    errors = {each["file"]: each["reason"] for each in state["errors"]}
    assert len(errors) == 3  # as many as may be listed
    assert set(errors) <= {"broken.png", "empty.jpg", "words.webp", "loop.png"}
    assert all(errors.values())
    assert str(own_place) not in str(state)


def test_a_folder_that_lost_its_photos_changes_nothing(open_client: OpenClient, own_place: Path,
                                                       finished: Finished) -> None:
    client = open_client(own_place)
    for file in list(own_place.glob("photos/**/*.png")):
        file.unlink()
    [gallery] = client.get(f"{API}/galleries").json()["galleries"]
    state = finished(client, client.post(f"{API}/galleries/{gallery['id']}/update").json()["job"])
    assert state["state"] == "failed"
    assert "nothing was changed" in state["message"]
    assert str(own_place / "photos") not in state["message"]
    assert client.get(f"{API}/galleries").json()["galleries"][0]["photos"] == 7


def test_a_gallery_that_another_process_writes(open_client: OpenClient, own_place: Path, finished: Finished) -> None:
    client = open_client(own_place)
    [gallery] = client.get(f"{API}/galleries").json()["galleries"]
    with FileLock(own_place / "gallery" / ".lock"):
        state = finished(client, client.post(f"{API}/galleries/{gallery['id']}/update").json()["job"])
    assert state["state"] == "failed"
    assert "another process is writing" in state["message"]


def test_a_name_is_taken_while_the_gallery_is_made(open_client: OpenClient, own_place: Path,
                                                   finished: Finished) -> None:
    client = open_client(own_place)
    asked = {"name": "new", "folder": "album"}
    answers = [client.post(f"{API}/galleries", json=asked) for _ in range(3)]
    assert answers[0].status_code == 202
    assert {answer.status_code for answer in answers[1:]} == {409}
    assert finished(client, answers[0].json()["job"])["state"] == "done"


def test_jobs_are_found_again_the_oldest_first(open_client: OpenClient, own_place: Path, finished: Finished) -> None:
    client = open_client(own_place)
    assert client.get(f"{API}/jobs").json() == {"jobs": []}
    assert client.post(f"{API}/galleries", json={"name": "new", "folder": "album"}).status_code == 202
    [first] = client.get(f"{API}/jobs").json()["jobs"]  # by someone who was not told the id
    ended = finished(client, first["id"])
    assert (ended["state"], ended["gallery"]) == ("done", first["gallery"])
    again = client.post(f"{API}/galleries/{first['gallery']}/update").json()["job"]
    assert (first["name"], finished(client, again)["name"]) == ("new", "new")
    assert client.get(f"{API}/jobs").json()["jobs"] == [ended, client.get(f"{API}/jobs/{again}").json()]


def test_a_job_tells_the_name_of_a_gallery_that_is_not_there_yet(open_client: OpenClient, own_place: Path,
                                                                 gate: threading.Event, finished: Finished) -> None:
    client = open_client(own_place)
    client.app.state.service.thread.submit(lambda items: [gate.wait(20)], None)  # type: ignore[attr-defined]
    started = client.post(f"{API}/galleries", json={"name": "Holiday 2024", "folder": "album"}).json()["job"]
    assert [each["name"] for each in client.get(f"{API}/galleries").json()["galleries"]] == ["gallery"]
    assert [each["name"] for each in client.get(f"{API}/jobs").json()["jobs"]] == ["Holiday 2024"]
    assert client.get(f"{API}/jobs/{started}").json()["name"] == "Holiday 2024"
    gate.set()
    assert finished(client, started)["name"] == "Holiday 2024"


def test_only_the_latest_of_the_jobs_that_ended_are_listed(wait_for: WaitFor) -> None:
    with made(Limits(jobs_kept=3)) as jobs:
        held = Held()
        held.go.set()
        added = []
        for name in "abcde":
            added.append(jobs.add(name, Path("/"), held))
            wait_for(lambda: added[-1].state == "done")
        assert jobs.known() == added[-3:]
        waits = Held()
        opened = [jobs.add(name, Path("/"), waits) for name in "fg"]
        assert jobs.known() == [added[-1], *opened]
        waits.go.set()


def test_a_folder_elsewhere_that_is_gone_is_told_by_its_name(open_client: OpenClient, own_place: Path,
                                                             tiny_model: SketchFusion, finished: Finished) -> None:
    second = own_place / "elsewhere" / "second"
    second.mkdir(parents=True)
    (own_place / "photos" / "photo0.png").rename(second / "photo0.png")
    Gallery.open(own_place / "gallery").update([second], tiny_model)
    client = open_client(own_place)
    [gallery] = client.get(f"{API}/galleries").json()["galleries"]
    shutil.rmtree(second)
    states = [finished(client, client.post(f"{API}/galleries/{gallery['id']}/update", json=body).json()["job"])
              for body in (None, {"folder": "album"})]
    assert [state["state"] for state in states] == ["failed", "done"]
    assert states[0]["message"].startswith("there is no file or folder second; nothing was changed")
    assert [note.partition(";")[0] for note in states[1]["summary"]["notes"]] == ["second is missing"]
    for told in (states, client.get(f"{API}/jobs").json(), client.get(f"{API}/galleries").json()):
        assert str(own_place).strip("/") not in str(told)


def test_a_gallery_that_cannot_be_made_is_named_not_placed(open_client: OpenClient, own_place: Path,
                                                           finished: Finished) -> None:
    client, folder = open_client(own_place), own_place / "home" / "new"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        job = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"}).json()["job"]
        state = finished(client, job)
    assert state["state"] == "failed"
    assert state["message"].startswith("another process is writing to the gallery new; ")


@pytest.fixture
def cut_off(own_place: Path, tiny_model: SketchFusion, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is left of a gallery ``home/new`` whose maker was killed before it wrote the record."""
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folder = own_place / "home" / "new"
    with monkeypatch.context() as patched:
        patched.setattr("sketchfusion.index.gallery.write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            Gallery.create(folder, tiny_model)
    assert {path.name for path in folder.iterdir()} >= {"store-1"}
    (folder / f"{RECORD_NAME}.partial").write_text("{")
    return folder


@pytest.mark.parametrize("left", ["all of it", "half of the store", "an empty folder"])
def test_a_name_is_free_again_when_the_making_was_cut_off(open_client: OpenClient, own_place: Path, cut_off: Path,
                                                          finished: Finished, left: str) -> None:
    if left == "half of the store":
        for manifest in cut_off.glob("store-1/*/_versions/*"):
            manifest.unlink()
    elif left == "an empty folder":
        shutil.rmtree(cut_off)
        cut_off.mkdir()
    client = open_client(own_place)
    assert [each["name"] for each in client.get(f"{API}/galleries").json()["galleries"]] == ["gallery"]
    started = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"})
    assert started.status_code == 202
    assert finished(client, started.json()["job"])["summary"]["photos"] == 2
    assert Gallery.open(cut_off).store.count() == 2


@pytest.mark.parametrize("held", ["rows", "a rebuild", "another file", "another folder", "a second store", "a file",
                                  "another file in the store"])
def test_what_is_no_beginning_of_a_gallery_is_not_taken_over(open_client: OpenClient, own_place: Path, cut_off: Path,
                                                             held: str) -> None:
    if held in ("rows", "a file"):
        shutil.rmtree(cut_off)
    if held == "rows":  # of a gallery whose record was lost
        shutil.copytree(own_place / "gallery", cut_off)
        (cut_off / RECORD_NAME).unlink()
    elif held == "a file":
        cut_off.write_text("mine")
    elif held in ("a rebuild", "another file"):
        (cut_off / ("rebuild.json" if held == "a rebuild" else "notes.txt")).write_text("{}")
    elif held == "another file in the store":
        (cut_off / "store-1" / "notes.txt").write_text("mine")
    else:
        (cut_off / ("store-2" if held == "a second store" else "mine")).mkdir()
    before = sorted(cut_off.rglob("*"))
    answer = open_client(own_place).post(f"{API}/galleries", json={"name": "new", "folder": "album"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "name_taken")
    assert "that is no gallery, or not any more; choose another name" in answer.json()["error"]["message"]
    assert sorted(cut_off.rglob("*")) == before
