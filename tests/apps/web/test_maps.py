"""Maps of photos that a gallery keeps none of: worked out once, and never in vain."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sketchfusion.apps.web import why
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.service import Service
from sketchfusion.apps.web.settings import API, Limits
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import Photo, path_id

OpenClient = Callable[..., TestClient]
WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture
def bare(own_place: Path, tiny_model: SketchFusion) -> Path:
    """A place whose gallery keeps no maps."""
    shutil.rmtree(own_place / "gallery")
    Gallery.create(own_place / "gallery", tiny_model, dense_rank=0).update([own_place / "photos"], tiny_model)
    return own_place


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that the model worked out a map of, one after another."""
    done: list[str] = []
    truly = why.map_of_file

    def counted(photo: Photo, model: SketchFusion, root: Path) -> why.PhotoMap:
        done.append(Path(photo.path).name)
        return truly(photo, model, root)

    monkeypatch.setattr(why, "map_of_file", counted)
    return done


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What holds the model up until it is set."""
    opened = threading.Event()
    yield opened
    opened.set()


def held(service: Service, gate: threading.Event) -> None:
    """Let the model's thread do nothing until the gate opens."""
    begun = threading.Event()

    def wait(items: Any) -> list[bool]:
        begun.set()
        return [gate.wait(20)]

    service.thread.submit(wait, None)
    assert begun.wait(20)


def service_of(client: TestClient) -> Service:
    service = client.app.state.service  # type: ignore[attr-defined]
    assert isinstance(service, Service)
    return service


def described(client: TestClient, gallery: str, strokes: dict[str, Any], wait_for: WaitFor) -> str:
    """Id of a sketch that the model has seen."""
    sketch = str(client.post(f"{API}/sketches", json=strokes).json()["id"])
    wait_for(lambda: client.get(f"{gallery}/search?sketch={sketch}").status_code == 200)
    return sketch


def test_the_region_and_the_points_of_a_photo_take_one_pass(
        open_client: OpenClient, bare: Path, gallery_of: Callable[[Path], str], strokes: dict[str, Any],
        passes: list[str], gate: threading.Event, wait_for: WaitFor) -> None:
    client, gallery = open_client(bare), gallery_of(bare)
    photo, sketch = f"{gallery}/photos/{path_id(str(bare / 'photos' / 'photo0.png'))}", described(
        client, gallery, strokes, wait_for)
    held(service_of(client), gate)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.get, f"{photo}/{part}?sketch={sketch}") for part in ("region", "points", "mask")]
        wait_for(lambda: sum(service_of(client).thread.askers.values()) == 3)
        gate.set()
        assert [each.result().status_code for each in asked] == [200] * 3
    assert asked[0].result().json()["from"] == "photo"
    assert client.get(f"{photo}/region?sketch={sketch}").status_code == 200
    assert passes == ["photo0.png"]
    assert not service_of(client).maps.coming


