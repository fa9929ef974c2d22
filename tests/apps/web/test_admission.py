"""More than the server can do at once: who is refused, who is not, and that nobody works for those who left."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from sketchfusion.apps.web.settings import API, Limits

WaitFor = Callable[[Callable[[], bool]], None]

OpenClient = Callable[..., TestClient]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Pictures are read only once this is set."""
    opened = threading.Event()

    def read_photo(*_: object) -> Image.Image:
        assert opened.wait(20)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr("sketchfusion.apps.web.routes.photos.read_photo", read_photo)
    yield opened
    opened.set()


def waiting(client: TestClient, lane: str) -> int:
    """Calls that wait or run, as the server itself counts them."""
    text = client.get(f"{API}/metrics").text
    return round(float(text.partition(f'sketchfusion_waiting{{lane="{lane}"}} ')[2].split()[0]))


def hold_the_model(client: TestClient, gate: threading.Event) -> None:
    """Let the model's thread do nothing until the gate opens."""
    begun = threading.Event()

    def wait(items: Any) -> list[bool]:
        begun.set()
        return [gate.wait(20)]

    client.app.state.service.thread.submit(wait, None)  # type: ignore[attr-defined]
    assert begun.wait(20)


def refused_as_busy(answer: Any) -> bool:
    """Whether it is a clear refusal that says when to try again."""
    return bool(answer.status_code == 503 and answer.json()["error"]["code"] == "busy"
                and "try again" in answer.json()["error"]["message"] and int(answer.headers["retry-after"]) > 0)


def test_a_full_queue_refuses_the_next_and_harms_nobody(open_client: OpenClient, place: Path, tmp_path: Path,
                                                        photo: str, gate: threading.Event, wait_for: WaitFor) -> None:
    client = open_client(place, home=tmp_path, limits=Limits(waiting=1))
    with ThreadPoolExecutor(3) as pool:  # two lanes, and one that waits
        taken = [pool.submit(client.get, f"{photo}/picture?side={side}") for side in (20, 30, 40)]
        wait_for(lambda: waiting(client, "pictures") == 3)
        assert refused_as_busy(client.get(f"{photo}/picture?side=50"))
        assert client.get(f"{photo}/thumbnail").status_code == 200  # another lane
        gate.set()
        assert [each.result().status_code for each in taken] == [200] * 3
    assert client.get(f"{photo}/picture?side=50").status_code == 200


def test_a_full_queue_before_the_model(open_client: OpenClient, place: Path, tmp_path: Path, gallery: str,
                                       strokes: dict[str, Any], gate: threading.Event, wait_for: WaitFor) -> None:
    client = open_client(place, home=tmp_path, limits=Limits(waiting=2))
    sketches = [client.post(f"{API}/sketches", json={**strokes, "width": 120 + step}).json()["id"] for step in range(3)]
    hold_the_model(client, gate)
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(client.get, f"{gallery}/search?sketch={each}") for each in sketches[:2]]
        wait_for(lambda: waiting(client, "model") == 2)
        again = pool.submit(client.get, f"{gallery}/search?sketch={sketches[0]}")  # waits for the same work
        assert refused_as_busy(client.get(f"{gallery}/search?sketch={sketches[2]}"))
        assert client.get(f"{API}/health").status_code == 200
        gate.set()
        assert [each.result().json()["total"] for each in (*taken, again)] == [7] * 3
    assert client.get(f"{gallery}/search?sketch={sketches[2]}").status_code == 200


