"""Saving is exact, loading is strict, and a device or format that is not there is an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sketchfusion.errors import ConfigError, DeviceError, WeightsUnavailable
from sketchfusion.fusion.checkpoint import choose_device
from sketchfusion.fusion.extractor import SketchFusion

Make = Callable[..., SketchFusion]
Train = Callable[[SketchFusion], SketchFusion]


@pytest.fixture
def saved(tmp_path: Path, make_tiny: Make, as_if_trained: Train) -> Path:
    return as_if_trained(make_tiny()).save_pretrained(tmp_path / "saved")


def change_record(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def test_save_and_reload_is_exact(tmp_path: Path, pictures: list[Image.Image], make_tiny: Make,
                                  as_if_trained: Train) -> None:
    model = as_if_trained(make_tiny("diffusion.timesteps=[50,195]", "injection.skips=true"))
    model.set_prompt("a photo of [CAT]")
    again = SketchFusion.from_pretrained(model.save_pretrained(tmp_path / "saved"), device="cpu")
    assert torch.equal(again.describe(pictures), model.describe(pictures))
    assert again.learned().keys() == model.learned().keys()
    assert all(torch.equal(value, model.learned()[name]) for name, value in again.learned().items())
    assert again.fingerprint == model.fingerprint
    assert again.config == model.config
    assert again.is_trained
    assert not again.training


def test_only_what_was_learned_is_written(saved: Path, tiny_model: SketchFusion) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "fusion.safetensors"]
    assert load_file(saved / "fusion.safetensors").keys() == tiny_model.learned().keys()


def test_saving_over_an_older_folder_replaces_it(saved: Path, make_tiny: Make) -> None:
    other = make_tiny("diffusion.seed=9")
    other.save_pretrained(saved)
    assert SketchFusion.from_pretrained(saved, device="cpu").fingerprint == other.fingerprint


@pytest.mark.parametrize(("setting", "part"), [("encoder.source=random:tiny-clip", "encoder"),
                                               ("diffusion.source=random:tiny-sd", "diffusion")])
def test_other_backbones_are_refused(setting: str, part: str, saved: Path) -> None:
    change_record(saved, lambda record: {**record, "backbones": {**record["backbones"], part: "0123456789abcdef"}})
    with pytest.raises(WeightsUnavailable, match=f"was trained with another {part} backbone"):
        SketchFusion.from_pretrained(saved, overrides=[setting], device="cpu")


def test_an_override_cannot_bring_in_other_backbones(saved: Path, encoder_folder: Callable[[str], Path]) -> None:
    with pytest.raises(WeightsUnavailable, match="another encoder backbone"):
        SketchFusion.from_pretrained(saved, overrides=[f"encoder.source={encoder_folder('dinov2')}"], device="cpu")


def test_overrides_on_a_saved_folder_show_in_the_fingerprint(saved: Path) -> None:
    plain = SketchFusion.from_pretrained(saved, device="cpu")
    smaller = SketchFusion.from_pretrained(saved, overrides=["diffusion.max_batch=2"], device="cpu")
    averaged = SketchFusion.from_pretrained(saved, overrides=["diffusion.num_noise_samples=2"], device="cpu")
    assert smaller.fingerprint == plain.fingerprint != averaged.fingerprint
    assert averaged.overrides == ("diffusion.num_noise_samples=2",)


def test_an_override_that_changes_the_learned_shapes_is_refused(saved: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"does not fit its settings: .*'aggregator.mixing'"):
        SketchFusion.from_pretrained(saved, overrides=["diffusion.timesteps=[1,2]"], device="cpu")


@pytest.mark.parametrize(("change", "says"), [
    (lambda tensors: tensors.pop("aggregator.mixing"), r"missing \['aggregator.mixing'\]"),
    (lambda tensors: tensors.update(extra=torch.zeros(1)), r"unknown \['extra'\]"),
    (lambda tensors: tensors.update({"aggregator.mixing": torch.zeros(2)}), r"other shape \['aggregator.mixing'\]"),
])
def test_tensors_that_do_not_fit_are_listed(change: Callable[[dict[str, torch.Tensor]], Any], says: str,
                                            saved: Path) -> None:
    tensors = load_file(saved / "fusion.safetensors")
    change(tensors)
    save_file(tensors, saved / "fusion.safetensors")
    with pytest.raises(WeightsUnavailable, match=says):
        SketchFusion.from_pretrained(saved, device="cpu")


def test_of_many_tensors_that_do_not_fit_a_few_are_named(tmp_path: Path, make_tiny: Make) -> None:
    folder = make_tiny("finetune=true").save_pretrained(tmp_path / "finetuned")
    says = r"missing \[\], unknown \['diffusion\.unet\..* and \d{3} more, other shape"
    with pytest.raises(WeightsUnavailable, match=says) as raised:
        SketchFusion.from_pretrained(folder, overrides=["finetune=false"], device="cpu")
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_damaged_weights_are_an_error(damage: str, saved: Path) -> None:
    file = saved / "fusion.safetensors"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsUnavailable, match=r"cannot read .*fusion\.safetensors"):
        SketchFusion.from_pretrained(saved, device="cpu")


@pytest.mark.parametrize("change", [
    lambda record: {**record, "format": 99}, lambda record: {"model_type": "clip"}, lambda record: [record],
    lambda record: {**record, "backbones": ["a", "b"]}, lambda record: {**record, "extractor": 3}])
def test_another_format_is_refused(change: Callable[[dict[str, Any]], Any], saved: Path) -> None:
    change_record(saved, change)
    with pytest.raises(ConfigError, match="is not a saved SketchFusion of format"):
        SketchFusion.from_pretrained(saved, device="cpu")


def test_a_record_without_backbones_is_not_taken_on_trust(saved: Path) -> None:
    change_record(saved, lambda record: {**record, "backbones": {}})
    with pytest.raises(WeightsUnavailable, match="another encoder backbone"):
        SketchFusion.from_pretrained(saved, device="cpu")


def test_text_that_is_not_json_is_refused(saved: Path) -> None:
    (saved / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot read"):
        SketchFusion.from_pretrained(saved, device="cpu")


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        SketchFusion.from_pretrained(tmp_path, device="cpu")


def test_a_saved_folder_can_be_moved(saved: Path, tmp_path: Path, pictures: list[Image.Image]) -> None:
    before = SketchFusion.from_pretrained(saved, device="cpu").describe(pictures[0])
    moved = shutil.move(saved, tmp_path / "elsewhere")
    assert torch.equal(SketchFusion.from_pretrained(moved, device="cpu").describe(pictures[0]), before)


def test_a_configuration_file_is_as_good_as_a_preset(tmp_path: Path, tiny_model: SketchFusion) -> None:
    (tmp_path / "mine.yaml").write_text("extends: tiny\n")
    assert SketchFusion.from_pretrained(tmp_path / "mine.yaml", device="cpu").fingerprint == tiny_model.fingerprint


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError, match="cannot use device"):
        choose_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_cuda_without_cuda_is_an_error_and_not_the_cpu() -> None:
    with pytest.raises(DeviceError, match="take --device cpu, or auto"):
        SketchFusion.from_pretrained("tiny", device="cuda")


def test_an_unknown_number_format_is_an_error() -> None:
    with pytest.raises(DeviceError, match="unknown number format 'float8'; expected auto, float32, bfloat16"):
        SketchFusion.from_pretrained("tiny", device="cpu", dtype="float8")


def test_auto_on_the_cpu_is_single_precision() -> None:
    assert SketchFusion.from_pretrained("tiny", device="cpu").dtype == torch.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_and_keeps_the_fingerprint(dtype: str, saved: Path, pictures: list[Image.Image]) -> None:
    """A gallery built on a GPU in bfloat16 is searched on a laptop in float32."""
    single = SketchFusion.from_pretrained(saved, device="cpu")
    half = SketchFusion.from_pretrained(saved, device="cpu", dtype=dtype)
    for name, parameter in half.named_parameters():  # the VAE's configuration says that it overflows in float16
        upcast = dtype == "float16" and name.startswith("diffusion.vae.")
        assert parameter.dtype == (torch.float32 if upcast else getattr(torch, dtype)), name
    found = half.describe(pictures)
    assert found.dtype == torch.float32
    assert (found * single.describe(pictures)).sum(-1).min() > 0.99
    assert half.fingerprint == single.fingerprint
    with torch.no_grad():
        half.aggregator.mixing[0, 0] += 1
    assert half.fingerprint != single.fingerprint
