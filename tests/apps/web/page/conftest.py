"""The page in a real browser, over a real server in this process that a test may stop, hold up or let forget."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image, ImageDraw

from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.protocol import server_of
from sketchfusion.apps.web.service import Service
from sketchfusion.apps.web.settings import Limits, Settings
from sketchfusion.data.world.folder import write_world
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KINDS = ["lighthouse", "cup", "key"]
PAPER = 1024  # units along a side of the paper
PER_KIND = 12  # together more than the page asks for at once
WAIT = 60_000  # milliseconds, on a machine with much else to do
SEARCH = re.compile(r"/(search|similar)\?.*\boffset=0\b")
ZIGZAG = [(0.15, 0.15), (0.5, 0.2), (0.3, 0.5), (0.65, 0.62), (0.22, 0.7)]  # shares of the paper


def is_search(response: Any) -> bool:
    """Whether it answers with the first photos of a search; others bring more on scrolling."""
    return bool(SEARCH.search(response.url)) and response.status == 200


class Server:
    """The page's server; every start is a new one that knows nothing of the last, at the same port."""

    def __init__(self, folder: Path, model: SketchFusion, galleries: tuple[Path, ...]) -> None:
        self.model, self.port = model, 0
        self.server: uvicorn.Server | None = None
        self.told: dict[str, Any] = {"galleries": galleries, "photos": folder / "photos", "home": folder / "made"}

    def start(self) -> None:
        app = create_app(Settings(**self.told), load=lambda model, overrides: self.model)
        self.service: Service = app.state.service
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.server = server = server_of(app, Limits(), grace=1)
        self.thread = threading.Thread(target=server.run, args=([self.listener],), daemon=True)
        self.thread.start()
        while not server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        assert self.server is not None
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive(), "the server does not end"
        self.listener.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing passes the model meanwhile."""
        go_on, waits = threading.Event(), threading.Event()

        def hold(items: Any) -> list[None]:
            waits.set()
            go_on.wait(60)
            return [None]

        self.service.thread.submit(hold, None)
        assert waits.wait(60)
        try:
            yield
        finally:
            go_on.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


class Desk:
    """What a person does at the page."""

    def __init__(self, page: Any, expect: Any) -> None:
        self.page, self.expect = page, expect

    def draw(self, places: list[tuple[float, float]] = ZIGZAG) -> None:
        """A stroke of the mouse through places, in shares of the paper."""
        box = self.page.locator("#paper").bounding_box()
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for x, y in points[1:]:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()

    def rest(self) -> None:
        """Wait until the photos shown are those asked for."""
        self.expect(self.page.locator("#found")).to_have_attribute("aria-busy", "false")

    def search(self) -> None:
        """Draw, and wait for photos."""
        self.draw()
        self.rest()
        self.expect(self.page.locator(".card").first).to_be_visible()

    def scores(self) -> list[float]:
        return [float(text) for text in self.page.locator(".card:visible .card-score").all_inner_texts()]

    def cards(self) -> list[str]:
        """Ids of the photos shown."""
        found = self.page.locator(".card:visible a").evaluate_all("nodes => nodes.map(node => node.href)")
        return [str(each).split("/")[-2] for each in found]

    def answer(self, act: Callable[[], Any]) -> dict[str, Any]:
        """What the server answers to the last search that an act leads to; of a search, the first photos."""
        answers: list[Any] = []
        self.page.on("response", lambda each: answers.append(each) if is_search(each) else None)
        with self.page.expect_response(is_search):
            act()
        self.rest()
        return dict(answers[-1].json())

    def hold(self, what: str) -> list[Any]:
        """Keep requests whose address has a pattern waiting from now on; they are in the list, to be gone on with."""
        waiting: list[Any] = []
        self.page.route(re.compile(what), lambda route: waiting.append(route))
        return waiting

    def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds that this process sees, not the page."""
        for _ in range(WAIT // 20):
            if holds():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("it does not come to hold")

    def asked(self, what: str) -> list[Any]:
        """The requests that go out from now on whose address has a pattern."""
        sent: list[Any] = []
        self.page.on("request", lambda each: sent.append(each) if re.search(what, each.url) else None)
        return sent

    def bring(self, way: str, content: bytes) -> bool:
        """Paste or drop a PNG; whether the page took care of it, so that the browser does not."""
        return bool(self.page.evaluate(
            """([way, content]) => {
              const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
              const data = new DataTransfer();
              data.items.add(new File([bytes], "ring.png", { type: "image/png" }));
              const options = { bubbles: true, cancelable: true };
              const event = way === "paste" ? new ClipboardEvent("paste", { clipboardData: data, ...options })
                : new DragEvent("drop", { dataTransfer: data, ...options });
              return !document.body.dispatchEvent(event);
            }""", [way, base64.b64encode(content).decode()]))

    def listen(self) -> None:
        """From now on keep what is said, however short it stands; nothing else is about to be said."""
        self.rest()
        self.page.evaluate("""() => {
          window.heard = [];
          const live = document.getElementById("live");
          new MutationObserver(() => window.heard.push(live.textContent)).observe(live, { childList: true });
        }""")

    def hears(self, words: str) -> None:
        """Wait until it has been said."""
        self.page.wait_for_function("words => window.heard.some((said) => said.includes(words))", arg=words)

    def slide(self, name: str, value: float | str) -> None:
        """Move a slider."""
        self.page.locator(f"#{name}").evaluate(
            "(node, value) => { node.value = value; node.dispatchEvent(new Event('input', {bubbles: true})); }",
            str(value))

    def downloaded(self, click: Callable[[], None]) -> tuple[str, bytes]:
        """Name and content of the file that a click gives."""
        with self.page.expect_download() as found:
            click()
        return found.value.suggested_filename, Path(found.value.path()).read_bytes()

    def saved(self, kind: str) -> bytes:
        """The sketch as it is saved: svg, png or json."""
        self.page.locator("#save-menu summary").click()
        name, content = self.downloaded(lambda: self.page.click(f"[data-save={kind}]"))
        assert name == f"sketch.{kind}"
        return content

    def strokes(self) -> list[dict[str, Any]]:
        """The strokes on the paper, saved as JSON."""
        return list(json.loads(self.saved("json"))["strokes"])

    def places(self) -> list[list[Any]]:
        """The points of the strokes on the paper, in whole units; of blank paper none."""
        if self.page.locator("#clear").get_attribute("aria-disabled") == "true":
            return []
        return [[tuple(round(value) for value in point) for point in stroke["points"]] for stroke in self.strokes()]

    def ink(self) -> Image.Image:
        """What is on the paper, grey, as it is saved."""
        return Image.open(io.BytesIO(self.saved("png"))).convert("L")

    def has_ring(self) -> bool:
        """Whether the picture of the fixture ``ring``, as wide as the paper, is in the middle of the paper."""
        box = self.ink().point(lambda level: 255 * (level < 128)).getbbox() or (0, 0, 0, 0)
        scale = PAPER / 200
        wanted = (70 * scale, PAPER / 2 - 30 * scale, 130 * scale, PAPER / 2 + 30 * scale)
        return all(abs(a - b) < 12 for a, b in zip(box, wanted, strict=True))

    def give(self, name: str, content: bytes) -> None:
        """Open a file of that name."""
        kind = {"json": "application/json", "svg": "image/svg+xml", "png": "image/png"}[name.rpartition(".")[2]]
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})

    def why(self) -> None:
        """Open the reasons of the first photo, and wait for its region and points."""
        self.page.locator(".card-open").first.click()
        self.expect(self.page.locator("#mask-png")).to_be_enabled()
        self.expect(self.page.locator("#links circle").first).to_be_attached()

    def shut(self) -> None:
        self.page.keyboard.press("Escape")


