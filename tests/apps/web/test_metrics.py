"""What is counted of requests, whoever answers them, and HEAD, which is answered as GET without a body."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sketchfusion.apps.web.app import Heads
from sketchfusion.apps.web.metrics import Measured, Metrics
from sketchfusion.apps.web.security import HEADERS
from sketchfusion.apps.web.settings import API, Limits

TOKEN = "abcdefgh12345678"
BASE = "http://127.0.0.1"


@pytest.fixture
def app(make_app: Callable[..., FastAPI], place: Path, tmp_path: Path) -> FastAPI:
    return make_app(place, home=tmp_path, token=TOKEN, limits=Limits(small_body_bytes=1000))


@pytest.fixture
def mine(app: FastAPI) -> Iterator[TestClient]:
    """A client with the token, of an application that nobody else asks."""
    with TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"},
                    raise_server_exceptions=False) as opened:
        yield opened


def counted(app: FastAPI) -> dict[tuple[str, str, str], float]:
    """Requests by method, route and status."""
    [family] = app.state.service.metrics.requests.collect()
    return {(each.labels["method"], each.labels["route"], each.labels["status"]): each.value
            for each in family.samples if each.name.endswith("_total")}


def test_every_answer_is_counted_by_its_status(app: FastAPI, mine: TestClient, gallery: str) -> None:
    async def fails(*_: Any) -> None:
        raise ZeroDivisionError

    app.state.service.gallery = fails
    for method, path, options in (
            ("GET", f"{API}/health", {}), ("GET", f"{API}/health", {}), ("HEAD", f"{API}/health", {}),
            ("BREW", "/", {}), ("GET", f"{API}/jobs/none", {}), ("GET", f"{gallery}/folders", {}),
            ("POST", f"{API}/galleries", {"content": bytes(2000)}), ("GET", "/", {"headers": {"Authorization": ""}}),
            ("GET", "/", {"headers": {"Host": "evil"}}), ("POST", "/", {"headers": {"Origin": "http://evil"}})):
        mine.request(method, path, **options)
    assert counted(app) == {
        ("GET", "/health", "200"): 2, ("HEAD", "/health", "200"): 1, ("other", "/", "405"): 1,
        ("GET", "/jobs/{jid}", "404"): 1, ("GET", "/galleries/{gid}/folders", "500"): 1, ("POST", "other", "413"): 1,
        ("GET", "other", "401"): 1, ("GET", "other", "400"): 1, ("POST", "other", "403"): 1}


def seconds_of(metrics: Metrics) -> float:
    """All that requests took."""
    [family] = metrics.seconds.collect()
    return sum(each.value for each in family.samples if each.name.endswith("_sum"))


def test_seconds_are_those_until_the_end_of_the_answer() -> None:
    metrics = Metrics()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.05)

    async def send(message: Any) -> None:
        pass

    started = time.perf_counter()
    asyncio.run(Measured(slow, metrics)({"type": "http", "method": "GET"}, send, send))  # type: ignore[arg-type]
    assert 0.05 <= seconds_of(metrics) <= time.perf_counter() - started


def asked(path: str, method: str = "GET") -> dict[str, Any]:
    """A request, as servers hand it to applications."""
    return {"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
            "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {TOKEN}".encode())]}


def test_who_leaves_is_no_error(app: FastAPI, gallery: str) -> None:
    sent: list[Any] = []
    coming = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        await asyncio.sleep(0)
        return coming.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async def waits(*_: Any) -> None:
        await asyncio.sleep(60)

    app.state.service.gallery = waits
    asyncio.run(app(asked(f"{gallery}/folders"), receive, send))
    app.state.service.close()
    assert (sent, counted(app)) == ([], {("GET", "/galleries/{gid}/folders", "left"): 1})


@pytest.mark.parametrize(("path", "status"), [
    ("/", 200), ("/static/index.html", 200), (f"{API}/health", 200), (f"{API}/openapi.json", 200), ("/none", 404),
    ("photo", 200), ("photo/thumbnail", 200), ("photo/picture", 200), ("photo/original", 200),
    (f"{API}/sketches", 405)])
def test_head_has_all_of_get_but_the_body(mine: TestClient, photo: str, path: str, status: int) -> None:
    path = path.replace("photo", photo)
    head, get = mine.head(path), mine.get(path)
    assert (head.status_code, get.status_code, head.content) == (status, status, b"")
    assert head.headers == get.headers
    assert set(map(str.lower, HEADERS)) <= set(head.headers)
    assert mine.head("/", headers={"Authorization": ""}).status_code == 401


def test_a_head_leaves_the_connection_as_it_should_be(open_server: Callable[..., int], place: Path, tmp_path: Path,
                                                      photo: str) -> None:
    """One request after another on it, to a real server."""
    port = open_server(place, home=tmp_path)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        for path in (f"{photo}/original", f"{API}/health", "/none"):
            line.sendall(f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        line.sendall(f"GET {API}/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    heads = answer.split(b"\r\n\r\n")
    assert [head.split()[1] for head in heads[:4]] == [b"200", b"200", b"404", b"200"]
    assert heads[4].startswith(b'{"status":"ok"')
    assert len(heads) == 5


def test_nobody_works_for_the_rest_of_a_head() -> None:
    pieces: list[int] = []
    sent: list[Any] = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        assert scope["method"] == "GET"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            pieces.append(1)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0)

    async def send(message: Any) -> None:
        sent.append(message)

    request = asked("/", "HEAD")
    asyncio.run(Heads(endless)(request, send, send))  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "body" not in sent[1]
    assert len(pieces) <= 2
    assert request["method"] == "HEAD"
