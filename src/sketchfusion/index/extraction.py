"""Features of many pictures into one file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.images import Picture
from sketchfusion.index.describer import Describer
from sketchfusion.index.scan import Failure, OneOrMany, absolute, each_path, is_left_out, scan
from sketchfusion.sketches import split_line_number

Advance = Callable[[int, int], None]
SUFFIXES = (".safetensors", ".npz")
DRAWING_SUFFIXES = frozenset((".svg", ".svgz", ".ndjson"))  # sketches that are not pictures
FLOAT = "<f4"


class Extractor(Describer, Protocol):
    """An extractor, as extraction sees it; ``fusion.extractor.SketchFusion`` is one."""

    def read(self, picture: Picture, kind: Kind) -> Canvas:
        """One picture of any form on the canvas. Raises ImageError: unreadable, or a blank sketch."""


class Rows:
    """An array that grows by rows in a nameless file beside the result, so that memory does not grow with it."""

    def __init__(self, out: Path) -> None:
        self.out, self.num_bytes = out, 0
        self.shape: tuple[int, ...] = (0,)
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=out.parent)  # noqa: SIM115, whoever makes it closes it

    def add(self, rows: Tensor) -> None:
        """Append (B, ...)."""
        array = np.ascontiguousarray(rows.float().numpy(), dtype=FLOAT)
        with writing(self.out):
            self.file.write(array.data)
        self.shape = (self.shape[0] + len(array), *array.shape[1:])
        self.num_bytes += array.nbytes

    def copy_to(self, target: IO[bytes]) -> None:
        """All rows, bit by bit, a few megabytes at a time."""
        self.file.seek(0)
        shutil.copyfileobj(self.file, target, 2**22)


def extract_to_file(model: Extractor, pictures: OneOrMany, out: Path, *, dense: bool, kind: Kind = "photo",
                    batch_size: int = 8, advance: Advance = lambda done, total: None) -> dict[str, Any]:
    """Write descriptors (N, D), and with ``dense`` feature maps (N, D, Hf, Wf), both float32, of files and folders.

    The paths of the rows are in the file too: as metadata of a safetensors file, as an array of an npz file. Memory
    holds one batch; the disk needs room for twice the result until it is done.

    Returns:
        ``paths`` of the rows in order, ``failures`` (path, reason), ``fingerprint``, ``out``.
    Raises:
        ConfigError: another suffix than .safetensors or .npz, or the file cannot be written.
        ImageError: not one picture was found or could be read; nothing is written.
    """
    check_out(out)
    paths, failures = list_pictures(pictures, kind)
    total = len(paths) + len(failures)
    kept: list[str] = []
    with ExitStack() as files:
        rows = {name: Rows(out) for name in ("descriptors", *(["feature_maps"] if dense else []))}
        for part in rows.values():
            files.enter_context(part.file)
        for names, canvas in batches(model, paths, kind, batch_size, failures):
            add_batch(model, canvas, rows)
            kept += names
            check_room(rows, len(kept), len(paths), out)
            advance(len(kept) + len(failures), total)
        if not kept:
            reasons = "; ".join(explain(failure) for failure in failures[:3])
            raise ImageError(f"none of the {total} pictures could be read; nothing was written: {reasons}")
        write(rows, kept, model.fingerprint, out)
    return {"out": str(out), "fingerprint": model.fingerprint, "paths": kept,
            "failures": [{"path": failure.path, "reason": failure.reason} for failure in failures]}


def check_out(out: Path) -> None:
    """Raise ConfigError where the file could not be written: before the work, not after it. Leaves nothing behind."""
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"cannot write {out}: expected a name ending in {' or '.join(SUFFIXES)}")
    with writing(out):
        if out.is_dir():
            raise unwritable(out, "it is a folder")
        folder = next(parent for parent in out.absolute().parents if parent.exists())  # the others will be made
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the disk has against it into a ConfigError."""
    try:
        yield
    except OSError as error:
        raise unwritable(out, error.strerror or str(error)) from None


def unwritable(out: Path, reason: str) -> ConfigError:
    """What to say where the result cannot be written."""
    return ConfigError(f"cannot write {out}: {reason}; name a file in a folder that is writable and has room")


