"""Stock models from a local folder, strictly: all weights there, safetensors only, nothing made up.

Both libraries fill what a checkpoint lacks with random numbers and go on; here that is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from sketchfusion.errors import WeightsUnavailable

StockModel = Any  # a diffusers or transformers model: neither library types what is inside


def read_json(file: Path) -> dict[str, Any]:
    """The configuration in a JSON file.

    Raises:
        WeightsUnavailable: missing or damaged.
    """
    try:
        raw = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsUnavailable(f"cannot read {file}: {error}; download it again") from None
    if not isinstance(raw, dict):
        raise WeightsUnavailable(f"{file} must hold keys and values, got {type(raw).__name__}; download it again")
    return raw


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars and reports of transformers while active: a bar for each part, and a table of the weights that
    are not wanted, say nothing to whoever asked for photos. What is missing is an error here, not a report."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    if shown:
        logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def load_transformer(class_name: str, folder: Path, **options: Any) -> StockModel:
    """A transformers model of the named class from a folder.

    Raises:
        WeightsUnavailable: files missing, damaged or incomplete.
    """
    import transformers

    return _load(getattr(transformers, class_name), folder, dtype="float32", **options)


def load_diffuser(class_name: str, folder: Path, **options: Any) -> StockModel:
    """A diffusers model of the named class from a folder.

    Raises:
        WeightsUnavailable: files missing, damaged or incomplete.
    """
    import diffusers

    return _load(getattr(diffusers, class_name), folder, **options)


def _load(model_class: Any, folder: Path, **options: Any) -> StockModel:
    what = f"{model_class.__name__} in {folder}"
    if not folder.is_dir():  # both libraries would take the path for a name on the hub
        raise WeightsUnavailable(f"cannot load {what}: there is no such folder; expected the hub's layout")
    try:
        with quietly():
            model, info = model_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise WeightsUnavailable(f"cannot load {what}: {reason}\nExpected the hub's layout: config.json beside "
                                 "*.safetensors (other formats can run code and are refused).") from None
    missing, unfit = sorted(info["missing_keys"]), sorted(str(key) for key in info.get("mismatched_keys", ()))
    if missing or unfit:
        some = ", ".join((missing + unfit)[:3])
        raise WeightsUnavailable(f"the weights of {what} are incomplete: {len(missing)} missing, {len(unfit)} of "
                                 f"another shape ({some}, ...); download them again, or check what the folder holds")
    return model.eval()
