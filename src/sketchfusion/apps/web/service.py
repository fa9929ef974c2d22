"""All that the routes use, made once and closed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from sketchfusion.apps.web.admission import Lane, ModelThread, Together
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.folders import locate, real_roots
from sketchfusion.apps.web.galleries import Galleries, find_photos, unknown_photo
from sketchfusion.apps.web.jobs import Job, Jobs
from sketchfusion.apps.web.memory import Returning
from sketchfusion.apps.web.metrics import Metrics
from sketchfusion.apps.web.models import Load, Loaded, Models, PatientDescriber
from sketchfusion.apps.web.settings import Settings
from sketchfusion.apps.web.sketches import SketchStore
from sketchfusion.apps.web.why import PhotoMaps
from sketchfusion.config import DEFAULT_PRESET
from sketchfusion.errors import SketchFusionError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.store import Photo, path_id
from sketchfusion.index.update import OnProgress, Summary, UpdateOptions

CLOSE_S = 5.0  # for what still runs when the server has given its last answer
CONNECTIONS = 6  # that a browser opens to one server
PHOTOS_TOGETHER = 200  # rows that are read at once


class Service:
    """The state of a server.

    Args:
        settings: see there.
        load: see ``Models``.
    """

    def __init__(self, settings: Settings, load: Load) -> None:
        limits = settings.limits
        self.settings, self.limits, self.metrics = settings, limits, Metrics()
        self.memory = Returning()
        self.thread = ModelThread(limits, self.on_batch)
        self.rows = Lane("the galleries", 2, limits)
        self.photos = Together("photos", waiting=limits.waiting * CONNECTIONS, batch=PHOTOS_TOGETHER,
                               seconds=limits.request_seconds)
        self.pictures = Lane("pictures", 2, limits)
        self.masks = Lane("masks", 1, limits)  # at full size each takes a lot of memory
        self.models = Models(load, self.thread)
        self.maps = PhotoMaps(self.thread, limits)
        self.sketches = SketchStore(limits)
        self.galleries = Galleries(settings)
        self.vouched = {folder: real_roots(folder) for folder in self.galleries.given}
        self.jobs = Jobs(limits)
        for name, lane in (("rows", self.rows), ("pictures", self.pictures), ("masks", self.masks)):
            self.metrics.waiting.labels(name).set_function(partial(getattr, lane, "pending"))
        for name, thread in (("model", self.thread), ("photos", self.photos)):
            self.metrics.waiting.labels(name).set_function(partial(getattr, thread, "pending"))
        self.metrics.sketches.set_function(lambda: len(self.sketches))
        self.metrics.sketch_bytes.set_function(lambda: self.sketches.num_bytes)

    def on_batch(self, size: int) -> None:
        """What is done before so many calls pass the model together."""
        self.metrics.batches.observe(size)
        self.memory.count(size)

    def warm(self) -> Loaded:
        """Load the model that the first usable gallery needs. Raises the library's errors."""
        model, overrides = self.first_model()
        return self.thread.submit(lambda items: [self.models.ready(model, overrides)], None).result()

    def first_model(self) -> tuple[str, tuple[str, ...]]:
        """What new galleries are made by: what was asked for, what made the first gallery, or the default."""
        if self.settings.model is not None:
            return self.settings.model, ()
        for gallery_id in self.galleries.folders():
            try:
                record = self.galleries.get(gallery_id).record
            except SketchFusionError:
                continue
            return record.model, record.overrides
        return DEFAULT_PRESET, ()

    async def gallery(self, gallery_id: str) -> Gallery:
        """See ``Galleries.get``."""
        return await self.rows.run(lambda: self.galleries.get(gallery_id))

    async def photo(self, gallery_id: str, photo_id: str) -> Photo:
        """The row of a photo; those asked for at the same time, as a page's thumbnails are, are read together.

        Raises:
            ApiError: 404, there is no such photo or gallery; 503, too many are asked for.
            GalleryError: see ``Galleries.get``.
        """
        def read(ids: Sequence[str]) -> list[Photo | None]:
            return find_photos(self.galleries.get(gallery_id), ids)

        found = await self.photos.result(self.photos.submit(read, photo_id, gallery_id))
        if found is None:
            raise unknown_photo(photo_id)
        return found

    def index(self, gallery_id: str, folder: str | None) -> Job:
        """Queue the update of a gallery. Raises ApiError: see ``locate`` and ``Jobs.add``."""
        place = None if folder is None else locate(self.settings.photos, folder)
        gallery = self.galleries.get(gallery_id)
        return self.add_job(gallery.folder, place, create=False)

    def create(self, name: str, folder: str) -> Job:
        """Queue the making of a gallery. Raises ApiError: see ``Galleries.place``, ``locate`` and ``Jobs.add``."""
        place = self.galleries.place(name)
        return self.add_job(place, locate(self.settings.photos, folder), create=True)

    def add_job(self, folder: Path, photos: Path | None, *, create: bool) -> Job:
        """Queue it."""
        root = self.settings.photos.resolve()
        options = UpdateOptions(within=(str(root), *self.vouched.get(folder, ())))

        def work(job: Job, on_progress: OnProgress) -> Summary:
            model, overrides = self.first_model()
            if not create:
                record = Gallery.open(folder).record
                model, overrides = record.model, record.overrides
            loaded = self.thread.submit(lambda items: [self.models.ready(model, overrides)], None,
                                        urgent=False).result()
            describer = cast(Any, PatientDescriber(loaded, self.thread, job.check))
            gallery = Gallery.create(folder, describer) if create else Gallery.open(folder)
            job.roots = gallery.record.roots
            return gallery.update([photos] if photos is not None else [], describer, options=options,
                                  on_progress=on_progress)

        return self.jobs.add(path_id(str(folder)), root, work, name=folder.name)

    def close(self, seconds: float = CLOSE_S) -> bool:
        """Cancel jobs, finish what runs, drop what waits. Returns whether all has ended within that time."""
        for job in list(self.jobs.jobs.values()):
            job.stop.set()
        parts = (self.thread, self.photos, self.jobs, self.rows, self.pictures, self.masks)
        closing = [threading.Thread(target=part.close, daemon=True) for part in parts]
        for thread in closing:
            thread.start()
        end = time.monotonic() + seconds
        for thread in closing:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in closing)


def the_service(request: Request) -> Service:
    """Of the application that the request came to."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise ApiError(503, "stopping", "the server is not ready; try again in a moment", {"Retry-After": "1"})
    return service


Serving = Annotated[Service, Depends(the_service)]
