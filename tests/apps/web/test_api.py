"""The API of the page: every endpoint once, and what it refuses."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from sketchfusion.apps.web.coco import run_lengths
from sketchfusion.apps.web.settings import API, Limits
from sketchfusion.apps.web.sketches import read_body
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import RECORD_NAME
from sketchfusion.index.store import path_id


def found(client: TestClient, gallery: str, sketch: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"{gallery}/search", params={"sketch": sketch, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_page_and_the_facts(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    assert client.get(f"{API}/health").json()["model"] == "tiny"
    assert "sketchfusion_requests_total" in client.get(f"{API}/metrics").text
    assert "/search" in client.get(f"{API}/docs").text


def test_a_sketch_comes_back_as_it_is_understood(client: TestClient) -> None:
    board = Image.new("RGB", (60, 40), "black")
    board.paste("white", (20, 10, 30, 30))
    file = io.BytesIO()
    board.save(file, "PNG")
    sent = client.post(f"{API}/sketches", content=file.getvalue(), headers={"content-type": "image/png"}).json()
    answer = client.get(f"{API}/sketches/{sent['id']}/picture")
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.size, picture.mode) == ((60, 40), "RGB")
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((25, 20)) == (0, 0, 0)
    assert client.get(f"{API}/sketches/{'0' * 24}/picture").status_code == 404


def test_pages_of_results_hold_each_photo_once(client: TestClient, gallery: str, sketch: str) -> None:
    whole = found(client, gallery, sketch)
    parts = [found(client, gallery, sketch, top=3, offset=offset) for offset in (0, 3, 6)]
    assert [hit for part in parts for hit in part["hits"]] == whole["hits"]
    assert len(whole["hits"]) == whole["total"] == 7
    assert [part["next_offset"] for part in parts] == [3, 6, None]
    folder = next(each for each in client.get(f"{gallery}/folders").json()["folders"] if each["name"].endswith("album"))
    assert found(client, gallery, sketch, folder=folder["id"])["total"] == 2
    assert not found(client, gallery, sketch, min_score=1)["hits"]


def test_the_same_sketch_has_the_same_id(client: TestClient, sketch: str, strokes: dict[str, Any]) -> None:
    assert client.post(f"{API}/sketches", json=strokes).json()["id"] == sketch
    assert len(client.get(f"{API}/sketches/{sketch}/points", params={"count": 5}).json()["points"]) == 5


def test_a_photo_and_why_it_was_found(client: TestClient, gallery: str, sketch: str) -> None:
    hit = found(client, gallery, sketch)["hits"][0]
    photo = f"{gallery}/photos/{hit['id']}"
    assert client.get(photo).json()["name"] == hit["name"]
    thumbnail = client.get(f"{photo}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert client.get(f"{photo}/thumbnail", headers={"If-None-Match": thumbnail.headers["etag"]}).status_code == 304
    assert max(Image.open(io.BytesIO(client.get(f"{photo}/picture?side=32").content)).size) == 32
    assert Image.open(io.BytesIO(client.get(f"{photo}/original").content)).size == (hit["width"], hit["height"])
    assert client.get(f"{photo}/original").headers["accept-ranges"] == "none"
    region = client.get(f"{photo}/region", params={"sketch": sketch}).json()
    assert region["from"] == "stored"
    drawn = Image.open(io.BytesIO(base64.b64decode(region["map"]["png"])))
    assert drawn.size == (region["map"]["width"], region["map"]["height"])
    for refined in (True, False):
        query = {"sketch": sketch, "refined": refined}
        mask = np.array(Image.open(io.BytesIO(client.get(f"{photo}/mask", params=query).content))) > 0
        coco = client.get(f"{photo}/mask", params={**query, "format": "coco"}).json()
        assert coco["annotations"][0]["segmentation"] == {"size": list(mask.shape), "counts": run_lengths(mask)}
    asked = {"sketch": sketch, "points": [[60, 20]]}
    assert client.post(f"{photo}/points", json=asked).json()["points"][0]["query"] == [60, 20]
    table = client.get(f"{photo}/points", params={"sketch": sketch, "count": 4, "format": "csv"}).text
    assert len(table.splitlines()) == 5
    outside = client.post(f"{photo}/points", json={**asked, "points": [[500, 0]]})
    assert "outside the sketch" in outside.json()["error"]["message"]
    assert hit["id"] not in [each["id"] for each in client.get(f"{gallery}/similar?photo={hit['id']}").json()["hits"]]


@pytest.mark.parametrize("path", ["thumbnail", "picture?side=40", "original"])
def test_what_a_browser_has_already_is_not_sent_again(client: TestClient, photo: str, path: str) -> None:
    address = f"{photo}/{path}"
    tag = client.get(address).headers["etag"]
    assert client.get(f"{photo}/{path}0" if "=" in path else photo).headers.get("etag") != tag
    for told, status in ((tag, 304), (f"W/{tag}", 304), ("*", 304), (f'"a,b" , W/{tag}', 304), (f'"x, {tag}', 304),
                         (tag[1:-1], 200), (f'"{tag[1:-1]}x"', 200), ('"other"', 200), (f'"*", {tag[:-1]}', 200)):
        answer = client.get(address, headers={"If-None-Match": told})
        assert (answer.status_code, answer.headers["etag"], bool(answer.content)) == (status, tag, status == 200), told
        assert answer.headers["cache-control"] == "private, no-cache"
    several = client.get(address, headers=[("If-None-Match", '"other"'), ("If-None-Match", tag)])
    assert several.status_code == 304


def test_the_document_tells_the_token_the_headers_and_the_pages_of_errors(
        client: TestClient, open_client: Callable[..., TestClient], place: Path, tmp_path: Path) -> None:
    told = client.get(f"{API}/openapi.json").json()
    for path, operations in told["paths"].items():
        for operation in operations.values():
            for status in ("4XX", "500", "503", "504"):
                assert set(operation["responses"][status]["content"]) == {"application/json", "text/html"}, path
    photo = f"{API}/galleries/{{gid}}/photos/{{pid}}"
    assert {path.rpartition("/")[2]: set(told["paths"][f"{photo}/{path}"]["get"]["responses"]["200"]["headers"])
            for path in ("thumbnail", "picture", "original", "mask", "points")} == {
        "thumbnail": {"ETag"}, "picture": {"ETag"}, "original": {"ETag", "Content-Disposition", "Accept-Ranges"},
        "mask": {"Content-Disposition"}, "points": {"Content-Disposition"}}
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert told["security"] == [{}, {"token": []}]
    token = "abcdefgh12345678"
    guarded = open_client(place, home=tmp_path, token=token)
    told = guarded.get(f"{API}/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()
    assert told["security"] == [{"token": []}]


@pytest.mark.parametrize(("method", "path", "options", "status", "code"), [
    ("GET", "/galleries/none/search?sketch=x", {}, 404, "unknown_gallery"),
    ("GET", "/sketches/none/points", {}, 404, "unknown_sketch"),
    ("GET", "/jobs/none", {}, 404, "unknown_job"),
    ("GET", "/nothing", {}, 404, "not_found"),
    ("GET", "/folders?path=..", {}, 404, "unknown_folder"),
    ("GET", "/folders?path=link", {}, 404, "unknown_folder"),
    ("GET", "/folders?path=/etc", {}, 404, "unknown_folder"),
    ("GET", "/folders?path=%00", {}, 404, "unknown_folder"),
    ("POST", "/galleries", {"json": {"name": "../x", "folder": ""}}, 422, "bad_name"),
    ("POST", "/sketches", {"content": b"x", "headers": {"Content-Type": "text/html"}}, 415, "unknown_type"),
    ("POST", "/sketches", {"content": b"x", "headers": {"Content-Type": "image/png"}}, 422, "unreadable_picture"),
    ("POST", "/sketches", {"json": {"width": 9, "height": 9, "strokes": []}}, 422, "unreadable_picture"),
    ("POST", "/sketches", {"json": {"width": 9}}, 422, "bad_strokes"),
    ("POST", "/sketches", {"content": bytes(21 * 2**20), "headers": {"Content-Type": "image/png"}}, 413, "too_large"),
    ("POST", "/sketches", {"json": {}, "headers": {"Origin": "http://evil.example"}}, 403, "wrong_origin"),
    ("GET", "/health", {"headers": {"Host": "evil.example"}}, 400, "wrong_host"),
    ("DELETE", "/health", {}, 405, "method_not_allowed"),
])
def test_what_is_refused(client: TestClient, method: str, path: str, options: dict[str, Any], status: int,
                         code: str) -> None:
    answer = client.request(method, API + path, **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-content-type-options"] == "nosniff"


BROWSERS = [  # the last one asks a plain http:// address, where browsers do not say what they ask for
    {"Sec-Fetch-Dest": "document", "Accept": "*/*"}, {"Sec-Fetch-Dest": "document", "Accept": "application/json"},
    {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}]
PROGRAMS = [
    {}, {"Accept": "*/*"}, {"Accept": ""}, {"Accept": "application/json"}, {"Accept": "application/json, text/html"},
    {"Accept": "text/html;q=0.4, application/*;level=1;q=0.5"}, {"Accept": "text/html;q=0"}, {"Accept": "image/*"},
    {"Sec-Fetch-Dest": "empty", "Accept": "text/html"}, {"Sec-Fetch-Dest": "image"}, {"Accept": "text/htmlx, q=;q=1.1"}]


@pytest.mark.parametrize(("path", "status"), [
    ("/nothing", 404), ("/static/nothing.js", 404), (f"{API}/jobs/none", 404), (f"{API}/folders?path=none", 404),
    (f"{API}/sketches", 405), (f"{API}/sketches/none/points?count=many", 422)])
def test_browsers_show_a_page_where_programs_get_json(client: TestClient, path: str, status: int) -> None:
    answers = [client.get(path, headers=headers) for headers in PROGRAMS]
    message = answers[0].json()["error"]["message"]
    assert all(answer.json()["error"]["message"] == message for answer in answers)
    pages = [client.get(path, headers=headers) for headers in BROWSERS]
    for page in pages:
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.text.startswith('<!doctype html><html lang="en">')
        assert "<title>SketchFusion</title>" in page.text
        assert f"<p>{escape(message)}</p>" in page.text
        assert '<a href="/">Go to the page</a>' in page.text
    for answer in answers + pages:
        assert answer.status_code == status
        assert answer.headers["vary"] == "Sec-Fetch-Dest, Accept"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_page_of_an_error_wants_no_more_than_its_own_words(open_client: Callable[..., TestClient],
                                                              place: Path, tmp_path: Path) -> None:
    """Who opens the page without the token, or by another name, reads what to do; headers of the error are kept."""
    client = open_client(place, home=tmp_path, token="abcdefgh12345678")
    page = client.get("/", headers=BROWSERS[2])
    assert (page.status_code, page.headers["www-authenticate"]) == (401, "Bearer")
    assert "<p>this server wants a token. Open the address that `sketchfusion serve` printed" in page.text
    assert "style" not in page.text
    assert "script" not in page.text
    page = client.get("/", headers={**BROWSERS[0], "Host": "<b>evil.example</b>"})
    assert page.status_code == 400
    assert "&#x27;&lt;b&gt;evil.example&lt;/b&gt;&#x27;" in page.text
    assert "<b>" not in page.text


def test_an_original_that_is_gone_is_told_on_a_page(open_client: Callable[..., TestClient], own_place: Path,
                                                    tiny_model: SketchFusion,
                                                    gallery_of: Callable[[Path], str]) -> None:
    hostile = own_place / "photos" / "<img src=x onerror='alert(1)'>&lt;\".png"
    (own_place / "photos" / "photo0.png").rename(hostile)
    Gallery.open(own_place / "gallery").update([own_place / "photos"], tiny_model)
    client = open_client(own_place)
    address = f"{gallery_of(own_place)}/photos/{path_id(str(hostile))}/original"
    assert client.get(address, headers=BROWSERS[0]).headers["content-type"] == "image/png"
    hostile.unlink()
    told, page = client.get(address), client.get(address, headers=BROWSERS[0])
    assert (told.status_code, told.json()["error"]["code"]) == (404, "photo_gone")
    assert page.status_code == 404
    assert hostile.name in told.json()["error"]["message"]
    assert f"<p>{escape(told.json()['error']['message'])}</p>" in page.text
    assert "<img" not in page.text


def test_a_gallery_is_made_and_updated(client: TestClient,
                                       finished: Callable[[TestClient, str], dict[str, Any]]) -> None:
    started = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"}).json()
    assert finished(client, started["job"])["summary"]["photos"] == 2
    again = client.post(f"{API}/galleries/{started['gallery']}/update").json()
    assert finished(client, again["job"])["summary"]["unchanged"] == 2
    assert "new" in [each["name"] for each in client.get(f"{API}/galleries").json()["galleries"]]
    taken = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"})
    assert taken.json()["error"]["code"] == "name_taken"


def test_a_gallery_that_cannot_be_used_is_named_not_placed(open_client: Callable[..., TestClient], own_place: Path,
                                                           gallery_of: Callable[[Path], str], strokes: dict[str, Any],
                                                           finished: Callable[[TestClient, str], dict[str, Any]]
                                                           ) -> None:
    client, address = open_client(own_place), gallery_of(own_place)
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    for rows in (own_place / "gallery").glob("store-1/*/data/*"):
        rows.write_bytes(b"damaged")
    unread = client.get(f"{address}/search", params={"sketch": sketch})
    failed = finished(client, client.post(f"{address}/update").json()["job"])
    (own_place / "gallery" / RECORD_NAME).write_text("{", encoding="utf-8")
    listed = client.get(f"{API}/galleries").json()["galleries"][0]
    refused = client.get(f"{address}/search", params={"sketch": sketch})
    messages = [unread.json()["error"]["message"], failed["message"], listed["problem"],
                refused.json()["error"]["message"]]
    assert [unread.status_code, failed["state"], refused.status_code] == [409, "failed", 409]
    for message in messages:
        assert "gallery" in message
        assert str(own_place).strip("/") not in message


def test_sketches_are_bounded(open_client: Callable[..., TestClient], place: Path, tmp_path: Path,
                              strokes: dict[str, Any]) -> None:
    client = open_client(place, home=tmp_path, limits=Limits(sketches=2))
    ids = [client.post(f"{API}/sketches", json={**strokes, "width": 120 + step}).json()["id"] for step in range(3)]
    assert [client.get(f"{API}/sketches/{each}/points").status_code for each in ids] == [404, 200, 200]


def test_classes_of_a_model_without_a_head(client: TestClient, sketch: str) -> None:
    answer = client.get(f"{API}/sketches/{sketch}/classes")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert "no recognition head" in answer.json()["error"]["message"]


def test_classes_of_a_model_with_a_head(open_client: Callable[..., TestClient], place: Path, tmp_path: Path,
                                        make_tiny: Callable[..., SketchFusion], strokes: dict[str, Any]) -> None:
    model = make_tiny()
    model.learn_anew(0, ["fish", "cup", "key"])
    model.eval()
    client = open_client(place, home=tmp_path, load=lambda *_: model)
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    guesses = client.get(f"{API}/sketches/{sketch}/classes").json()["guesses"]
    assert {each["name"] for each in guesses} == {"fish", "cup", "key"}
    assert sum(each["probability"] for each in guesses) == pytest.approx(1, abs=1e-5)
    assert guesses == sorted(guesses, key=lambda each: -each["probability"])
    assert client.get(f"{API}/sketches/{sketch}/classes?top=1").json()["guesses"] == guesses[:1]


class Naming:
    """A text tower to which only fish look like the sketch."""

    scale = 2.0

    def image_vectors(self, images_01: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(images_01), 2)

    def text_vectors(self, sentences: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "fish" in sentence else [0.0, 1.0] for sentence in sentences])


def test_classes_by_names_of_ones_own(client: TestClient, sketch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sketchfusion.backbones.zero_shot.load_naming_model", lambda *_, **__: Naming())
    address = f"{API}/sketches/{sketch}/classes"
    guesses = client.get(address, params={"labels": "cup, fish ,key"}).json()["guesses"]
    share = float(np.exp(2) / (np.exp(2) + 2))
    assert [each["name"] for each in guesses] == ["fish", "cup", "key"]
    assert guesses[0]["probability"] == pytest.approx(share, abs=1e-5)
    for labels, message in (("", "no empty one"), ("cup,,key", "no empty one"), ("cup,Cup", "must differ"),
                            (",".join(map(str, range(101))), "at most 100 names"), ("a" * 61, "at most 100 names")):
        answer = client.get(address, params={"labels": labels})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert message in answer.json()["error"]["message"]


def test_names_need_a_text_tower(client: TestClient, sketch: str) -> None:
    client.app.state.service.models.loaded.popitem()[1].naming = None  # type: ignore[attr-defined]
    client.app.state.service.warm()  # type: ignore[attr-defined]
    answer = client.get(f"{API}/sketches/{sketch}/classes", params={"labels": "cup,key"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_weights")


def test_strokes_keep_their_own_pixels() -> None:
    large = b'{"width": 4000, "height": 2000, "strokes": [{"width": 30, "points": [[100, 100], [3900, 1900]]}]}'
    sketch = read_body(large, "application/json", Limits())
    assert sketch.size == (2000, 4000)
    assert sketch.ink(8, 16).max() > 3000
