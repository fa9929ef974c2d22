"""Features of many pictures into one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind, place_on_canvas, read_canvas
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.features import Features
from sketchfusion.index.describer import Describer
from sketchfusion.index.scan import Failure, scan
from sketchfusion.sketches import read_sketch

Advance = Callable[[int, int], None]
SUFFIXES = (".safetensors", ".npz")


class Extractor(Describer, Protocol):
    """An extractor, as extraction sees it; ``fusion.extractor.SketchFusion`` is one."""

    def features_of(self, canvas: Canvas) -> Features:
        """Feature maps and descriptors of a batch, on the CPU."""


def extract_to_file(model: Extractor, pictures: Sequence[str], out: Path, *, dense: bool, kind: Kind = "photo",
                    batch_size: int = 8, advance: Advance = lambda done, total: None) -> dict[str, Any]:
    """Write descriptors (N, D), and with ``dense`` feature maps (N, D, Hf, Wf), both float32, of files and folders.

    The paths of the rows are in the file too: as metadata of a safetensors file, as an array of an npz file.

    Returns:
        ``paths`` of the rows in order, ``failures`` (path, reason), ``fingerprint``, ``out``.
    Raises:
        ConfigError: another suffix than .safetensors or .npz.
        ImageError: not one picture could be read; nothing is written.
    """
    check_suffix(out)
    paths, failures = list_pictures(pictures, kind)
    kept: list[str] = []
    found: list[Features] = []
    for names, canvas in batches(model, paths, kind, batch_size, failures):
        features = model.features_of(canvas)
        found.append(features if dense else Features(features.feature_map[:, :0], features.descriptor))
        kept += names
        advance(len(kept) + len(failures), len(paths))
    if not kept:
        reasons = "; ".join(f"{failure.path}: {failure.reason}" for failure in failures[:3])
        raise ImageError(f"none of the {len(failures)} pictures could be read ({reasons}); nothing was written")
    tensors = {"descriptors": torch.cat([part.descriptor for part in found])}
    if dense:
        tensors["feature_maps"] = torch.cat([part.feature_map for part in found])
    write(tensors, kept, model.fingerprint, out)
    return {"out": str(out), "fingerprint": model.fingerprint, "paths": kept,
            "failures": [{"path": failure.path, "reason": failure.reason} for failure in failures]}


def check_suffix(out: Path) -> None:
    """Raise ConfigError where the file could not be written in a known format."""
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"cannot write {out}: expected a name ending in {' or '.join(SUFFIXES)}")


def list_pictures(pictures: Sequence[str], kind: Kind) -> tuple[list[str], list[Failure]]:
    """Files as given, and what lies below folders; a sketch may be a file of another kind, such as SVG."""
    paths: list[str] = []
    failures: list[Failure] = []
    for picture in pictures:
        if Path(picture).is_dir():
            found = scan([picture])
            paths += [file.path for file in found.files]
            failures += found.failures
        else:
            paths.append(picture)
    return list(dict.fromkeys(paths)), failures


def batches(model: Extractor, paths: Sequence[str], kind: Kind, batch_size: int,
            failures: list[Failure]) -> Iterator[tuple[list[str], Canvas]]:
    """Readable pictures in batches, with their paths; the others are added to ``failures``."""
    def readable() -> Iterator[tuple[str, Canvas]]:
        for path in paths:
            try:
                yield path, open_canvas(model, path, kind)
            except ImageError as error:
                failures.append(Failure(path, str(error)))

    remaining = readable()
    while batch := list(islice(remaining, batch_size)):
        yield [path for path, _ in batch], Canvas.stack([canvas for _, canvas in batch])


def open_canvas(model: Extractor, path: str, kind: Kind) -> Canvas:
    """One photo or sketch on its canvas."""
    side, padding = model.canvas_size, model.padding(kind)
    if kind == "sketch":
        return place_on_canvas(read_sketch(path), side, padding)
    return read_canvas(path, side, padding)


def write(tensors: dict[str, Tensor], paths: Sequence[str], fingerprint: str, out: Path) -> None:
    """One file, replaced whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial{out.suffix}")
    if out.suffix == ".npz":
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        np.savez(partial, paths=np.array(paths, dtype=str), fingerprint=np.array(fingerprint), **arrays)
    else:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, partial, metadata={"paths": json.dumps(list(paths)), "fingerprint": fingerprint})
    partial.replace(out)
