"""Sending a sketch, and what it shows by itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.photos import as_png
from sketchfusion.apps.web.schemas import Guesses, GuessOut, PointsOut, SketchOut
from sketchfusion.apps.web.service import Serving
from sketchfusion.apps.web.sketches import STROKES, TYPES, read_body
from sketchfusion.apps.web.strokes import PenDrawing

router = APIRouter(tags=["sketches"])
BODY = {"requestBody": {"required": True, "content": {
    kind: {"schema": PenDrawing.model_json_schema() if kind == STROKES else {"type": "string", "format": "binary"}}
    for kind in TYPES}}}


def inline_definitions() -> None:
    """Put the definitions of the strokes where they are used, since the document has none of its own for them."""
    schema = PenDrawing.model_json_schema()
    stroke = schema.pop("$defs")["PenStroke"]
    schema["properties"]["strokes"]["items"] = stroke
    BODY["requestBody"]["content"][STROKES]["schema"] = schema  # type: ignore[index]


inline_definitions()


@router.post("/sketches", status_code=201, openapi_extra=BODY)
async def send(request: Request, service: Serving) -> SketchOut:
    """Send a sketch: a picture, an SVG, a Quick, Draw! line, or strokes. The same sketch has the same id."""
    data, kind = await request.body(), request.headers.get("content-type", "")
    sketch = service.sketches.add(await service.pictures.run(lambda: read_body(data, kind, service.limits)))
    return SketchOut(id=sketch.id, width=sketch.size[1], height=sketch.size[0],
                     expires_in=round(service.limits.sketch_seconds))


@router.get("/sketches/{sid}/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def picture(service: Serving, sid: str) -> Response:
    """The sketch as it is understood, a PNG: dark on white paper, whatever paper it was sent on."""
    sketch = service.sketches.get(sid)
    return Response(await service.pictures.run(lambda: as_png(sketch.picture)), media_type="image/png")


@router.get("/sketches/{sid}/classes")
async def classes(service: Serving, sid: str, top: Annotated[int, Query(ge=1, le=100)] = 5,
                  labels: Annotated[str | None, Query(max_length=6000)] = None,
                  gallery: Annotated[str | None, Query(max_length=100, description=(
                      "Id of the gallery whose model guesses; without it, the model used last does."))] = None
                  ) -> Guesses:
    """What the sketch shows: classes that the model knows, or names of one's own, with commas between."""
    names = None if labels is None else [name.strip() for name in labels.split(",")]
    limits = service.limits
    if names is not None and (len(names) > limits.labels or any(len(name) > limits.label_length for name in names)):
        raise ApiError(422, "invalid", f"labels: at most {limits.labels} names of at most {limits.label_length} "
                       "letters each")
    sketch = service.sketches.get(sid)
    loaded = (await service.models.first() if gallery is None
              else await service.models.of((await service.gallery(gallery)).record))
    found = await service.models.names(await service.models.describe(sketch, loaded), loaded, names, top)
    return Guesses(guesses=[GuessOut(name=guess.name, probability=round(guess.probability, 6)) for guess in found])


@router.get("/sketches/{sid}/points")
async def points(service: Serving, sid: str, count: Annotated[int, Query(ge=1, le=256)] = 12) -> PointsOut:
    """Points spread over the sketch's ink, in its pixels."""
    sketch = service.sketches.get(sid)
    found = await service.pictures.run(lambda: sketch.ink(count, service.limits.points))
    return PointsOut(points=found.tolist())