@pytest.fixture
def ring() -> bytes:
    """The picture of a ring as a PNG of 200 x 100 pixels."""
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).ellipse((70, 20, 130, 80), outline="black", width=5)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def sync_api() -> Any:
    """Playwright."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt install chromium")
    return pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is in the extra dev")


@pytest.fixture(scope="session")
def mini() -> SketchFusion:
    return SketchFusion.from_pretrained("mini", device="cpu")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, mini: SketchFusion) -> Path:
    """A gallery of 36 drawn photos in three folders, a folder with two broken files, and a gallery without photos.

    The cups are of 2020, the keys of 2022, the lighthouses of 2024.
    """
    top = tmp_path_factory.mktemp("page")
    write_world(top / "world", categories=KINDS, photos_per_class=PER_KIND, sketches_per_photo=1, size=96)
    for year, kind in ((2020, "cup"), (2022, "key"), (2024, "lighthouse")):
        shutil.copytree(top / "world" / "photo" / kind, top / "photos" / kind)
        for day, file in enumerate(sorted((top / "photos" / kind).iterdir()), 1):
            os.utime(file, (datetime(year, 6, day, 12).timestamp(),) * 2)
    Gallery.create(top / "gallery", mini).update([top / "photos" / kind for kind in KINDS], mini)
    shutil.copytree(top / "photos" / "cup", top / "photos" / "album" / "mixed")
    (top / "photos" / "album" / "mixed" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (top / "photos" / "album" / "mixed" / "empty.png").write_bytes(b"")
    Gallery.create(top / "nothing yet", mini)
    return top


@pytest.fixture(scope="module")
def browser(sync_api: Any) -> Iterator[Any]:
    """Closed before other tests run: while Playwright is open no ``asyncio.run`` works in this thread."""
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--process-per-site"])
        yield started
        started.close()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """``make_server(folder, model, galleries)``: a server of a test's own."""
    made: list[Server] = []

    def make(folder: Path, model: SketchFusion, galleries: tuple[Path, ...]) -> Server:
        made.append(Server(folder, model, galleries))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture(scope="session")
