"""Checking a gallery, taking its descriptors elsewhere, and the contact sheet."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.index.contact_sheet import contact_sheet
from sketchfusion.index.export import export
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import Hit
from sketchfusion.index.verify import verify

SavePhoto = Callable[..., Path]


def test_verify_finds_each_kind_of_trouble(gallery: Gallery, photos: Path, save_photo: SavePhoto) -> None:
    assert verify(gallery, deep=True) == []
    (photos / "a0.jpg").unlink()
    os.utime(photos / "a1.jpg", (5, 5))
    with (photos / "a2.jpg").open("ab") as file:
        file.write(b"more")
    content, state = (photos / "a3.jpg").read_bytes(), (photos / "a3.jpg").stat()
    (photos / "a3.jpg").write_bytes(content[:-1] + b"?")
    os.utime(photos / "a3.jpg", ns=(state.st_atime_ns, state.st_mtime_ns))
    rows = gallery.store.get([str(photos / "sub" / "b4.png"), str(photos / "sub" / "b5.webp")])
    gallery.store.upsert([replace(row, descriptor=row.descriptor * (0 if path.endswith("webp") else 2))
                          for path, row in rows.items()])
    problems = {Path(problem.path).name: problem.problem for problem in verify(gallery)}
    assert "cannot be read: No such file" in problems["a0.jpg"]
    assert problems["a1.jpg"] == "it was changed since it was indexed; index again"
    assert "bytes" in problems["a2.jpg"]
    assert "descriptor" in problems["b4.png"]
    assert "descriptor" in problems["b5.webp"]
    assert "a3.jpg" not in problems
    deep = {Path(problem.path).name: problem.problem for problem in verify(gallery, deep=True)}
    assert "content is not what was indexed" in deep["a3.jpg"]


def test_descriptors_that_are_not_finite_never_get_in(gallery: Gallery) -> None:
    row = next(iter(gallery.store.get(list(gallery.store.states())).values()))
    with pytest.raises(GalleryError, match="NaN"):
        gallery.store.upsert([replace(row, descriptor=np.full(32, np.nan, dtype=np.float32))])


def test_verify_counts_doubled_paths(gallery: Gallery) -> None:
    row = next(iter(gallery.store.get(list(gallery.store.states())).values()))
    gallery.store.table.add(pa.table({name: [getattr(row, name)] for name in gallery.store.schema.names},
                                     schema=gallery.store.schema))
    assert [problem.problem for problem in verify(gallery)] == ["it is in the gallery 2 times; rebuild the gallery"]


def test_export_round_trip(gallery: Gallery, tmp_path: Path, photos: Path) -> None:
    assert export(gallery, tmp_path / "out.parquet") == 6
    assert export(gallery, tmp_path / "out.npz") == 6
    table = pq.read_table(tmp_path / "out.parquet")
    arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
    rows = gallery.store.get(list(gallery.store.states()))
    assert table["path"].to_pylist() == arrays["paths"].tolist() == sorted(rows)
    descriptors = np.stack(table["descriptor"].to_numpy())
    assert np.array_equal(descriptors, arrays["descriptors"])
    for index, path in enumerate(sorted(rows)):
        assert np.array_equal(descriptors[index], rows[path].descriptor)
        assert arrays["dates"][index] == np.datetime64(rows[path].date)
        assert arrays["sizes"][index].tolist() == [rows[path].height, rows[path].width]
        assert arrays["hashes"][index] == rows[path].hash == table["hash"][index].as_py()
    assert arrays["fingerprint"] == "fake-32-0"
    assert table.schema.metadata[b"sketchfusion.fingerprint"] == b"fake-32-0"
    assert arrays["overrides"].tolist() == json.loads(table.schema.metadata[b"sketchfusion.overrides"]) == [
        "some.setting=1"]
    assert "thumbnail" not in table.column_names
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.npz", "out.parquet"]


def test_export_of_an_empty_gallery(tmp_path: Path, describer: Any) -> None:
    gallery = Gallery.create(tmp_path / "gallery", describer)
    for name in ("out.npz", "out.parquet"):
        assert export(gallery, tmp_path / name) == 0
    assert np.load(tmp_path / "out.npz", allow_pickle=False)["descriptors"].shape == (0, 32)


def test_export_errors(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out\.csv: its suffix says how; use one of \.parquet, \.npz"):
        export(gallery, tmp_path / "out.csv")
    with pytest.raises(GalleryError, match="check that the folder exists"):
        export(gallery, tmp_path / "nowhere" / "out.npz")
    (tmp_path / "file").touch()
    for out, reason in (("file/out.npz", "Not a directory"), (f"{'x' * 248}.npz", "File name too long")):
        with pytest.raises(GalleryError, match=f"cannot write .*{reason}; check that"):
            export(gallery, tmp_path / out)


def jpeg(color: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (160, 90), color).save(stream, "JPEG")
    return stream.getvalue()


def test_the_contact_sheet_shows_query_and_photos() -> None:
    hits = [Hit(f"/p/a very long file name that does not fit {number}.jpg", 0.9 - number / 10, datetime(2024, 1, 1),
                "/p", 1, 1) for number in range(7)]
    thumbnails = {hit.path: jpeg("red" if number % 2 else "blue") for number, hit in enumerate(hits)}
    query = Image.new("RGB", (400, 300), "white")
    query.paste("black", (100, 100, 300, 200))
    sheet = contact_sheet(query, "sketch.png", hits, thumbnails)
    pixels = np.asarray(sheet)
    assert (pixels[0] == 255).all()
    assert ((pixels[..., 0] > 240) & (pixels[..., 2] < 20)).sum() > 3 * 150 * 80
    assert ((pixels[..., 2] > 240) & (pixels[..., 0] < 20)).sum() > 4 * 150 * 80
    assert (pixels[:300, :310].max(axis=2) < 60).sum() > 5000  # the ink of the query
    more = contact_sheet(query, "sketch.png", hits, thumbnails, columns=2)
    assert more.height > sheet.height
    assert contact_sheet(query, "sketch.png", hits[:2], thumbnails).width == more.width < sheet.width


def test_the_contact_sheet_of_nothing_still_shows_the_query() -> None:
    sheet = contact_sheet(Image.new("RGB", (30, 90), "green"), "odd\nname " * 20, [], {})
    assert (np.asarray(sheet)[..., 1] == 128).sum() > 2000
