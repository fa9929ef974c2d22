"""Requests nobody thought of: what the API's own document allows and forbids, and bytes that are no request at all."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.settings import API, Limits, Settings

BASE = "http://127.0.0.1"
SENT = ("method", "url", "headers", "cookies", "params", "data", "json", "content", "files")
IDS = ("gid", "pid", "sid", "sketch", "photo", "gallery")
REPEATED = settings(max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))
KINDS = ["application/json", "application/x-ndjson", "image/svg+xml", "image/png", "image/jpeg", "image/webp",
         "text/html", "", "IMAGE/PNG; q=\xff", "application/json; charset=utf-16"]


def document() -> dict[str, Any]:
    """The API's own description."""
    app = create_app(Settings(home=Path("nowhere"), photos=Path("nowhere")))
    app.state.service.close()
    return app.openapi()


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def real(gallery: str, photo: str, client: TestClient, strokes: dict[str, Any]) -> dict[str, str]:
    """Ids that are not made up, by the name of the parameter."""
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    gid, pid = gallery.rpartition("/")[2], photo.rpartition("/")[2]
    return {"gid": gid, "gallery": gid, "pid": pid, "photo": pid, "sid": sketch, "sketch": sketch}


def with_real(case: schemathesis.Case, real: dict[str, str], wanted: dict[str, bool]) -> None:
    """Put real ids in their places."""
    for holder in (case.path_parameters, case.query, case.body):
        if isinstance(holder, dict):
            holder.update({name: real[name] for name in IDS if name in holder and wanted[name]})


def fits(value: Any, limit: int = 40_000) -> bool:
    """Whether the test client can send it; a real server refuses longer ones itself."""
    return len(quote(str(value))) < limit


def check(client: TestClient, real: dict[str, str], label: str, mode: schemathesis.GenerationMode,
          accept: str, repeated: settings = REPEATED) -> None:
    """Ask for an operation in many ways; every answer has to be one that the document knows."""
    operation = OPERATIONS[label]

    @repeated
    @given(case=operation.as_strategy(generation_mode=mode),
           wanted=st.fixed_dictionaries({name: st.integers(0, 3).map(bool) for name in IDS}))
    def ask(case: schemathesis.Case, wanted: dict[str, bool]) -> None:
        if mode.is_positive:
            with_real(case, real, wanted)
        request = case.as_transport_kwargs(base_url=BASE)
        if not fits(request.get("params")):
            return
        request["headers"]["Accept"] = accept
        answer = client.request(**{name: value for name, value in request.items() if name in SENT})
        assert answer.status_code < 500 or (answer.status_code == 503 and int(answer.headers["retry-after"]) > 0)
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])  # a blank sketch is a valid request

    ask()


@pytest.mark.thorough
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_document_is_kept(client: TestClient, real: dict[str, str], label: str,
                              mode: schemathesis.GenerationMode) -> None:
    if mode.is_positive or OPERATIONS[label].query or OPERATIONS[label].body:  # no path is wrong: it takes any text
        check(client, real, label, mode, "*/*")


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_the_document_is_kept_by_a_few_requests(client: TestClient, real: dict[str, str], accept: str) -> None:
    for label in OPERATIONS:
        check(client, real, label, schemathesis.GenerationMode.POSITIVE, accept, settings(REPEATED, max_examples=2))


def test_the_fuzz_gets_through(client: TestClient, real: dict[str, str]) -> None:
    """The ids that it uses are real: an answer of each operation that works with them."""
    for label, operation in OPERATIONS.items():
        if label.startswith("GET") and "jid" not in operation.path and "classes" not in operation.path:
            path = operation.path.format(**real)
            assert client.get(path, params=real).status_code == 200, label


@pytest.fixture(scope="module")
def small(place: Path, make_app: Callable[..., FastAPI]) -> Any:
    """A client of an application that takes bodies of 20 kB."""
    with TestClient(make_app(place, limits=Limits(body_bytes=20_000)), base_url=BASE) as opened:
        yield opened


def no_failure(answer: Any) -> None:
    """What every answer has, whatever was asked."""
    assert answer.status_code < 500, answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message"}
        assert "/served0/" not in answer.text  # no path of this machine


NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10 ** 400, -10 ** 400, 1e308, 1e-320, 0, True]))
POINT = st.lists(NUMBERS, min_size=0, max_size=4)
STROKE = st.fixed_dictionaries({"points": st.lists(POINT, max_size=4)}, optional={"width": NUMBERS})
DRAWING = st.fixed_dictionaries({"strokes": st.lists(STROKE, max_size=3)},
                                optional={"width": NUMBERS, "height": NUMBERS, "more": st.none()})


@given(drawing=DRAWING)
@settings(REPEATED, max_examples=80)
def test_no_drawing_makes_it_fail(client: TestClient, drawing: dict[str, Any]) -> None:
    sent = json.dumps(drawing)  # with NaN and Infinity, which are no JSON
    no_failure(client.post(f"{API}/sketches", content=sent, headers={"Content-Type": "application/json"}))


@given(data=st.binary(max_size=300), kind=st.sampled_from(KINDS))
@settings(REPEATED, max_examples=60)
def test_no_body_makes_it_fail(client: TestClient, data: bytes, kind: str) -> None:
    for path in ("/sketches", "/galleries"):
        no_failure(client.post(API + path, content=data, headers={"Content-Type": kind.encode("latin-1")}))


@pytest.fixture(scope="module")
def pieces_of(place: Path) -> dict[str, bytes]:
    """Real files to be cut and broken."""
    png = (place / "photos" / "photo0.png").read_bytes()
    return {"image/png": png, "application/x-ndjson": b'{"drawing": [[[1, 5, 9], [2, 8, 3]]]}',
            "image/svg+xml": b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L9 9" stroke="black"/></svg>'}


@given(kind=st.sampled_from(["image/png", "application/x-ndjson", "image/svg+xml"]), cut=st.floats(0, 1),
       place_of=st.floats(0, 1), noise=st.binary(max_size=4))
@settings(REPEATED, max_examples=60)
def test_no_broken_file_makes_it_fail(client: TestClient, pieces_of: dict[str, bytes], kind: str, cut: float,
                                      place_of: float, noise: bytes) -> None:
    whole = pieces_of[kind]
    data = whole[:round(cut * len(whole))]
    where = round(place_of * len(data))
    data = data[:where] + noise + data[where + len(noise):]
    no_failure(client.post(f"{API}/sketches", content=data, headers={"Content-Type": kind}))


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is that large, with next to no data."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


BOMBS = {
    "no bytes": ("image/png", b""),
    "a vast picture": ("image/png", png_of(60_000, 60_000)),
    "a picture of no width": ("image/png", png_of(0, 10)),
    "entities": ("image/svg+xml", b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (97 + step, b"&%c;" % (96 + step) * 10) for step in range(1, 12))
        + b']><svg xmlns="http://www.w3.org/2000/svg"><text>&l;</text></svg>'),
    "a file of the system": ("image/svg+xml", b'<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
                             b'<svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text></svg>'),
    "deep groups": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 50_000),
    "a vast paper": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" width="1e9" height="1e9">'
                     b'<path d="M0 0L1e9 1e9" stroke="black"/></svg>'),
    "uses of uses": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:x="http://www.w3.org/1999/xlink">'
                     b'<path id="a0" d="M0 0L9 9" stroke="black"/>' + b"".join(
                         b'<g id="a%d">%s</g>' % (step, b'<use x:href="#a%d"/>' % (step - 1) * 10)
                         for step in range(1, 12)) + b"</svg>"),
    "packed zeros": ("image/svg+xml", zlib.compressobj(9, wbits=31).compress(bytes(10)) + b"\x1f\x8b" * 100),
    "deep lists": ("application/json", b"[" * 100_000),
    "deep objects": ("application/json", b'{"a":' * 100_000),
    "numbers too large to draw": ("application/x-ndjson", b'{"drawing": [[[1e308, -1e308, 1], [1e308, 0, 1e999]]]}'),
    "numbers that are none": ("application/x-ndjson", b'{"drawing": [[[NaN, 1], [Infinity, 2]]]}'),
    "words for numbers": ("application/x-ndjson", b'{"drawing": [[["a", {}], [null, [[]]]]]}'),
    "deep ndjson": ("application/x-ndjson", b'{"drawing":' + b"[" * 100_000),
    "a number of 10,000 digits": ("application/json", b'{"width": ' + b"9" * 10_000 + b"}"),
    "a lone surrogate": ("application/json", b'{"\\ud800": "\\ud800", "width": "\\udfff"}'),
    "keys twice": ("application/json", b'{"width": 1, "width": 2, "height": 3, "strokes": []}'),
    "another encoding": ("application/json", '{"width": 9}'.encode("utf-16")),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_bomb_makes_it_fail(client: TestClient, name: str) -> None:
    kind, data = BOMBS[name]
    for path in ("/sketches", "/galleries"):
        answer = client.post(API + path, content=data, headers={"Content-Type": kind})
        no_failure(answer)
        assert answer.status_code >= 400


