"""What the API takes and gives, as OpenAPI shows it. Points are [x, y] pixels; dates are ISO 8601 in local time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from sketchfusion.apps.web.jobs import Job, State
from sketchfusion.index.update import Summary

Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
PAIR = {"type": "array", "minItems": 2, "maxItems": 2}  # of numbers; more tools read this than prefixItems
XY = Annotated[tuple[float, float], WithJsonSchema({**PAIR, "items": {"type": "number"}})]
FiniteXY = Annotated[tuple[Finite, Finite], WithJsonSchema(
    {**PAIR, "items": {"type": "number", "minimum": -1e6, "maximum": 1e6}})]


def headers_out(*names: str) -> dict[str, Any]:
    """Headers of an answer."""
    return {name: {"schema": {"type": "string"}} for name in names}


class ErrorText(BaseModel):
    """What went wrong, for programs and for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """Every error has this shape."""

    error: ErrorText


class Health(BaseModel):
    """That the server runs, and on which model; its name is empty while none is loaded."""

    status: Literal["ok"] = "ok"
    version: str
    model: str
    fingerprint: str


class SketchOut(BaseModel):
    """A sketch that is kept for ``expires_in`` seconds after its last use."""

    id: str
    width: int
    height: int
    expires_in: int


class GuessOut(BaseModel):
    """A name and its probability among all that were compared."""

    name: str
    probability: float


class Guesses(BaseModel):
    """The likeliest first."""

    guesses: list[GuessOut]


class PointsOut(BaseModel):
    """Points of a sketch, in its pixels."""

    points: list[XY]


class GalleryOut(BaseModel):
    """A gallery; ``problem`` says why it cannot be used now, ``current`` marks the one to be shown first."""

    id: str
    name: str
    photos: int
    model: str
    created: str
    current: bool
    roots: list[str]
    problem: str | None


class GalleriesOut(BaseModel):
    """All galleries."""

    galleries: list[GalleryOut]


class NewGallery(BaseModel):
    """A gallery to be made of a folder, whose path begins at the photo root; empty for all of it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=60)]
    folder: Annotated[str, Field(max_length=4096)]


class UpdateGallery(BaseModel):
    """A folder to be added; none: look again at what was indexed before."""

    model_config = ConfigDict(extra="forbid")

    folder: Annotated[str, Field(max_length=4096)] | None = None


class JobStarted(BaseModel):
    """Where to ask how it goes, and the gallery it is about."""

    job: str
    gallery: str


class FileError(BaseModel):
    """A file that could not be indexed."""

    file: str
    reason: str


class SummaryOut(BaseModel):
    """What indexing did, in photos."""

    added: int
    changed: int
    unchanged: int
    removed: int
    photos: int
    seconds: float
    notes: list[str]

    @staticmethod
    def of(summary: Summary, told: Callable[[str], str]) -> SummaryOut:
        """``told`` gives a text as clients may see it."""
        return SummaryOut(added=summary.added, changed=summary.changed, unchanged=summary.unchanged,
                          removed=summary.removed, photos=summary.photos, seconds=summary.seconds,
                          notes=[told(note) for note in summary.notes])


class JobOut(BaseModel):
    """How far indexing is, in files; ``gallery`` is the id of the gallery, ``name`` what it is called."""

    id: str
    state: State
    done: int
    total: int
    gallery: str
    name: str
    errors: list[FileError]
    summary: SummaryOut | None
    message: str

    @staticmethod
    def of(job: Job, most: int, told: Callable[[str], str]) -> JobOut:
        """With at most so many errors; ``told`` gives a text as clients may see it."""
        summary = job.summary
        failures = summary.failures[:most] if summary else []
        errors = [FileError(file=job.name_of(each.path), reason=told(each.reason)) for each in failures]
        return JobOut(id=job.id, state=job.state, done=job.done, total=job.total, gallery=job.gallery, name=job.name,
                      errors=errors, summary=SummaryOut.of(summary, told) if summary else None,
                      message=told(job.message))


class JobsOut(BaseModel):
    """Jobs that wait or run, and those that are remembered; the oldest first."""

    jobs: list[JobOut]


class FolderOut(BaseModel):
    """A folder of a gallery; ``name`` begins with what was indexed."""

    id: str
    name: str
    photos: int


class FoldersOut(BaseModel):
    """Folders of a gallery."""

    folders: list[FolderOut]


class Place(BaseModel):
    """A folder below the photo root."""

    name: str
    path: str


class PlacesOut(BaseModel):
    """What is in a folder below the photo root; ``pictures`` are those directly in it."""

    path: str
    parent: str | None
    folders: list[Place]
    pictures: int


class HitOut(BaseModel):
    """A photo that was found; ``score`` is a cosine."""

    id: str
    name: str
    folder: str
    score: float
    date: str
    width: int
    height: int


class HitsOut(BaseModel):
    """One page of results; ``best`` is the best score there is, ``total`` counts the photos that were compared."""

    hits: list[HitOut]
    best: float | None
    total: int
    next_offset: int | None
    took_ms: float


class PhotoOut(BaseModel):
    """A photo; width and height are pixels of the upright photo."""

    id: str
    name: str
    folder: str
    width: int
    height: int
    date: str
    has_map: bool


class MapOut(BaseModel):
    """8-bit grey PNG in base64: 0 is the lowest cosine, 255 the highest."""

    width: int
    height: int
    png: str


class RegionOut(BaseModel):
    """Cosines of a photo with a sketch; the probability is sigmoid((cosine - threshold) / softness)."""

    model_config = ConfigDict(populate_by_name=True)

    width: int
    height: int
    threshold: float
    softness: float
    low: float
    high: float
    map: MapOut
    origin: Annotated[Literal["stored", "photo"], Field(alias="from")]


class PointsIn(BaseModel):
    """Points of a sketch to be found; null: ``count`` of its ink."""

    model_config = ConfigDict(extra="forbid")

    sketch: Annotated[str, Field(max_length=100)]
    points: Annotated[list[FiniteXY], Field(max_length=256, fail_fast=True)] | None = None
    count: Annotated[int, Field(ge=1, le=256)] = 12


class MatchOut(BaseModel):
    """A point of the sketch and its place in the photo, each in its picture's pixels; ``score`` is a cosine."""

    query: XY
    found: XY
    score: float


class MatchesOut(BaseModel):
    """Points found; width and height are the photo's."""

    points: list[MatchOut]
    width: int
    height: int
