"""Galleries and their folders; making and updating them; jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query

from sketchfusion.apps.web.folders import list_folder
from sketchfusion.apps.web.jobs import Job
from sketchfusion.apps.web.naming import namer
from sketchfusion.apps.web.schemas import (
    FolderOut,
    FoldersOut,
    GalleriesOut,
    GalleryOut,
    JobOut,
    JobsOut,
    JobStarted,
    NewGallery,
    Place,
    PlacesOut,
    UpdateGallery,
)
from sketchfusion.apps.web.service import Service, Serving

router = APIRouter(tags=["galleries"])


@router.get("/galleries")
async def galleries(service: Serving) -> GalleriesOut:
    """All galleries; ``current`` is the first that can be used."""
    facts = await service.rows.run(service.galleries.facts)
    current = next((each.id for each in facts if each.problem is None), None)
    return GalleriesOut(galleries=[GalleryOut(**{**asdict(each), "roots": list(each.roots)}, current=each.id == current)
                                   for each in facts])


@router.post("/galleries", status_code=202)
async def create(service: Serving, wanted: NewGallery) -> JobStarted:
    """Make a gallery and index a folder below the photo root."""
    job = await service.rows.run(lambda: service.create(wanted.name, wanted.folder))
    return JobStarted(job=job.id, gallery=job.gallery)


@router.post("/galleries/{gid}/update", status_code=202)
async def update(service: Serving, gid: str, wanted: UpdateGallery | None = None) -> JobStarted:
    """Add a folder below the photo root, or look again at what was indexed before."""
    folder = None if wanted is None else wanted.folder
    job = await service.rows.run(lambda: service.index(gid, folder))
    return JobStarted(job=job.id, gallery=job.gallery)


@router.get("/galleries/{gid}/folders")
async def gallery_folders(service: Serving, gid: str) -> FoldersOut:
    """Folders that hold photos of the gallery."""
    gallery = await service.gallery(gid)
    found = await service.rows.run(gallery.folders)
    return FoldersOut(folders=[FolderOut(id=each.id, name=each.name, photos=each.photos) for each in found])


@router.get("/folders")
async def folders(service: Serving, path: Annotated[str, Query(max_length=4096)] = "") -> PlacesOut:
    """What is in a folder below the photo root."""
    found = await service.rows.run(
        lambda: list_folder(service.settings.photos, path, service.limits.folders_listed))
    return PlacesOut(path=found.path, parent=found.parent, pictures=found.pictures,
                     folders=[Place(name=name, path=where) for name, where in found.folders])


@router.get("/jobs")
async def jobs(service: Serving) -> JobsOut:
    """All jobs that wait or run, and the latest of those that have ended; the oldest first."""
    return await service.rows.run(lambda: JobsOut(jobs=[told(service, each) for each in service.jobs.known()]))


@router.get("/jobs/{jid}")
async def job(service: Serving, jid: str) -> JobOut:
    """How far a job is."""
    return told(service, service.jobs.get(jid))


@router.delete("/jobs/{jid}")
async def cancel(service: Serving, jid: str) -> JobOut:
    """Cancel a job; what it indexed stays."""
    return told(service, service.jobs.cancel(jid))


def told(service: Service, job: Job) -> JobOut:
    """How far a job is, as clients may see it."""
    @cache
    def named() -> Callable[[str], str]:  # looks at the disk, so only once there is something to tell
        return namer({**service.galleries.names(), **job.names})

    return JobOut.of(job, service.limits.errors_listed, lambda text: named()(text) if text else "")
