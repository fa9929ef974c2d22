"""Who may ask, what every answer says of itself, and which files can be had at all."""

from __future__ import annotations

import hmac
import logging
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sketchfusion.apps.web import security
from sketchfusion.apps.web.settings import API, Settings
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import path_id

TOKEN = "abcdefgh12345678"
BASE = "http://127.0.0.1"
PUBLIC = "https://photos.example.org"
OpenClient = Callable[..., TestClient]


@pytest.fixture
def guarded(open_client: OpenClient, place: Path, tmp_path: Path) -> TestClient:
    """A client without the token of a server that others can reach."""
    return open_client(place, home=tmp_path, host="0.0.0.0", token=TOKEN)


@pytest.mark.parametrize("shown", [
    {}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}, {"Authorization": b"Bearer \xff\xfe"},
    {"Authorization": f"Bearer {TOKEN.upper()}"}, {"Cookie": f"sketchfusion={TOKEN}"},
    {"Cookie": f"{security.cookie_name(TOKEN)}=wrong"}, {"Cookie": f"{security.cookie_name('other')}={TOKEN}"}])
def test_nothing_without_the_token(guarded: TestClient, gallery: str, photo: str, shown: dict[str, Any]) -> None:
    for path in ("/", "/static/index.html", f"{API}/health", f"{API}/openapi.json", f"{API}/metrics", gallery,
                 f"{photo}/original", "/nothing", f"/?token={TOKEN}x", f"{API}/health?token={TOKEN}"):
        answer = guarded.get(path, headers=shown)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_token"), path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


def test_the_token_opens_the_page(guarded: TestClient) -> None:
    assert guarded.get(f"{API}/health", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    welcome = guarded.get("/", params={"token": TOKEN})
    assert welcome.status_code == 200
    assert welcome.headers["referrer-policy"] == "no-referrer"
    cookie = welcome.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get(f"{API}/health").status_code == 200  # by the cookie


def test_a_token_on_a_loopback_address_keeps_other_accounts_out(open_client: OpenClient, place: Path,
                                                                tmp_path: Path) -> None:
    client = open_client(place, home=tmp_path, host="127.0.0.1", token=TOKEN)
    for path in ("/", f"{API}/health", f"{API}/galleries"):
        assert client.get(path).json()["error"]["code"] == "no_token"
    assert client.get(f"{API}/health", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_tokens_are_compared_in_constant_time(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    truly = hmac.compare_digest

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return truly(first, second)

    monkeypatch.setattr(security.hmac, "compare_digest", compare)
    guarded.get(f"{API}/health", headers={"Authorization": "Bearer wrong"})
    assert (b"wrong", TOKEN.encode()) in compared


def test_others_need_a_good_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "", "example.com"):
        with pytest.raises(ConfigError, match="token is needed"):
            Settings(host=host)
    for token in ("", "short", "with spaces in it and long", "ä" * 20, "a" * 15):
        with pytest.raises(ConfigError, match="at least 16 letters and digits"):
            Settings(host="0.0.0.0", token=token)
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert Settings(host=host).token is None
        with pytest.raises(ConfigError, match=f"at {PUBLIC} others .* token is needed"):
            Settings(host=host, public_url=PUBLIC)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example",
                                  "127.0.0.1:80:80", "[::2]", "0.0.0.0", "", "127.0.0.1@evil.example", "2130706433",
                                  "localhost."])
def test_another_name_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", f"{API}/health", "/static/index.html"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7861", "127.0.0.1:1", "[::1]:7861", "[0:0::1]"])
def test_its_own_names_are_not(client: TestClient, host: str) -> None:
    assert client.get(f"{API}/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1"},
    {"Origin": "http://127.0.0.1:81"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_another_sites_page_changes_nothing(client: TestClient, gallery: str, headers: dict[str, str],
                                            strokes: dict[str, Any]) -> None:
    for method, path in (("POST", f"{API}/sketches"), ("POST", f"{gallery}/update"), ("DELETE", f"{API}/jobs/none")):
        answer = client.request(method, path, json=strokes if path.endswith("sketches") else None, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_origin")
    own = {"Origin": BASE, "Sec-Fetch-Site": "same-origin"}
    assert client.post(f"{API}/sketches", json=strokes, headers=own).status_code == 201


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 200), ("GET", "/static/index.html", 200), ("GET", "/static/nothing.js", 404), ("GET", "/nothing", 404),
    ("GET", f"{API}/health", 200), ("GET", f"{API}/docs", 200), ("GET", f"{API}/openapi.json", 200),
    ("POST", f"{API}/health", 405), ("HEAD", f"{API}/health", 200), ("OPTIONS", f"{API}/health", 405),
    ("HEAD", "/", 200), ("HEAD", f"{API}/sketches", 405), ("HEAD", "/static/nothing.js", 404),
    ("TRACE", "/", 405), ("BREW", "/", 405), ("POST", f"{API}/sketches", 415), ("POST", f"{API}/galleries", 422)])
