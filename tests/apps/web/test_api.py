"""The API of the page: every endpoint once, what it refuses, and that no request makes it fail."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.coco import bounding_box, run_lengths
from sketchfusion.apps.web.settings import API, Limits, Settings
from sketchfusion.apps.web.sketches import read_body
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import path_id

STROKES = {"width": 120, "height": 90, "strokes": [{"width": 4, "points": [[20, 70], [60, 20], [100, 70, 0.5]]}]}
BASE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pictures: list[Image.Image], tiny_model: SketchFusion) -> Path:
    top = tmp_path_factory.mktemp("served")
    (top / "photos" / "album").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        picture.save(top / "photos" / ("album" if index > 4 else "") / f"photo{index}.png")
    (top / "secret").mkdir()
    (top / "photos" / "link").symlink_to(top / "secret")
    Gallery.create(top / "gallery", tiny_model).update([top / "photos"], tiny_model)
    return top


@pytest.fixture(scope="module")
def client(place: Path, tiny_model: SketchFusion) -> Iterator[TestClient]:
    chosen = Settings(galleries=(place / "gallery",), home=place / "home", photos=place / "photos")
    app = create_app(chosen, load=lambda model, overrides: tiny_model)
    app.state.service.warm()
    with TestClient(app, base_url=BASE) as opened:
        yield opened


@pytest.fixture
def sketch(client: TestClient) -> str:
    answer = client.post(f"{API}/sketches", json=STROKES)
    assert answer.status_code == 201
    return str(answer.json()["id"])


@pytest.fixture
def gallery(place: Path) -> str:
    return f"{API}/galleries/{path_id(str(place / 'gallery'))}"


def found(client: TestClient, gallery: str, sketch: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"{gallery}/search", params={"sketch": sketch, **query})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finished(client: TestClient, job: str) -> dict[str, Any]:
    for _ in range(300):
        state = client.get(f"{API}/jobs/{job}").json()
        if state["state"] not in ("queued", "running"):
            return dict(state)
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def test_the_page_and_the_facts(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    assert client.get(f"{API}/health").json()["model"] == "tiny"
    assert "sketchfusion_requests_total" in client.get(f"{API}/metrics").text
    assert "/search" in client.get(f"{API}/docs").text


def test_pages_of_results_hold_each_photo_once(client: TestClient, gallery: str, sketch: str) -> None:
    whole = found(client, gallery, sketch)
    parts = [found(client, gallery, sketch, top=3, offset=offset) for offset in (0, 3, 6)]
    assert [hit for part in parts for hit in part["hits"]] == whole["hits"]
    assert len(whole["hits"]) == whole["total"] == 7
    assert [part["next_offset"] for part in parts] == [3, 6, None]
    folder = next(each for each in client.get(f"{gallery}/folders").json()["folders"] if each["name"].endswith("album"))
    assert found(client, gallery, sketch, folder=folder["id"])["total"] == 2
    assert not found(client, gallery, sketch, min_score=1)["hits"]


def test_the_same_sketch_has_the_same_id(client: TestClient, sketch: str) -> None:
    assert client.post(f"{API}/sketches", json=STROKES).json()["id"] == sketch
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
    ("POST", "/sketches", {"json": STROKES, "headers": {"Origin": "http://evil.example"}}, 403, "wrong_origin"),
    ("GET", "/health", {"headers": {"Host": "evil.example"}}, 400, "wrong_host"),
    ("DELETE", "/health", {}, 405, "method_not_allowed"),
])
def test_what_is_refused(client: TestClient, method: str, path: str, options: dict[str, Any], status: int,
                         code: str) -> None:
    answer = client.request(method, API + path, **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_gallery_is_made_and_updated(client: TestClient) -> None:
    started = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"}).json()
    assert finished(client, started["job"])["summary"]["photos"] == 2
    again = client.post(f"{API}/galleries/{started['gallery']}/update").json()
    assert finished(client, again["job"])["summary"]["unchanged"] == 2
    assert "new" in [each["name"] for each in client.get(f"{API}/galleries").json()["galleries"]]
    taken = client.post(f"{API}/galleries", json={"name": "new", "folder": "album"})
    assert taken.json()["error"]["code"] == "name_taken"


def test_a_token_is_asked_for(place: Path, tiny_model: SketchFusion) -> None:
    token = "abcdefgh12345678"
    app = create_app(Settings(home=place / "home", host="0.0.0.0", token=token), load=lambda *_: tiny_model)
    with TestClient(app, base_url=BASE) as client:
        assert client.get(f"{API}/health").status_code == 401
        assert client.get(f"{API}/health", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get("/", params={"token": token}).status_code == 200  # leaves the cookie
        assert client.get(f"{API}/health").status_code == 200
    with pytest.raises(ConfigError, match="token is needed"):
        Settings(host="0.0.0.0")


def test_sketches_are_bounded(place: Path, tiny_model: SketchFusion) -> None:
    app = create_app(Settings(home=place / "home", limits=Limits(sketches=2)), load=lambda *_: tiny_model)
    with TestClient(app, base_url=BASE) as client:
        ids = [client.post(f"{API}/sketches", json={**STROKES, "width": 120 + step}).json()["id"] for step in range(3)]
        answers = [client.get(f"{API}/sketches/{each}/points").status_code for each in ids]
    assert answers == [404, 200, 200]


@given(data=st.binary(max_size=300), kind=st.sampled_from(["application/json", "image/png", "image/svg+xml"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_it_fail(client: TestClient, data: bytes, kind: str) -> None:
    assert client.post(f"{API}/sketches", content=data, headers={"Content-Type": kind}).status_code < 500


@given(gid=st.text(max_size=20), pid=st.text(max_size=20), part=st.sampled_from(["", "/region", "/mask", "/points"]),
       query=st.dictionaries(st.sampled_from(["sketch", "count", "threshold", "format"]), st.text(max_size=10)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_makes_it_fail(client: TestClient, gallery: str, gid: str, pid: str, part: str,
                                query: dict[str, str]) -> None:
    from urllib.parse import quote

    for top in (gallery, f"{API}/galleries/{quote(gid, safe='')}"):
        assert client.get(f"{top}/photos/{quote(pid, safe='')}{part}", params=query).status_code < 500


@given(st.integers(1, 6), st.integers(1, 6), st.randoms(use_true_random=False))
def test_run_lengths_spell_the_mask(height: int, width: int, dice: Any) -> None:
    mask = np.array([[dice.random() < 0.5 for _ in range(width)] for _ in range(height)])
    spelt = [bool(index % 2) for index, length in enumerate(run_lengths(mask)) for _ in range(length)]
    assert spelt == [mask[row, column] for column in range(width) for row in range(height)]
    left, top, wide, high = bounding_box(mask)
    assert mask[top:top + high, left:left + wide].sum() == mask.sum()


def test_strokes_keep_their_own_pixels() -> None:
    large = b'{"width": 4000, "height": 2000, "strokes": [{"width": 30, "points": [[100, 100], [3900, 1900]]}]}'
    sketch = read_body(large, "application/json", Limits())
    assert sketch.size == (2000, 4000)
    assert sketch.ink(8, 16).max() > 3000
