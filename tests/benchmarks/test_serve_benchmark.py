"""The benchmark of the server: its drawings, its figures, and one small run against a server in this process."""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
import uvicorn
from PIL import Image

from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.settings import Limits, Settings
from sketchfusion.apps.web.sketches import read_body
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.sketches import Drawing

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def modules(load_modules: Callable[..., dict[str, ModuleType]]) -> dict[str, Any]:
    return load_modules("measuring", "serve_parts", "serve")


@pytest.fixture(scope="module")
def parts(modules: dict[str, Any]) -> Any:
    return modules["serve_parts"]


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    dice = np.random.default_rng(0)
    return [Drawing((dice.uniform(0, 256, (5, 2)), dice.uniform(0, 256, (3, 2))), 256, 256) for _ in range(6)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, pictures: list[Image.Image], tiny_model: SketchFusion
            ) -> Iterator[str]:
    top = tmp_path_factory.mktemp("measured")
    (top / "photos").mkdir()
    for index, picture in enumerate(pictures):
        picture.save(top / "photos" / f"photo{index}.png")
    Gallery.create(top / "gallery", tiny_model).update([top / "photos"], tiny_model)
    app = create_app(Settings(galleries=(top / "gallery",), home=top / "home", photos=top / "photos"),
                     load=lambda model, overrides: tiny_model)
    app.state.service.warm()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def test_no_two_drawings_are_alike(parts: Any, drawings: list[Drawing]) -> None:
    many = parts.varied(drawings, 20)
    sketches = [read_body(*parts.picture_of(drawing), Limits()).id for drawing in many]
    assert len(set(sketches)) == 20
    assert [d.strokes[0].tolist() for d in parts.varied(drawings, 20)] == [d.strokes[0].tolist() for d in many]


def test_strokes_and_picture_are_the_same_drawing(parts: Any, drawings: list[Drawing]) -> None:
    drawn, pictured = (np.asarray(read_body(*make(drawings[0]), Limits()).picture, dtype=float)
                       for make in (parts.strokes_of, parts.picture_of))
    assert drawn.shape == pictured.shape == (512, 512, 3)
    assert np.abs(drawn - pictured).mean() < 2  # of 255: the same lines but for their edges
    assert pictured.min() == 0


def test_the_page_tells_its_pause_and_the_photos_it_asks_for(parts: Any) -> None:
    assert 0 < parts.page_number("STILL") < 1000
    assert parts.page_number("TOP") > 1
    with pytest.raises(SystemExit, match="NONSENSE"):
        parts.page_number("NONSENSE")


def test_figures(parts: Any) -> None:
    assert parts.quantiles([0.1, 0.2, 0.3]) == {"p50": 200.0, "p95": 290.0, "most": 300.0}
    assert parts.growth([(0, 100.0), (500, 101.0), (1000, 102.0)]) == 2.0
    assert parts.growth([(0, 100.0)]) == 0


def test_a_whole_run(modules: dict[str, Any], parts: Any, drawings: list[Drawing], address: str,
                     monkeypatch: pytest.MonkeyPatch) -> None:
    serve = modules["serve"]
    monkeypatch.setattr(serve, "AT_ONCE", 4)
    monkeypatch.setattr(serve, "LEAVING", 3)
    options = argparse.Namespace(drawn=2, rounds=2, warm_up=4, searches=8, every=4)
    many = parts.varied(drawings, 2 * (2 + 5) + 4 * (2 + 2) + 12)
    report = asyncio.run(serve.measure(address, psutil.Process(), many, options))
    report["goals"] = serve.goals(report)
    assert report["photos"] == 7
    assert report["searches"]["searches"] == 8
    assert not any(report[name]["errors"] for name in ("searches", "pages", "leaving", "memory"))
    assert set(report["memory"]["rss_mib"]) == {"0", "20", "40"}
    assert report["memory"]["requests"] == 12 * 5
    steps = [values["p50"] for values in report["wait"]["picture"]["ms"].values()]
    assert steps == sorted(steps)
    console = serve.Console(record=True, width=120)
    serve.show(report, console)
    assert "4 searches at once without an error" in console.export_text()


def test_a_server_that_refuses_is_reported(modules: dict[str, Any], parts: Any, address: str) -> None:
    async def ask() -> list[str]:
        async with parts.Visitor(address, "/api/v1/galleries/none") as visitor:
            assert await visitor.search("none", 3) == []
            return list(visitor.errors)

    assert "404 search" in asyncio.run(ask())[0]


def test_a_server_that_does_not_start_says_why(parts: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no gallery"), parts.serving(tmp_path / "none", tmp_path):
        pass
