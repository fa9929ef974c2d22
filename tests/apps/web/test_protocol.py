"""Connections: silent ones shut nobody out, what is no HTTP is told so, and what takes too long to stop is given up."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from sketchfusion.apps.web.protocol import most_connections, server_of
from sketchfusion.apps.web.security import HEADERS, Guard
from sketchfusion.apps.web.settings import API, Limits, Settings

HEALTH = f"GET {API}/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
BODY = f"POST {API}/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
UNREAD = HEALTH.replace(b"GET", b"POST")[:-2] + b"Content-Length: 60000\r\n\r\n"  # is answered without its body
WaitFor = Callable[[Callable[[], bool]], None]
Open = Callable[..., uvicorn.Server]


@contextmanager
def run(server: uvicorn.Server) -> Iterator[uvicorn.Server]:
    """The server, in a thread, at a socket of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.01)
            yield server
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture
def open_server(place: Path, tmp_path: Path, make_app: Callable[..., FastAPI]) -> Iterator[Open]:
    """``open_server(grace=..., **limits)``: a server as the command starts it, stopped after the test."""
    def start(*, grace: int = 10, **limits: float) -> uvicorn.Server:
        told = Limits(**limits)  # type: ignore[arg-type]
        return stack.enter_context(run(server_of(make_app(place, home=tmp_path, limits=told), told, grace=grace)))

    with ExitStack() as stack:
        yield start


def connect(server: uvicorn.Server, data: bytes = b"") -> socket.socket:
    """A connection on which that was sent."""
    line = socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=10)
    line.sendall(data)
    return line


def heard(line: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    answer = b""
    with suppress(ConnectionResetError):
        while piece := line.recv(65536):
            answer += piece
    return answer


def asks(line: socket.socket) -> bool:
    """Whether another request on the connection is answered."""
    line.sendall(HEALTH)
    answer = b""
    while not answer.endswith(b"}"):
        piece = line.recv(65536)
        assert piece, "the server hung up"
        answer += piece
    return answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"])
def test_silent_connections_shut_nobody_out(open_server: Open, sent: bytes, logged: Callable[[], list[str]],
                                            wait_for: WaitFor) -> None:
    server = open_server(connections=8)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server, sent)) for _ in range(40)]
        wait_for(lambda: len(server.server_state.connections) == 8)
        good = stack.enter_context(connect(server))
        assert asks(good)
        assert len(server.server_state.connections) == 8
        assert heard(silent[0]) == b""  # those that have waited longest go first
        assert asks(good)
    assert logged() == []


def test_those_that_were_answered_make_room(open_server: Open) -> None:
    server = open_server(connections=1)
    with connect(server) as first, connect(server) as second:
        assert asks(second)
        assert heard(first) == b""
        with connect(server, UNREAD) as third:
            assert third.recv(65536).startswith(b"HTTP/1.1 405 ")
            with connect(server) as fourth:
                assert asks(fourth)


def test_those_that_wait_for_answers_keep_their_places(open_server: Open, wait_for: WaitFor) -> None:
    server = open_server(connections=2)
    started = BODY + b"Content-Length: 9\r\n\r\n1"
    with connect(server, started) as first, connect(server, started) as second:
        wait_for(lambda: len(server.server_state.tasks) == 2)
        with connect(server) as late:
            assert heard(late) == b""
        for line in (first, second):
            line.sendall(b"23456789")
            assert line.recv(65536).startswith(b"HTTP/1.1 415 ")
        with connect(server) as late:
            assert asks(late)


@pytest.mark.parametrize("before", [b"", HEALTH, UNREAD])
def test_a_head_that_does_not_come(open_server: Open, before: bytes) -> None:
    server = open_server(head_seconds=0.4)
    with connect(server, before) as line:
        if before:
            assert line.recv(65536).startswith(b"HTTP/1.1 ")
        begun, closed = time.monotonic(), False
        while not closed and time.monotonic() < begun + 5:  # always a little more, but never all
            time.sleep(0.05)
            try:
                line.sendall(b"GET / HTTP/1.1\r\n" if time.monotonic() < begun + 0.06 else b"A: b\r\n")
                line.settimeout(0.01)
                closed = line.recv(65536) == b""
            except TimeoutError:
                line.settimeout(10)
            except OSError:
                closed = True
        assert 0.2 < time.monotonic() - begun < 2


def test_who_asks_in_time_keeps_the_connection(open_server: Open) -> None:
    server = open_server(head_seconds=0.5)
    with connect(server) as line:
        for _ in range(5):
            time.sleep(0.2)
            assert asks(line)
        line.sendall(BODY + b"Content-Length: 9\r\n\r\n")
        time.sleep(0.8)  # a body has a time of its own
        line.sendall(b"123456789")
        assert line.recv(65536).startswith(b"HTTP/1.1 415 ")
        line.sendall(HEALTH * 3)
        answers = b""
        while answers.count(b"HTTP/1.1 200 ") < 3:
            answers += line.recv(65536)


@pytest.mark.parametrize("request_head", [
    b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
    BODY + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12", BODY + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"])
def test_what_is_no_request_is_told_so(open_server: Open, request_head: bytes,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    head, _, body = heard(connect(open_server(), request_head)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert all(headers[name.lower()] == value.lower() for name, value in HEADERS.items())
    assert capsys.readouterr().err.split("  ")[1:] == ["Invalid HTTP request received.\n"]


@pytest.mark.parametrize("request_head", [
    HEALTH[:-2] + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"])
def test_who_has_an_answer_already_gets_no_other(open_server: Open, request_head: bytes,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    server = open_server()
    with connect(server, request_head[:-4]) as line:
        with suppress(TimeoutError):
            line.settimeout(0.5)
            line.recv(65536)
        line.settimeout(10)
        with suppress(OSError):
            line.sendall(request_head[-4:])
        assert b"HTTP/1.1" not in heard(line)
    assert "Traceback" not in capsys.readouterr().err


def test_web_sockets_are_plain_requests(open_server: Open, logged: Callable[[], list[str]]) -> None:
    line = connect(open_server(), HEALTH[:-2] + b"Connection: upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    assert heard(line).startswith(b"HTTP/1.1 200 ")
    assert logged() == []


@pytest.mark.parametrize(("files", "most"), [((100, 100), 50), ((4096, 4096), 512),
                                             ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 512)])
def test_half_of_the_files_are_for_connections(monkeypatch: pytest.MonkeyPatch, files: tuple[int, int],
                                               most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: files)
    assert most_connections(Limits()) == most


def test_what_takes_longer_than_the_grace_is_told_so(open_server: Open, wait_for: WaitFor,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    server = open_server(grace=1)
    with connect(server, BODY + b"Content-Length: 9\r\n\r\n1") as line:
        wait_for(lambda: bool(server.server_state.tasks))
        begun, server.should_exit = time.monotonic(), True
        head, _, body = heard(line).decode().partition("\r\n\r\n")
        assert 0.9 < time.monotonic() - begun < 4
    assert head.startswith("HTTP/1.1 503 ")
    assert json.loads(body)["error"]["code"] == "stopping"
    assert "retry-after: " in head
    assert "content-security-policy: " in head
    assert "Traceback" not in capsys.readouterr().err


def test_an_answer_that_has_begun_is_broken_off_quietly() -> None:
    sent: list[str] = []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
        task = asyncio.create_task(Guard(hang, Settings())(scope, asyncio.Event().wait, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    asyncio.run(ask())
    assert sent == ["http.response.start"]
