"""Everything a stopped run needs to go on exactly: weights, their average, the optimizer's moments, the step.

One folder per checkpoint, ``step-00001000/`` with ``state.safetensors`` and ``state.json``. It is written beside and
renamed when complete, so whatever has that name is whole. The weights that were best on the held-out part lie in
``best/``, with their record in the same file, so that the two cannot disagree. Nothing is pickled.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sketchfusion.engine.averaging import Average, moving
from sketchfusion.errors import ConfigError, DataError

FOLDER, STATE, RECORD = "checkpoints", "state.safetensors", "state.json"
BEST, BEST_RECORD = "best", "best.json"
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
        DataError: damaged, or there are numbers in it that are not finite.
    """
    try:
        record, state = json.loads((folder / RECORD).read_text("utf-8")), load_file(folder / STATE)
        spoilt = [name for name, value in state.items() if not value.isfinite().all()]
        if spoilt:
            raise ValueError(f"{spoilt[0]} is not finite")
        return record, state
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"the checkpoint {folder} is damaged: {error}; delete that folder to go on from the one "
                        "before, or start anew with --restart") from None


def remove_checkpoints(output: Path) -> None:
    """Forget an earlier run, its best weights too."""
    shutil.rmtree(output / FOLDER, ignore_errors=True)
    remove_best(output)


def save_best(output: Path, record: dict[str, Any], module: nn.Module) -> None:
    """Put the learnable weights of a module in the place of the best so far; a crash leaves the old ones.

    Args:
        record: plain values: ``step``, ``figure`` (its name) and ``value``. ``best.json`` is a copy to be read by eye.
    """
    folder = output / BEST
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in moving(module).items()}
    text = json.dumps(record, indent=1)
    _replace(folder / STATE, lambda file: save_file(tensors, file, metadata={RECORD: text}))
    _replace(folder / BEST_RECORD, lambda file: file.write_text(text + "\n", encoding="utf-8"))


def read_best(output: Path) -> dict[str, Any] | None:
    """Record of the best weights so far, as ``save_best`` took it; None if there are none.

    Raises:
        DataError: damaged.
    """
    file = output / BEST / STATE
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            record: dict[str, Any] = json.loads(opened.metadata()[RECORD])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"the best weights {file} are damaged: {error}; delete that file, and others become the best, "
                        "or start anew with --restart") from None
    return record


@torch.no_grad()
def load_best(module: nn.Module, output: Path) -> dict[str, Any] | None:
    """Put the best weights so far into a module, for good.

    Returns:
        Their record (see ``save_best``); None if there are none, and the module is as it was.
    Raises:
        ConfigError: they are of other networks.
        DataError: damaged.
    """
    record = read_best(output)
    if record is None:
        return None
    tensors, learnable = load_file(output / BEST / STATE), moving(module)
    shapes = {name: value.shape for name, value in tensors.items()}
    if shapes != {name: value.shape for name, value in learnable.items()}:
        raise ConfigError(f"the best weights in {output / BEST} are of other networks than this recipe's; restore the "
                          "recipe, or start anew with --restart")
    for name, value in learnable.items():
        value.copy_(tensors[name])
    return record


def remove_best(output: Path) -> None:
    """Forget which weights were best."""
    shutil.rmtree(output / BEST, ignore_errors=True)


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, then put it there whole."""
    building = file.with_name(f".building-{file.name}")
    write(building)
    building.replace(file)


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
