"""Under load: who leaves is not worked for, photos asked for together are read together, sketches take little room."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import mmap
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from fastapi import FastAPI
from PIL import Image

from sketchfusion.apps.web import memory
from sketchfusion.apps.web.admission import Lane, ModelThread
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.memory import apart
from sketchfusion.apps.web.service import Service
from sketchfusion.apps.web.settings import Limits
from sketchfusion.apps.web.sketches import SketchStore, read_body
from sketchfusion.index.lance import LanceStore
from sketchfusion.index.store import path_id


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What holds work up until it is set."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def model(held: threading.Event) -> Iterator[ModelThread]:
    """A model's thread that is busy until ``held`` is set, and lets two calls wait."""
    thread = ModelThread(Limits(waiting=2))
    begun = threading.Event()
    thread.submit(lambda items: [begun.set() or held.wait()], None)  # type: ignore[func-returns-value]
    assert begun.wait(5)
    yield thread
    held.set()
    thread.close()


@pytest.fixture
def service(place: Path, make_app: Callable[..., FastAPI]) -> Iterator[Service]:
    app = make_app(place)
    yield app.state.service
    app.state.service.close()


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def test_a_call_that_nobody_waits_for_any_more_makes_room(model: ModelThread, held: threading.Event) -> None:
    async def ask() -> int:
        left = [asyncio.create_task(model.result(model.submit(doubled, number, "double"))) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="too many requests wait for the model"):
            model.submit(doubled, 9)
        for task in left:
            task.cancel()
        await asyncio.wait(left)
        assert model.pending == 0
        stays = model.submit(doubled, 21, "double")
        held.set()
        return await model.result(stays)

    assert asyncio.run(ask()) == 42
    assert not model.askers


def test_a_call_goes_on_while_one_of_many_waits_for_it(model: ModelThread, held: threading.Event) -> None:
    async def ask() -> int:
        shared = model.submit(doubled, 21)
        left, stays = (asyncio.create_task(model.result(shared)) for _ in range(2))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        held.set()
        return await stays

    assert asyncio.run(ask()) == 42


