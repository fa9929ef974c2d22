"""Starting and stopping the demo; the parts with Gradio where that is installed."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.demo import Demo, launch
from sketchfusion.apps.demo.__main__ import app
from sketchfusion.apps.demo.client import Client, ServerError
from sketchfusion.apps.demo.server import ApiServer
from sketchfusion.errors import ConfigError, GalleryError

NO_GRADIO = "Gradio is not installed (extra demo)"


def test_a_gallery_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="nothing"):
        ApiServer(tmp_path / "nothing")


def test_the_server_ends_with_its_thread(gallery_folder: Path) -> None:
    server = ApiServer(gallery_folder, device="cpu")
    assert Client(server.address).galleries()
    server.close()
    assert not server.thread.is_alive()
    assert not Path(server.nothing.name).exists()
    with pytest.raises(ServerError, match="no answer"):
        Client(server.address).galleries()


@pytest.mark.parametrize("given", [{}, {"gallery": "my.gallery", "address": "http://127.0.0.1:1"}])
def test_the_demo_wants_a_gallery_or_an_address(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a gallery or the address of a server, one of the two"):
        launch(**given)


def test_the_command_line_tells_errors_in_a_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), "--address", "http://127.0.0.1:1"])
    assert result.exit_code == ConfigError.exit_code
    assert "one of the two" in result.output
    assert "Traceback" not in result.output


def test_a_port_that_is_taken_is_an_error(gallery_folder: Path) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1: .*{port}.*; give another port"):
            launch(gallery_folder, port=port, inline=False, device="cpu")


def test_without_gradio_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "sketchfusion.apps.demo.blocks", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'sketchfusion\[demo\]'.*sketchfusion serve"):
        launch("my.gallery")


@pytest.fixture
def demo(gallery_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """The demo of the small gallery."""
    pytest.importorskip("gradio", reason=NO_GRADIO)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    started = launch(gallery_folder, inline=False, device="cpu")
    yield started
    started.close()


def test_the_page_is_for_this_machine_and_fetches_nothing_elsewhere(demo: Demo) -> None:
    assert demo.address.startswith("http://127.0.0.1:")
    assert demo.blocks.share is False
    assert demo.blocks.analytics_enabled is False
    with urllib.request.urlopen(demo.address) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self' ")
        assert "//fonts." not in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(demo.address, headers={"Host": "elsewhere.example"}))


def test_finding_and_explaining_by_the_parts_of_the_page(demo: Demo, sketch: Image.Image) -> None:
    find, explain = (function.fn for function in demo.blocks.fns.values())
    gallery = Client(demo.server.address).galleries()[0][1]  # type: ignore[union-attr]
    results, shown, guesses, overlay, lines = find(gallery, {"composite": sketch})
    assert [caption.split()[1] for _, caption in shown] == [hit.name for hit in results.hits]
    assert guesses == dict(results.guesses)
    chosen = type("Chosen", (), {"index": 0})
    assert [picture.tobytes() for picture in explain(results, chosen)] == [overlay.tobytes(), lines.tobytes()]


@pytest.mark.parametrize("pad", [None, {"composite": None}, {"composite": Image.new("RGBA", (8, 8))}])
def test_nothing_drawn_is_told_in_the_page(demo: Demo, pad: Any) -> None:
    gradio = pytest.importorskip("gradio", reason=NO_GRADIO)
    find = next(iter(demo.blocks.fns.values())).fn
    with pytest.raises(gradio.Error, match="draw something first"):
        find("any", pad)


def test_closing_ends_both_servers(demo: Demo) -> None:
    server = demo.server
    assert server is not None
    demo.close()
    demo.close()  # once more does no harm
    assert not server.thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(demo.address)
