"""Bodies that are allowed and meant to hurt: they are refused, and take little memory until then."""

from __future__ import annotations

import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sketchfusion.apps.web import sketches
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.settings import API, KIB, MIB, Limits
from sketchfusion.apps.web.sketches import read_body

JSON = {"Content-Type": "application/json"}
HEAD = '{"width": 90, "height": 90, "strokes": ['
SMALL = Limits(strokes_points=1000)


def filled(head: str, item: str, tail: str, size: int) -> bytes:
    """As many of the item as fit into so many bytes, with commas between."""
    count = (size - len(head) - len(tail)) // (len(item) + 1)
    return f"{head}{','.join([item] * count)}{tail}".encode()


def fields(size: int) -> str:
    """An object of about so many bytes, each field another."""
    return "{" + ",".join(f'"{number:x}":1' for number in range(size // 9)) + "}"


HURTFUL = {
    "numbers for strokes": filled(HEAD, "1", "]}", MIB),
    "lists for strokes": filled(HEAD, "[]", "]}", MIB),
    "numbers for points": filled(HEAD + '{"points":[', "1", "]}]}", MIB),
    "points that are too short": filled(HEAD + '{"points":[', "[1]", "]}]}", MIB),
    "points of words": filled(HEAD + '{"points":[', '["","",""]', "]}]}", MIB),
    "few enough numbers for points": filled(HEAD + '{"points":[', "1", "]}]}", 150_000),
    "few enough numbers for strokes": filled(HEAD, "1", "]}", 150_000),
    "one endless point": filled(HEAD + '{"points":[[', "1", "]]}]}", MIB),
    "unknown fields": fields(MIB).encode(),
    "unknown fields of a stroke": f"{HEAD}{fields(MIB)}]}}".encode(),
    "unknown fields of each stroke": filled(HEAD, '{"a":1,"b":2,"c":3}', "]}", MIB),
    "a very long name": b'{"' + b"a" * MIB + b'": 1}',
    "a very long word": b'{"width": "' + b"a" * MIB + b'"}',
}


@pytest.fixture
def grown() -> Iterator[Callable[[], float]]:
    """MiB that Python took at most since the test began, more than at its beginning."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: (tracemalloc.get_traced_memory()[1] - before) / MIB
    tracemalloc.stop()


@pytest.mark.thorough
@pytest.mark.parametrize("name", HURTFUL)
def test_no_drawing_takes_much_more_memory_than_it_has_bytes(client: TestClient, grown: Callable[[], float],
                                                             name: str) -> None:
    answer = client.post(f"{API}/sketches", content=HURTFUL[name], headers=JSON)
    assert grown() < 64
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_strokes")
    assert len(answer.text) < 2000


def test_no_list_of_points_takes_much_more_memory_than_it_has_bytes(client: TestClient, photo: str, sketch: str,
                                                                    grown: Callable[[], float]) -> None:
    head = json.dumps({"sketch": sketch})[:-1] + ', "points": ['
    for item in ("1", "[1, 2]", "[]", "{}"):
        body = filled(head, item, "]}", 60 * KIB)
        answer = client.post(f"{photo}/points", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert "points" in answer.json()["error"]["message"]
    assert grown() < 16


def test_a_body_of_far_too_many_values_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "json", None)
    monkeypatch.setattr(sketches, "read_sketch", None)
    for body, kind in ((filled(HEAD, "1", "]}", 19 * MIB), "application/json"),
                       (filled('{"drawing": [', "[[1],[1]]", "]}", 19 * MIB), "application/x-ndjson"),
                       (filled(HEAD, "{}", "]}", 19 * MIB).decode().encode("utf-16"), "application/json")):
        with pytest.raises(ApiError, match="a drawing may have 100,000 points") as refused:
            read_body(body, kind, Limits())
        assert (refused.value.status_code, refused.value.code) == (422, "bad_strokes")


def test_a_drawing_with_as_many_points_as_are_allowed_is_read() -> None:
    one = '{"width": 2.5, "points": [[10.5, 20.25, 0.5]]}'
    dots = f"{HEAD}{','.join([one] * 1000)}]}}"
    assert read_body(dots.encode(), "application/json", SMALL).size == (90, 90)
    line = f'{HEAD}{{"points": [{",".join(["[10.5, 20.25, 0.5]"] * 1000)}]}}]}}'
    assert read_body(line.encode(), "application/json", SMALL).size == (90, 90)
    for body, told in ((dots.replace("[[", "[[3, 4], [", 1), "1,001 points"),
                       (line.replace("[[", "[[3, 4], [", 1), "1,001 points"),
                       (f"{HEAD}{','.join(['{}'] * 1001)}]}}", "1,001 strokes")):
        with pytest.raises(ApiError, match=told):
            read_body(body.encode(), "application/json", SMALL)


def test_of_many_ndjson_lines_only_the_first_counts() -> None:
    line = b'{"drawing": [[[1, 50, 90], [20, 8, 30]]]}'
    alone = read_body(line, "application/x-ndjson", SMALL)
    assert read_body(b"\n".join([line] * 5000), "application/x-ndjson", SMALL).id == alone.id


@pytest.mark.parametrize("chunked", [False, True])
def test_only_sketches_may_be_large(client: TestClient, gallery: str, photo: str, chunked: bool) -> None:
    def body(size: int) -> Any:
        return (bytes(KIB) for _ in range(size // KIB)) if chunked else bytes(size)

    addresses = [("POST", f"{API}/galleries"), ("POST", f"{gallery}/update"), ("POST", f"{photo}/points"),
                 ("GET", f"{API}/health"), ("POST", f"{API}/sketches/"), ("PUT", f"{API}/sketches")]
    for method, path in addresses:
        answer = client.request(method, path, content=body(65 * KIB), headers=JSON)
        if answer.status_code in (200, 404, 405):
            assert chunked  # nobody looked at the body
            continue
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large"), path
        assert "the 64 KiB allowed" in answer.json()["error"]["message"]
        assert "POST /api/v1/sketches takes more, up to 20 MiB" in answer.json()["error"]["message"]
    assert client.post(f"{API}/sketches", content=body(65 * KIB), headers=JSON).status_code == 422
    large = client.post(f"{API}/sketches", content=body(21 * MIB), headers=JSON)
    assert large.status_code == 413
    assert "the 20 MiB allowed" in large.json()["error"]["message"]


def test_the_largest_requests_that_make_sense_are_small_enough(client: TestClient, gallery: str, photo: str,
                                                               sketch: str) -> None:
    folder = "\U0001f408" * 4096
    for path, named in ((f"{API}/galleries", {"name": "n"}), (f"{gallery}/update", {})):
        told = json.dumps({**named, "folder": folder})  # six bytes for each half of a cat
        answer = client.post(path, content=told, headers=JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_folder")
    point = [100.12345678901235, 10.123456789012345]
    wanted = json.dumps({"sketch": sketch, "points": [point] * 256}, indent=2)
    found = client.post(f"{photo}/points", content=wanted, headers=JSON)
    assert found.status_code == 200
    assert len(found.json()["points"]) == 256
    whole = client.post(f"{photo}/points", content=wanted.ljust(64 * KIB), headers=JSON)
    assert whole.json() == found.json()


def test_a_server_with_a_lower_limit_keeps_to_it(open_client: Callable[..., TestClient], place: Path,
                                                 tmp_path: Path) -> None:
    client = open_client(place, home=tmp_path, limits=Limits(body_bytes=10 * KIB))
    for path in ("/sketches", "/galleries"):
        answer = client.post(API + path, content=bytes(11 * KIB), headers=JSON)
        assert answer.status_code == 413
        assert "the 10 KiB allowed" in answer.json()["error"]["message"]


def begin(port: int, length: int, body: bytes) -> socket.socket:
    """A sketch that was begun to be sent; without a length it goes in pieces."""
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    told, body = ((f"Content-Length: {length}", body) if length else
                  ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(body), body)))
    line.sendall(f"POST {API}/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}\r\n\r\n".encode() + body)
    return line


def outcome(line: socket.socket) -> tuple[int, str, str]:
    """Status, code and head of the answer, which is an error."""
    answer = b""
    with line:
        while not answer.endswith(b"}}"):
            answer += line.recv(65536)
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"], head


def test_a_body_has_one_time_for_all_its_pieces(open_server: Callable[..., int], place: Path, tmp_path: Path) -> None:
    port = open_server(place, home=tmp_path, limits=Limits(request_seconds=1.0))
    line, started = begin(port, 1000, b"1"), time.monotonic()
    for _ in range(4):
        time.sleep(0.2)
        line.sendall(b"1")
    assert outcome(line)[:2] == (408, "slow_body")
    assert 0.9 < time.monotonic() - started < 1.7


@pytest.mark.parametrize("length", [100 * KIB, 0])
def test_bodies_that_are_sent_at_once(open_server: Callable[..., int], place: Path, tmp_path: Path, length: int,
                                      wait_for: Callable[[Callable[[], bool]], None]) -> None:
    limits = Limits(small_body_bytes=10 * KIB, bodies_bytes=150 * KIB, request_seconds=5)
    port = open_server(place, home=tmp_path, limits=limits)
    first = begin(port, length, bytes(90 * KIB))
    time.sleep(0.3)
    code, reason, head = outcome(begin(port, length, bytes(90 * KIB)))
    assert (code, reason) == (503, "busy")
    assert "retry-after: 1" in head
    assert "connection: close" in head
    with begin(port, length, bytes(55 * KIB)):  # fits, and leaves no room
        time.sleep(0.3)
        assert outcome(begin(port, 9 * KIB, bytes(9 * KIB)))[0] == 415  # small ones are let in all the same
        first.close()
    wait_for(lambda: outcome(begin(port, 90 * KIB, bytes(90 * KIB)))[0] == 415)  # who has gone makes room
