"""What `serve.py` measures with: drawings, a gallery, the server's process, and a visitor who asks as the page does."""

from __future__ import annotations

import asyncio
import io
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from sketchfusion.apps import web
from sketchfusion.apps.web.settings import API
from sketchfusion.data.world import CATEGORIES, make_sample, write_world
from sketchfusion.errors import GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.scan import scan
from sketchfusion.sketches import LINE_WIDTH, MARGIN, SIDE, Drawing, parse_drawing, render

PAGE = Path(web.__file__).parent / "static" / "js" / "finder.js"
CONNECTIONS = 6  # that a browser opens to one server
PATIENCE_S = 120.0
WORLD_PER_CLASS = 4  # drawings of the drawn world, where no others are given
PER_FILE = 10  # drawings taken of a Quick, Draw! file
TURN = 8.0  # degrees by which a drawing is turned when it comes again, at most


class Body(NamedTuple):
    """A sketch as it is sent."""

    data: bytes
    kind: str


def command(*words: str) -> list[str]:
    """The command line, run by this interpreter."""
    return [sys.executable, "-m", "sketchfusion.apps.cli.main", *words]


def make_gallery(gallery: Path, count: int, photos: Path | None, preset: str) -> None:
    """Index exactly so many photos of the folder, filled up with the drawn world beside the gallery; nothing where the
    gallery has them already. Raises SystemExit: there is no folder, or it has more photos."""
    try:
        if Gallery.open(gallery).store.count() == count:
            return
    except GalleryError:
        pass
    if photos is None or not photos.is_dir():
        raise SystemExit(f"--make needs a folder of photos in --photos, got {photos}")
    missing = count - len(scan([photos]).files)
    if missing < 0:
        raise SystemExit(f"{photos} has {count - missing:,} photos, more than the {count:,} of --make")
    folders = [str(photos)]
    if missing:
        world = gallery.with_name(gallery.name + "-drawn")
        if not world.exists():
            write_world(world, photos_per_class=math.ceil(missing / len(CATEGORIES)))
        for surplus in sorted((world / "photo").glob("*/*.png"))[missing:]:
            surplus.unlink()
        folders.append(str(world / "photo"))
    subprocess.run(command("index", *folders, "--gallery", str(gallery), "--preset", preset), check=True)


def read_drawings(folder: Path | None) -> list[Drawing]:
    """The first of each Quick, Draw! file in a folder, or some of every class of the drawn world."""
    if folder is None:
        size = 128
        samples = (make_sample(name, index, size=size) for index in range(WORLD_PER_CLASS) for name in CATEGORIES)
        return [Drawing(tuple(stroke.astype(np.float64) for stroke in sample.strokes), size, size)
                for sample in samples]
    lines = [(file.name, line) for file in sorted(folder.glob("*.ndjson"))
             for line in file.read_text("utf-8").splitlines()[:PER_FILE]]
    if not lines:
        raise SystemExit(f"{folder} has no Quick, Draw! files (*.ndjson); name a folder that has, or leave it out")
    return [parse_drawing(line, name) for name, line in lines]


def varied(drawings: Sequence[Drawing], count: int, seed: int = 0) -> list[Drawing]:
    """So many drawings in random order; those that come again are turned a little, so that no two are alike."""
    dice = random.Random(seed)
    order = dice.sample(range(len(drawings)), len(drawings))
    return [turned(drawings[order[number % len(order)]], dice.uniform(1, TURN) if number >= len(order) else 0.0)
            for number in range(count)]


def turned(drawing: Drawing, degrees: float) -> Drawing:
    """The drawing, turned."""
    angle = math.radians(degrees)
    matrix = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return Drawing(tuple(stroke @ matrix for stroke in drawing.strokes), drawing.width, drawing.height)


def picture_of(drawing: Drawing) -> Body:
    """The PNG that the page sends."""
    buffer = io.BytesIO()
    render(drawing).save(buffer, "PNG")
    return Body(buffer.getvalue(), "image/png")


def strokes_of(drawing: Drawing) -> Body:
    """The same as strokes in JSON."""
    left, top, right, bottom = drawing.bounds
    scale = SIDE * (1 - 2 * MARGIN - LINE_WIDTH) / max(right - left, bottom - top, 1)
    corner = np.array([SIDE - (left + right) * scale, SIDE - (top + bottom) * scale]) / 2
    strokes = [{"width": LINE_WIDTH * SIDE, "points": (stroke * scale + corner).round(2).tolist()}
               for stroke in drawing.strokes]
    return Body(json.dumps({"width": SIDE, "height": SIDE, "strokes": strokes}).encode(), "application/json")


