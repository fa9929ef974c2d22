"""Where weights are looked for, what is said when they are not there, and how sets are told apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sketchfusion.backbones import weights
from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.patch_encoder import TransformerEncoder
from sketchfusion.backbones.weights import fingerprint, is_at_hand, is_offline, resolve, weight_files
from sketchfusion.config import DiffusionConfig, EncoderConfig
from sketchfusion.errors import ConfigError, WeightsUnavailable

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
Folder = Callable[[str], Path]


def load_diffusion(folder: Path) -> LatentDiffusion:
    return LatentDiffusion.from_config(DiffusionConfig(source=(str(folder),)), taps=("up1",), canvas_size=64)


def load_encoder(folder: Path) -> TransformerEncoder:
    return TransformerEncoder.from_config(EncoderConfig(source=(str(folder),)))


def test_the_first_place_that_exists_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    places = [str(tmp_path / name) for name in "abc"]
    assert resolve(places, what="part") == tmp_path / "b"


@pytest.mark.parametrize("layout", ["owner/model", "model"])
def test_weights_folder_holds_repositories_by_name(layout: str, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / layout).mkdir(parents=True)
    monkeypatch.setenv("SKETCHFUSION_WEIGHTS", str(tmp_path))
    assert resolve(["owner/model"], what="part") == tmp_path / layout
    assert resolve(["owner/model@main"], what="part") == tmp_path / layout
    assert is_at_hand(["owner/model"])


def test_a_relative_folder_that_exists_is_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve(["weights/mine"], what="part") == Path("weights/mine")


def test_only_the_files_that_are_loaded_count(tmp_path: Path) -> None:
    """A folder may hold the same weights in other precisions; which is loaded tells."""
    save_file({"weight": torch.zeros(9)}, tmp_path / "model.safetensors")
    alone = fingerprint(tmp_path)
    save_file({"weight": torch.zeros(9, dtype=torch.float16)}, tmp_path / "model.fp16.safetensors")
    assert fingerprint(tmp_path) == alone
    assert fingerprint(tmp_path, "fp16") != alone
    save_file({"weight": torch.zeros(9)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"weight": torch.zeros(9)}, tmp_path / "model.fp16-00001-of-00002.safetensors")
    assert [file.name for file in weight_files(tmp_path, "fp16")] == [
        "model.fp16-00001-of-00002.safetensors", "model.fp16.safetensors"]


def test_one_file_of_a_repository_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "model").mkdir(parents=True)
    (tmp_path / "owner" / "model" / "unet.safetensors").touch()
    monkeypatch.setenv("SKETCHFUSION_WEIGHTS", str(tmp_path))
    found = resolve(["owner/model/unet.safetensors"], what="part")
    assert found == tmp_path / "owner" / "model" / "unet.safetensors"


def test_a_place_on_this_machine_is_preferred_to_the_hub(tmp_path: Path) -> None:
    assert resolve(["owner/model", str(tmp_path)], what="part") == tmp_path


def test_local_cache_is_asked_before_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    asked: list[tuple[str, bool]] = []

    def hub(source: str, patterns: object, *, local_only: bool) -> Path:
        asked.append((source, local_only))
        raise OSError("nothing here")

    monkeypatch.setattr(weights, "_from_hub", hub)
    with pytest.raises(WeightsUnavailable):
        resolve(["a/x", "b/y"], what="part")
    assert asked == [("a/x", True), ("b/y", True), ("a/x", False), ("b/y", False)]


@pytest.mark.parametrize("variable", ["SKETCHFUSION_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_never_asks_the_hub(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert not is_offline()
    monkeypatch.setenv(variable, "1")
    assert is_offline()
    asked: list[bool] = []

    def hub(source: str, patterns: object, *, local_only: bool) -> Path:
        asked.append(local_only)
        raise OSError("nothing here")

    monkeypatch.setattr(weights, "_from_hub", hub)
    with pytest.raises(WeightsUnavailable):
        resolve(["a/x"], what="part")
    assert asked == [True]


def test_the_error_lists_mirrors_and_what_to_put_where() -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        resolve(["first/mirror", "second/mirror"], what="diffusion model")
    message = str(caught.value)
    assert "no weights for the diffusion model" in message
    assert message.count("first/mirror") >= 2
    assert "second/mirror" in message
    assert "hf download first/mirror" in message
    assert "SKETCHFUSION_WEIGHTS" in message


def test_weights_that_the_package_lacks_point_to_another_preset() -> None:
    with pytest.raises(WeightsUnavailable, match="`tiny` runs without any download"):
        resolve(["package:nothing/here"], what="part")


def test_an_unknown_random_architecture_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown architecture 'nope'; known: .*tiny-sd"):
        resolve(["random:nope"], what="part")


def test_a_copy_has_the_same_fingerprint_whatever_it_is_called(tmp_path: Path, diffusion_folder: Folder) -> None:
    unet = diffusion_folder("sd2") / "unet"
    copy = shutil.copytree(unet, tmp_path / "elsewhere")
    (copy / "diffusion_pytorch_model.safetensors").rename(copy / "other_name.safetensors")
    assert fingerprint(copy) == fingerprint(unet) == fingerprint(copy / "other_name.safetensors")


@pytest.mark.parametrize("where", [0, 0.37, 0.999])
def test_one_changed_weight_of_a_small_tensor_changes_the_fingerprint(where: float, tmp_path: Path) -> None:
    """Of tensors up to 256 KiB every byte counts."""
    values = torch.zeros(60_000)
    save_file({"weight": values}, tmp_path / "before.safetensors")
    values[int(where * len(values))] = 1e-6
    save_file({"weight": values}, tmp_path / "after.safetensors")
    assert fingerprint(tmp_path / "before.safetensors") != fingerprint(tmp_path / "after.safetensors")


def test_one_retrained_layer_among_large_ones_changes_the_fingerprint(tmp_path: Path) -> None:
    """Of larger tensors three samples count, of each of them; one weight between two samples may not be seen."""
    layers = {f"layer{index}": torch.zeros(300_000) for index in range(4)}
    save_file(layers, tmp_path / "a.safetensors")
    save_file(layers | {"layer2": layers["layer2"] + 1e-6}, tmp_path / "retrained.safetensors")
    save_file({f"other{index}": value for index, value in enumerate(layers.values())}, tmp_path / "named.safetensors")
    save_file(layers | {"layer3": torch.zeros(300_001)}, tmp_path / "longer.safetensors")
    prints = {name: fingerprint(tmp_path / f"{name}.safetensors") for name in ("a", "retrained", "named", "longer")}
    assert len(set(prints.values())) == 4


def test_a_file_that_only_calls_itself_safetensors_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else altogether")
    with pytest.raises(WeightsUnavailable, match=r"model\.safetensors is not in the safetensors format"):
        fingerprint(tmp_path)


def test_missing_weights_file_is_an_error(tmp_path: Path, diffusion_folder: Folder) -> None:
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    (folder / UNET_FILE).unlink()
    with pytest.raises(WeightsUnavailable, match=r"UNet2DConditionModel(.|\n)*\*\.safetensors"):
        load_diffusion(folder)


@pytest.mark.parametrize(("part", "file"), [("unet", UNET_FILE), ("encoder", "model.safetensors"),
                                            ("text_encoder", "text_encoder/model.safetensors"),
                                            ("vae", "vae/diffusion_pytorch_model.safetensors")])
def test_one_missing_tensor_is_never_made_up(part: str, file: str, tmp_path: Path, diffusion_folder: Folder,
                                             encoder_folder: Folder) -> None:
    source = encoder_folder("clip") if part == "encoder" else diffusion_folder("sd2")
    folder = shutil.copytree(source, tmp_path / "copy")
    tensors = load_file(folder / file)
    dropped = next(name for name in sorted(tensors) if name.endswith("weight") and "decoder" not in name)
    del tensors[dropped]
    save_file(tensors, folder / file, metadata={"format": "pt"})
    with pytest.raises(WeightsUnavailable, match="incomplete: 1 missing"):
        (load_encoder if part == "encoder" else load_diffusion)(folder)


def test_tensors_of_another_shape_are_refused(tmp_path: Path, encoder_folder: Folder) -> None:
    folder = shutil.copytree(encoder_folder("clip"), tmp_path / "copy")
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("patch_embedding.weight"))
    tensors[name] = tensors[name][:16].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnavailable):
        load_encoder(folder)


@pytest.mark.parametrize("part", ["unet", "encoder"])
def test_pickle_only_folders_are_refused(part: str, tmp_path: Path, diffusion_folder: Folder,
                                         encoder_folder: Folder) -> None:
    source = encoder_folder("clip") if part == "encoder" else diffusion_folder("sd2")
    folder = shutil.copytree(source, tmp_path / "copy")
    file = folder / ("model.safetensors" if part == "encoder" else UNET_FILE)
    pickled = "pytorch_model.bin" if part == "encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(file), file.with_name(pickled))
    file.unlink()
    with pytest.raises(WeightsUnavailable, match="safetensors"):
        (load_encoder if part == "encoder" else load_diffusion)(folder)


@pytest.mark.parametrize("keep", [0, 5, 0.5])
@pytest.mark.parametrize("part", ["unet", "encoder"])
def test_corrupt_safetensors_are_an_error(part: str, keep: float, tmp_path: Path, diffusion_folder: Folder,
                                          encoder_folder: Folder) -> None:
    source = encoder_folder("clip") if part == "encoder" else diffusion_folder("sd2")
    folder = shutil.copytree(source, tmp_path / "copy")
    file = folder / ("model.safetensors" if part == "encoder" else UNET_FILE)
    data = file.read_bytes()
    file.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(WeightsUnavailable, match="cannot load"):
        (load_encoder if part == "encoder" else load_diffusion)(folder)
