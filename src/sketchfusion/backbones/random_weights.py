"""Seeded random weights of a packaged architecture, in the hub's own folder layout.

``presets/architectures/NAME.yaml`` lists the parts of a checkpoint and the configuration of each. Built in memory they
serve benchmarks and `info` at real shapes; written to the cache they are a checkpoint like any other, so that the toy
preset and the tests go through the code that loads real weights.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import torch
import yaml

from sketchfusion.backbones.loading import StockModel, quietly
from sketchfusion.config import digest
from sketchfusion.errors import ConfigError

CACHE_VARIABLE = "SKETCHFUSION_CACHE"
LAYOUT_VERSION = 1


def architecture_names() -> list[str]:
    """Names of the packaged architectures, sorted."""
    folder = resources.files("sketchfusion.presets").joinpath("architectures")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_architecture(name: str) -> dict[str, dict[str, Any]]:
    """Part name -> configuration, as the hub's ``config.json`` has it; a patch encoder is the one part ``.``.

    Raises:
        ConfigError: no such architecture.
    """
    if name not in architecture_names():
        raise ConfigError(f"unknown architecture {name!r}; known: {', '.join(architecture_names())}")
    text = resources.files("sketchfusion.presets").joinpath("architectures", f"{name}.yaml").read_text("utf-8")
    raw: dict[str, dict[str, Any]] = yaml.safe_load(text)
    base = raw.pop("extends", None)
    return {**load_architecture(str(base)), **raw} if base else raw


def build_part(config: dict[str, Any], *, seed: int = 0, device: str = "cpu") -> StockModel:
    """One network from its configuration, with random weights that depend on the seed alone.

    Args:
        config: a configuration with ``_class_name`` (diffusers) or ``model_type`` (transformers).
        device: "meta" builds shapes without memory.
    """
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        if "_class_name" in config:
            import diffusers

            return getattr(diffusers, config["_class_name"]).from_config(config).eval()
        import transformers

        keys = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
        shape = transformers.AutoConfig.for_model(config["model_type"], **keys)
        return getattr(transformers, config["architectures"][0])(shape).eval()


def materialise(name: str, *, seed: int = 0) -> Path:
    """Folder with seeded random weights of that architecture in the hub's layout; written once, then reused.

    Raises:
        ConfigError: no such architecture.
    """
    parts = load_architecture(name)
    folder = cache_folder() / "random" / f"{name}-{digest([parts, seed, LAYOUT_VERSION, torch.__version__])}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            write_checkpoint(parts, building, seed=seed)
            building.rename(folder)
        except OSError:
            if not folder.exists():  # another process that finished first is as good
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return folder


def write_checkpoint(parts: dict[str, dict[str, Any]], folder: Path, *, seed: int = 0) -> None:
    """Build every part with random weights and save it where the hub's layout has it."""
    for index, (part, config) in enumerate(parts.items()):
        target = folder / part
        if part.startswith("tokenizer"):
            write_tokenizer(target)
        elif part == "scheduler":
            target.mkdir(parents=True, exist_ok=True)
            (target / "scheduler_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        else:
            processor = config.get("preprocessor")
            shape = {key: value for key, value in config.items() if key != "preprocessor"}
            with quietly():
                build_part(shape, seed=seed + index).save_pretrained(target, safe_serialization=True)
            if processor:
                (target / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer that knows single bytes only: enough to encode any prompt."""
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    characters = [chr(value) for value in printable] + [chr(256 + index) for index in range(len(others))]
    tokens = [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    tokenizer.save_pretrained(folder)


def cache_folder() -> Path:
    """Where this package keeps what it can rebuild: ``$SKETCHFUSION_CACHE``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else base / "sketchfusion"
