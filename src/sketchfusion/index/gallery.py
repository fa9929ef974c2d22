"""A gallery: a folder that knows photos by their descriptors, and finds them by a sketch or by another photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from sketchfusion.errors import ConfigError, GalleryError
from sketchfusion.images import decode, open_image, upright_size
from sketchfusion.index.describer import Describer, Descriptors, describe_picture
from sketchfusion.index.folder import (
    FIRST_STORE,
    FolderCount,
    check_place,
    count_folders,
    known_roots,
    merge_mounts,
    merge_roots,
    next_store,
    record_stamp,
    remove_stores,
    split_roots,
    writing,
)
from sketchfusion.index.lance import ANN_THRESHOLD, LanceStore
from sketchfusion.index.pipeline import hash_file
from sketchfusion.index.record import (
    DENSE_RANK,
    REBUILD_NAME,
    GalleryRecord,
    check_dense_rank,
    has_record,
    new_record,
    read_record,
    write_record,
)
from sketchfusion.index.scan import OneOrMany, Scan, absolute, each_path, is_gone, is_under, scan
from sketchfusion.index.search import SearchOptions, SearchResult, find
from sketchfusion.index.store import FileState, Photo, Store
from sketchfusion.index.update import Leaving, OnProgress, Summary, Update, UpdateOptions, vanished
from sketchfusion.sketches import Source, on_paper, read_sketch


class Gallery:
    """An open gallery. Use ``Gallery.open`` or ``Gallery.create``.

    One process may update it at a time; any number may search meanwhile, and see each commit.
    """

    def __init__(self, folder: Path, record: GalleryRecord, *, ann_threshold: int = ANN_THRESHOLD) -> None:
        self.folder, self.ann_threshold = folder, ann_threshold
        self.counted: tuple[object, list[FolderCount]] | None = None  # of which version of the rows
        self.record, self.stamp = record, record_stamp(folder)
        self.opened: tuple[str, Store] | None = None  # the store and its name

    @property
    def store(self) -> Store:
        """The rows that the record names. Raises GalleryError: missing or damaged."""
        record, opened = self.record, self.opened
        if opened is None or opened[0] != record.store:  # another thread may put that of an older record there
            opened = self.opened = record.store, self.open_store(record)
        return opened[1]

    def open_store(self, record: GalleryRecord, *, create: bool = False) -> Store:
        """The store that a record names."""
        return LanceStore(self.folder / record.store, record.descriptor_size, create=create,
                          first_format=record.is_outdated, ann_threshold=self.ann_threshold)

    @staticmethod
    def open(folder: str | os.PathLike[str], *, outdated: bool = False,
             ann_threshold: int = ANN_THRESHOLD) -> Gallery:
        """The gallery in a folder.

        Args:
            outdated: open one of an older version too; ``update`` with ``rebuild`` is then all that it can do.
            ann_threshold: rows from which an approximate index is kept.
        Raises:
            GalleryError: there is none, it is damaged or of another version.
        """
        path = Path(absolute(folder))
        return Gallery(path, read_record(path, outdated=outdated), ann_threshold=ann_threshold)

    @staticmethod
    def create(folder: str | os.PathLike[str], describer: Describer, *, dense_rank: int = DENSE_RANK,
               ann_threshold: int = ANN_THRESHOLD) -> Gallery:
        """An empty gallery for descriptors of this extractor, in a folder that is empty or does not exist.

        Args:
            dense_rank: of the dense map that is kept of each photo, to show why it was found without passing it
                through the model again; 0 keeps none.
            ann_threshold: rows from which an approximate index is kept.
        Raises:
            ConfigError: the rank is out of range.
            GalleryError: the folder holds a gallery or anything else, or cannot be written.
        """
        check_dense_rank(dense_rank)
        path = Path(absolute(folder))
        check_place(path)
        with writing(path):
            if has_record(path):
                raise GalleryError(f"there is a gallery in {path} already; open it, or choose another folder")
            remove_stores(path, wanted=())
            gallery = Gallery(path, new_record(describer, FIRST_STORE, dense_rank), ann_threshold=ann_threshold)
            # The store first: a gallery that has its record is complete.
            gallery.open_store(gallery.record, create=True)
            write_record(gallery.record, path)
            gallery.stamp = record_stamp(path)
        return gallery

    def refresh(self, *, outdated: bool = False) -> None:
        """Follow what another process recorded since, such as a rebuild that took the place of the rows.

        Raises:
            GalleryError: the record is damaged or, without ``outdated``, of an older version.
        """
        stamp = record_stamp(self.folder)
        if stamp != self.stamp:
            self.record, self.stamp = read_record(self.folder, outdated=True), stamp
            self.opened = None
        if not outdated:
            self.record.check_format(self.folder)

    def update(self, photos: OneOrMany, describer: Describer, *,
               options: UpdateOptions | None = None, rebuild: bool = False,
               dense_rank: int | None = None, on_progress: OnProgress = lambda done, total: None) -> Summary:
        """Index files and folders; whatever is unchanged since the last time is left alone.

        Args:
            photos: files or folders, one or many; an empty list for all that were indexed before.
            describer: the extractor that made the gallery or, with ``rebuild``, any.
            options: pace and safety.
            rebuild: describe everything anew, beside the present rows, which stay in use until all is done. What was
                indexed before is included. Interrupted, it goes on where it was when called again.
            dense_rank: of the dense maps of a rebuilt gallery; None: as before, and of a gallery of an older version
                ``DENSE_RANK``. Without ``rebuild`` it must be that of the gallery.
            on_progress: called with (done, total) files.
        Raises:
            ConfigError: the rank is out of range, or not the gallery's.
            GalleryError: another process is writing, another extractor made the gallery, or a folder is missing or
                has lost all its photos. Nothing was changed then.
        """
        options, photos = options or UpdateOptions(), each_path(photos)
        with writing(self.folder):
            self.refresh(outdated=rebuild)
            dense_rank = self.chosen_rank(dense_rank, rebuild=rebuild)
            if rebuild:
                return self.rebuild(photos, describer, options, dense_rank, on_progress)
            self.record.check(describer, self.folder)
            states = self.store.states()
            found = self.scan(photos or known_roots(self.record, states, allow_empty=options.allow_empty), states,
                              options)
            leaving = vanished(found, states, self.record.mounts, allow_empty=options.allow_empty)
            self.remember(found)
            self.remove_stores()
            summary = Update(self.store, describer, options, dense_rank, on_progress).run(found, leaving)
            self.forget(found.missing)  # last: until their rows left, they must stay known
            summary.notes += self.notes_on_missing(states.keys() - leaving.paths, states)
            if (self.folder / REBUILD_NAME).exists():
                summary.notes.append("a rebuild was begun and not finished; `sketchfusion index --rebuild` finishes it")
            return summary

    def chosen_rank(self, dense_rank: int | None, *, rebuild: bool) -> int:
        """The rank of the dense maps to be made. Raises ConfigError: it is out of range, or needs a rebuild."""
        if dense_rank is None:
            return DENSE_RANK if self.record.is_outdated else self.record.dense_rank
        check_dense_rank(dense_rank)
        if not rebuild and dense_rank != self.record.dense_rank:
            raise ConfigError(f"the gallery {self.folder} has dense maps of rank {self.record.dense_rank} (0: none), "
                              f"got {dense_rank}; leave the rank out, or describe all photos anew with "
                              "`sketchfusion index --rebuild`")
        return dense_rank

    def scan(self, photos: Sequence[str | os.PathLike[str]], states: dict[str, FileState],
             options: UpdateOptions) -> Scan:
        """What is under these roots; see ``split_roots`` for those that are missing."""
        roots, missing = split_roots(photos, self.record, states, allow_empty=options.allow_empty)
        found = scan(roots, leave_out=[str(self.folder)], within=options.within) if roots else Scan([])
        found.missing = missing
        return found

    def check_photos(self, photos: OneOrMany, *, allow_empty: bool = False) -> None:
        """Raise GalleryError where ``update`` would because one of these, or of all that is known, is missing."""
        photos, (states, _) = each_path(photos), self.rebuildable()
        split_roots(photos or known_roots(self.record, states, allow_empty=allow_empty), self.record, states,
                    allow_empty=allow_empty)

    def rebuild(self, photos: Sequence[str | os.PathLike[str]], describer: Describer, options: UpdateOptions,
                dense_rank: int, on_progress: OnProgress) -> Summary:
        """Describe everything into a new store, then let it take the place of the present one."""
        states, notes = self.rebuildable()
        known = known_roots(self.record, states, allow_empty=options.allow_empty)
        found = self.scan([*photos, *known], states, options)
        notes += vanished(found, states, self.record.mounts, allow_empty=options.allow_empty).notes
        lost = [folder for folder in found.unlisted if any(is_under(path, folder) for path in states)]
        if lost and not options.allow_empty:
            raise GalleryError(f"{lost[0]} has photos in the gallery but they cannot be seen now; nothing was changed. "
                               "Make it readable, mount its disk, or leave its photos out with --allow-empty")
        record = self.rebuild_record(describer, dense_rank)
        store = self.open_store(record, create=True)
        leaving = vanished(found, store.states(), allow_empty=True)
        update = Update(store, describer, options, dense_rank, on_progress)
        summary = update.run(found, Leaving(leaving.paths, {}))  # those of the present rows have been noted
        write_record(record.model_copy(update={"roots": merge_roots((), found.roots),
                                               "mounts": merge_mounts((), found)}), self.folder)
        (self.folder / REBUILD_NAME).unlink(missing_ok=True)
        self.refresh()
        self.remove_stores()
        summary.notes += notes
        return summary

    def rebuildable(self) -> tuple[dict[str, FileState], list[str]]:
        """The present rows, or none and a note where they are beyond reading."""
        try:
            return self.store.states(), []
        except GalleryError as error:
            return {}, [f"the former rows were unreadable ({error}); photos that were indexed one by one, "
                        "not through their folder, must be given again"]

    def rebuild_record(self, describer: Describer, dense_rank: int) -> GalleryRecord:
        """The record of an unfinished rebuild by the same extractor with the same maps, or of a new one."""
        record = new_record(describer, next_store(self.folder), dense_rank)
        if (self.folder / REBUILD_NAME).exists():
            begun = read_record(self.folder, REBUILD_NAME, outdated=True)
            if begun.is_like(record) and begun.store != self.record.store:
                return begun
        write_record(record, self.folder, REBUILD_NAME)
        self.remove_stores()
        return record

    def notes_on_missing(self, left: Iterable[str], states: dict[str, FileState]) -> list[str]:
        """What to say of folders that were indexed, and of files that were named one by one, and are not there."""
        notes = [f"{root} is missing; its photos stay in the gallery. If they are meant to go, index it again with "
                 "--allow-empty" for root in self.record.roots if is_gone(root)]
        files = sorted(path for path in left if states[path].root == path and is_gone(path))
        if files:
            notes.append(f"photos that were named one by one are missing, {len(files):,} of them, such as {files[0]}; "
                         "they stay in the gallery. If they are meant to go, index again with --allow-empty")
        return notes

    def remember(self, found: Scan) -> None:
        """Add the folders of this run to the record."""
        self.amend(merge_roots(self.record.roots, found.roots), merge_mounts(self.record.mounts, found))

    def forget(self, lost: Sequence[str]) -> None:
        """Drop these folders and all below them from the record."""
        roots, mounts = (tuple(folder for folder in folders if not any(is_under(folder, top) for top in lost))
                         for folders in (self.record.roots, self.record.mounts))
        self.amend(roots, mounts)

    def amend(self, roots: tuple[str, ...], mounts: tuple[str, ...]) -> None:
        """Record these folders, if they are others than before."""
        if (roots, mounts) != (self.record.roots, self.record.mounts):
            record = self.record.model_copy(update={"roots": roots, "mounts": mounts})
            write_record(record, self.folder)
            self.record, self.stamp = record, record_stamp(self.folder)

    def remove_stores(self) -> None:
        """Delete what rebuilds left behind."""
        wanted = [self.record.store]
        if (self.folder / REBUILD_NAME).exists():
            wanted.append(read_record(self.folder, REBUILD_NAME).store)
        remove_stores(self.folder, wanted=wanted)

    def search(self, sketch: Source | Image.Image, describer: Describer, options: SearchOptions | None = None, *,
               line: int = 1) -> SearchResult:
        """Photos that show what the sketch shows.

        Args:
            sketch: a picture, or anything that ``sketches.read_sketch`` reads.
            describer: the extractor that made the gallery.
            options: how many, which and in what order.
            line: which drawing of an ndjson file, from 1.
        Raises:
            ImageError: the sketch is unreadable or blank.
            GalleryError: another extractor made the gallery.
        """
        self.refresh()
        self.record.check(describer, self.folder)
        picture = (on_paper(sketch.copy(), "the sketch") if isinstance(sketch, Image.Image)
                   else read_sketch(sketch, line=line))
        described = describe_picture(describer, picture, "sketch")
        return self.search_descriptor(described, options, fingerprint=describer.fingerprint)

    def similar(self, photo: str | os.PathLike[str], describer: Describer | None = None,
                options: SearchOptions | None = None) -> SearchResult:
        """Photos that look like this one, which is itself left out, as are exact copies of it.

        Args:
            photo: file, in the gallery or not.
            describer: the extractor that made the gallery; not needed for a photo that is in it.
            options: how many, which and in what order.
        Raises:
            ImageError: the photo is unreadable.
            GalleryError: an extractor is needed and not given, or another one made the gallery.
        """
        self.refresh()
        with open_image(absolute(photo)) as image:
            content = hash_file(absolute(photo))
            known = self.store.find(content)
            if known is not None:
                return find(self.store, known, options or SearchOptions(), not_hash=content)
            if describer is None:
                raise GalleryError(f"{photo} is not in the gallery {self.folder}, so its descriptor is not known; "
                                   "load the gallery's model, or index the photo first")
            self.record.check(describer, self.folder)
            size = upright_size(image)
            picture = decode(image, canvas_side=describer.canvas_size)  # as indexing does, so that copies agree
            descriptor = describe_picture(describer, picture, "photo", size)
        return find(self.store, descriptor, options or SearchOptions(), not_hash=content)

    def similar_to(self, photo_id: str, options: SearchOptions | None = None) -> SearchResult:
        """As ``similar``, of a photo of the gallery, whose file is not opened. Raises GalleryError: there is none."""
        photo = self.photo(photo_id)
        return find(self.store, photo.descriptor, options or SearchOptions(), not_hash=photo.hash)

    def knows(self, photo: str | os.PathLike[str]) -> bool:
        """Whether this file's content is in the gallery. Raises ImageError: it is not a readable picture."""
        with open_image(absolute(photo)):
            return self.store.find(hash_file(absolute(photo))) is not None

    def knows_folder(self, folder: str | os.PathLike[str]) -> bool:
        """Whether any photo of the gallery lies in this folder or below."""
        return any(is_under(path, absolute(folder)) for path in self.store.states())

    def search_descriptor(self, descriptor: Descriptors, options: SearchOptions | None = None, *,
                          fingerprint: str | None = None) -> SearchResult:
        """Photos by the cosine of their descriptor with (D,) ``descriptor`` of unit length.

        Args:
            fingerprint: of the extractor that made the descriptor, to be compared with the gallery's; None: is not.
        Raises:
            GalleryError: another extractor made the gallery, as after a rebuild.
        """
        self.refresh()
        store = self.store  # before the record is looked at: another thread may refresh both in between
        if fingerprint not in (None, self.record.fingerprint):
            raise GalleryError(f"the gallery {self.folder} was made by an extractor with fingerprint "
                               f"{self.record.fingerprint}, but the descriptor by one with {fingerprint}; they cannot "
                               "be compared. Describe the sketch again")
        return find(store, descriptor, options or SearchOptions())

    def thumbnail(self, path: str | os.PathLike[str]) -> bytes:
        """JPEG of at most 160 x 160 pixels. Raises GalleryError: the photo is not in the gallery."""
        return self.thumbnails(path)[absolute(path)]

    def thumbnails(self, paths: OneOrMany) -> dict[str, bytes]:
        """JPEG by absolute path, of one photo or many. Raises GalleryError: a photo is not in the gallery."""
        wanted = [absolute(path) for path in each_path(paths)]
        found = self.store.thumbnails(wanted)
        for path in wanted:
            if path not in found:
                raise GalleryError(f"{path} is not in the gallery {self.folder}; index it first")
        return found

    def photo(self, photo_id: str) -> Photo:
        """The whole row of a photo, with its dense map. Raises GalleryError: the gallery has no such photo."""
        return self.photos([photo_id])[photo_id]

    def photos(self, ids: Sequence[str]) -> dict[str, Photo]:
        """Whole rows by id, in the order of the ids. Raises GalleryError: the gallery has no such photo."""
        self.refresh()
        found = self.store.get_by_id(ids)
        for photo_id in ids:
            if photo_id not in found:
                raise GalleryError(f"the gallery {self.folder} has no photo with the id {photo_id!r}; it may have left "
                                   "the gallery, search again")
        return {photo_id: found[photo_id] for photo_id in ids}

    def folders(self) -> list[FolderCount]:
        """The folders that hold photos, and those between them and what was indexed, sorted by path."""
        self.refresh()
        version = (self.record.store, self.store.version())
        if self.counted is None or self.counted[0] != version:
            self.counted = version, count_folders(self.store)
        return self.counted[1]

    def info(self) -> dict[str, Any]:
        """What the gallery is, as plain JSON values."""
        self.refresh()
        return {"gallery": str(self.folder), **self.record.model_dump(mode="json"),
                **{("photos" if key == "count" else key): value for key, value in asdict(self.store.info()).items()},
                "unfinished_rebuild": (self.folder / REBUILD_NAME).exists()}
