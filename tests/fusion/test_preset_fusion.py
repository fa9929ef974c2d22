"""A preset that names a trained fusion: it is loaded strictly, and only for the backbones that it was trained with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from sketchfusion.config import load_preset
from sketchfusion.errors import ConfigError, WeightsUnavailable
from sketchfusion.fusion.checkpoint import UntrainedWarning
from sketchfusion.fusion.extractor import SketchFusion


@pytest.fixture(scope="module")
def trained(as_if_trained: Callable[[SketchFusion], SketchFusion]) -> SketchFusion:
    """Shared: look, but do not change."""
    return as_if_trained(SketchFusion.from_pretrained("tiny", device="cpu"))


@pytest.fixture
def folder(trained: SketchFusion, tmp_path: Path) -> Path:
    return trained.save_pretrained(tmp_path / "fusion")


@pytest.fixture
def preset(tmp_path: Path) -> Callable[..., Path]:
    """``preset(place, ...)``: a preset file that extends ``tiny`` by these places of a fusion."""

    def write(*places: object, **extractor: Any) -> Path:
        raw = {"extends": "tiny", "fusion": [str(place) for place in places], "extractor": extractor}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "mine.yaml"

    return write


def load(file: Path, *overrides: str) -> SketchFusion:
    """The model of a preset; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return SketchFusion.from_pretrained(file, overrides=overrides, device="cpu")


def test_the_trained_tensors_are_loaded_without_a_warning(
    preset: Callable[..., Path], folder: Path, trained: SketchFusion, pictures: list[Image.Image],
) -> None:
    model = load(preset(folder))
    assert model.is_trained
    assert not model.training
    assert model.learned().keys() == trained.learned().keys()
    assert all(torch.equal(value, trained.learned()[name]) for name, value in model.learned().items())
    assert model.fingerprint == trained.fingerprint
    assert torch.equal(model.describe(pictures[:2]), trained.describe(pictures[:2]))


def test_without_a_fusion_the_model_is_untrained_and_says_so(tmp_path: Path, trained: SketchFusion) -> None:
    (tmp_path / "mine.yaml").write_text("extends: tiny\n")
    with pytest.warns(UntrainedWarning, match=r"the fusion of .*mine.* has not been trained"):
        model = SketchFusion.from_pretrained(tmp_path / "mine.yaml", device="cpu")
    assert not model.is_trained
    assert model.fingerprint != trained.fingerprint


def test_one_place_is_as_good_as_a_list_and_the_first_that_exists_is_taken(
    preset: Callable[..., Path], folder: Path, trained: SketchFusion, tmp_path: Path,
) -> None:
    assert load(preset(tmp_path / "nowhere", folder)).fingerprint == trained.fingerprint
    (tmp_path / "mine.yaml").write_text(f"extends: tiny\nfusion: {folder}\n")
    assert load(tmp_path / "mine.yaml").fingerprint == trained.fingerprint


def test_a_preset_may_take_the_fusion_of_another_with_a_setting_of_its_own(
    preset: Callable[..., Path], folder: Path, trained: SketchFusion,
) -> None:
    model = load(preset(folder, descriptor={"pooling": "mean"}))
    assert model.config.descriptor.pooling == "mean"
    assert torch.equal(model.aggregator.mixing, trained.aggregator.mixing)
    assert model.fingerprint != trained.fingerprint
    assert load(preset(folder), "descriptor.pooling=mean").fingerprint == model.fingerprint


@pytest.mark.parametrize("part", ["encoder", "diffusion"])
def test_a_fusion_of_other_backbones_is_refused_and_the_part_is_named(part: str, preset: Callable[..., Path],
                                                                      folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text())
    found, record["backbones"][part] = record["backbones"][part], "0123456789abcdef"
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(WeightsUnavailable, match=rf"trained with another {part} backbone \(weights 0123456789abcdef\) "
                                                 rf"than the one found here \(weights {found}\)"):
        load(preset(folder))


def test_an_override_of_a_backbone_is_refused(preset: Callable[..., Path], folder: Path,
                                              encoder_folder: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsUnavailable, match="another encoder backbone"):
        load(preset(folder), f"encoder.source={encoder_folder('dinov2')}")


@pytest.mark.parametrize(("override", "says"), [
    ("diffusion.timesteps=[1,2]", r"other shape \[.*'aggregator\.mixing'"),
    ("aggregation.out_channels=32", r"other shape \['aggregator\."),
    ("injection.blocks=[]", r"unknown \['injector\."),
])
def test_a_fusion_of_other_shapes_is_refused_and_its_tensors_are_named(
    override: str, says: str, preset: Callable[..., Path], folder: Path,
) -> None:
    with pytest.raises(WeightsUnavailable, match=rf"fusion\.safetensors does not fit its settings: .*{says}"):
        load(preset(folder), override)


def test_a_fusion_that_is_nowhere_says_what_was_tried(preset: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        load(preset(tmp_path / "one", tmp_path / "two", "package:weights-that-are-not-there"))
    text = str(caught.value)
    assert "no weights for the fusion of mine. Tried:" in text
    for place in (tmp_path / "one", tmp_path / "two"):
        assert f"{place} does not exist" in text
    assert "inside the package" in text


def test_a_fusion_of_the_hub_is_looked_for_below_the_weights_folder(
    preset: Callable[..., Path], folder: Path, trained: SketchFusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "weights" / "someone").mkdir(parents=True)
    folder.rename(tmp_path / "weights" / "someone" / "fusion")
    with pytest.raises(WeightsUnavailable, match="someone/fusion: not in the hub's local cache"):
        load(preset("someone/fusion"))
    monkeypatch.setenv("SKETCHFUSION_WEIGHTS", str(tmp_path / "weights"))
    assert load(preset("someone/fusion")).fingerprint == trained.fingerprint


@pytest.mark.parametrize(("file", "error", "says"), [
    ("config.json", ConfigError, r"cannot read .*config\.json"),
    ("fusion.safetensors", WeightsUnavailable, r"cannot read .*fusion\.safetensors"),
])
def test_a_folder_that_lacks_a_file_is_an_error(file: str, error: type[Exception], says: str,
                                                preset: Callable[..., Path], folder: Path) -> None:
    (folder / file).unlink()
    with pytest.raises(error, match=says):
        load(preset(folder))


def test_a_model_of_a_preset_with_a_fusion_can_be_saved_and_loaded(preset: Callable[..., Path], folder: Path,
                                                                   tmp_path: Path) -> None:
    model = load(preset(folder))
    again = load(model.save_pretrained(tmp_path / "again"))
    assert again.is_trained
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize("wrong", ["[]", "{folder: x}", "3"])
def test_places_that_are_none_are_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: tiny\nfusion: {wrong}\n")
    with pytest.raises(ConfigError, match="fusion"):
        load_preset(tmp_path / "mine.yaml")
