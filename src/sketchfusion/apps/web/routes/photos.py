"""Photos by id: facts, thumbnail, picture, the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from sketchfusion.apps.web.galleries import find_photo, folder_names
from sketchfusion.apps.web.photos import SHOWN, as_jpeg, check_file, media_type, read_photo
from sketchfusion.apps.web.schemas import PhotoOut
from sketchfusion.apps.web.service import Service, Serving
from sketchfusion.index.store import Photo

router = APIRouter(tags=["photos"], prefix="/galleries/{gid}/photos/{pid}")
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}
KEEP = "private, no-cache"  # kept by the browser, and asked about each time


async def photo_of(service: Service, gallery_id: str, photo_id: str) -> Photo:
    """The row of a photo. Raises ApiError 404."""
    gallery = await service.gallery(gallery_id)
    return await service.rows.run(lambda: find_photo(gallery, photo_id))


def unchanged(request: Request, tag: str) -> Response | None:
    """304, where the browser has this already."""
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": KEEP})
    return None


def jpeg(data: bytes, tag: str) -> Response:
    """The answer."""
    return Response(data, media_type="image/jpeg", headers={"ETag": tag, "Cache-Control": KEEP})


@router.get("")
async def facts(service: Serving, gid: str, pid: str) -> PhotoOut:
    """What is known of a photo."""
    photo, gallery = await photo_of(service, gid, pid), await service.gallery(gid)
    names = await service.rows.run(lambda: folder_names(gallery))
    return PhotoOut(id=photo.id, name=Path(photo.path).name, folder=names.get(photo.folder, ""), width=photo.width,
                    height=photo.height, date=photo.date.isoformat(timespec="seconds"), has_map=bool(photo.dense))


@router.get("/thumbnail", response_class=Response, responses=JPEG)
async def thumbnail(service: Serving, request: Request, gid: str, pid: str) -> Response:
    """A small JPEG from the gallery itself; the file need not be there."""
    photo = await photo_of(service, gid, pid)
    tag = f'"{photo.hash[:20]}-t"'
    return unchanged(request, tag) or jpeg(photo.thumbnail, tag)


@router.get("/picture", response_class=Response, responses=JPEG)
async def picture(service: Serving, request: Request, gid: str, pid: str,
                  side: Annotated[int, Query(ge=16, le=4096)] = 1024) -> Response:
    """The upright photo as a JPEG without metadata, at most ``side`` pixels."""
    photo = await photo_of(service, gid, pid)
    tag = f'"{photo.hash[:20]}-{side}"'
    return unchanged(request, tag) or jpeg(await service.pictures.run(lambda: as_jpeg(read_photo(photo, side))), tag)


@router.get("/original", response_class=FileResponse)
async def original(service: Serving, gid: str, pid: str) -> Response:
    """The file itself; shown in the browser if all browsers can, else as a download."""
    photo = await photo_of(service, gid, pid)
    await service.rows.run(lambda: check_file(photo))
    kind = media_type(photo)
    return FileResponse(photo.path, media_type=kind, filename=Path(photo.path).name, headers={"Cache-Control": KEEP},
                        content_disposition_type="inline" if kind in SHOWN else "attachment")
