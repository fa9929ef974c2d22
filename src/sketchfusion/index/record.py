"""``gallery.json``: what a gallery says of itself, so that no other extractor is used on it unawares."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.fusion.compact_map import MAX_RANK
from sketchfusion.index.describer import Describer

FORMAT = 2  # 1 kept neither dense maps nor ids
DENSE_RANK = 16  # benchmarks/dense_maps.py says what the ranks cost
RECORD_NAME = "gallery.json"
REBUILD_NAME = "rebuild.json"  # the record of a rebuild that is not finished


class GalleryRecord(BaseModel):
    """Identity of a gallery.

    Attributes:
        format: version of the layout on disk.
        fingerprint: of the extractor that made all descriptors.
        model, overrides: what to load to get that extractor again.
        descriptor_size: D.
        dense_rank: of the dense maps (``fusion.compact_map``) of the photos; 0: there are none.
        store: name of the folder, inside the gallery, that holds the rows.
        roots: folders that were indexed, absolute.
        mounts: folders below them that photos were found in and another file system was mounted on, absolute.
        created: ISO 8601, local time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    fingerprint: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    overrides: tuple[str, ...] = ()
    descriptor_size: Annotated[int, Field(gt=0)]
    dense_rank: Annotated[int, Field(ge=0, le=MAX_RANK)] = 0
    store: Annotated[str, Field(pattern=r"^store-\d+$")]
    roots: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    created: str

    @property
    def is_outdated(self) -> bool:
        """Whether an older version made it, so that its photos have to be described anew."""
        return self.format < FORMAT

    def is_like(self, other: GalleryRecord) -> bool:
        """Whether the rows of both are made in the same way."""
        return (self.format, self.fingerprint, self.dense_rank) == (other.format, other.fingerprint, other.dense_rank)

    def check_format(self, folder: Path) -> None:
        """Raise GalleryError where an older version made the gallery."""
        if self.is_outdated:
            raise GalleryError(f"the gallery {folder} has format {self.format} of an older version of sketchfusion, "
                               f"this version needs format {FORMAT}; describe its photos anew with "
                               f"`sketchfusion index --gallery {folder} --rebuild`")

    def check(self, describer: Describer, folder: Path) -> None:
        """Raise GalleryError unless the extractor is the one that made the gallery."""
        if self.fingerprint != describer.fingerprint or self.descriptor_size != describer.descriptor_size:
            raise GalleryError(
                f"the gallery {folder} was made by {describe(self.model, self.overrides)} with fingerprint "
                f"{self.fingerprint} (D = {self.descriptor_size}), but {describe(describer.name, describer.overrides)} "
                f"has {describer.fingerprint} (D = {describer.descriptor_size}); their descriptors cannot be compared. "
                "Use the recorded model, or describe all photos anew with `sketchfusion index --rebuild`")


def describe(model: str, overrides: tuple[str, ...]) -> str:
    """``'tiny' (a.b=c)``."""
    return f"{model!r}" + (f" ({', '.join(overrides)})" if overrides else "")


def check_dense_rank(rank: int) -> None:
    """Raise ConfigError: no gallery can keep dense maps of this rank; 0 keeps none."""
    if not 0 <= rank <= MAX_RANK:
        raise ConfigError(f"the rank of dense maps must be from 0, which keeps none, to {MAX_RANK}, got {rank}")


def new_record(describer: Describer, store: str, dense_rank: int) -> GalleryRecord:
    """The record of an empty gallery. A model that is a folder or file is recorded by its absolute path."""
    model = describer.name
    if (os.sep in model or "/" in model) and Path(model).exists():
        model = str(Path(model).resolve())
    return GalleryRecord(format=FORMAT, fingerprint=describer.fingerprint, model=model,
                         overrides=tuple(describer.overrides), descriptor_size=describer.descriptor_size,
                         dense_rank=dense_rank, store=store, created=datetime.now().isoformat(timespec="seconds"))


def has_record(folder: Path) -> bool:
    """Whether there is a gallery in a folder. Raises GalleryError: that cannot be told."""
    try:
        (folder / RECORD_NAME).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise GalleryError(f"cannot use {folder} for a gallery: {error.strerror}; choose another folder") from None
    return True


def read_record(folder: Path, name: str = RECORD_NAME, *, outdated: bool = False) -> GalleryRecord:
    """The record of the gallery in a folder.

    Args:
        outdated: take one that an older version made as well, as whoever describes the photos anew may.
    Raises:
        GalleryError: there is no gallery, its record is damaged, or another version made it.
    """
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise GalleryError(f"there is no gallery in {folder} (no {name}); make one with "
                           f"`sketchfusion index PHOTOS --gallery {folder}`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GalleryError(f"cannot read {path}: {error}; check its permissions, or index into a new folder") from None
    try:
        content = json.loads(text)
        version = content.get("format") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise GalleryError(f"the gallery {folder} has format {version}, this version of sketchfusion knows formats "
                               f"up to {FORMAT}; upgrade it, or index into a new folder")
        record = GalleryRecord.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise GalleryError(f"{path} is damaged: {error}; restore it, or index into a new folder") from None
    if not outdated:
        record.check_format(folder)
    return record


def write_record(record: GalleryRecord, folder: Path, name: str = RECORD_NAME) -> None:
    """Write the record so that a reader, or a kill at any moment, meets the old or the new one, never a part.

    Raises:
        GalleryError: the disk is full, or the folder cannot be written.
    """
    partial = folder / f"{name}.partial"
    unused = set() if record.mounts else {"mounts"}  # earlier versions do not know it
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(record.model_dump_json(indent=2, exclude=unused) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise GalleryError(f"cannot write {folder / name}: {error.strerror or error}; what was done is kept. Make "
                           "room on the disk, or the folder writable, and do the same again to go on") from None
