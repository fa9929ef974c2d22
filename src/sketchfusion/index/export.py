"""Taking the descriptors elsewhere, in open formats without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.scan import absolute
from sketchfusion.index.store import arrow_schema

COLUMNS = ("path", "root", "folder", "size", "mtime_ns", "hash", "date", "width", "height", "descriptor")


def export(gallery: Gallery, out: str | os.PathLike[str]) -> int:
    """Write all rows, sorted by path, without thumbnails and dense maps; the number of rows.

    ``.parquet`` has one column per field of ``Photo`` and fingerprint, model and overrides (a JSON list) in its
    metadata. ``.npz`` has ``paths`` (G,) text, ``descriptors`` (G, D) float32, ``dates`` (G,) datetime64, ``sizes``
    (G, 2) (height, width), ``hashes`` (G,) text, ``fingerprint``, ``model`` and ``overrides`` (N,) text; read it with
    ``numpy.load(file, allow_pickle=False)``.

    Args:
        gallery: to be written out.
        out: file to write; replaced only when all is written.
    Raises:
        ConfigError: another suffix.
        GalleryError: the rows cannot be read, or the file cannot be written.
    """
    path = Path(absolute(out))
    writer = check_suffix(path)
    gallery.refresh()
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for batch in gallery.store.batches(COLUMNS):
        for name in COLUMNS:
            columns[name] += batch[name]
    order = sorted(range(len(columns["path"])), key=columns["path"].__getitem__)
    columns = {name: [values[index] for index in order] for name, values in columns.items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        writer(gallery, columns, partial)
        partial.replace(path)
    except OSError as error:
        raise GalleryError(f"cannot write {path}: {error.strerror or error}; "
                           "check that the folder exists, is writable and has room") from None
    finally:
        with suppress(OSError):
            partial.unlink()
    return len(order)


def check_suffix(path: Path) -> Callable[[Gallery, dict[str, list[Any]], Path], None]:
    """What writes this kind of file. Raises ConfigError: nothing does."""
    writers = {".parquet": write_parquet, ".npz": write_npz}
    if path.suffix.lower() not in writers:
        raise ConfigError(f"cannot export to {path.name}: its suffix says how; use one of {', '.join(writers)}")
    return writers[path.suffix.lower()]


def write_parquet(gallery: Gallery, columns: dict[str, list[Any]], path: Path) -> None:
    """One Parquet file."""
    schema = arrow_schema(gallery.record.descriptor_size)
    schema = pa.schema([schema.field(name) for name in COLUMNS], metadata={
        "sketchfusion.fingerprint": gallery.record.fingerprint, "sketchfusion.model": gallery.record.model,
        "sketchfusion.overrides": json.dumps(gallery.record.overrides)})
    pq.write_table(pa.table(columns, schema=schema), path)


def write_npz(gallery: Gallery, columns: dict[str, list[Any]], path: Path) -> None:
    """One NPZ file of plain arrays."""
    descriptors = np.array(columns["descriptor"], dtype=np.float32).reshape(-1, gallery.record.descriptor_size)
    with path.open("wb") as file:
        np.savez(file, paths=np.array(columns["path"], dtype=np.str_), descriptors=descriptors,
                 dates=np.array(columns["date"], dtype="datetime64[us]"),
                 sizes=np.array([columns["height"], columns["width"]], dtype=np.int64).T,
                 hashes=np.array(columns["hash"], dtype=np.str_),
                 fingerprint=np.array(gallery.record.fingerprint), model=np.array(gallery.record.model),
                 overrides=np.array(gallery.record.overrides, dtype=np.str_))
