"""Two models at once: which of them guesses, which leaves when a third comes, and that none tells where it lies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sketchfusion.apps.web.admission import ModelThread
from sketchfusion.apps.web.models import KEPT, Models
from sketchfusion.apps.web.settings import API, Limits
from sketchfusion.errors import WeightsUnavailable
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import GalleryRecord
from sketchfusion.index.store import path_id

CLASSES = {"sea": {"fish", "boat"}, "home": {"cup", "key"}}


@pytest.fixture
def two(place: Path, tmp_path: Path, make_tiny: Callable[..., SketchFusion],
        open_client: Callable[..., TestClient]) -> TestClient:
    """A client of galleries ``sea`` and ``home``, each made by a model that knows other classes."""
    models = {}
    for number, (name, classes) in enumerate(CLASSES.items()):
        models[name] = make_tiny()
        models[name].name = name
        models[name].learn_anew(number, sorted(classes))
        models[name].eval()
        Gallery.create(tmp_path / name, models[name]).update([place / "photos" / "album"], models[name])
    return open_client(place, galleries=(tmp_path / "sea", tmp_path / "home"), home=tmp_path / "made",
                       load=lambda model, overrides: models[model])


@pytest.fixture
def sent(two: TestClient, strokes: dict[str, Any]) -> str:
    """Id of a sketch."""
    return str(two.post(f"{API}/sketches", json=strokes).json()["id"])


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, str]:
    """Ids of the galleries."""
    return {name: path_id(str(tmp_path / name)) for name in CLASSES}


def guessed(client: TestClient, sketch: str, **query: str) -> set[str]:
    """Names of what the sketch may show."""
    answer = client.get(f"{API}/sketches/{sketch}/classes", params=query)
    assert answer.status_code == 200, answer.text
    return {each["name"] for each in answer.json()["guesses"]}


def test_the_model_of_the_gallery_that_is_named_guesses(two: TestClient, sent: str, ids: dict[str, str]) -> None:
    for name in ("home", "sea", "home"):
        assert guessed(two, sent, gallery=ids[name]) == CLASSES[name]
    answer = two.get(f"{API}/sketches/{sent}/classes", params={"gallery": "none"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_gallery")
    gone = two.get(f"{API}/sketches/none/classes", params={"gallery": ids["sea"]})
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown_sketch")


def test_without_a_gallery_the_model_used_last_guesses(two: TestClient, sent: str, ids: dict[str, str]) -> None:
    for name in ("sea", "home", "sea"):  # the last one was loaded long before
        assert two.get(f"{API}/galleries/{ids[name]}/search", params={"sketch": sent}).status_code == 200
        assert guessed(two, sent) == CLASSES[name]
        assert two.get(f"{API}/health").json()["model"] == name


def test_a_search_does_not_compare_two_models(two: TestClient, sent: str, ids: dict[str, str], tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gallery is described anew between the sketch and the search."""
    models, path = two.app.state.service.models, f"{API}/galleries/{ids['sea']}/search"  # type: ignore[attr-defined]
    describe = models.describe

    async def rebuilt(sketch: Any, loaded: Any) -> Any:
        described = await describe(sketch, loaded)
        monkeypatch.setattr(models, "describe", describe)
        await asyncio.to_thread(lambda: Gallery.open(tmp_path / "sea").update(
            [], models.load("home", ()), rebuild=True))
        return described

    assert two.get(path, params={"sketch": sent}).status_code == 200
    monkeypatch.setattr(models, "describe", rebuilt)
    refused = two.get(path, params={"sketch": sent})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "other_model")
    assert "described anew by another model" in refused.json()["error"]["message"]
    again, fresh = (two.get(f"{API}/galleries/{ids[name]}/search", params={"sketch": sent}).json()["hits"]
                    for name in ("sea", "home"))
    assert [hit["score"] for hit in again] == [hit["score"] for hit in fresh]


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    opened = ModelThread(Limits())
    yield opened
    opened.close()


def record_of(name: str) -> GalleryRecord:
    """Of a gallery that a model of this name made."""
    return GalleryRecord(format=2, fingerprint=name, model=name, descriptor_size=1, store="store-1", created="")


def test_the_model_used_least_recently_leaves(thread: ModelThread) -> None:
    loads: list[str] = []

    def load(name: str, overrides: tuple[str, ...]) -> Any:
        loads.append(name)
        return SimpleNamespace(fingerprint=name)

    models = Models(load, thread)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert asyncio.run(models.of(record_of(name))).fingerprint == name
        assert len(models.loaded) <= KEPT
    assert loads == ["a", "b", "c", "b"]  # "b" made room for "c", since "a" was used after it


def test_a_model_that_is_a_folder_is_named_not_placed(
        place: Path, tmp_path: Path, make_tiny: Callable[..., SketchFusion], open_client: Callable[..., TestClient],
        strokes: dict[str, Any]) -> None:
    model, loads = make_tiny(), [0]
    (tmp_path / "models" / "mine").mkdir(parents=True)
    model.name = str(tmp_path / "models" / "mine")
    Gallery.create(tmp_path / "made", model).update([place / "photos" / "album"], model)

    def load(name: str, overrides: tuple[str, ...]) -> SketchFusion:
        loads[0] += 1
        if loads[0] > 1:
            raise WeightsUnavailable(f"there are no weights in {name}; put them there")
        return model

    client = open_client(place, galleries=(tmp_path / "made",), home=tmp_path / "home", load=load)
    sketch = client.post(f"{API}/sketches", json=strokes).json()["id"]
    [gallery] = client.get(f"{API}/galleries").json()["galleries"]
    assert gallery["model"] == "mine"
    assert client.get(f"{API}/health").json()["model"] == "mine"
    client.app.state.service.models.loaded.clear()  # type: ignore[attr-defined]
    refused = client.get(f"{API}/galleries/{gallery['id']}/search", params={"sketch": sketch})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        409, "there are no weights in mine; put them there")
    model.name = "another"  # so that it has another fingerprint than the record says
    loads[0] = 0
    record = tmp_path / "made" / "gallery.json"
    record.write_text(record.read_text().replace(model.fingerprint, "0" * len(model.fingerprint)))
    changed = client.get(f"{API}/galleries/{gallery['id']}/search", params={"sketch": sketch})
    assert changed.json()["error"]["code"] == "other_model"
    assert str(tmp_path) not in changed.text
    assert "'mine'" in changed.json()["error"]["message"]