def check_room(rows: Mapping[str, Rows], done: int, total: int, out: Path) -> None:
    """Raise ConfigError where the rest and the result will not fit on the disk, going by the rows so far."""
    written = sum(part.num_bytes for part in rows.values())
    needed, free = written * (2 * total - done) // done, shutil.disk_usage(out.parent).free
    if needed > free:
        raise unwritable(out, f"it needs {needed / 1e9:,.1f} GB more on the disk, which has {free / 1e9:,.1f} GB free")


def list_pictures(pictures: OneOrMany, kind: Kind) -> tuple[list[str], list[Failure]]:
    """Files as given, and the pictures below folders, one or many; of sketches also the SVG and ndjson files there.

    Raises:
        ImageError: there is none.
    """
    paths: list[str] = []
    failures: list[Failure] = []
    given = [os.fspath(picture) for picture in each_path(pictures)]
    for picture in given:
        if os.path.isdir(picture):  # noqa: PTH112, which may raise
            found = scan([picture])
            below = [file.path for file in found.files]
            paths += sorted([*below, *drawings(picture)]) if kind == "sketch" else below
            failures += found.failures
        else:
            paths.append(picture)
    if not paths and not failures:
        hint = "" if kind == "sketch" else " (SVG and ndjson count as sketches)"
        raise ImageError(f"there are no {kind} files in {', '.join(given)}{hint}; name pictures or a folder of them")
    return list(dict.fromkeys(paths)), failures


def drawings(folder: str) -> list[str]:
    """SVG and ndjson files below the folder; hidden and system folders and hidden files are left out."""
    root = Path(absolute(folder))
    return [str(path) for path in root.rglob("*") if path.suffix.lower() in DRAWING_SUFFIXES and path.is_file()
            and not any(is_left_out(part) for part in path.relative_to(root).parts)]


def explain(failure: Failure) -> str:
    """Path and reason in one; most reasons name the path already."""
    is_named = split_line_number(failure.path, 1)[0] in failure.reason
    return failure.reason if is_named else f"{failure.path}: {failure.reason}"


def batches(model: Extractor, paths: Sequence[str], kind: Kind, batch_size: int,
            failures: list[Failure]) -> Iterator[tuple[list[str], Canvas]]:
    """Readable pictures in batches, with their paths; the others are added to ``failures``."""
    def readable() -> Iterator[tuple[str, Canvas]]:
        for path in paths:
            try:
                yield path, model.read(path, kind)
            except ImageError as error:
                failures.append(Failure(path, str(error)))

    remaining = readable()
    while batch := list(islice(remaining, batch_size)):
        yield [path for path, _ in batch], Canvas.stack([canvas for _, canvas in batch])


def add_batch(model: Extractor, canvas: Canvas, rows: Mapping[str, Rows]) -> None:
    """Describe one batch; nothing of it stays in memory."""
    if "feature_maps" not in rows:
        rows["descriptors"].add(model.describe_canvas(canvas))
        return
    features = model.features_of(canvas)
    rows["descriptors"].add(features.descriptor)
    rows["feature_maps"].add(features.feature_map)


def write(rows: Mapping[str, Rows], paths: Sequence[str], fingerprint: str, out: Path) -> None:
    """One file, replaced whole."""
    partial = out.with_name(f".{out.name}.partial")
    writer = write_npz if out.suffix.lower() == ".npz" else write_safetensors
    try:
        with writing(out):
            writer(rows, paths, fingerprint, partial)
            partial.replace(out)
    finally:
        with suppress(OSError):
            partial.unlink()


def write_safetensors(rows: Mapping[str, Rows], paths: Sequence[str], fingerprint: str, out: Path) -> None:
    """Length of the header, JSON header, raw numbers; the library's own writer wants all of them in memory."""
    header: dict[str, Any] = {"__metadata__": {"paths": json.dumps(list(paths)), "fingerprint": fingerprint}}
    offset = 0
    for name, part in rows.items():
        header[name] = {"dtype": "F32", "shape": part.shape, "data_offsets": [offset, offset + part.num_bytes]}
        offset += part.num_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with out.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in rows.values():
            part.copy_to(file)


def write_npz(rows: Mapping[str, Rows], paths: Sequence[str], fingerprint: str, out: Path) -> None:
    """As ``numpy.savez``, which wants all of it in memory."""
    small = {"paths": np.array(paths, dtype=str), "fingerprint": np.array(fingerprint)}
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in small.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        for name, part in rows.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                facts = {"descr": FLOAT, "fortran_order": False, "shape": part.shape}
                np.lib.format.write_array_header_1_0(member, facts)
                part.copy_to(member)
