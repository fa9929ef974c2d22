"""Saving and loading an extractor: what was learned, the settings, and which frozen weights it belongs to.

A folder holds ``config.json`` and ``fusion.safetensors``, with the UNet and the patch encoder inside where
these learned too (``ExtractorConfig.finetune``). Loading is strict: every learned tensor must be there, and
the backbones must be the ones that it was trained with.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sketchfusion.backbones.base import compile_repeated
from sketchfusion.backbones.weights import resolve
from sketchfusion.config import (
    DEFAULT_PRESET,
    ExtractorConfig,
    assign,
    load_preset,
    preset_names,
    settle_place,
    validate,
)
from sketchfusion.errors import ConfigError, DeviceError, WeightsUnavailable
from sketchfusion.fusion.heads import Heads

if TYPE_CHECKING:
    from sketchfusion.fusion.extractor import SketchFusion

    Model = TypeVar("Model", bound=SketchFusion)

FORMAT = 2  # of the folder
FEATURES = 1  # raised when the same settings and weights would give other features
NAMED = 5  # tensors that an error names
CONFIG_FILE, WEIGHTS_FILE = "config.json", "fusion.safetensors"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
REPEATED = ("ResnetBlock2D", "Transformer2DModel", "CLIPEncoderLayer", "SiglipEncoderLayer", "Siglip2EncoderLayer",
            "Dinov2Layer", "Dinov2WithRegistersLayer", "DINOv3ViTLayer", "ViTLayer", "Bottleneck")


class UntrainedWarning(UserWarning):
    """What joins the backbones, or the backbones too, hold random numbers."""


def save(model: SketchFusion, folder: Path) -> Path:
    """Write a folder that ``load`` takes; files are replaced whole, so that a crash leaves the old ones."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "name": model.name, "is_trained": model.is_trained,
              "extractor": model.config.model_dump(mode="json"), "heads": model.heads.record(),
              "backbones": {"encoder": model.encoder.identity, "diffusion": model.diffusion.identity}}
    tensors = {name: value.detach().contiguous().cpu() for name, value in model.learned().items()}
    _replace(folder / WEIGHTS_FILE, lambda path: save_file(tensors, path))
    _replace(folder / CONFIG_FILE, lambda path: path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8"))
    return folder


def load(model_class: type[Model], model: str | os.PathLike[str], overrides: Sequence[str]) -> Model:
    """An extractor on the CPU: of a preset, else from a saved folder, else from a configuration file."""
    folder, overrides = Path(model), tuple(settle_place(override) for override in overrides)
    if folder.is_dir() and str(model) not in preset_names():
        return _load_folder(model_class, folder, overrides)
    preset = load_preset(str(model), overrides)
    built = model_class.from_config(preset.extractor)
    built.name, built.overrides = str(model), overrides
    if preset.fusion:
        fusion = resolve(preset.fusion, what=f"fusion of {preset.name}", patterns=(CONFIG_FILE, WEIGHTS_FILE))
        _load_learned(built, fusion, _read_record(fusion))
    return _told(built, preset.name)


def _load_folder(model_class: type[Model], folder: Path, overrides: Sequence[str]) -> Model:
    record = _read_record(folder)
    settings = record["extractor"]
    for override in overrides:
        assign(settings, override)
    config = validate(ExtractorConfig, settings, origin=f"{folder / CONFIG_FILE}")
    built = model_class.from_config(config)
    built.name, built.overrides = str(folder), tuple(overrides)
    _load_learned(built, folder, record)
    return _told(built, str(folder))


def _told(built: Model, name: str) -> Model:
    """The model, ready for use; a warning where it has not been trained."""
    if not built.is_trained:
        warnings.warn(f"the fusion of {name!r} has not been trained, so its rankings mean little; train it, or load a "
                      "folder with trained weights", UntrainedWarning, stacklevel=4)
    return built.eval()


def _load_learned(built: SketchFusion, folder: Path, record: dict[str, Any]) -> None:
    """Put a saved fusion into an extractor. Raises WeightsUnavailable: other backbones, or other shapes."""
    found = {"encoder": built.encoder.identity, "diffusion": built.diffusion.identity}
    for part in found:
        identity = record["backbones"].get(part)
        if found[part] != identity:
            raise WeightsUnavailable(f"{folder} was trained with another {part} backbone (weights {identity}) than the "
                                     f"one found here (weights {found[part]}); put the right weights where its "
                                     f"{CONFIG_FILE} says, or train the fusion again")
    built.heads = Heads(built.config.heads, built.descriptor_size, record["heads"]["class_names"])
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise WeightsUnavailable(f"cannot read {folder / WEIGHTS_FILE}: {error}; copy the folder again") from None
    expected = built.learned()
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    unfit = sorted(name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape)
    if missing or extra or unfit:
        raise WeightsUnavailable(f"{folder / WEIGHTS_FILE} does not fit its settings: missing {_some(missing)}, "
                                 f"unknown {_some(extra)}, other shape {_some(unfit)}; copy the folder again, and "
                                 "override no setting of its shape")
    built.load_state_dict(tensors, strict=False)  # strictness was checked above, for the learned part alone
    built.is_trained = bool(record.get("is_trained"))


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more: a UNet has hundreds."""
    more = len(names) - NAMED
    return f"{list(names[:NAMED])}{f' and {more} more' if more > 0 else ''}"


def place(model: Model, *, device: str, dtype: str, compiled: bool) -> Model:
    """The model on its device in its number format.

    Raises:
        DeviceError: the device or format is not there; nothing else is taken in its place.
    """
    target = choose_device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise DeviceError(f"unknown number format {dtype!r}; expected auto, {', '.join(DTYPES)}")
    chosen = DTYPES.get(dtype, torch.bfloat16 if target.type == "cuda" else torch.float32)
    exact = learned_digest(model)
    model.to(device=target, dtype=chosen)
    model.rounded_from[learned_digest(model)] = exact
    model.encoder.place(target, chosen)
    model.diffusion.place(target, chosen)
    if compiled:
        compile_repeated(model, REPEATED)
    return model


def choose_device(device: str) -> torch.device:
    """The torch device that a name stands for.

    Raises:
        DeviceError: unknown, or not on this machine.
    """
    if device == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        target = torch.device(device)
        torch.zeros(1, device=target).item()  # `meta` holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(f"cannot use device {device!r}: {str(error).splitlines()[0]}; "
                          "take --device cpu, or auto for the best one here") from None
    return target


def learned_digest(model: SketchFusion) -> str:
    """Hash of the learned tensors that shape features; the same on every device and in the formats of ``place``."""
    state = hashlib.blake2b(digest_size=8)
    for name, value in sorted(model.learned(heads=False).items()):
        state.update(name.encode())
        state.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    found = state.hexdigest()
    return model.rounded_from.get(found, found)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {folder / CONFIG_FILE}: {error}") from None
    parts = ("extractor", "backbones", "heads")
    sections = [record.get(part) for part in parts] if isinstance(record, dict) else [None]
    if not all(isinstance(section, dict) for section in sections) or record.get("format") != FORMAT \
            or not isinstance(record["heads"].get("class_names"), list):
        raise ConfigError(f"{folder / CONFIG_FILE} is not a saved SketchFusion of format {FORMAT}; "
                          f"for a preset give its name, e.g. {DEFAULT_PRESET!r}")
    return record


def _replace(path: Path, write: Any) -> None:
    partial = path.with_name(f".{path.name}.partial")
    write(partial)
    partial.replace(path)
