"""Finding photos by a sketch or by another photo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from sketchfusion.apps.web.galleries import find_photo, folder_names, folder_path
from sketchfusion.apps.web.models import check_same
from sketchfusion.apps.web.schemas import HitOut, HitsOut
from sketchfusion.apps.web.service import Serving
from sketchfusion.errors import GalleryError
from sketchfusion.index.gallery import Gallery
from sketchfusion.index.search import SearchOptions, SearchResult

router = APIRouter(tags=["search"], prefix="/galleries/{gid}")
Id = Annotated[str, Query(max_length=100)]
DEEPEST = 100_000  # results that can be scrolled to
Sort = Annotated[Literal["score", "date"], Query(description=(
    "The order within the page: best first, or newest first. Which photos are on a page depends on their scores alone, "
    "so a client that shows several pages by date has to merge them."))]


@dataclass(frozen=True)
class Wanted:
    """The options of a search, and the id of the folder."""

    options: SearchOptions
    folder: str | None


def wanted(top: Annotated[int, Query(ge=1, le=200)] = 24, offset: Annotated[int, Query(ge=0, le=DEEPEST)] = 0,
           min_score: Annotated[float | None, Query(ge=-1, le=1)] = None,
           folder: Annotated[str | None, Query(max_length=100)] = None, after: date | None = None,
           before: date | None = None, sort: Sort = "score") -> Wanted:
    """From the query. Raises ConfigError: dates the wrong way round."""
    options = SearchOptions(top=top, offset=offset, min_score=min_score, after=after, before=before, sort=sort)
    return Wanted(options, folder)


Options = Annotated[Wanted, Depends(wanted)]


@router.get("/search")
async def search(service: Serving, gid: str, sketch: Id, options: Options) -> HitsOut:
    """Photos that show what the sketch shows, a page at a time."""
    started = time.perf_counter()
    gallery, drawn = await service.gallery(gid), service.sketches.get(sketch)
    loaded = await service.models.of(gallery.record)
    described = await service.models.describe(drawn, loaded)

    def look(chosen: SearchOptions) -> SearchResult:
        try:
            return gallery.search_descriptor(described.descriptor, chosen, fingerprint=loaded.fingerprint)
        except GalleryError:
            check_same(gallery.record, loaded)
            raise

    return await service.rows.run(lambda: page(gallery, options, started, look))


@router.get("/similar")
async def similar(service: Serving, gid: str, photo: Id, options: Options) -> HitsOut:
    """Photos that look like this one, which is left out, a page at a time."""
    started = time.perf_counter()
    gallery = await service.gallery(gid)

    def look(chosen: SearchOptions) -> SearchResult:
        return gallery.similar_to(find_photo(gallery, photo).id, chosen)

    return await service.rows.run(lambda: page(gallery, options, started, look))


def page(gallery: Gallery, wanted: Wanted, started: float, look: Callable[[SearchOptions], SearchResult]) -> HitsOut:
    """One page of what ``look`` finds."""
    options = replace(wanted.options, folder=folder_path(gallery, wanted.folder))
    result, names = look(options), folder_names(gallery)
    end = options.offset + options.top
    hits = [HitOut(id=hit.id, name=Path(hit.path).name, folder=names.get(hit.folder, ""), score=round(hit.score, 5),
                   date=hit.date.isoformat(timespec="seconds"), width=hit.width, height=hit.height)
            for hit in result.hits]
    more = len(hits) == options.top and end < result.total and end <= DEEPEST
    return HitsOut(hits=hits, best=None if result.best is None else round(result.best, 5), total=result.total,
                   next_offset=end if more else None, took_ms=round((time.perf_counter() - started) * 1000, 1))
