"""The client of the API: what it asks, and what it says when it gets no answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image

from sketchfusion.apps.demo.client import Client, ServerError
from sketchfusion.sketches import on_paper


class Recorder(BaseHTTPRequestHandler):
    """Answers everything in one way and remembers what it was asked."""

    status, body = 200, b"{}"
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[tuple[str, type[Recorder]]]:
    """The address of a server that is none of ours, and its handler."""
    handler = type("Handler", (Recorder,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()


def test_a_sketch_has_the_same_id_each_time_it_is_sent(client: Client, sketch: Image.Image) -> None:
    paper = on_paper(sketch, "the sketch")
    assert client.send(paper) == client.send(paper)


def test_galleries_are_given_by_name_and_id(client: Client) -> None:
    ((name, gallery),) = client.galleries()
    assert name == "my.gallery"
    assert gallery


def test_points_are_pixels_of_their_own_picture(client: Client, sketch: Image.Image) -> None:
    ((_, gallery),) = client.galleries()
    sent = client.send(on_paper(sketch, "the sketch"))
    hit = client.search(gallery, sent, 1)[0]
    pairs, (width, height) = client.points(gallery, hit.id, sent, 6)
    assert len(pairs) == 6
    for pair in pairs:
        assert 0 <= pair.query[0] <= sketch.width
        assert 0 <= pair.query[1] <= sketch.height
        assert 0 <= pair.found[0] <= width
        assert 0 <= pair.found[1] <= height
        assert -1 <= pair.score <= 1.001
    mask = client.mask(gallery, hit.id, sent)
    assert (mask.mode, mask.size) == ("L", (width, height))


def test_what_the_server_says_of_an_error_is_the_message(client: Client) -> None:
    ((_, gallery),) = client.galleries()
    with pytest.raises(ServerError, match="no sketch 'nothing' here"):
        client.search(gallery, "nothing", 3)


def test_no_server_is_an_error_that_says_how_to_start_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServerError, match=rf"no answer from http://127.0.0.1:{port}: .*sketchfusion serve --gallery"):
        Client(f"http://127.0.0.1:{port}/").galleries()


@pytest.mark.parametrize("address", ["127.0.0.1:7861", "nowhere", "http://[::1"])
def test_what_is_no_address_is_an_error(address: str) -> None:
    with pytest.raises(ServerError, match="no answer from"):
        Client(address).galleries()


def test_another_server_is_told_from_ours(recorder: tuple[str, type[Recorder]]) -> None:
    address, handler = recorder
    handler.status, handler.body = 404, b"<html>"
    with pytest.raises(ServerError, match="answered 404 without saying why; is it a server of sketchfusion"):
        Client(address).galleries()
    handler.status, handler.body = 200, b"<html>"
    with pytest.raises(ServerError, match="answered something else than expected"):
        Client(address).galleries()


def test_the_token_is_shown_and_ids_are_escaped(recorder: tuple[str, type[Recorder]]) -> None:
    address, handler = recorder
    handler.body = json.dumps({"guesses": []}).encode()
    assert Client(address, "abc").classes("a/b?c", 3) == []
    assert handler.asked == [("/api/v1/sketches/a%2Fb%3Fc/classes?top=3", "Bearer abc")]


def test_proxies_of_the_environment_are_passed_by(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Client(client.address).galleries() == client.galleries()