def test_who_tries_again_after_a_timeout_gets_the_map_that_was_finished_meanwhile(
        open_client: OpenClient, bare: Path, gallery_of: Callable[[Path], str], strokes: dict[str, Any],
        passes: list[str], gate: threading.Event, wait_for: WaitFor) -> None:
    client, gallery = open_client(bare, limits=Limits(request_seconds=0.3)), gallery_of(bare)
    photo, sketch = f"{gallery}/photos/{path_id(str(bare / 'photos' / 'photo0.png'))}", described(
        client, gallery, strokes, wait_for)
    held(service_of(client), gate)
    for _ in range(3):  # each waits for the same
        answer = client.get(f"{photo}/region?sketch={sketch}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert service_of(client).thread.pending == 1
    gate.set()
    wait_for(lambda: bool(service_of(client).maps.kept))  # though nobody asks
    assert passes == ["photo0.png"]
    wait_for(lambda: client.get(f"{photo}/region?sketch={sketch}").status_code == 200)
    assert passes == ["photo0.png"]


@pytest.fixture
def service(bare: Path, make_app: Callable[..., FastAPI]) -> Iterator[Service]:
    app = make_app(bare)
    yield app.state.service
    app.state.service.close()


async def map_of(service: Service, place: Path, name: str = "photo0.png") -> why.PhotoMap:
    """As a request asks for it."""
    gallery = path_id(str(place / "gallery"))
    loaded = await service.models.of((await service.gallery(gallery)).record)
    photo = await service.photo(gallery, path_id(str(place / "photos" / name)))
    return await service.maps.of(photo, loaded, place / "photos")


def test_a_map_that_nobody_waits_for_any_more_is_not_worked_out(service: Service, bare: Path, passes: list[str],
                                                                gate: threading.Event) -> None:
    async def ask() -> None:
        held(service, gate)
        left = asyncio.create_task(map_of(service, bare))
        while not service.maps.coming:
            await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.wait([left])
        assert not service.maps.coming
        assert not service.thread.pending
        gate.set()
        assert (await map_of(service, bare)).origin == "photo"

    asyncio.run(ask())
    assert passes == ["photo0.png"]


def test_what_failed_may_be_tried_again(service: Service, bare: Path, passes: list[str]) -> None:
    file = bare / "photos" / "photo0.png"

    async def ask() -> None:
        file.rename(bare / "away.png")
        with pytest.raises(ApiError, match="is not there any more"):
            await map_of(service, bare)
        (bare / "away.png").rename(file)
        assert (await map_of(service, bare)).origin == "photo"

    asyncio.run(ask())
    assert passes == ["photo0.png"] * 2
    assert not service.maps.coming


def test_a_copy_whose_file_is_gone_does_not_fail_the_other(service: Service, bare: Path, tiny_model: SketchFusion,
                                                           gate: threading.Event) -> None:
    """Both have one content, and so one map; but each is read from its own file."""
    copy = bare / "photos" / "copy.png"
    shutil.copy(bare / "photos" / "photo0.png", copy)
    Gallery.open(bare / "gallery").update([], tiny_model)
    copy.unlink()

    async def ask() -> list[Any]:
        held(service, gate)
        asked = [asyncio.create_task(map_of(service, bare, name)) for name in ("copy.png", "photo0.png")]
        while len(service.maps.coming) < 2:
            await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    gone, there = asyncio.run(ask())
    assert (gone.status_code, there.origin) == (404, "photo")


def test_a_map_is_not_kept_as_one_of_another_model(
        open_client: OpenClient, own_place: Path, gallery_of: Callable[[Path], str], strokes: dict[str, Any],
        tiny_model: SketchFusion, make_tiny: Callable[..., SketchFusion], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gallery is described anew while the row of the photo is read."""
    other = make_tiny()
    other.name = "other"
    other.learn_anew(1)
    other.eval()
    client = open_client(own_place, load=lambda name, overrides: {"other": other, "tiny": tiny_model}[name])
    service = service_of(client)
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    photo = f"{gallery_of(own_place)}/photos/{path_id(str(own_place / 'photos' / 'photo0.png'))}"
    read = Service.photo

    async def rebuilt(service: Service, gallery_id: str, photo_id: str) -> Photo:
        found = await read(service, gallery_id, photo_id)
        monkeypatch.setattr(Service, "photo", read)
        await asyncio.to_thread(lambda: Gallery.open(own_place / "gallery").update([], other, rebuild=True))
        await service.gallery(gallery_id)  # as any other request does
        return found

    monkeypatch.setattr(Service, "photo", rebuilt)
    refused = client.get(f"{photo}/region?sketch={sketch}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "other_model")
    assert not service.maps.kept
    assert client.get(f"{photo}/region?sketch={sketch}").status_code == 200
    assert [key[0] for key in service.maps.kept] == [other.fingerprint]


def test_maps_that_are_kept_are_bounded(service: Service, bare: Path) -> None:
    async def ask() -> int:
        first = await map_of(service, bare)
        service.maps.limits = Limits(map_bytes=2 * first.features.nbytes)
        for number in range(1, 5):
            await map_of(service, bare, f"photo{number}.png")
        return len(service.maps.kept)

    assert asyncio.run(ask()) == 2