def page_number(name: str) -> int:
    """A constant of the page's search: ``STILL``, its pause after a stroke in ms; ``TOP``, the photos it asks for."""
    found = re.search(rf"^const {name} = (\d+);", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    if found is None:
        raise SystemExit(f"{PAGE} has no constant {name} any more; look how the page does it now, and mend this")
    return int(found[1])


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and the largest, in milliseconds."""
    p50, p95 = np.percentile(seconds, (50, 95))
    return {name: round(1000 * float(value), 1) for name, value in
            (("p50", p50), ("p95", p95), ("most", max(seconds)))}


def growth(samples: Sequence[tuple[int, float]]) -> float:
    """Slope of the straight line through (count, MiB), in MiB per 1,000."""
    counts, sizes = zip(*samples, strict=True)
    return round(1000 * float(np.polyfit(counts, sizes, 1)[0]), 2) if len(samples) > 1 else 0.0


@contextmanager
def serving(gallery: Path, home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`sketchfusion serve` as a process: its address, and the process. Raises SystemExit: it does not start."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command("serve", "--gallery", str(gallery), "--port", "0", "--galleries", str(home)),
                                   stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                process.wait()
                said.seek(0)
                raise SystemExit(f"the server does not start: {said.read().strip()}")
            yield found[0].rstrip("/"), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


async def first_gallery(address: str) -> tuple[str, dict[str, Any]]:
    """Address of the gallery that is served, below the server's, and what the server says of it."""
    async with httpx.AsyncClient(base_url=address) as client:
        facts = (await client.get(f"{API}/galleries")).json()["galleries"][0]
    return f"{API}/galleries/{facts['id']}", facts


class Visitor:
    """One open page, with as many connections as a browser has.

    Attributes:
        errors: status and text of answers that should not have come.
        requests: asked so far.
    """

    def __init__(self, address: str, gallery: str) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self.client = httpx.AsyncClient(base_url=address, limits=limits, timeout=PATIENCE_S, verify=False)
        self.gallery, self.errors, self.requests = gallery, list[str](), 0

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, whatever they wait for."""
        await self.client.aclose()

    async def ask(self, path: str, *, body: Body | None = None, accept: Sequence[int] = (),
                  **query: Any) -> httpx.Response:
        """One request; an answer that is no success and not accepted is kept as an error."""
        self.requests += 1
        if body is None:
            response = await self.client.get(path, params=query)
        else:
            response = await self.client.post(path, content=body.data, headers={"Content-Type": body.kind})
        if response.is_error and response.status_code not in accept:
            self.errors.append(f"{response.status_code} {path.rpartition('/')[2]}: {response.text[:200]}")
        return response

    async def send(self, body: Body) -> str:
        """Id of the sketch; empty where it was refused."""
        return str((await self.ask(f"{API}/sketches", body=body)).json().get("id", ""))

    async def search(self, sketch: str, top: int) -> list[str]:
        """Ids of photos, best first."""
        answer = await self.ask(f"{self.gallery}/search", sketch=sketch, top=top)
        return [hit["id"] for hit in answer.json().get("hits", ())]

    async def name(self, sketch: str) -> None:
        """What the sketch shows. 422 is accepted: a model may have no names."""
        await self.ask(f"{API}/sketches/{sketch}/classes", top=5, accept=(422,))

    async def photo(self, photo: str, part: str = "thumbnail", **query: Any) -> None:
        """A photo's thumbnail, or more of it."""
        await self.ask(f"{self.gallery}/photos/{photo}/{part}", **query)

    async def draw(self, body: Body, top: int) -> dict[str, float]:
        """All that the page asks for once a drawing stands still: seconds until each step is done."""
        start = time.perf_counter()
        sketch = await self.send(body)
        seconds = {"sketch sent": time.perf_counter() - start}
        named = asyncio.create_task(self.name(sketch))
        photos = await self.search(sketch, top)
        seconds["photos known"] = time.perf_counter() - start
        shown = [asyncio.create_task(self.photo(photo)) for photo in photos]
        if shown:
            await asyncio.wait(shown, return_when=asyncio.FIRST_COMPLETED)
        seconds["first photo"] = time.perf_counter() - start
        await asyncio.gather(named, *shown)
        return {**seconds, f"all {top} photos and the name": time.perf_counter() - start}

    async def explain(self, body: Body) -> None:
        """A drawing sent, searched and named, the best photo shown, and why it was found."""
        sketch = await self.send(body)
        photos = await self.search(sketch, 10)
        await self.name(sketch)
        for photo in photos[:1]:
            await self.photo(photo)
            await self.photo(photo, "region", sketch=sketch)