def test_every_answer_has_the_headers(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    for name, value in security.HEADERS.items():
        if name != "Cache-Control":
            assert answer.headers[name] == value
    assert answer.headers["cache-control"] in ("no-store", "no-cache", "private, no-cache")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_what_is_unforeseen_is_told_to_the_terminal_only(client: TestClient, monkeypatch: pytest.MonkeyPatch,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr("sketchfusion.apps.web.routes.galleries.list_folder", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{API}/folders", params={"path": "x", "token": TOKEN})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "unforeseen")
    assert "secret" not in answer.text
    assert "a secret of the server" in caplog.text
    assert TOKEN not in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def photo_at(place: Path, name: str) -> str:
    """Address of a photo of the place's gallery."""
    top = f"{API}/galleries/{path_id(str(place / 'gallery'))}"
    return f"{top}/photos/{path_id(str(place / 'photos' / name))}"


def copied_state(source: Path, target: Path) -> None:
    """Give a file the time of another, and its size."""
    target.write_bytes(target.read_bytes()[:source.stat().st_size].ljust(source.stat().st_size, b"\0"))
    os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))


@pytest.mark.parametrize("change", ["deleted", "changed", "a folder", "a pipe", "unreadable"])
def test_a_file_that_is_not_what_was_indexed(open_client: OpenClient, own_place: Path, change: str,
                                             strokes: dict[str, Any]) -> None:
    client, file, photo = open_client(own_place), own_place / "photos" / "photo0.png", photo_at(own_place, "photo0.png")
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    assert client.get(f"{photo}/original").content == file.read_bytes()
    file.rename(own_place / "kept.png")
    if change == "changed":
        shutil.copy(own_place / "photos" / "photo1.png", file)
    elif change == "a folder":
        file.mkdir()
    elif change == "a pipe":
        os.mkfifo(file)
    elif change == "unreadable":
        file.symlink_to(file)
    for path in ("/original", "/picture", f"/mask?sketch={sketch}"):
        answer = client.get(photo + path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "photo_gone"), path
        assert "photo0.png" in answer.json()["error"]["message"]
        assert str(own_place) not in answer.text
    for path in ("", "/thumbnail", f"/region?sketch={sketch}", f"/points?sketch={sketch}",
                 f"/mask?sketch={sketch}&refined=false"):  # all of it is in the gallery
        assert client.get(photo + path).status_code == 200, path
    gallery = photo.partition("/photos/")[0]
    assert client.get(f"{gallery}/search?sketch={sketch}").json()["total"] == 7
    assert client.get(f"{gallery}/similar?photo={photo.rpartition('/')[2]}").status_code == 200


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_link_laid_later_leads_nowhere(open_client: OpenClient, own_place: Path, linked: str) -> None:
    """The file behind the link has the size and the time of the one that was indexed, but is not below --photos."""
    client, photo = open_client(own_place), photo_at(own_place, "album/photo5.png")
    file, secret = own_place / "photos" / "album" / "photo5.png", own_place / "secret" / "photo5.png"
    secret.parent.mkdir()
    shutil.copy(own_place / "photos" / "photo0.png", secret)
    copied_state(file, secret)
    if linked == "file":
        file.rename(own_place / "kept.png")
        file.symlink_to(secret)
    else:
        file.parent.rename(own_place / "kept")
        (own_place / "photos" / "album").symlink_to(secret.parent)
    for path in ("/original", "/picture"):
        assert client.get(photo + path).json()["error"]["code"] == "photo_gone"


def test_what_the_operator_indexed_is_served_wherever_it_lies(open_client: OpenClient, own_place: Path) -> None:
    (own_place / "narrow").mkdir()
    client, photo = open_client(own_place, photos=own_place / "narrow"), photo_at(own_place, "photo0.png")
    file = own_place / "photos" / "photo0.png"
    original = client.get(f"{photo}/original")
    assert original.content == file.read_bytes()
    assert original.headers["content-type"] == "image/png"
    assert original.headers["content-disposition"] == "inline; filename*=utf-8''photo0.png"
    assert client.get(f"{photo}/picture").status_code == 200
    state = file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert client.get(f"{photo}/original").json()["error"]["code"] == "photo_gone"


def test_a_damaged_photo_names_no_path(open_client: OpenClient, own_place: Path) -> None:
    client, file = open_client(own_place), own_place / "photos" / "photo0.png"
    state = file.stat()
    file.write_bytes(b"x" * state.st_size)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    answer = client.get(f"{photo_at(own_place, 'photo0.png')}/picture")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unreadable_picture")
    assert str(own_place) not in answer.text


def test_a_photo_without_a_map_is_read_under_the_same_rule(open_client: OpenClient, own_place: Path,
                                                           tiny_model: SketchFusion, strokes: dict[str, Any]) -> None:
    shutil.rmtree(own_place / "gallery")
    Gallery.create(own_place / "gallery", tiny_model, dense_rank=0).update([own_place / "photos"], tiny_model)
    client, photo = open_client(own_place), photo_at(own_place, "photo0.png")
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    assert client.get(f"{photo}/region?sketch={sketch}").json()["from"] == "photo"
    other = photo_at(own_place, "photo1.png")
    (own_place / "photos" / "photo1.png").unlink()
    assert client.get(f"{other}/region?sketch={sketch}").json()["error"]["code"] == "photo_gone"


def test_folders_are_listed_as_they_are_indexed(open_client: OpenClient, own_place: Path) -> None:
    photos = own_place / "photos"
    (own_place / "secret").mkdir()
    (own_place / "secret.png").write_bytes(b"x")
    (photos / ".hidden" / "deep").mkdir(parents=True)
    (photos / "loop").symlink_to(photos / "loop")
    (photos / "loop.png").symlink_to(photos / "loop.png")
    (photos / "outside").symlink_to(own_place / "secret")
    (photos / "outside.png").symlink_to(own_place / "secret.png")
    (photos / "inside.png").symlink_to(photos / "photo0.png")
    (photos / "again").symlink_to(photos / "album")
    (photos / "to-hidden").symlink_to(photos / ".hidden")
    client = open_client(own_place)
    listed = client.get(f"{API}/folders").json()
    assert [each["name"] for each in listed["folders"]] == ["again", "album"]
    assert listed["pictures"] == 6  # five, and the link that stays inside
    for path in (".hidden", ".hidden/deep", "to-hidden", "outside", "loop", "photo0.png", "album/../..",
                 "../own/secret"):
        for answer in (client.get(f"{API}/folders", params={"path": path}),
                       client.post(f"{API}/galleries", json={"name": "x", "folder": path})):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_folder"), path


@pytest.mark.parametrize("target", ["/../../../../etc/passwd", "/static/../index.html", "/static/..%2f..%2fapp.py",
                                    "//etc/passwd", "/static//etc/passwd", "/api/v1/../v1/health/../../../etc/passwd"])
def test_raw_paths_lead_nowhere(open_server: Callable[..., int], place: Path, tmp_path: Path, target: str) -> None:
    port = open_server(place, home=tmp_path)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"root:" not in answer
    assert b"import" not in answer
    assert b"content-security-policy" in answer


def test_the_application_alone_is_not_enough(make_app: Callable[..., FastAPI], place: Path, tmp_path: Path) -> None:
    """Every address of the application lies behind the guard, mounted files too."""
    app = make_app(place, home=tmp_path, host="0.0.0.0", token=TOKEN)
    with TestClient(app, base_url=BASE) as client:
        for path in app.openapi()["paths"]:
            assert client.get(path.replace("{", "").replace("}", "")).status_code == 401
