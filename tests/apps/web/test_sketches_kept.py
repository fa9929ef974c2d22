"""How long sketches are kept, within which bounds, and that large pictures are decoded one at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from sketchfusion.apps.web import photos, sketches
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.settings import API, Limits
from sketchfusion.apps.web.sketches import Described, Sketch, SketchStore, read_body
from sketchfusion.canvas import blank_canvas
from sketchfusion.errors import ImageError
from sketchfusion.images import decode


def sketch_of(level: int) -> Sketch:
    """One that is a few bytes large, of its own for each level."""
    return Sketch.of(Image.new("RGB", (8, 8), (level, 0, 0)), (8, 8))


def describe(sketch: Sketch, size: int) -> None:
    """Give it features of at least so many bytes, as a model does, and tell that."""
    features = torch.zeros(1, size // 4, 1, 1)
    future: Future[Described] = Future()
    future.set_result(Described(blank_canvas([(8, 8)], 16), torch.zeros(4).numpy(), features, torch.zeros(1, 4)))
    sketch.described["model"] = future
    sketch.on_use(sketch)


def test_features_count_and_the_sketch_just_used_stays() -> None:
    store = SketchStore(Limits(sketch_bytes=100_000))
    first, second, third = (store.add(sketch_of(level)) for level in range(3))
    for sketch in (third, second):
        describe(sketch, 40_000)
    assert len(store) == 3
    describe(first, 40_000)  # the one used least recently until now
    assert (list(store.sketches), store.num_bytes < 100_000) == ([second.id, first.id], True)
    describe(third, 200_000)  # which has left, and does not come back
    assert list(store.sketches) == [second.id, first.id]
    describe(second, 200_000)
    assert list(store.sketches) == [second.id]  # too large alone, but it is in use


def test_a_sketch_that_is_asked_for_stays_though_there_are_too_many_bytes() -> None:
    store = SketchStore(Limits(sketch_bytes=100_000))
    first, second = store.add(sketch_of(1)), store.add(sketch_of(2))
    second.on_use = lambda sketch: None  # nobody waited for its features
    describe(second, 200_000)
    assert store.get(first.id) is first
    assert list(store.sketches) == [first.id]


def test_old_sketches_leave_though_no_new_one_is_sent() -> None:
    now = [0.0]
    store = SketchStore(Limits(sketch_seconds=100), clock=lambda: now[0])
    first, second = store.add(sketch_of(1)), store.add(sketch_of(2))
    now[0] = 60
    store.get(second.id)
    now[0] = 101
    with pytest.raises(ApiError, match="there is no sketch"):
        store.get(first.id)
    assert list(store.sketches) == [second.id]
    now[0] = 161
    with pytest.raises(ApiError, match="there is no sketch"):
        store.get("unknown")
    assert len(store) == 0


def test_searching_keeps_the_bound(open_client: Callable[..., TestClient], place: Path, gallery: str, tmp_path: Path,
                                   strokes: dict[str, Any]) -> None:
    client = open_client(place, home=tmp_path)
    store = client.app.state.service.sketches  # type: ignore[attr-defined]
    for extra in range(6):
        sketch = client.post(f"{API}/sketches", json={**strokes, "width": 120 + extra}).json()["id"]
        assert client.get(f"{gallery}/search", params={"sketch": sketch}).status_code == 200
        if not extra:
            store.limits = Limits(sketch_bytes=round(2.5 * store.num_bytes))
        assert store.num_bytes <= store.limits.sketch_bytes
        assert sketch in store.sketches
    assert len(store) == 2


@pytest.mark.parametrize("large", [True, False])
def test_large_photos_are_decoded_one_at_a_time(client: TestClient, photo: str, large: bool,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def watched(image: Image.Image, **options: Any) -> Image.Image:
        held.append(sketches.ONE_LARGE.locked())
        return decode(image, **options)

    monkeypatch.setattr(photos, "decode", watched)
    monkeypatch.setattr(sketches, "LARGE_PIXELS", 10 if large else 10**9)
    assert client.get(f"{photo}/picture", params={"side": 31}).status_code == 200
    assert held == [large]
    assert not sketches.ONE_LARGE.locked()


def test_a_sketch_of_too_many_pixels_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "large.png")
    monkeypatch.setattr(sketches, "MAX_PIXELS", 1199)
    monkeypatch.setattr(sketches, "in_turn", None)
    with pytest.raises(ImageError, match="has 40 x 30 pixels, more than the limit of 1,199; scale it down"):
        read_body((tmp_path / "large.png").read_bytes(), "image/png", Limits())
