"""Which extractor a method takes its features from, and what it gives for each task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sketchfusion.canvas import Canvas
from sketchfusion.data.sets import Picture
from sketchfusion.engine.evaluate import evaluate
from sketchfusion.engine.hog import edge_descriptor
from sketchfusion.engine.methods import (
    METHODS,
    describe,
    describe_canvas,
    maps_of,
    needs_model,
    prepared,
    side_by_side,
)
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion

DINO = {"B-DINO": "dino", "B-DINOv2": "dinov2"}


@pytest.fixture
def canvas(tiny_model: SketchFusion, pictures: list[Image.Image]) -> Canvas:
    return Canvas.stack([tiny_model.read(picture, "photo") for picture in pictures[:2]])


@pytest.fixture
def settings(encoder_folder: Callable[[str], Path]) -> Callable[[str], list[str]]:
    """``settings(method)``: where the weights of its own encoder are; none for the others."""
    return lambda method: [f"source={encoder_folder(DINO[method])}"] if method in DINO else []


def test_the_model_itself_unless_a_baseline_has_an_encoder_of_its_own(
    tiny_model: SketchFusion, settings: Callable[[str], list[str]],
) -> None:
    found = {method: prepared(tiny_model, method, settings(method)) for method in METHODS}
    own = {method for method, model in found.items() if model is tiny_model}
    assert own == {"fused", "B-CLIP", "B-SD", "B-SD+CLIP", "chance"}
    assert found["HOG"] is None
    for method in DINO:
        model = found[method]
        assert model is not None
        assert model.encoder is not tiny_model.encoder
        assert model.diffusion is tiny_model.diffusion
        assert model.heads is tiny_model.heads
        assert (model.canvas_size, model.config.canvas) == (64, tiny_model.config.canvas)
        assert (model.device, model.dtype) == (tiny_model.device, tiny_model.dtype)


@pytest.mark.parametrize("method", [method for method in METHODS if needs_model(method)])
def test_without_a_model_there_is_hog_alone(method: str) -> None:
    with pytest.raises(ConfigError, match="needs a model; only HOG does without"):
        prepared(None, method)


def test_settings_for_a_method_without_an_encoder_of_its_own_are_refused(tiny_model: SketchFusion) -> None:
    for method in ("fused", "B-SD", "HOG"):
        with pytest.raises(ConfigError, match="has no encoder of its own that 'layer=0' could set"):
            prepared(tiny_model, method, ["layer=0"])


@pytest.mark.parametrize("method", METHODS[:-1])
def test_vectors_and_maps_are_of_the_same_features(
    method: str, tiny_model: SketchFusion, canvas: Canvas, settings: Callable[[str], list[str]],
) -> None:
    model = prepared(tiny_model, method, settings(method))
    assert model is not None
    vectors, maps = describe_canvas(model, method, canvas), maps_of(model, method, canvas)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert maps.dtype == torch.float32
    if method in ("B-CLIP", *DINO):
        patches = model.encoder.patch_features(canvas.images_01)
        torch.testing.assert_close(maps, F.normalize(patches, dim=1))
        assert vectors.shape[1] == maps.shape[1] == 32
    assert not torch.allclose(vectors[0], vectors[1])


def test_hog_is_described_without_a_model(tmp_path: Path, pictures: list[Image.Image]) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file, picture in zip(files, pictures, strict=False):
        picture.save(file)
    done: list[int] = []
    found = describe(None, "HOG", [Picture(file, "cat") for file in files], "photo", batch_size=2, advance=done.append)
    expected = [torch.from_numpy(edge_descriptor(picture, "photo")) for picture in pictures[:3]]
    torch.testing.assert_close(found, torch.stack(expected))
    assert sum(done) == 3


def test_every_method_is_evaluated_and_told_apart(pacs: Path, tiny_model: SketchFusion,
                                                  settings: Callable[[str], list[str]]) -> None:
    results = {method: evaluate(tiny_model if needs_model(method) else None, "pacs", pacs, method=method,
                                baseline_settings=settings(method)).result for method in METHODS}
    assert len({result.fingerprint for result in results.values()}) == len(METHODS)
    assert len({result.data for result in results.values()}) == 1
    assert results["HOG"].settings.keys() == {"evaluation"}
    assert results["HOG"].fingerprint == evaluate(tiny_model, "pacs", pacs, method="HOG").result.fingerprint
    assert results["B-DINO"].model == "tiny, B-DINO"
    assert results["B-DINO"].settings["encoder"]["source"] != results["B-CLIP"].settings["encoder"]["source"]


@pytest.mark.parametrize("method", METHODS)
def test_the_page_of_protocols_says_what_each_method_does(method: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `") and f"`{method}`" in line.split(" | ")[0]]
    assert len(rows) == 1, method
    assert rows[0].count(" | ") == 4  # the method and four tasks


@pytest.mark.parametrize("method", ["fused", "B-CLIP", "B-SD", "B-SD+CLIP", "chance"])
def test_maps_of_every_method(tiny_model: SketchFusion, pictures: list[Image.Image], method: str) -> None:
    canvas = Canvas.stack([tiny_model.read(picture, "photo") for picture in pictures[:2]])
    maps = maps_of(tiny_model, method, canvas)  # type: ignore[arg-type]
    assert maps.shape[0] == 2
    assert torch.isfinite(maps).all()
    if method == "fused":
        assert torch.equal(maps, tiny_model.features_of(canvas).feature_map)
    assert not torch.allclose(maps[0], maps[1])


def test_the_cosine_of_maps_side_by_side_is_the_mean_of_their_cosines() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, channels, 5, 4, generator=generator) for channels in (3, 6)]
    one, other = side_by_side(parts)
    expected = sum(F.cosine_similarity(part[0], part[1], dim=0) for part in parts) / 2
    assert torch.allclose(F.cosine_similarity(one, other, dim=0), expected, atol=1e-6)
    assert side_by_side([parts[0], parts[1][:, :, :2, :2]]).shape == (2, 9, 5, 4)
