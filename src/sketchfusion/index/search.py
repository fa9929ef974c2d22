"""What a search may ask for, and what it gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from sketchfusion.errors import ConfigError
from sketchfusion.index.describer import Descriptors
from sketchfusion.index.scan import absolute
from sketchfusion.index.store import Filter, Hit, Store


@dataclass(frozen=True)
class SearchOptions:
    """What to return.

    Attributes:
        top: at most so many photos, those of the highest scores.
        offset: leave out so many photos of the highest scores, which earlier pages had. Pages with the same other
            options and offsets 0, ``top``, 2 ``top`` ... give each photo once: together the photos that one search
            with a greater ``top`` gives, as long as the gallery stays as it is. A photo that an approximate search
            overlooks comes on a later page than its score would have it.
        min_score: leave out photos below; cosine in [-1, 1].
        folder: only photos in this folder or below it.
        after, before: only photos of these days and those between; both days count.
        sort: by score, best first, or by date, newest first; the same photos either way. Which photos are on a page
            depends on their scores alone, so several pages by date have to be merged.
    """

    top: int = 20
    offset: int = 0
    min_score: float | None = None
    folder: str | os.PathLike[str] | None = None
    after: date | None = None
    before: date | None = None
    sort: Literal["score", "date"] = "score"

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ConfigError(f"top must be at least 1, got {self.top}")
        if self.offset < 0:
            raise ConfigError(f"offset must be at least 0, got {self.offset}")
        if self.sort not in ("score", "date"):
            raise ConfigError(f"sort must be 'score' or 'date', got {self.sort!r}")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise ConfigError(f"min_score is a cosine and must be in [-1, 1], got {self.min_score}")
        if self.after is not None and self.before is not None and self.after > self.before:
            raise ConfigError(f"after ({self.after}) is later than before ({self.before}); no photo can match")

    def condition(self, *, not_hash: str | None = None) -> Filter:
        """The same as the store understands it."""
        return Filter(folder=None if self.folder is None else absolute(self.folder),
                      after=None if self.after is None else datetime.combine(self.after, time.min),
                      before=None if self.before is None or self.before == date.max
                      else datetime.combine(self.before + timedelta(days=1), time.min),
                      not_hash=not_hash)


@dataclass(frozen=True)
class SearchResult:
    """What was found.

    Attributes:
        hits: in the order asked for.
        best: the best score that any photo had, also below ``min_score`` or on an earlier page; None: there is none.
        total: photos in the folder and between the dates asked for, whatever their scores.
    """

    hits: tuple[Hit, ...]
    best: float | None
    total: int


def find(store: Store, descriptor: Descriptors, options: SearchOptions, *, not_hash: str | None = None) -> SearchResult:
    """Photos by the cosine of their descriptor with (D,) ``descriptor``; none whose content has ``not_hash``."""
    condition = options.condition(not_hash=not_hash)
    ranked = ranking(store, descriptor, options.offset + options.top, condition)
    hits = ranked[options.offset:options.offset + options.top]
    if options.min_score is not None:
        hits = [hit for hit in hits if hit.score >= options.min_score]
    hits.sort(key=lambda hit: hit.date if options.sort == "date" else hit.score, reverse=True)
    return SearchResult(tuple(hits), ranked[0].score if ranked else None, store.count(condition))


def ranking(store: Store, descriptor: Descriptors, count: int, condition: Filter) -> list[Hit]:
    """At least the ``count`` best, if there are so many, and with the last one all of the same score.

    Copies of a photo have the same score, and the store may give any of them; only with all of them at hand does each
    come on one page and no other.
    """
    asked = count + 1
    while True:
        hits = store.search(descriptor, asked, condition)
        if len(hits) < asked or hits[-1].score < hits[count - 1].score:
            return hits
        asked *= 2