def server(served: Path, mini: SketchFusion) -> Iterator[Server]:
    running = Server(served, mini, (served / "gallery", served / "nothing yet"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def window(browser: Any) -> Callable[..., Any]:
    """``window(**options)``: a browser window with its own storage, kept for all tests that ask for one like it.

    A page in a new window starts a process of its own.
    """
    return cache(lambda **options: browser.new_context(**options))


@pytest.fixture
def open_page(window: Callable[..., Any], sync_api: Any) -> Iterator[Callable[..., Any]]:
    """``open_page(address, **options)``: a page that was never visited before.

    When the test is over, no request has gone elsewhere and nothing has failed in its scripts.
    """
    pages, strangers, broken = [], [], []

    def opened(address: str, *, width: int = 1440, **options: Any) -> Any:
        page = window(**options).new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(WAIT)
        page.context.new_cdp_session(page).send("Storage.clearDataForOrigin", {
            "origin": address.rstrip("/"), "storageTypes": "all"})
        page.on("request", lambda request: None if request.url.startswith((address, "blob:", "data:"))
                else strangers.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(address)
        return page

    sync_api.expect.set_options(timeout=WAIT)
    yield opened
    for each in {page.context for page in pages}:
        leave(each)
    assert strangers == []
    assert broken == []


def leave(window: Any) -> None:
    """Close the pages of a window but one, which stays, empty, so that the next finds a process."""
    *others, last = window.pages
    for page in others:
        page.close()
    last.goto("about:blank")


@pytest.fixture
def page(open_page: Callable[..., Any], server: Server) -> Any:
    """The page, freshly opened."""
    return open_page(server.address)


@pytest.fixture
def expect(sync_api: Any) -> Any:
    """Playwright's ``expect``: it waits until what is expected holds."""
    return sync_api.expect


@pytest.fixture
def desk(page: Any, expect: Any) -> Desk:
    ready = Desk(page, expect)
    ready.rest()
    return ready


@pytest.fixture
def at_desk(expect: Any) -> Callable[[Any], Desk]:
    """``at_desk(page)``: the hands for another page."""
    return lambda page: Desk(page, expect)
