"""The command itself: what it says when it cannot start, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app
from sketchfusion.apps.cli.serve import GRACE_S, address_of, made_by_others
from sketchfusion.apps.web.settings import API
from sketchfusion.index.record import RECORD_NAME

TOKEN = "abcdefgh12345678"
COMMAND = "import sketchfusion.apps.cli.main as main; main.app()"
NEVER_DRAWS = f"""
from sketchfusion import svg
from sketchfusion.apps.cli import serve
from sketchfusion.apps.web.service import Service
svg.RENDERER, serve.GRACE_S, Service.close.__defaults__ = "import time; time.sleep(60)", 1, (1.0,)
{COMMAND}"""


@contextmanager
def started(*options: str, code: str = COMMAND, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process of its own, and the address that it printed."""
    command = [sys.executable, "-c", code, "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "COLUMNS": "300", **environment})
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"https?://\S+", line)
        if found is None:
            process.kill()
            raise AssertionError(f"it did not start: {line}{process.communicate()[1]}")
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def options_of(place: Path, home: Path, *, gallery: str = "gallery") -> list[str]:
    """What names the folders."""
    return ["--gallery", str(place / gallery), "--photos", str(place / "photos"), "--galleries", str(home)]


def get(address: str, **headers: str) -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def begun(address: str, body: bytes) -> socket.socket:
    """A request of which only the first bytes were sent."""
    port = int(address.rstrip("/").rpartition(":")[2])
    line = socket.create_connection(("127.0.0.1", port), timeout=20)
    line.sendall(f"POST {API}/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
                 f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:20])
    return line


def refuses(address: str) -> bool:
    """Whether nobody new is let in."""
    try:
        urllib.request.urlopen(address, timeout=20).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return True
    return False


