"""A gallery of seven photos, the application over it, and a real server where sockets matter."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.settings import API, Settings
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import path_id

BASE = "http://127.0.0.1"
STROKES = {"width": 120, "height": 90, "strokes": [{"width": 4, "points": [[20, 70], [60, 20], [100, 70, 0.5]]}]}


@pytest.fixture(scope="session")
def strokes() -> dict[str, Any]:
    """A drawing as the API takes it: 120 pixels wide and 90 high."""
    return STROKES


@pytest.fixture(scope="session")
def build_place(pictures: list[Image.Image], tiny_model: SketchFusion) -> Callable[[Path], Path]:
    """``build_place(folder)``: ``photos`` with seven pictures, two of them in ``album``, and ``gallery`` of them."""
    def build(top: Path) -> Path:
        (top / "photos" / "album").mkdir(parents=True)
        for index, picture in enumerate(pictures):
            picture.save(top / "photos" / ("album" if index > 4 else "") / f"photo{index}.png")
        Gallery.create(top / "gallery", tiny_model).update([top / "photos"], tiny_model)
        return top
    return build


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, build_place: Callable[[Path], Path]) -> Path:
    """One for all tests: look, but do not change its photos; ``photos/link`` leads out, to ``secret``."""
    top = build_place(tmp_path_factory.mktemp("served"))
    (top / "secret").mkdir()
    (top / "photos" / "link").symlink_to(top / "secret")
    return top


@pytest.fixture
def own_place(tmp_path: Path, build_place: Callable[[Path], Path]) -> Path:
    """One of a test's own."""
    return build_place(tmp_path / "own")


@pytest.fixture(scope="session")
def make_app(tiny_model: SketchFusion) -> Callable[..., FastAPI]:
    """``make_app(place, home=..., **settings)``: the application over a place, its model loaded."""
    def make(place: Path, *, load: Any = None, **options: Any) -> FastAPI:
        told = {"galleries": (place / "gallery",), "home": place / "home", "photos": place / "photos", **options}
        app = create_app(Settings(**told), load=load or (lambda model, overrides: tiny_model))
        app.state.service.warm()
        return app
    return make


@pytest.fixture
def open_client(make_app: Callable[..., FastAPI]) -> Iterator[Callable[..., TestClient]]:
    """``open_client(place, **settings)``: a client of an application of its own, closed after the test."""
    with ExitStack() as stack:
        yield lambda place, **options: stack.enter_context(TestClient(make_app(place, **options), base_url=BASE))


@pytest.fixture(scope="module")
def client(place: Path, make_app: Callable[..., FastAPI], tmp_path_factory: pytest.TempPathFactory
           ) -> Iterator[TestClient]:
    """Of the application over the shared place; new galleries go to a folder of the module's own."""
    with TestClient(make_app(place, home=tmp_path_factory.mktemp("home")), base_url=BASE) as opened:
        yield opened


@pytest.fixture
def sketch(client: TestClient) -> str:
    """Id of a sketch that the client sent."""
    answer = client.post(f"{API}/sketches", json=STROKES)
    assert answer.status_code == 201
    return str(answer.json()["id"])


@pytest.fixture(scope="session")
def gallery_of() -> Callable[[Path], str]:
    """``gallery_of(place)``: the address of its gallery."""
    return lambda place: f"{API}/galleries/{path_id(str(place / 'gallery'))}"


@pytest.fixture(scope="session")
def gallery(place: Path, gallery_of: Callable[[Path], str]) -> str:
    """Address of the gallery."""
    return gallery_of(place)


@pytest.fixture(scope="session")
def photo(place: Path, gallery: str) -> str:
    """Address of a photo of the gallery."""
    return f"{gallery}/photos/{path_id(str(place / 'photos' / 'photo0.png'))}"


@pytest.fixture(scope="session")
def finished() -> Callable[[TestClient, str], dict[str, Any]]:
    """``finished(client, job)``: how a job ended."""
    def wait(client: TestClient, job: str) -> dict[str, Any]:
        for _ in range(400):
            state = client.get(f"{API}/jobs/{job}").json()
            if state["state"] not in ("queued", "running"):
                return dict(state)
            time.sleep(0.05)
        raise AssertionError("the job does not end")
    return wait


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """The port of a real server."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def open_server(make_app: Callable[..., FastAPI]) -> Iterator[Callable[..., int]]:
    """``open_server(place, **settings)``: the port of a real server in this process, stopped after the test."""
    with ExitStack() as stack:
        yield lambda place, **options: stack.enter_context(served(make_app(place, **options)))


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Waits until a condition holds, ten seconds at most."""
    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.01)
        raise AssertionError("this takes too long")

    return wait


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """``logged()``: what was logged since the test began.

    What other tests left behind, such as requests that a browser was never answered, is collected first: asyncio logs
    it whenever the collector comes across it.
    """
    gc.collect()
    caplog.clear()
    return lambda: [record.getMessage() for record in caplog.records]
