"""The preset that ships: complete, consistent, small, safe, and better than chance on things that it never saw."""

from __future__ import annotations

import json
import warnings
from importlib import resources
from pathlib import Path

import pytest
import torch
from PIL import Image

from sketchfusion import SketchFusion
from sketchfusion.config import DEFAULT_PRESET, ExtractorConfig, load_preset
from sketchfusion.data.packed.sources import SOURCES
from sketchfusion.data.world import DrawnWorld
from sketchfusion.engine.judge import judge_categories, judge_instances
from sketchfusion.fusion.cost import count_cost

WEIGHTS = Path(str(resources.files("sketchfusion"))) / "weights" / "mini"
MOST_BYTES = 64 * 10**6
CLASSES = ("cat", "guitar", "lighthouse", "car", "fish", "tree", "umbrella", "cup", "airplane", "chair")
PER_CLASS = 4


@pytest.fixture(scope="module")
def mini() -> SketchFusion:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing untrained, nothing missing
        return SketchFusion.from_pretrained("mini", device="cpu")


def test_it_is_the_default_and_trained(mini: SketchFusion) -> None:
    assert DEFAULT_PRESET == "mini"
    assert mini.is_trained
    learned = mini.learned()
    assert any(bool(value.any()) for name, value in learned.items() if name.startswith("injector."))


def test_the_pilot_study_in_the_documentation_is_of_this_model(mini: SketchFusion) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "analysis.md"
    assert f"the model with the fingerprint `{mini.fingerprint}`" in page.read_text(encoding="utf-8")


def test_its_settings_are_those_that_its_fusion_was_trained_with() -> None:
    record = json.loads((WEIGHTS / "fusion" / "config.json").read_text())
    trained = ExtractorConfig.model_validate(record["extractor"])
    assert trained.shaping() == load_preset("mini").extractor.shaping()
    assert record["is_trained"] is True


def test_its_weights_are_few_and_hold_nothing_that_runs() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}


def test_its_declared_shapes_are_those_of_its_weights(mini: SketchFusion) -> None:
    """What ``sketchfusion info mini`` counts from the packaged architectures is what is loaded."""
    cost = count_cost(load_preset("mini"))
    parts = {"UNet": mini.diffusion.unet, "VAE encoder": mini.diffusion.vae, "patch encoder": mini.encoder,
             "injection": mini.injector, "aggregation": mini.aggregator}
    for name, part in parts.items():
        assert cost[name].parameters == sum(value.numel() for value in part.parameters()), name


def test_its_card_attributes_every_data_set() -> None:
    card = (WEIGHTS / "README.md").read_text()
    for source in SOURCES:
        assert source.attribution.split(",")[0].split(" (")[0] in card, source.name
        assert source.licence in card, source.name


def test_it_is_a_stock_pipeline() -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(WEIGHTS / "diffusion", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    side = pipeline.vae.config.sample_size
    image = pipeline("a photo of an airplane", height=side, width=side, num_inference_steps=2,
                     generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (side, side)


def test_it_finds_drawn_things_that_it_never_saw(mini: SketchFusion) -> None:
    """Another seed of the drawn world than it was trained on; chance is 1 in 10 for classes, 1 in 40 for instances."""
    world = list(DrawnWorld(CLASSES, instances_per_category=PER_CLASS, seed=7, abstraction=0.3))
    photos = mini.describe([Image.fromarray(sample.photo) for sample in world])
    sketches = mini.describe([Image.fromarray(sample.sketch) for sample in world], kind="sketch")
    ids = torch.tensor([sample.class_index for sample in world])
    category = judge_categories(sketches, photos, ids, ids, k=PER_CLASS)
    instance = judge_instances(sketches, photos, torch.arange(len(world)))
    assert float(category[f"P@{PER_CLASS}"].mean()) > 0.3
    assert float(instance["Acc@5"].mean()) > 0.3