@pytest.mark.thorough
def test_from_the_first_line_to_the_last(place: Path, tmp_path: Path) -> None:
    body = b'{"width": 90, "height": 90, "strokes": [{"points": [[9, 9], [80, 80]]}]}'
    with started(*options_of(place, tmp_path), "--host", "0.0.0.0", SKETCHFUSION_TOKEN=TOKEN) as (process, printed):
        assert re.fullmatch(rf"http://localhost:\d+/\?token={TOKEN}", printed)
        address = printed.partition("/?")[0].replace("localhost", "127.0.0.1")
        for path in (f"{API}/health", "/?token=wrong", "/static/index.html", "/nothing"):
            assert get(address + path)[0] == 401
        assert get(f"{address}/?token={TOKEN}")[0] == 200
        with begun(address, body) as line:
            assert get(f"{address}{API}/health", Authorization=f"Bearer {TOKEN}")[0] == 200  # the other has begun
            process.send_signal(signal.SIGTERM)
            while not refuses(address):
                assert process.poll() is None, "it did not wait for the request"
            line.sendall(body[20:])
            answer = b"".join(iter(lambda: line.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 201 ")
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.splitlines()[-1] == "Stopped."
    assert "Traceback" not in errors
    assert TOKEN not in out + errors  # after the one line that says where the page is


@pytest.mark.thorough
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_stopped_twice_by_one_who_cannot_wait(place: Path, tmp_path: Path, pause: float) -> None:
    with started(*options_of(place, tmp_path)) as (process, address), begun(address, b"{}" * 20):  # no rest
        assert get(f"{address.rstrip('/')}{API}/health")[0] == 200
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        _, errors = process.communicate(timeout=8)  # less than the grace
    assert process.returncode == 0
    assert errors.splitlines()[-1] == "Stopped."
    assert "Traceback" not in errors


def test_work_that_does_not_end_does_not_keep_it_from_stopping(place: Path, tmp_path: Path) -> None:
    with started(*options_of(place, tmp_path), code=NEVER_DRAWS) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        picture = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
        line = socket.create_connection(("127.0.0.1", port), timeout=20)
        line.sendall(f"POST {API}/sketches HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/svg+xml\r\n"
                     f"Content-Length: {len(picture)}\r\n\r\n".encode() + picture)
        server = psutil.Process(process.pid)
        while not (drawing := server.children()):
            time.sleep(0.01)
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with line:
            answer = b"".join(iter(lambda: line.recv(65536), b""))
        errors = process.communicate(timeout=20)[1]
        assert 1 < time.monotonic() - stopped < 6
        psutil.wait_procs(drawing, timeout=5)
        assert not any(child.is_running() for child in drawing)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer
    assert process.returncode == 0
    assert errors.splitlines()[-1] == "Stopped."
    assert "Traceback" not in errors


def test_the_documents_tell_the_grace() -> None:
    told = (Path(__file__).parents[3] / "docs" / "api_http.md").read_text(encoding="utf-8")
    assert f"for at most {GRACE_S} s" in told


def test_behind_a_proxy(place: Path, tmp_path: Path) -> None:
    public = "https://photos.example.org"
    with started(*options_of(place, tmp_path), SKETCHFUSION_PUBLIC_URL=f"{public}:443/") as (process, printed):
        made = re.fullmatch(rf"{public}/\?token=([0-9a-f]{{32}})", printed)  # on a loopback address, too
        assert made is not None
        assert process.stderr is not None
        told = next(line for line in process.stderr if "forward" in line)
        local = re.search(r" (http://127\.0\.0\.1:\d+)/$", told)
        assert local is not None
        for host in ("photos.example.org", "127.0.0.1"):
            assert get(f"{local[1]}{API}/health", Host=host)[0] == 401
            assert get(f"{local[1]}{API}/health", Host=host, Authorization=f"Bearer {made[1]}")[0] == 200
        assert get(f"{local[1]}{API}/health", Host="example.org")[0] == 400


@pytest.fixture
def refused(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``refused(*options)``: exit code and messages of a command that cannot start."""
    def run(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["serve", "--galleries", str(tmp_path / "home"), *options])
        text = result.output + capfd.readouterr().err
        assert "Traceback" not in text
        assert "Loading" not in text
        return result.exit_code, " ".join(text.split())
    return run


def test_a_port_that_is_taken(refused: Callable[..., tuple[int, str]], place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, text = refused("--port", port, "--photos", str(place / "photos"))
    assert code == 2
    assert f"cannot listen at 127.0.0.1, port {port}: " in text
    assert "choose another --port" in text


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--gallery", "{top}/none"], 5, "no gallery in"),
    (["--gallery", "{top}/photos"], 5, "no gallery in"),
    (["--photos", "{top}/none"], 2, "there is no folder"),
    (["--host", "192.0.2.1", "--photos", "{top}"], 2, "cannot listen at 192.0.2.1"),
    (["--host", "." * 80, "--photos", "{top}"], 2, "cannot"),
    (["--host", "0.0.0.0", "--token", "short"], 2, "at least 16 letters and digits"),
    (["--public-url", "https://photos.example.org", "--token", "short"], 2, "at least 16 letters and digits"),
    (["--public-url", "photos.example.org"], 2, "such as https://photos.example.org; no path"),
    (["--public-url", "https://example.org/photos"], 2, "Got 'https://example.org/photos'"),
    (["--port", "70000"], 2, "65535")])
def test_what_keeps_it_from_starting(refused: Callable[..., tuple[int, str]], place: Path, options: list[str],
                                     code: int, message: str) -> None:
    told, text = refused(*(each.format(top=place) for each in options))
    assert told == code, text
    assert message in text


def test_a_gallery_of_another_fingerprint(own_place: Path, open_client: Callable[..., TestClient],
                                          strokes: dict[str, Any], gallery_of: Callable[[Path], str]) -> None:
    record = own_place / "gallery" / RECORD_NAME
    told = json.loads(record.read_text())
    record.write_text(json.dumps({**told, "fingerprint": "0" * len(told["fingerprint"])}))
    client = open_client(own_place)
    loaded = client.app.state.service.models.loaded  # type: ignore[attr-defined]
    assert made_by_others([own_place / "gallery"], loaded) == [own_place / "gallery"]
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    answer = client.get(f"{gallery_of(own_place)}/search?sketch={sketch}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "other_model")
    assert "--rebuild" in answer.json()["error"]["message"]
    record.write_text(json.dumps(told))
    assert made_by_others([own_place / "gallery"], loaded) == []
    assert client.get(f"{gallery_of(own_place)}/search?sketch={sketch}").status_code == 200


@pytest.mark.parametrize(("host", "address"), [
    ("127.0.0.1", "http://127.0.0.1:80/"), ("0.0.0.0", "http://localhost:80/"), ("::", "http://localhost:80/"),
    ("", "http://localhost:80/"), ("::1", "http://[::1]:80/"), ("box", "http://box:80/")])
def test_the_address_to_open(host: str, address: str) -> None:
    assert address_of(host, 80) == address
