"""Behind a proxy: the address that people call the page by, its names, its origin, its cookie."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.apps.web import security
from sketchfusion.apps.web.settings import API, Settings, origin_of
from sketchfusion.errors import ConfigError

TOKEN = "abcdefgh12345678"
PUBLIC = "https://photos.example.org"
OpenClient = Callable[..., TestClient]
HANDED_ON = ["photos.example.org", "photos.example.org:443"]  # by proxies that keep Host
CHANGED = ["127.0.0.1:7861", "localhost:7861"]  # by those that do not


@pytest.mark.parametrize(("url", "kept"), [
    (PUBLIC, PUBLIC), ("HTTPS://Photos.Example.ORG/", PUBLIC), ("https://photos.example.org:443", PUBLIC),
    ("http://box:80/", "http://box"), ("http://box:443", "http://box:443"), ("https://box:08443/", "https://box:8443"),
    ("https://192.168.1.5", "https://192.168.1.5"), ("https://[2001:DB8:0::1]:443/", "https://[2001:db8::1]")])
def test_a_public_url_is_kept_as_browsers_write_it(url: str, kept: str) -> None:
    assert Settings(token=TOKEN, public_url=url).public_url == kept


@pytest.mark.parametrize("url", [
    "", "photos.example.org", "//photos.example.org", "ftp://photos.example.org", "https://", "https:///", "https://:443",
    f"{PUBLIC}/photos", f"{PUBLIC}//", f"{PUBLIC}?", f"{PUBLIC}/?a=b",
    f"{PUBLIC}#", "https://me@photos.example.org", "https://me:word@photos.example.org", f"{PUBLIC}:", f"{PUBLIC}:0",
    f"{PUBLIC}:65536", f"{PUBLIC}:x", f"{PUBLIC}\n", f" {PUBLIC}", "https://photos example.org", "https://a\\b",
    "https://fotos.örg", "https://[::1", "https://[::g]", "https://[1.2.3.4]", "https://::1", f"{PUBLIC},{PUBLIC}"])
def test_what_is_no_public_url(url: str) -> None:
    with pytest.raises(ConfigError, match=r"a host, and a port .* such as https://photos\.example\.org; no path"):
        Settings(token=TOKEN, public_url=url)


@given(st.from_regex(r"https?://[a-zA-Z0-9.\[\]:@/?#_-]{0,12}", fullmatch=True))
def test_every_public_url_is_an_origin(url: str) -> None:
    try:
        kept = origin_of(url)
    except ConfigError:
        return
    told, given_parts = urlsplit(kept), urlsplit(url)
    assert origin_of(kept) == kept == f"{told.scheme}://{told.netloc}"
    assert security.host_name(told.netloc) == security.host_name(given_parts.netloc)
    assert (given_parts.username, given_parts.path.strip("/"), given_parts.query) == (None, "", "")


@pytest.fixture
def proxied(open_client: OpenClient, place: Path, tmp_path: Path) -> TestClient:
    """A client with the token of a server that is reached through a proxy."""
    client = open_client(place, home=tmp_path, token=TOKEN, public_url=PUBLIC)
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    return client


@pytest.mark.parametrize(("host", "status"), [
    ("photos.example.org", 200), ("PHOTOS.example.org:443", 200), ("photos.example.org:8443", 200), ("127.0.0.1", 200),
    ("localhost:7861", 200), ("photos.example.org.evil.example", 400), ("evil.photos.example.org", 400),
    ("photos.example.or", 400), ("evil.example", 400), ("", 400)])
def test_the_public_name_is_one_of_its_own(proxied: TestClient, host: str, status: int) -> None:
    answer = proxied.get(f"{API}/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == "wrong_host"
        assert "127.0.0.1 or ::1 or localhost or photos.example.org, or start it with" in answer.text
        assert "--public-url" in answer.text


@pytest.mark.parametrize("host", [*HANDED_ON, *CHANGED])
def test_the_public_page_may_change_things(proxied: TestClient, host: str, strokes: dict[str, Any]) -> None:
    for headers in ({"Origin": PUBLIC}, {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}, {}):
        answer = proxied.post(f"{API}/sketches", json=strokes, headers={"Host": host, **headers})
        assert answer.status_code == 201, headers
    answer = proxied.post(f"{API}/sketches", json=strokes,
                          headers={"Host": host, "Origin": PUBLIC, "Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", [*HANDED_ON, *CHANGED])
@pytest.mark.parametrize("origin", [
    f"{PUBLIC}.evil.example", f"{PUBLIC}:8443", f"{PUBLIC}:443", f"{PUBLIC}/", f"{PUBLIC}@evil.example",
    "http://photos.example.org", "http://photos.example.org:443", "https://evil.photos.example.org", "https://127.0.0.1",
    "https://127.0.0.1:7861", "https://evil.example", "photos.example.org", "null", "", f"{PUBLIC} {PUBLIC}"])
def test_pages_that_are_not_quite_the_public_one(proxied: TestClient, host: str, origin: str,
                                                 strokes: dict[str, Any]) -> None:
    answer = proxied.post(f"{API}/sketches", json=strokes, headers={"Host": host, "Origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_origin")
    assert "--public-url" in answer.text


def test_the_local_page_still_works_beside_the_proxy(proxied: TestClient, strokes: dict[str, Any]) -> None:
    headers = {"Host": "127.0.0.1:7861", "Origin": "http://127.0.0.1:7861"}
    assert proxied.post(f"{API}/sketches", json=strokes, headers=headers).status_code == 201


@pytest.mark.parametrize(("url", "host", "secure"), [
    *((PUBLIC, host, True) for host in HANDED_ON), *((PUBLIC, host, False) for host in CHANGED),
    (f"{PUBLIC}:8443", "photos.example.org", True), (f"{PUBLIC}:8443", "photos.example.org:8443", True),
    ("https://[2001:db8::1]", "[2001:db8::1]", True), ("https://localhost:8443", "localhost:7861", False),
    ("http://photos.example.org", "photos.example.org", False)])
def test_the_cookie_is_secure_where_tls_is_certain(open_client: OpenClient, place: Path, tmp_path: Path, url: str,
                                                   host: str, secure: bool) -> None:
    client = open_client(place, home=tmp_path, token=TOKEN, public_url=url)  # uvicorn, which believes some, is not here
    welcome = client.get("/", params={"token": TOKEN}, headers={"Host": host, "X-Forwarded-Proto": "https"})
    assert welcome.status_code == 200
    assert ("; secure" in welcome.headers["set-cookie"].lower()) is secure


@contextmanager
def proxy(port: int, **told: str) -> Iterator[str]:
    """The address of a proxy before a server: hands on what it gets, with these headers changed."""
    class Forward(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            changed = {name.replace("_", "-"): value for name, value in told.items()}
            line.request(self.command, self.path, body, {**dict(self.headers), **changed})
            answer = line.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.read())
            line.close()

        do_GET = do_POST = forward

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Forward) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(20)


@pytest.mark.parametrize(("told", "secure"), [
    ({}, True), ({"Host": "127.0.0.1:7861"}, False), ({"Host": "localhost", "X_Forwarded_Proto": "https"}, True)])
def test_all_the_way_through_a_proxy(open_server: Callable[..., int], place: Path, tmp_path: Path,
                                     strokes: dict[str, Any], told: dict[str, str], secure: bool) -> None:
    """TLS ends at the proxy, so a browser's words come to it as they are here: Host and Origin are the public ones."""
    port = open_server(place, home=tmp_path, token=TOKEN, public_url=PUBLIC)
    called = {"Host": "photos.example.org"}
    with proxy(port, **told) as address, httpx.Client(base_url=address, headers=called) as browser:
        assert browser.get("/").status_code == 401
        cookie, *attributes = browser.get("/", params={"token": TOKEN}).headers["set-cookie"].split("; ")
        assert ("Secure" in attributes) is secure
        browser.headers["Cookie"] = cookie
        assert "<title>SketchFusion</title>" in browser.get("/").text
        own = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
        sketch = browser.post(f"{API}/sketches", json=strokes, headers=own)
        assert sketch.status_code == 201
        assert browser.get(f"{API}/sketches/{sketch.json()['id']}/points").status_code == 200
        for origin in (f"{PUBLIC}.evil.example", "http://photos.example.org", f"{PUBLIC}:8443"):
            assert browser.post(f"{API}/sketches", json=strokes, headers={"Origin": origin}).status_code == 403