def test_bodies_that_do_not_say_how_long_they_are(small: TestClient) -> None:
    def endless() -> Any:
        for _ in range(100):
            yield bytes(1000)

    for path in ("/sketches", "/galleries"):
        answer = small.post(API + path, content=endless(), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        no_failure(answer)


@pytest.mark.parametrize("told", ["9" * 30, "9" * 5000, "-1", "x", "\xb2", "1e3", ""])
def test_lengths_that_are_none(small: TestClient, told: str) -> None:
    answer = small.post(f"{API}/sketches", content=b"x", headers={"Content-Length": told.encode("latin-1")})
    no_failure(answer)
    assert answer.status_code in (400, 413)


PATHS = ["..%2f..", "%2e%2e", "..%2fetc%2fpasswd", "%00", "%0d%0aX-Y:%20z", "~", "C:%5c", "%ff%fe", "%ed%a0%80",
         "a" * 3000, "%F0%9F%90%88", "'%20OR%20'1'='1", "*", "%25", "%3Cscript%3E", "con", "-", "%E2%80%AE"]


@pytest.mark.parametrize("name", PATHS)
def test_ids_that_are_paths(client: TestClient, gallery: str, photo: str, name: str) -> None:
    for path in (f"{API}/galleries/{name}/folders", f"{API}/galleries/{name}/search?sketch={name}",
                 f"{API}/jobs/{name}", f"{API}/sketches/{name}/classes?labels={name}",
                 f"{gallery}/photos/{name}/original", f"{gallery}/photos/{name}/mask?sketch={name}",
                 f"{photo}/region?sketch={name}",
                 f"{gallery}/search?sketch={name}&folder={name}", f"{API}/folders?path={name}", f"/static/{name}",
                 f"/static/{name}/index.html", f"/{name}"):
        answer = client.get(path)
        no_failure(answer)
        assert answer.status_code >= 400 or path.startswith(f"{API}/folders"), path
        assert "root:" not in answer.text


@given(gid=st.text(max_size=20), pid=st.text(max_size=20), part=st.sampled_from(["", "/region", "/mask", "/points"]),
       query=st.dictionaries(st.sampled_from(["sketch", "count", "threshold", "format"]), st.text(max_size=10)))
@settings(REPEATED, max_examples=60)
def test_no_query_makes_it_fail(client: TestClient, gallery: str, gid: str, pid: str, part: str,
                                query: dict[str, str]) -> None:
    for top in (gallery, f"{API}/galleries/{quote(gid, safe='')}"):
        no_failure(client.get(f"{top}/photos/{quote(pid, safe='')}{part}", params=query))


@given(name=st.sampled_from(["Host", "Origin", "Cookie", "Authorization", "Range", "If-None-Match", "Content-Type",
                             "Sec-Fetch-Site", "Accept", "Accept-Encoding", "Expect", "X-Forwarded-For"]),
       value=st.binary(max_size=60) | st.sampled_from([b"a" * 60_000, b"bytes=5-1", b"bytes=", b"bytes=999999-"]))
@settings(REPEATED, max_examples=40)
def test_no_header_makes_it_fail(client: TestClient, photo: str, strokes: dict[str, Any], name: str,
                                 value: bytes) -> None:
    for path in ("", "/thumbnail", "/original"):
        no_failure(client.get(photo + path, headers={name: value}))
    no_failure(client.post(f"{API}/sketches", json=strokes, headers={name: value}))
