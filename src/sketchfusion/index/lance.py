"""The store in LanceDB: files in a folder, no server. Nothing else in the package imports LanceDB."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import HnswSq

from sketchfusion.errors import GalleryError
from sketchfusion.index.describer import Descriptors
from sketchfusion.index.store import FileState, Filter, Hit, Photo, StoreInfo, arrow_schema

TABLE = "photos"
ANN_THRESHOLD = 20_000  # rows; below, looking at all of them takes a few milliseconds
HEAD = 256  # rows that are taken from the approximate index, however many are wanted
REFINE = 2  # candidates per row of the head that are scored again exactly
KEEP_VERSIONS = timedelta(minutes=10)  # longer than any reader holds on to one
VALUES_PER_QUERY = 500
HIT_COLUMNS = tuple(field.name for field in fields(Hit) if field.name != "score")
PHOTO_COLUMNS = tuple(field.name for field in fields(Photo))


def quote(text: str) -> str:
    """SQL literal of any text."""
    return "'" + text.replace("'", "''") + "'"


def moment(date: datetime) -> str:
    """SQL literal of a naive time."""
    return f"timestamp '{date.isoformat(sep=' ', timespec='microseconds')}'"


def to_sql(condition: Filter) -> str | None:
    """The condition as SQL; None where it admits everything."""
    parts = []
    if condition.folder is not None:
        bare = condition.folder.rstrip(os.sep)
        parts.append(f"(folder = {quote(bare or os.sep)} OR starts_with(folder, {quote(bare + os.sep)}))")
    if condition.after is not None:
        parts.append(f"date >= {moment(condition.after)}")
    if condition.before is not None:
        parts.append(f"date < {moment(condition.before)}")
    if condition.not_hash is not None:
        parts.append(f"hash <> {quote(condition.not_hash)}")
    return " AND ".join(parts) or None


class LanceStore:
    """``index.store.Store`` over one LanceDB table.

    Args:
        folder: holds the table.
        descriptor_size: D; rows of another size are refused.
        create: make an empty table where there is none.
        first_format: the table is of a gallery of format 1; ``states`` and ``count`` are all that it is good for.
        ann_threshold: number of rows from which an approximate index is kept and used.
    Raises:
        GalleryError: there is no table, it cannot be opened, or it holds descriptors of another size.
    """

    def __init__(self, folder: Path, descriptor_size: int, *, create: bool = False,
                 first_format: bool = False, ann_threshold: int = ANN_THRESHOLD) -> None:
        self.folder, self.ann_threshold = folder, ann_threshold
        self.schema = arrow_schema(descriptor_size, first_format=first_format)
        # Without an answer to this, every merge of an approximate index prints a warning about a coming default.
        os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
        # A process killed while it made the table leaves a folder without a manifest, which is no table yet.
        exists = any((folder / f"{TABLE}.lance" / "_versions").glob("*.manifest"))
        if not exists and not create:
            raise GalleryError(f"the rows of the gallery {folder.parent} are missing or damaged; restore {folder}, "
                               "or describe the photos anew with `sketchfusion index --rebuild`")
        with self.explained("open"):
            # Interval 0: a reader that stays open sees what the writer commits.
            database = lancedb.connect(str(folder), read_consistency_interval=timedelta(0))
            self.table = database.open_table(TABLE) if exists else database.create_table(TABLE, schema=self.schema)
        if self.table.schema.names != self.schema.names or self.table.schema.types != self.schema.types:
            raise GalleryError(f"the rows in {folder} have the columns {self.table.schema.names}, not those that "
                               "this gallery's record expects; describe the photos anew with --rebuild")

    @contextmanager
    def explained(self, verb: str) -> Iterator[None]:
        """Turn whatever the library raises into a GalleryError that names the gallery."""
        try:
            yield
        except (RuntimeError, ValueError, OSError, pa.ArrowException) as error:
            reason = str(error).strip().split("\n")[0][:300]
            raise GalleryError(f"cannot {verb} the rows in {self.folder}: {reason}; check that the disk is connected, "
                               "writable and not full, or describe the photos anew with --rebuild") from error

    def upsert(self, photos: Sequence[Photo]) -> None:
        columns = {name: [getattr(photo, name) for photo in photos] for name in self.schema.names}
        with self.explained("write"):
            rows = pa.table(columns, schema=self.schema)
            self.table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, paths: Sequence[str]) -> None:
        with self.explained("delete from"):
            for start in range(0, len(paths), VALUES_PER_QUERY):
                self.table.delete(among("path", paths[start:start + VALUES_PER_QUERY]))

    def search(self, descriptor: Descriptors, k: int, condition: Filter) -> list[Hit]:
        with self.explained("search"):
            where = to_sql(condition)
            head = self.head(descriptor, where)
            if len(head) >= k:
                return head[:k]
            known = {hit.path for hit in head}
            rest = [hit for hit in self.query(descriptor, k, where, exact=True) if hit.path not in known]
            return [*head, *rest[:k - len(head)]]

    def head(self, descriptor: Descriptors, where: str | None) -> list[Hit]:
        """The first hits, through the approximate index, the same whatever ``k`` is; none where it is of no use."""
        if not self.has_index() or self.table.count_rows() < self.ann_threshold:
            return []
        hits = self.query(descriptor, HEAD, where, exact=False)
        # A strict filter can starve an approximate index; then only looking at all rows tells.
        if len(hits) < HEAD:
            return []
        # Of rows that share the last score any may have come; looking at all rows puts them in order.
        return [hit for hit in hits if hit.score > hits[-1].score]

    def query(self, descriptor: Descriptors, k: int, where: str | None, *, exact: bool) -> list[Hit]:
        """One search, over all rows or through the approximate index."""
        query = self.table.search(descriptor, vector_column_name="descriptor").distance_type("cosine")
        if exact:
            query = query.bypass_vector_index()
        else:
            query = query.nprobes(20).ef(2 * k * REFINE).refine_factor(REFINE)
        if where is not None:
            query = query.where(where, prefilter=True)
        rows = query.select([*HIT_COLUMNS, "_distance"]).limit(k).to_arrow().to_pylist()
        hits = [Hit(score=min(1.0, max(-1.0, 1.0 - row.pop("_distance"))), **row) for row in rows]
        return sorted(hits, key=lambda hit: (-hit.score, hit.path))

    def has_index(self) -> bool:
        """Whether an approximate index exists."""
        return any(list(index.columns) == ["descriptor"] for index in self.table.list_indices())

    def get(self, paths: Sequence[str]) -> dict[str, Photo]:
        return {row["path"]: to_photo(row) for row in self.among("path", paths, PHOTO_COLUMNS)}

    def get_by_id(self, ids: Sequence[str]) -> dict[str, Photo]:
        return {row["id"]: to_photo(row) for row in self.among("id", ids, [*PHOTO_COLUMNS, "id"])}

    def thumbnails(self, paths: Sequence[str]) -> dict[str, bytes]:
        return {row["path"]: row["thumbnail"] for row in self.among("path", paths, ["path", "thumbnail"])}

    def find(self, content: str) -> Descriptors | None:
        found = next(self.where(f"hash = {quote(content)}", ["descriptor"]), None)
        return None if found is None else np.array(found["descriptor"], dtype=np.float32)

    def among(self, column: str, values: Sequence[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Rows whose value of a text column is one of these."""
        for start in range(0, len(values), VALUES_PER_QUERY):
            yield from self.where(among(column, values[start:start + VALUES_PER_QUERY]), columns)

    def where(self, condition: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Rows that fulfil an SQL condition, at most ``VALUES_PER_QUERY``; only these columns are read."""
        with self.explained("read"):
            query = self.table.search().where(condition).select(list(columns)).limit(VALUES_PER_QUERY)
            yield from query.to_arrow().to_pylist()

    def states(self) -> dict[str, FileState]:
        states: dict[str, FileState] = {}
        for batch in self.batches(["path", *(field.name for field in fields(FileState))]):
            paths = batch.pop("path")
            states.update(zip(paths, (FileState(*row) for row in zip(*batch.values(), strict=True)), strict=True))
        return states

    def count(self, condition: Filter | None = None) -> int:
        with self.explained("count"):
            return int(self.table.count_rows(None if condition is None else to_sql(condition)))

    def version(self) -> int:
        with self.explained("read"):
            return int(self.table.version)

    def batches(self, columns: Sequence[str], *, rows: int = 4096) -> Iterator[dict[str, list[Any]]]:
        with self.explained("read"):
            for batch in self.table.search().select(list(columns)).to_batches(rows):
                values = {name: batch.column(name).to_pylist() for name in columns if name != "descriptor"}
                if "descriptor" in columns:
                    flat = batch.column("descriptor").flatten().to_numpy(zero_copy_only=False)
                    values["descriptor"] = list(flat.reshape(batch.num_rows, -1))
                yield {name: values[name] for name in columns}

    def info(self) -> StoreInfo:
        approximate = self.has_index() and self.count() >= self.ann_threshold
        num_bytes = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        return StoreInfo(self.count(), num_bytes, "approximate" if approximate else "exact")

    def optimize(self) -> None:
        with self.explained("optimize"):
            if self.table.count_rows() >= self.ann_threshold and not self.has_index():
                self.table.create_index("descriptor", config=HnswSq(distance_type="cosine"))
            self.table.optimize(cleanup_older_than=KEEP_VERSIONS)


def among(column: str, values: Sequence[str]) -> str:
    """SQL condition: the value of a text column is one of these."""
    return f"{column} IN ({', '.join(map(quote, values))})"


def to_photo(row: dict[str, Any]) -> Photo:
    """One whole row."""
    known = {name: row[name] for name in PHOTO_COLUMNS}
    return Photo(**{**known, "descriptor": np.array(row["descriptor"], dtype=np.float32)})