def test_work_in_a_lane_that_nobody_waits_for_any_more_makes_room(held: threading.Event) -> None:
    lane = Lane("things", 1, Limits(waiting=1))

    async def ask() -> str:
        running = asyncio.create_task(lane.run(held.wait))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(lane.run(lambda: "never"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        assert lane.pending == 1
        stays = asyncio.create_task(lane.run(lambda: "done"))
        held.set()
        await running
        return await stays

    assert asyncio.run(ask()) == "done"
    lane.close()


class Large:
    """What stands for something that takes much memory."""

    def size(self) -> int:
        return 0


@pytest.mark.parametrize("hung_up", [True, False], ids=["hung up", "timed out"])
def test_what_work_in_a_lane_needs_is_let_go_with_who_gives_it_up(held: threading.Event, hung_up: bool) -> None:
    """At once, though all threads are busy: else the bodies of who hangs up would fill the memory."""
    lane = Lane("things", 1, Limits(waiting=1, request_seconds=60 if hung_up else 0.02))
    lane.submit(held.wait)

    async def ask() -> weakref.ref[Large]:
        large = Large()
        left = asyncio.create_task(lane.run(large.size))
        await asyncio.sleep(0)
        if hung_up:
            left.cancel()
        await asyncio.wait([left])
        assert left.cancelled() if hung_up else isinstance(left.exception(), ApiError)
        return weakref.ref(large)

    gc.collect()
    gc.disable()
    try:
        assert [asyncio.run(ask())() for _ in range(3)] == [None] * 3
        assert lane.pending == 1
    finally:
        gc.enable()
        held.set()
        lane.close()


def test_what_was_worked_out_is_let_go_with_the_last_who_has_it() -> None:
    """At once, not when Python next looks for objects that hold each other: with these models that is very seldom."""
    lane, model = Lane("things", 1, Limits()), ModelThread(Limits())

    async def ask() -> list[weakref.ref[Large]]:
        return [weakref.ref(await lane.run(Large)), weakref.ref(await model.run(Large))]

    gc.collect()
    gc.disable()
    try:
        assert [found() for found in asyncio.run(ask())] == [None, None]
    finally:
        gc.enable()
        lane.close()
        model.close()


def test_memory_of_what_is_let_go_goes_back_to_the_system() -> None:
    """Of every other one, so that a heap would keep it: it gives back little that lies between what is in use."""
    process = psutil.Process()
    kept = [apart(torch.ones(2**14)) for _ in range(1024)]
    before = process.memory_info().rss
    del kept[::2]
    assert before - process.memory_info().rss > 0.8 * 512 * kept[0].nbytes
    assert all(torch.equal(each, torch.ones(2**14)) for each in kept)


@pytest.mark.parametrize("stored", [True, False])
def test_maps_that_are_kept_lie_apart(service: Service, place: Path, strokes: dict[str, Any], stored: bool) -> None:
    """Of sketches and of photos, whether the gallery has them or the model makes them."""
    sketches = [read_body(json.dumps({**strokes, "width": 120 + step}).encode(), "application/json", service.limits)
                for step in range(3)]

    async def ask() -> list[torch.Tensor]:
        gallery = service.galleries.get(path_id(str(place / "gallery")))
        loaded = await service.models.of(gallery.record)
        described = await asyncio.gather(*(service.models.describe(sketch, loaded) for sketch in sketches))
        photo = await service.photo(path_id(str(gallery.folder)), path_id(str(place / "photos" / "photo0.png")))
        found = await service.maps.of(photo if stored else replace(photo, dense=b""), loaded, place / "photos")
        assert found.origin == ("stored" if stored else "photo")
        return [found.features, *(each.feature_map for each in described)]

    maps = asyncio.run(ask())
    assert [each.data_ptr() % mmap.PAGESIZE for each in maps] == [0, 0, 0, 0]  # the heap begins nothing with a page


class FakeLibrary:
    """Remembers what is asked of it."""

    def __init__(self) -> None:
        self.set: list[tuple[int, int]] = []
        self.trimmed = 0

    def mallopt(self, name: int, value: int) -> None:
        self.set.append((name, value))

    def malloc_trim(self, left: int) -> None:
        self.trimmed += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    fake = FakeLibrary()
    monkeypatch.setattr(memory, "glibc", lambda: fake)
    return fake


def test_free_memory_is_returned_once_in_a_while(service: Service, library: FakeLibrary) -> None:
    for _ in range(2 * memory.CALLS):
        service.thread.submit(lambda items: [None], None).result()
    assert library.trimmed == 2


def test_how_malloc_is_set_by_the_user_is_left_alone(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": ""})
    memory.return_large_pieces()
    assert library.set == [(-3, memory.LARGE), (-1, memory.FREE_END)]
    monkeypatch.setattr("os.environ", {"MALLOC_ARENA_MAX": "2"})
    memory.return_large_pieces()
    assert len(library.set) == 2


def test_another_c_library_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "glibc", lambda: None)
    memory.return_large_pieces()
    memory.Returning().count(2 * memory.CALLS)


def test_photos_asked_for_together_are_read_together(service: Service, place: Path, held: threading.Event,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = LanceStore.get_by_id

    def counted(store: LanceStore, ids: Sequence[str]) -> Any:
        reads.append(len(ids))
        return read(store, ids)

    monkeypatch.setattr(LanceStore, "get_by_id", counted)
    gallery = path_id(str(place / "gallery"))
    files = [place / "photos" / f"photo{number}.png" for number in range(5)]

    async def ask() -> list[Any]:
        service.photos.submit(lambda items: [held.wait()], None)
        asked = [asyncio.create_task(service.photo(gallery, photo)) for photo in
                 (*(path_id(str(file)) for file in files), path_id(str(files[0])), "0" * 20, "no id")]
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    *photos, again, unknown, bad = asyncio.run(ask())
    assert [photo.path for photo in photos] == [str(file) for file in files]
    assert again.path == str(files[0])
    assert [error.status_code for error in (unknown, bad)] == [404, 404]
    assert reads == [6]


def test_many_pages_may_ask_for_photos_at_once(service: Service, place: Path, held: threading.Event) -> None:
    """50 pages with six connections each; a browser does not ask again for a picture that was refused."""
    gallery, photo = path_id(str(place / "gallery")), path_id(str(place / "photos" / "photo0.png"))

    async def ask() -> list[Any]:
        service.photos.submit(lambda items: [held.wait()], None)
        asked = [asyncio.create_task(service.photo(gallery, photo)) for _ in range(50 * 6)]
        await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*asked)

    assert {found.id for found in asyncio.run(ask())} == {photo}


def test_a_sketch_takes_little_room_and_loses_nothing() -> None:
    pixels = np.full((512, 512, 3), 255, dtype=np.uint8)
    pixels[100:108, 50:460], pixels[60:400, 200:206] = (0, 0, 0), (200, 30, 30)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    sketch = read_body(file.getvalue(), "image/png", Limits())
    assert np.array_equal(np.asarray(sketch.picture), pixels)
    assert sketch.num_bytes < pixels.nbytes / 50


def test_a_sketch_is_forgotten_when_its_time_is_over() -> None:
    now = [0.0]
    store = SketchStore(Limits(sketch_seconds=10), lambda: now[0])
    file = io.BytesIO()
    Image.fromarray(np.tri(64, dtype=np.uint8) * 255).save(file, "PNG")
    sketch = store.add(read_body(file.getvalue(), "image/png", Limits()))
    for _ in range(3):  # each use begins its time anew
        now[0] += 9
        assert store.get(sketch.id) is sketch
    now[0] += 11
    with pytest.raises(ApiError, match="there is no sketch"):
        store.get(sketch.id)
