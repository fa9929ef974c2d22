"""``gallery.json``: what a gallery says of itself, so that no other extractor is used on it unawares."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sketchfusion.errors import GalleryError
from sketchfusion.index.describer import Describer

FORMAT = 1
RECORD_NAME = "gallery.json"
REBUILD_NAME = "rebuild.json"  # the record of a rebuild that is not finished


class GalleryRecord(BaseModel):
    """Identity of a gallery.

    Attributes:
        format: version of the layout on disk.
        fingerprint: of the extractor that made all descriptors.
        model, overrides: what to load to get that extractor again.
        descriptor_size: D.
        store: name of the folder, inside the gallery, that holds the rows.
        roots: folders that were indexed, absolute.
        created: ISO 8601, local time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    fingerprint: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    overrides: tuple[str, ...] = ()
    descriptor_size: Annotated[int, Field(gt=0)]
    store: Annotated[str, Field(pattern=r"^store-\d+$")]
    roots: tuple[str, ...] = ()
    created: str

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


def new_record(describer: Describer, store: str) -> GalleryRecord:
    """The record of an empty gallery. A model that is a folder or file is recorded by its absolute path."""
    model = describer.name
    if (os.sep in model or "/" in model) and Path(model).exists():
        model = str(Path(model).resolve())
    return GalleryRecord(format=FORMAT, fingerprint=describer.fingerprint, model=model,
                         overrides=tuple(describer.overrides), descriptor_size=describer.descriptor_size, store=store,
                         created=datetime.now().isoformat(timespec="seconds"))


def read_record(folder: Path, name: str = RECORD_NAME) -> GalleryRecord:
    """The record of the gallery in a folder.

    Raises:
        GalleryError: there is no gallery, its record is damaged, or a newer version made it.
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
        return GalleryRecord.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise GalleryError(f"{path} is damaged: {error}; restore it, or index into a new folder") from None


def write_record(record: GalleryRecord, folder: Path, name: str = RECORD_NAME) -> None:
    """Write the record so that a reader, or a kill at any moment, meets the old or the new one, never a part."""
    partial = folder / f"{name}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / name)
