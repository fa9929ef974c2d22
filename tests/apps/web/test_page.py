"""The page in a real browser, over a real server: what a person does with it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.data.world.folder import write_world

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None,
                                reason="no Chromium here; on Debian: apt install chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is in the extra dev")
WAIT = 20_000  # milliseconds
KINDS = ["lighthouse", "cup", "key"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a gallery of thirty drawn photos, and a folder beside it that the page may index."""
    root = tmp_path_factory.mktemp("page")
    write_world(root / "world", categories=KINDS, photos_per_class=10, sketches_per_photo=1, size=96)
    photos = root / "world" / "photo"
    command = [sys.executable, "-m", "sketchfusion.apps.cli.main"]
    subprocess.run([*command, "index", str(photos), "--gallery", str(root / "gallery")], check=True,
                   capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([*command, "serve", "--gallery", str(root / "gallery"), "--port", str(port), "--photos",
                               str(photos), "--galleries", str(root / "made")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    place = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            assert server.poll() is None, "the server ended"
            try:
                urllib.request.urlopen(f"{place}api/v1/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25)
        yield place
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, freshly opened; no request of it goes elsewhere and nothing fails in its scripts."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(WAIT)
    strangers: list[str] = []
    broken: list[str] = []
    opened.on("request", lambda request: None if request.url.startswith((address, "blob:", "data:"))
              else strangers.append(request.url))
    opened.on("pageerror", lambda error: broken.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()
    assert strangers == []
    assert broken == []


def draw(page: Any) -> None:
    """A zigzag with the mouse."""
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    for x, y in ((200, 80), (120, 200), (260, 250), (90, 280)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()


def settled(page: Any) -> list[float]:
    """The scores shown, once they have stayed the same for a second."""
    seen: list[list[float]] = []
    for _ in range(40):
        texts = page.locator(".card:visible .card-score").all_inner_texts()
        seen.append([float(text) for text in texts])
        if len(seen) > 2 and seen[-1] and seen[-1] == seen[-2] == seen[-3] and not page.locator("#busy").is_visible():
            return seen[-1]
        page.wait_for_timeout(500)
    raise AssertionError(f"the photos shown did not come to rest: {seen[-3:]}")


def search(page: Any) -> None:
    """Draw, and wait until everything has been answered."""
    draw(page)
    page.locator(".card").first.wait_for()
    settled(page)


def test_a_drawing_finds_photos_and_a_cut_off_removes_some(page: Any) -> None:
    search(page)
    scores = settled(page)
    assert len(scores) > 2
    assert scores == sorted(scores, reverse=True)
    middle = scores[len(scores) // 2]
    page.locator("#cutoff").evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", str(middle))
    sync_api.expect(page.locator(".card:visible")).not_to_have_count(len(scores), timeout=WAIT)
    left = settled(page)
    assert 0 < len(left) < len(scores)
    assert min(left) >= middle - 0.001


def test_the_sketch_is_named(page: Any) -> None:
    page.locator(".example").first.click()
    page.locator(".card").first.wait_for()
    sync_api.expect(page.locator("#guesses li").first).to_contain_text("lighthouse", timeout=WAIT)


def test_undo_redo_and_clear(page: Any) -> None:
    search(page)
    page.click("#undo")
    page.locator("#notice").wait_for()
    assert page.locator(".card").count() == 0
    page.click("#redo")
    page.locator(".card").first.wait_for()
    page.click("#clear")
    assert page.locator("#clear").is_disabled()
    page.click("#undo")
    page.locator(".card").first.wait_for()


def test_region_points_and_an_exported_mask(page: Any) -> None:
    search(page)
    page.locator(".card-open").first.click()
    sync_api.expect(page.locator("#mask-png")).to_be_enabled(timeout=WAIT)
    sync_api.expect(page.locator("#links circle").first).to_be_attached(timeout=WAIT)
    with page.expect_download() as found:
        page.click("#mask-png")
    assert found.value.suggested_filename.endswith("-mask.png")
    assert Path(found.value.path()).read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as found:
        page.click("#points-json")
    assert json.loads(Path(found.value.path()).read_text())
    page.keyboard.press("Escape")
    assert not page.locator("#why").is_visible()


def test_the_keyboard_alone_draws_and_finds(page: Any) -> None:
    page.locator("#paper").focus()
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown"):
        for _ in range(5):
            page.keyboard.press(key)
    page.keyboard.press("Space")
    page.locator(".card").first.wait_for()


def test_more_like_one_of_them_and_back(page: Any) -> None:
    search(page)
    page.locator(".card .tool[title='More like this']").first.click()
    page.locator("#similar-chip").wait_for()
    page.click("#similar-chip")
    page.locator("#similar-chip").wait_for(state="hidden")


def test_a_saved_sketch_is_opened_again(page: Any, tmp_path: Path) -> None:
    search(page)
    page.locator("#save-menu summary").click()
    with page.expect_download() as found:
        page.click("[data-save=svg]")
    saved = tmp_path / "sketch.svg"
    found.value.save_as(saved)
    assert "data-sketchfusion" in saved.read_text()
    page.click("#clear")
    page.set_input_files("#file", saved)
    page.locator(".card").first.wait_for()


def test_a_folder_is_indexed_from_the_page(page: Any) -> None:
    page.click("#open-photos")
    page.locator(".folder", has_text="key").click()
    sync_api.expect(page.locator("#new-name")).to_have_value("key", timeout=WAIT)
    page.click("#index-folder")
    page.locator("#job-title", has_text=re.compile("^Indexed$")).wait_for()
    assert page.locator("#gallery-chip").inner_text().startswith("key · 10")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_sticks_out(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    search(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(page: Any, scheme: str) -> None:
    """axe-core finds nothing serious, before and after a search, in a photo's reasons and in my photos."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is in extra dev")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    check(axe, page)
    search(page)
    check(axe, page)
    page.locator(".card-open").first.click()
    sync_api.expect(page.locator("#mask-png")).to_be_enabled(timeout=WAIT)
    check(axe, page)
    page.keyboard.press("Escape")
    page.click("#open-photos")
    page.locator(".folder").first.wait_for()
    check(axe, page)


def check(axe: Any, page: Any) -> None:
    found = axe.Axe().run(page).response["violations"]
    grave = [f"{item['id']}: {[node['html'] for node in item['nodes']][:3]}" for item in found
             if item["impact"] in ("serious", "critical")]
    assert grave == []
