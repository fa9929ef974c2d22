"""What a run needs from the machine: accelerate, the device, compilation; and how networks begin and are saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sketchfusion.backbones.loading import StockModel, load_diffuser, load_transformer
from sketchfusion.backbones.random_weights import build_part
from sketchfusion.engine.config import ExportConfig, Recipe
from sketchfusion.engine.run import Run, Status
from sketchfusion.engine.tracking import open_tracker
from sketchfusion.errors import ConfigError, DeviceError

PATIENCE = timedelta(hours=12)
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def open_run(recipe: Recipe, *, device: str = "auto", resume: bool = True,
             on_status: Callable[[Status], None] | None = None) -> Run:
    """A run of a recipe on a device.

    Raises:
        ConfigError: the accelerate library is missing, or tensorboard is wanted and missing.
        DeviceError: no such device.
    """
    started = time.monotonic()
    output = Path(recipe.output).expanduser()
    tracker = open_tracker(recipe.training, output)
    return Run(output, make_accelerator(device, recipe.training.precision), started, on_status, resume, tracker)


def make_accelerator(device: str, precision: str) -> Any:
    """accelerate's view of the machine; under ``accelerate launch`` one of many processes."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {device!r} for training; expected auto, cpu or cuda. Choose one of several "
                          "GPUs with CUDA_VISIBLE_DEVICES, or use them all with `accelerate launch`")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("there is no CUDA device; use --device cpu, or auto")
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, PartialState
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError:
        raise ConfigError("pre-training needs the accelerate library: pip install 'sketchfusion[train]'") from None
    if AcceleratorState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run of this process, of another precision
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    patience = InitProcessGroupKwargs(timeout=PATIENCE)  # the others wait while the first encodes the data
    return Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no", cpu=device == "cpu",
                       kwargs_handlers=[patience])


def faster(module: nn.Module, setting: bool | str, device: torch.device) -> Callable[..., Any]:
    """The module to call while training: compiled if wanted; evaluation calls the module itself, in any shape."""
    wanted = setting is True or (setting == "auto" and device.type == "cuda" and can_compile(device))
    return torch.compile(module) if wanted else module


def can_compile(device: torch.device) -> bool:
    """Whether compiled code runs here; it needs a C compiler, which not every machine has."""
    try:
        torch.compile(lambda value: torch.sin(value) * 2 + 1)(torch.ones(8, device=device))
    except Exception:
        return False
    return True


def build(config: dict[str, Any], *, seed: int, initial: str = "") -> StockModel:
    """One stock network: from the weights in folder ``initial``, or with random ones.

    Raises:
        ConfigError: a configuration that its class does not take.
        WeightsUnavailable: ``initial`` lacks them.
    """
    name = config.get("_class_name") or (config.get("architectures") or [""])[0]
    if initial:
        loader = load_diffuser if "_class_name" in config else load_transformer
        return loader(name, Path(initial).expanduser()).float().train()
    try:
        return build_part(config, seed=seed).train()
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise ConfigError(f"cannot build {name or 'a network'} from the recipe: {type(error).__name__}: "
                          f"{error}") from None


def export(model: StockModel, folder: Path, config: ExportConfig) -> None:
    """Save in the hub's layout; the model itself keeps its number format."""
    kept = [(value, value.data) for value in model.parameters()]
    for value, data in kept:
        value.data = data.to(DTYPES[config.dtype])
    model.save_pretrained(folder, safe_serialization=True, max_shard_size=config.max_shard)
    for value, data in kept:
        value.data = data
