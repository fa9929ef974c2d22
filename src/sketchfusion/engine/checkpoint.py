"""Everything a stopped run needs to go on exactly: weights, their average, the optimizer's moments, the step.

One folder per checkpoint, ``step-00001000/`` with ``state.safetensors`` and ``state.json``. It is written beside and
renamed when complete, so whatever has that name is whole. Nothing is pickled.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sketchfusion.engine.averaging import Average
from sketchfusion.errors import ConfigError, DataError

FOLDER, STATE, RECORD = "checkpoints", "state.safetensors", "state.json"
KEPT = 2


def save_checkpoint(output: Path, record: dict[str, Any], state: dict[str, Tensor]) -> Path:
    """Write one checkpoint and remove all but the latest ones.

    Args:
        record: plain values, with ``step``.
        state: named tensors, as ``collect`` gives them.
    """
    folder = output / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{record['step']:08d}"
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, building / STATE)
        (building / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        building.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def latest_checkpoint(output: Path) -> Path | None:
    """The checkpoint with the highest step; None if there is none."""
    return max((output / FOLDER).glob("step-*"), default=None)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Record and tensors.

    Raises:
        DataError: damaged.
    """
    try:
        return json.loads((folder / RECORD).read_text("utf-8")), load_file(folder / STATE)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"the checkpoint {folder} is damaged: {error}; delete that folder to go on from the one "
                        "before, or start anew with --restart") from None


def remove_checkpoints(output: Path) -> None:
    """Forget an earlier run."""
    shutil.rmtree(output / FOLDER, ignore_errors=True)


def collect(module: nn.Module, optimizer: torch.optim.Optimizer, average: Average | None) -> dict[str, Tensor]:
    """Every tensor of a run by name: ``model/NAME``, ``average/NAME``, ``optimizer/KEY/NAME``."""
    state = {f"model/{name}": value for name, value in module.state_dict().items()}
    if average is not None:
        state |= {f"average/{name}": value for name, value in average.values.items()}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            state[f"optimizer/{key}/{name}"] = torch.as_tensor(value)
    return state


def restore(state: dict[str, Tensor], module: nn.Module, optimizer: torch.optim.Optimizer,
            average: Average | None) -> None:
    """Put back what ``collect`` gave.

    Raises:
        ConfigError: the networks have other shapes than those of the checkpoint.
    """
    try:
        module.load_state_dict({name.removeprefix("model/"): value for name, value in state.items()
                                if name.startswith("model/")}, strict=True)
        if average is not None:
            for name, value in average.values.items():
                value.copy_(state[f"average/{name}"])
    except (RuntimeError, KeyError) as error:
        raise ConfigError(f"the checkpoint does not fit the recipe: {str(error)[:300]}; "
                          "restore the recipe, or start anew with --restart") from None
    for name, parameter in module.named_parameters():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            saved = state.get(f"optimizer/{key}/{name}")
            if saved is not None:
                kept = saved if key == "step" and not parameter.is_cuda else saved.to(parameter.device)
                if key != "step":  # the moments have the memory layout of their weights
                    kept = torch.empty_like(parameter).copy_(kept)
                optimizer.state[parameter][key] = kept
