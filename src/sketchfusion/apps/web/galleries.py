"""The galleries that are served, by an id that tells nothing of where they lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sketchfusion.apps.web.errors import ApiError, printable
from sketchfusion.apps.web.naming import last_names, model_names, namer, top_names
from sketchfusion.apps.web.settings import Settings
from sketchfusion.errors import SketchFusionError
from sketchfusion.index.folder import is_unfinished
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.record import RECORD_NAME
from sketchfusion.index.scan import absolute
from sketchfusion.index.store import Photo, path_id

NAME = re.compile(r"\w[\w .-]{0,59}")
PHOTO_ID = re.compile(r"[0-9a-f]{20}")


@dataclass(frozen=True)
class GalleryFacts:
    """One gallery, for a list; ``problem`` says why it cannot be used now."""

    id: str
    name: str
    photos: int = 0
    model: str = ""
    created: str = ""
    roots: tuple[str, ...] = ()
    problem: str | None = None


class Galleries:
    """Those named at the start, and those in the home folder, where the page makes them."""

    def __init__(self, settings: Settings) -> None:
        self.given = tuple(Path(absolute(folder)) for folder in settings.galleries)
        self.home = Path(absolute(settings.home))
        self.model = settings.model or ""
        self.opened: dict[str, Gallery] = {}

    def folders(self) -> dict[str, Path]:
        """Folder by id; the one shown at first comes first."""
        made = sorted(path.parent for path in self.home.glob(f"*/{RECORD_NAME}")) if self.home.is_dir() else []
        return {path_id(str(folder)): folder for folder in (*self.given, *made)}

    def get(self, gallery_id: str) -> Gallery:
        """The gallery, opened.

        Raises:
            ApiError: 404, there is none of that id.
            GalleryError: it is damaged, gone or of another version.
        """
        folder = self.folders().get(gallery_id)
        if folder is None:
            raise ApiError(404, "unknown_gallery", f"there is no gallery {printable(gallery_id)[:40]!r}; "
                           "GET /api/v1/galleries lists those there are")
        if gallery_id not in self.opened:
            self.opened[gallery_id] = Gallery.open(folder)
        gallery = self.opened[gallery_id]
        gallery.refresh()
        return gallery

    def facts(self) -> list[GalleryFacts]:
        """All galleries, whether they can be used or not."""
        return [self.facts_of(gallery_id, folder) for gallery_id, folder in self.folders().items()]

    def facts_of(self, gallery_id: str, folder: Path) -> GalleryFacts:
        """One of them."""
        try:
            gallery = self.get(gallery_id)
            record = gallery.record
            model = namer(model_names(record.model, record.overrides))(" ".join((record.model, *record.overrides)))
            return GalleryFacts(gallery_id, folder.name, gallery.store.count(), model, record.created,
                                tuple(Path(root).name or root for root in record.roots))
        except SketchFusionError as error:
            return GalleryFacts(gallery_id, folder.name, problem=self.named(str(error)))

    def names(self) -> dict[str, str]:
        """For ``namer``: galleries and models are told by their names, not by where they lie."""
        found = top_names(self.home, "the folder of galleries") | model_names(self.model, ())
        for gallery in list(self.opened.values()):
            found |= model_names(gallery.record.model, gallery.record.overrides)
        return found | {str(folder): folder.name for folder in self.folders().values()}

    def named(self, text: str) -> str:
        """A message as clients may see it; folders that were indexed are told by their names too."""
        roots = [root for gallery in list(self.opened.values()) for root in gallery.record.roots]
        return namer({**last_names(roots), **self.names()})(text)

    def place(self, name: str) -> Path:
        """Where a new gallery of that name goes: where there is nothing, or what ``is_unfinished``.

        Raises:
            ApiError: 422, the name does not do; 409, it is taken.
        """
        if not NAME.fullmatch(name) or name != name.strip(" .") or not name.isprintable():
            raise ApiError(422, "bad_name", f"a gallery cannot be called {printable(name)[:80]!r}; a name has 1 to 60 "
                           "letters, digits, spaces, dots, - and _, and begins with a letter or digit")
        folder = self.home / name
        if (folder / RECORD_NAME).exists():
            raise ApiError(409, "name_taken", f"there is a gallery {name!r} already; choose another name, or add the "
                           "folder to it")
        if folder.exists() and not is_unfinished(folder):
            raise ApiError(409, "name_taken", f"there is something called {name!r} already that is no gallery, or not "
                           "any more; choose another name, or look at it in the folder of galleries and move it away")
        return folder


def find_photo(gallery: Gallery, photo_id: str) -> Photo:
    """The row of a photo. Raises ApiError 404: the gallery has none of that id."""
    photo = find_photos(gallery, [photo_id])[0]
    if photo is None:
        raise unknown_photo(photo_id)
    return photo


def find_photos(gallery: Gallery, ids: Sequence[str]) -> list[Photo | None]:
    """The rows of photos, read at once; None where the gallery has none of that id."""
    known = gallery.store.get_by_id([photo_id for photo_id in set(ids) if PHOTO_ID.fullmatch(photo_id)])
    return [known.get(photo_id) for photo_id in ids]


def unknown_photo(photo_id: str) -> ApiError:
    """404."""
    return ApiError(404, "unknown_photo", f"the gallery has no photo {printable(photo_id)[:40]!r}; it may have left "
                    "it, search again")


def folder_path(gallery: Gallery, folder_id: str | None) -> str | None:
    """The path of a folder of the gallery; None stands for all. Raises ApiError 404: it has none of that id."""
    if folder_id is None:
        return None
    for folder in gallery.folders():
        if folder.id == folder_id:
            return folder.path
    raise ApiError(404, "unknown_folder", f"the gallery has no folder {printable(folder_id)[:40]!r}; "
                   "GET /api/v1/galleries/{id}/folders lists those it has")


def folder_names(gallery: Gallery) -> dict[str, str]:
    """What folders are called, by path."""
    return {folder.path: folder.name for folder in gallery.folders()}
