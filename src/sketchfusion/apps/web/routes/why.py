"""Why a photo was found, and what can be taken along: mask and points."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from PIL import Image

from sketchfusion.apps.web import why
from sketchfusion.apps.web.coco import coco_document
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.models import Loaded, check_same
from sketchfusion.apps.web.photos import as_png
from sketchfusion.apps.web.routes.photos import photo_of
from sketchfusion.apps.web.schemas import MapOut, MatchesOut, MatchOut, PointsIn, RegionOut, headers_out
from sketchfusion.apps.web.service import Service, Serving
from sketchfusion.apps.web.sketches import Described, Sketch
from sketchfusion.index.store import Photo
from sketchfusion.tasks.segmentation import chosen_threshold

router = APIRouter(tags=["why"], prefix="/galleries/{gid}/photos/{pid}")
SketchId = Annotated[str, Query(max_length=100)]
Count = Annotated[int, Query(ge=1, le=256)]
SAVED = headers_out("Content-Disposition")


@dataclass(frozen=True, eq=False)
class Pair:
    """A sketch and a photo, both as the gallery's model sees them; for ``root`` see ``photos.open_photo``."""

    sketch: Sketch
    described: Described
    photo: Photo
    photo_map: why.PhotoMap
    loaded: Loaded
    root: Path


async def pair(service: Service, gallery_id: str, photo_id: str, sketch_id: str) -> Pair:
    """Both of them. Raises ApiError: 404, one is unknown; 409, see ``check_same``."""
    sketch, gallery = service.sketches.get(sketch_id), await service.gallery(gallery_id)
    loaded = await service.models.of(gallery.record)
    photo = await photo_of(service, gallery_id, photo_id)
    check_same(gallery.record, loaded)  # that the row, with its map, was still of this model when it was read
    described = await service.models.describe(sketch, loaded)
    root = service.settings.photos.resolve()
    return Pair(sketch, described, photo, await service.maps.of(photo, loaded, root), loaded, root)


@router.get("/region", response_model_by_alias=True)
async def region(service: Serving, gid: str, pid: str, sketch: SketchId) -> RegionOut:
    """How like the sketch each place of the photo is."""
    both = await pair(service, gid, pid, sketch)
    found = await service.pictures.run(lambda: why.region(both.described, both.photo_map, both.loaded))
    return RegionOut(width=both.photo.width, height=both.photo.height, threshold=found.threshold,
                     softness=found.softness, low=found.low, high=found.high, origin=both.photo_map.origin,
                     map=MapOut(width=found.width, height=found.height, png=found.png))


@router.get("/mask", response_class=Response, responses={
    200: {"content": {"image/png": {}, "application/json": {}}, "headers": SAVED}})
async def mask(service: Serving, gid: str, pid: str, sketch: SketchId,
               threshold: Annotated[float | None, Query(ge=-1, le=1)] = None, refined: bool = True,
               format: Literal["png", "coco"] = "png") -> Response:
    """What the sketch shows of the photo, at its size, to be saved: a PNG of 0 and 255, or COCO's JSON."""
    both = await pair(service, gid, pid, sketch)
    level = chosen_threshold(both.loaded.model, threshold)

    def make() -> bytes:
        found = why.mask(both.described, both.photo_map, both.loaded, both.photo, both.root, threshold=level,
                         refined=refined)
        pixels = found.mask.numpy()
        if format == "coco":
            document = coco_document(pixels, Path(both.photo.path).name, round(found.score, 5))
            return json.dumps(document).encode()
        return as_png(Image.fromarray(pixels.astype(np.uint8) * 255))

    kind, suffix = ("image/png", "png") if format == "png" else ("application/json", "json")
    return download(await service.masks.run(make), kind, f"mask-{both.photo.id}.{suffix}")


@router.post("/points")
async def find(service: Serving, gid: str, pid: str, wanted: PointsIn) -> MatchesOut:
    """Where points of the sketch are in the photo."""
    return await matches(service, gid, pid, wanted)


@router.get("/points", response_model=MatchesOut, responses={
    200: {"content": {"text/csv": {}}, "headers": SAVED}})
async def points(service: Serving, gid: str, pid: str, sketch: SketchId, count: Count = 12,
                 format: Literal["json", "csv"] = "json") -> Response:
    """Points of the sketch's ink and where they are in the photo, to be saved."""
    found = await matches(service, gid, pid, PointsIn(sketch=sketch, count=count))
    if format == "json":
        return download(found.model_dump_json().encode(), "application/json", f"points-{pid}.json")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["sketch_x", "sketch_y", "photo_x", "photo_y", "score"])
    writer.writerows([*each.query, *each.found, each.score] for each in found.points)
    return download(text.getvalue().encode(), "text/csv", f"points-{pid}.csv")


async def matches(service: Service, gallery_id: str, photo_id: str, wanted: PointsIn) -> MatchesOut:
    """The points that were asked for, found."""
    if wanted.points is not None and len(wanted.points) > service.limits.points:
        raise ApiError(422, "bad_points", f"{len(wanted.points)} points are more than the {service.limits.points} "
                       "allowed")
    both = await pair(service, gallery_id, photo_id, wanted.sketch)

    def make() -> MatchesOut:
        asked = (both.sketch.ink(wanted.count, service.limits.points) if wanted.points is None
                 else why.points_on(both.sketch, wanted.points))
        found = why.find_points(both.described, both.photo_map, both.loaded, asked)
        return MatchesOut(width=both.photo.width, height=both.photo.height, points=[
            MatchOut(query=(x, y), found=(place[0], place[1]), score=round(score, 5))
            for (x, y), (place, score) in zip(asked.tolist(), found, strict=True)])

    return await service.pictures.run(make)


def download(data: bytes, kind: str, name: str) -> Response:
    """An answer that browsers save."""
    return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
