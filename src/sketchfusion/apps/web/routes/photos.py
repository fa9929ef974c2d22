"""Photos by id: facts, thumbnail, picture, the file itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from sketchfusion.apps.web.galleries import folder_names
from sketchfusion.apps.web.photos import SHOWN, TYPES, as_jpeg, media_type, open_photo, pieces, read_photo
from sketchfusion.apps.web.schemas import PhotoOut, headers_out
from sketchfusion.apps.web.service import Service, Serving
from sketchfusion.index.store import Photo

router = APIRouter(tags=["photos"], prefix="/galleries/{gid}/photos/{pid}")
Responses = dict[int | str, dict[str, Any]]
SAME: Responses = {304: {"description": "The browser's own copy, named by If-None-Match, is still right.",
                         "headers": headers_out("ETag")}}
JPEG: Responses = {200: {"content": {"image/jpeg": {}}, "headers": headers_out("ETag")}, **SAME}
FILE: Responses = {200: {"content": {kind: {} for kind in sorted({*TYPES.values(), "application/octet-stream"})},
                         "headers": headers_out("ETag", "Content-Disposition", "Accept-Ranges")}, **SAME}
TAG = re.compile(r'"[^"\s]*"')
KEEP = "private, no-cache"  # kept by the browser, and asked about each time


async def photo_of(service: Service, gallery_id: str, photo_id: str) -> Photo:
    """The row of a photo. Raises ApiError 404."""
    return await service.photo(gallery_id, photo_id)


def unchanged(request: Request, tag: str) -> Response | None:
    """304, where the browser has this already; ``W/`` before a tag makes no difference."""
    told = ",".join(request.headers.getlist("if-none-match"))
    if told.strip() == "*" or tag in TAG.findall(told):
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
    if same := unchanged(request, tag):
        return same
    root = service.settings.photos.resolve()
    return jpeg(await service.pictures.run(lambda: as_jpeg(read_photo(photo, root, side))), tag)


@router.get("/original", response_class=StreamingResponse, responses=FILE)
async def original(service: Serving, request: Request, gid: str, pid: str) -> Response:
    """The file itself; shown in the browser if all browsers can, else as a download."""
    photo = await photo_of(service, gid, pid)
    tag = f'"{photo.hash[:20]}-o"'
    if same := unchanged(request, tag):
        return same
    root = service.settings.photos.resolve()
    file = await service.rows.run(lambda: open_photo(photo, root))
    kind = media_type(photo)
    way = "inline" if kind in SHOWN else "attachment"
    return StreamingResponse(pieces(file, photo.size), media_type=kind, headers={
        "Content-Length": str(photo.size), "Cache-Control": KEEP, "ETag": tag, "Accept-Ranges": "none",
        "Content-Disposition": f"{way}; filename*=utf-8''{quote(Path(photo.path).name, safe='')}"})
