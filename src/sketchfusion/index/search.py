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
        min_score: leave out photos below; cosine in [-1, 1].
        folder: only photos in this folder or below it.
        after, before: only photos of these days and those between; both days count.
        sort: by score, best first, or by date, newest first; the same photos either way.
    """

    top: int = 20
    min_score: float | None = None
    folder: str | os.PathLike[str] | None = None
    after: date | None = None
    before: date | None = None
    sort: Literal["score", "date"] = "score"

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ConfigError(f"top must be at least 1, got {self.top}")
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
    """What was found, in the order asked for, and the best score that any photo had, also below ``min_score``."""

    hits: tuple[Hit, ...]
    best: float | None


def find(store: Store, descriptor: Descriptors, options: SearchOptions, *, not_hash: str | None = None) -> SearchResult:
    """Photos by the cosine of their descriptor with (D,) ``descriptor``; none whose content has ``not_hash``."""
    hits = store.search(descriptor, options.top, options.condition(not_hash=not_hash))
    best = hits[0].score if hits else None
    if options.min_score is not None:
        hits = [hit for hit in hits if hit.score >= options.min_score]
    if options.sort == "date":
        hits.sort(key=lambda hit: hit.date, reverse=True)
    return SearchResult(tuple(hits), best)