def test_what_takes_too_long_is_given_up(open_client: OpenClient, place: Path, tmp_path: Path, gallery: str, photo: str,
                                         strokes: dict[str, Any], gate: threading.Event, wait_for: WaitFor) -> None:
    client = open_client(place, home=tmp_path, limits=Limits(request_seconds=0.3))
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    hold_the_model(client, gate)
    for path in (f"{photo}/picture", f"{gallery}/search?sketch={sketch}"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        assert int(answer.headers["retry-after"]) > 0
    gate.set()
    wait_for(lambda: client.get(f"{gallery}/search?sketch={sketch}").status_code == 200)
    wait_for(lambda: client.get(f"{photo}/picture").status_code == 200)


def ask(port: int, request: str) -> socket.socket:
    """A connection on which that was sent."""
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    line.sendall(f"{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    return line


def answer_of(line: socket.socket) -> bytes:
    """All that comes."""
    with line:
        return b"".join(iter(lambda: line.recv(65536), b""))


def pending(port: int, lane: str) -> int:
    """As ``waiting``, of a real server."""
    text = answer_of(ask(port, f"GET {API}/metrics")).decode()
    return round(float(text.partition(f'sketchfusion_waiting{{lane="{lane}"}} ')[2].split()[0]))


def test_who_leaves_gives_up_the_place(open_server: Callable[..., int], place: Path, tmp_path: Path, photo: str,
                                       gate: threading.Event, logged: Callable[[], list[str]],
                                       wait_for: WaitFor) -> None:
    port = open_server(place, home=tmp_path, limits=Limits(waiting=1))
    staying = [ask(port, f"GET {photo}/picture?side={side}") for side in (20, 30)]
    wait_for(lambda: pending(port, "pictures") == 2)
    for side in range(40, 45):  # more than may wait, one after another
        leaving = ask(port, f"GET {photo}/picture?side={side}")
        wait_for(lambda: pending(port, "pictures") == 3)
        leaving.close()
        wait_for(lambda: pending(port, "pictures") == 2)
    last = ask(port, f"GET {photo}/picture?side=50")
    wait_for(lambda: pending(port, "pictures") == 3)
    gate.set()
    assert all(answer_of(line).startswith(b"HTTP/1.1 200 ") for line in (*staying, last))
    assert logged() == []


def test_who_leaves_in_the_middle_of_a_body(open_server: Callable[..., int], place: Path, tmp_path: Path,
                                            logged: Callable[[], list[str]]) -> None:
    port = open_server(place, home=tmp_path)
    for path in ("/sketches", "/galleries"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(f"POST {API}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                         "Content-Length: 1000\r\n\r\n{".encode())
            time.sleep(0.1)
    assert b"200 OK" in answer_of(ask(port, f"GET {API}/health"))
    assert logged() == []


def test_a_body_that_does_not_come(open_server: Callable[..., int], place: Path, tmp_path: Path) -> None:
    port = open_server(place, home=tmp_path, limits=Limits(request_seconds=0.3))
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    line.sendall(f"POST {API}/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n1".encode())
    answer = answer_of(line)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"slow_body" in answer


@pytest.mark.parametrize("request_head", [
    b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"POST /api/v1/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /api/v1/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"])
def test_what_is_no_request(open_server: Callable[..., int], place: Path, tmp_path: Path, request_head: bytes) -> None:
    port = open_server(place, home=tmp_path)
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    answer = b""
    with line, suppress(OSError):  # it hangs up on what is far too long, at any moment
        line.sendall(request_head)
        line.shutdown(socket.SHUT_WR)
        answer = answer_of(line)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert b"200 OK" in answer_of(ask(port, f"GET {API}/health"))


def test_many_at_once_all_get_an_answer(open_client: OpenClient, place: Path, tmp_path: Path, gallery: str,
                                        strokes: dict[str, Any]) -> None:
    client = open_client(place, home=tmp_path)

    def visit(step: int) -> int:
        sketch = client.post(f"{API}/sketches", json={**strokes, "width": 120 + step % 5}).json()["id"]
        return int(client.get(f"{gallery}/search?sketch={sketch}").json()["total"])

    with ThreadPoolExecutor(8) as pool:
        visits: list[Future[int]] = [pool.submit(visit, step) for step in range(40)]
        assert [each.result() for each in visits] == [7] * 40
