"""Pictures of the page for docs/page.md: the demo's gallery of drawn photos, in Debian's Chromium.

    make demo </dev/null && python scripts/page_pictures.py

Starts a server of its own over ``.demo`` and writes ``docs/images/page_*.webp``.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PORT = 7899
ADDRESS = f"http://127.0.0.1:{PORT}/"
SETTLED = 1500  # milliseconds after the last answer, for fading pictures


def save(page: Page, name: str) -> None:
    """What the window shows, as docs/images/page_NAME.webp."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLED)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(ROOT / "docs" / "images" / f"page_{name}.webp", quality=80, method=6)


def search(page: Page) -> None:
    """Draw a lighthouse and wait for photos."""
    page.goto(ADDRESS)
    page.locator(".example").first.click()
    page.locator(".card").first.wait_for()


def take(browser: Browser) -> None:
    """Find and why at a desk, find on a phone."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    search(page)
    save(page, "find")
    page.locator(".card-open[title^=lighthouse]").first.click()
    page.locator("#links circle").first.wait_for(state="attached")
    save(page, "why")
    phone = browser.new_context(viewport={"width": 360, "height": 760}, has_touch=True, is_mobile=True).new_page()
    search(phone)
    save(phone, "narrow")


def main() -> None:
    """Serve, take the pictures, stop."""
    chromium = shutil.which("chromium") or sys.exit("no Chromium here; on Debian: apt install chromium")
    gallery = next((path.parent for path in (ROOT / ".demo").glob("*/gallery.json")), None)
    if gallery is None:
        sys.exit("there is no gallery in .demo; run `make demo` first")
    server = subprocess.Popen([sys.executable, "-m", "sketchfusion.apps.cli.main", "serve", "--gallery", str(gallery),
                               "--port", str(PORT)])
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{ADDRESS}api/v1/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            take(browser)
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
