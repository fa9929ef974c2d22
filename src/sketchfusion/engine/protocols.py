"""Protocols as data: what is a query, what is searched, what counts as right and how that becomes a number.

Numbers of one protocol cannot be compared with those of another. ``docs/protocols.md`` has the same table.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from torch import Tensor

from sketchfusion.data.sets import find_set
from sketchfusion.errors import ConfigError
from sketchfusion.metrics.retrieval import Denominator, Interpolation, accuracy_at_k, average_precision, precision_at_k
from sketchfusion.metrics.segmentation import Regions

Task = Literal["category retrieval", "fine-grained retrieval", "recognition", "correspondence", "segmentation"]
Split = Literal["train", "validation", "test"]
SplitRule = Literal["classes", "rows", "pictures", "parts", "whole"]
Gallery = Literal["photos", "drawn", "none"]
Per = Literal["query", "class", "point"]
Counted = Literal["photos", "sketches", "key point pairs"]
VALIDATION_SHARE, TEST_SHARE = 0.15, 0.2  # of each class, with the split rule "pictures"
TRAINED = 1000  # drawings of each class that train, with the split rule "parts"

SPLIT_RULES: Mapping[SplitRule, str] = {
    "classes": "test: the unseen classes; validation: as many of the seen ones, those of the smallest SHA-256 of their "
               "name; train: the other seen ones",
    "rows": "the released code's: of each class, sorted by photo, rows 30 to 49 are test; of rows 0 to 29 the last "
            "photo is validation and the others train",
    "pictures": "own: of each class, in the order of SHA-256 of class and name, the first 20 % are test, the next 15 % "
                "validation and the others train; sketches of one photo stay together, as do composites of one cut-out",
    "parts": "the files' own: test, valid, which is validation, and train, of which the first 1,000 of each class are "
             "taken",
    "whole": "all is test; nothing of it may train or choose a model",
}
GALLERIES: Mapping[Gallery, str] = {
    "photos": "all photos of the split's classes, in one gallery",
    "drawn": "the photos that a sketch was drawn of, in one gallery",
    "none": "-",
}
DENOMINATORS: Mapping[Denominator, str] = {
    "relevant": "all relevant photos R", "min_rk": "min(k, R)", "hits": "the hits in the top k"}
MEAN_OVER: Mapping[Per, str] = {
    "query": "mean over queries", "class": "mean of each class, then over classes", "point": "mean over key points"}


@dataclass(frozen=True)
class AveragePrecision:
    """AP@k of a ranking; see ``metrics.retrieval.average_precision``."""

    k: int | None = None
    denominator: Denominator = "min_rk"
    interpolation: Interpolation = "none"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"mAP@{self.k or 'all'}"

    @property
    def definition(self) -> str:
        """What a value is."""
        over = DENOMINATORS["relevant" if self.k is None and self.denominator == "min_rk" else self.denominator]
        at = "precision at each hit" if self.interpolation == "none" else "best precision at or after each hit (VOC)"
        return f"{at} in {'the whole ranking' if self.k is None else f'the top {self.k}'}, summed, over {over}"

    def values(self, relevant: Tensor) -> Tensor:
        """(Q, G) bool, best first -> (Q,) float64."""
        return average_precision(relevant, k=self.k, denominator=self.denominator, interpolation=self.interpolation)


@dataclass(frozen=True)
class Precision:
    """P@k of a ranking; with ``short`` the ranking is cut at R where fewer than k photos are relevant."""

    k: int
    short: bool = False

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"P@{self.k}"

    @property
    def definition(self) -> str:
        """What a value is."""
        top = f"min({self.k}, R)" if self.short else f"{self.k}"
        return f"share of the top {top} that is relevant" + (", R the relevant photos" if self.short else "")

    def values(self, relevant: Tensor) -> Tensor:
        """(Q, G) bool, best first, something relevant in each row -> (Q,) float64."""
        if not self.short:
            return precision_at_k(relevant, self.k)
        length = relevant.sum(1).clamp(max=self.k)
        hits = relevant[:, :self.k].cumsum(1).gather(1, length[:, None] - 1)[:, 0]
        return hits.double() / length


@dataclass(frozen=True)
class Found:
    """Acc@k of a ranking: whether the very photo is in the top k."""

    k: int

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"Acc@{self.k}"

    @property
    def definition(self) -> str:
        """What a value is."""
        return f"1 where the photo that was drawn is in the top {self.k}, otherwise 0"

    def values(self, relevant: Tensor) -> Tensor:
        """(Q, G) bool, best first -> (Q,) float64."""
        return accuracy_at_k(relevant, self.k)


@dataclass(frozen=True)
class Recognised:
    """Acc@k of recognition among the classes of the data."""

    k: int
    per: Per = "query"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"Acc@{self.k}" + (" (classes)" if self.per == "class" else "")

    @property
    def definition(self) -> str:
        """What a value is."""
        return (f"1 where the class is among the {self.k} most likely ones of the data set, otherwise 0; "
                f"{MEAN_OVER[self.per]}")


@dataclass(frozen=True)
class KeyPoints:
    """PCK@k: whether a key point is found within k % of the picture's size; both directions count alike."""

    k: float
    strict: bool = False
    per: Per = "query"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"PCK@{self.k:g}" + (" (points)" if self.per == "point" else "")

    @property
    def definition(self) -> str:
        """What a value is."""
        sign = "<" if self.strict else "<="
        of = "1 where a visible key point, in one direction," if self.per == "point" else (
            "share of a pair's visible key points, both directions together, that")
        return (f"{of} is off by {sign} {self.k:g} % of max(height, width) of the picture searched; "
                f"{MEAN_OVER[self.per]}")


@dataclass(frozen=True)
class Iou:
    """IoU of a mask, at the photo's own size."""

    over: Regions = "foreground"
    per: Per = "query"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"mIoU {self.over}" + (" (classes)" if self.per == "class" else "")

    @property
    def definition(self) -> str:
        """What a value is."""
        what = "the foreground's IoU" if self.over == "foreground" else "mean of foreground's and background's IoU"
        return f"{what}, at the photo's size; {MEAN_OVER[self.per]}"


@dataclass(frozen=True)
class PixelAccuracy:
    """Share of pixels that are right, at the photo's own size."""

    per: Per = "query"

    @property
    def name(self) -> str:
        """As it is printed."""
        return "pAcc" + (" (classes)" if self.per == "class" else "")

    @property
    def definition(self) -> str:
        """What a value is."""
        return f"share of the photo's pixels that are right; {MEAN_OVER[self.per]}"


RankingMeasure = AveragePrecision | Precision | Found
MaskMeasure = Iou | PixelAccuracy
Measure = RankingMeasure | Recognised | KeyPoints | MaskMeasure


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate one task on one data set.

    Attributes:
        name: what it is called on the command line.
        task: what is asked of the model.
        data: name of the data set, a row of ``SETS``.
        measures: all of one task.
        split_rule: how training, validation and test are told apart; a key of ``SPLIT_RULES``.
        gallery: what is searched; a key of ``GALLERIES``.
        source: whose protocol it is.
        lists: of the classes, where the split rule is "classes".
        options: of the data set's reader.
        rounded: whether key points are numbers of pixels: those that are looked for are rounded to whole ones, and
            number p stands for the pixel's middle, p + 0.5.
        side: that pictures with key points must have, in pixels; None: any.
        refined: whether masks are refined along the photo's edges.
        published: how many of what the published test split holds.
    """

    name: str
    task: Task
    data: str
    measures: tuple[Measure, ...]
    split_rule: SplitRule
    source: str
    gallery: Gallery = "none"
    lists: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    rounded: bool = False
    side: int | None = None
    refined: bool = False
    published: Mapping[Counted, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Task and data."""
        return f"{self.task} on {find_set(self.data).title}"


PAPER = "paper, Sec. 6.1, which does not say what AP is divided by; min(k, R) is ours"
ZSE = "code of ZSE-SBIR (utils/ap.py) and its file lists"
KEPT = {"duplicates": "keep", "invalid": "keep"}  # as the published file lists have them
PER_CLASS = 1000  # drawings that recognition takes of each class of Quick, Draw!
RETRIEVAL = (AveragePrecision(), Precision(100))
RECOGNITION = (Recognised(1), Recognised(5), Recognised(1, "class"), Recognised(5, "class"))
POINTS = (KeyPoints(5), KeyPoints(10), KeyPoints(5, per="point"), KeyPoints(10, per="point"))
MASKS = (Iou(), Iou("both"), Iou(per="class"), Iou("both", "class"), PixelAccuracy(),
         PixelAccuracy("class"))


def zse(k: int | None, at: int) -> tuple[Measure, ...]:
    """The measures of ZSE-SBIR: interpolated AP@k, and P of the top min(at, R)."""
    return AveragePrecision(k, interpolation="voc"), Precision(at, short=True)


def masked(prefix: str, data: str, source: str, **published: int) -> tuple[Protocol, ...]:
    """Segmentation on a data set with masks, with and without refinement."""
    refined = Protocol(f"{prefix}segmentation", "segmentation", data, MASKS, "pictures", source, refined=True,
                       published=cast("Mapping[Counted, int]", published))
    return refined, replace(refined, name=f"{refined.name}-plain", source=f"{source}; without refinement",
                            refined=False)


OWN = "own"
TUBERLIN_30: Mapping[Counted, int] = {"photos": 27_989, "sketches": 2_400}
QUICKDRAW_30: Mapping[Counted, int] = {"photos": 54_151, "sketches": 92_291}
ROWS: tuple[Protocol, ...] = (
    Protocol("sketchy-21", "category retrieval", "sketchy-extended", (AveragePrecision(200), Precision(200)),
             "classes", PAPER, "photos", "sketchy-21", published={"photos": 10_453}),
    Protocol("sketchy-21-zse", "category retrieval", "sketchy-extended", zse(200, 200), "classes", ZSE, "photos",
             "sketchy-21", KEPT, published={"photos": 12_553, "sketches": 12_694}),
    Protocol("sketchy-25-zse", "category retrieval", "sketchy-extended", zse(None, 100), "classes", ZSE, "photos",
             "sketchy-25", {"split": "sketchy-25", **KEPT}, published={"photos": 17_101, "sketches": 15_229}),
    Protocol("tuberlin-30", "category retrieval", "tu-berlin-extended", (AveragePrecision(), Precision(100)),
             "classes", PAPER, "photos", "tuberlin-30", published=TUBERLIN_30),
    Protocol("tuberlin-30-zse", "category retrieval", "tu-berlin-extended", zse(None, 100), "classes", ZSE, "photos",
             "tuberlin-30", published=TUBERLIN_30),
    Protocol("quickdraw-30", "category retrieval", "quickdraw-extended", (AveragePrecision(), Precision(200)),
             "classes", PAPER, "photos", "quickdraw-30", published=QUICKDRAW_30),
    Protocol("quickdraw-30-zse", "category retrieval", "quickdraw-extended", zse(None, 200), "classes", ZSE, "photos",
             "quickdraw-30", published=QUICKDRAW_30),
    Protocol("caltech-10", "category retrieval", "caltech-quickdraw", RETRIEVAL, "classes",
             f"{OWN}; of each class the first 200 drawings, or as many as there are", "photos", "caltech-10",
             {"per_class": 200}),
    Protocol("pacs", "category retrieval", "pacs", RETRIEVAL, "whole", f"{OWN}, docs/mini.md", "photos"),
    Protocol("folders", "category retrieval", "folders", RETRIEVAL, "whole", OWN, "photos"),
    Protocol("sketchy-21-instances", "fine-grained retrieval", "sketchy", (Found(1), Found(5)), "classes",
             "paper, Sec. 6.1: photos of all unseen classes in one gallery", "photos", "sketchy-21",
             published={"photos": 2_100}),
    Protocol("pacs-instances", "fine-grained retrieval", "pacs", (Found(1), Found(5), Found(10)), "whole",
             f"{OWN}, docs/mini.md", "drawn"),
    Protocol("tuberlin-recognition", "recognition", "tu-berlin", RECOGNITION, "pictures",
             "paper, Sec. 6.2, which does not give the split"),
    Protocol("quickdraw-recognition", "recognition", "quickdraw", RECOGNITION, "pictures",
             f"{OWN}; of each class the first {PER_CLASS:,} drawings, or as many as there are",
             options={"per_class": PER_CLASS}),
    Protocol("quickdraw-recognition-sketchrnn", "recognition", "quickdraw-sketchrnn", RECOGNITION, "parts",
             "paper, Sec. 6.2; the split of Sketch-RNN: 862,500 test drawings", published={"sketches": 862_500}),
    Protocol("psc6k", "correspondence", "psc6k", (KeyPoints(5), KeyPoints(10)), "whole",
             "PSC6K's benchmark (utils/pck.py): all pairs", rounded=True, side=256,
             published={"key point pairs": 6_250}),
    Protocol("psc6k-code", "correspondence", "psc6k", (KeyPoints(5, strict=True), KeyPoints(10, strict=True)), "rows",
             "paper, Sec. 6.3, as in the released code: 40 % of the pairs", side=256,
             published={"key point pairs": 2_500}),
    Protocol("composites-points", "correspondence", "composites", POINTS, "pictures", OWN),
    Protocol("world-points", "correspondence", "drawn-world", POINTS, "pictures", OWN),
    *masked("", "masked", "paper, Sec. 6.4 (test share 20 %; how mIoU is averaged is not said)", sketches=1_000),
    *masked("composites-", "composites", OWN),
    *masked("world-", "drawn-world", OWN),
)
PROTOCOLS: Mapping[str, Protocol] = {row.name: row for row in ROWS}


def find_protocol(name: str) -> Protocol:
    """The row of a protocol. Raises ConfigError: there is none of that name."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name.lower(), PROTOCOLS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"there is no protocol {name!r}; {hint}expected one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_table() -> str:
    """All protocols as the Markdown of ``docs/protocols.md``: a table of the protocols, and one of their measures."""
    rows = ["| protocol | task | data set | measures | split | gallery | source |", "|---|---|---|---|---|---|---|"]
    rows += [f"| `{row.name}` | {row.task} | `{row.data}` | {', '.join(item.name for item in row.measures)} | "
             f"{row.split_rule} | {row.gallery} | {row.source}{particulars(row)} |" for row in ROWS]
    found: dict[tuple[str, str], list[str]] = {}
    for row in ROWS:
        for item in row.measures:
            found.setdefault((item.name, item.definition), []).append(f"`{row.name}`")
    rows += ["", "| measure | a value is | in |", "|---|---|---|"]
    rows += [f"| {name} | {definition} | {', '.join(names)} |" for (name, definition), names in found.items()]
    return "\n".join(rows)


def particulars(protocol: Protocol) -> str:
    """What else a protocol lays down, each after a semicolon."""
    said = [f"{name}={value}" for name, value in protocol.options.items()]
    if protocol.task == "correspondence":
        said.append("points sought rounded to whole pixels" if protocol.rounded else "points as published")
    if protocol.side:
        said.append(f"pictures of {protocol.side} px")
    if protocol.refined:
        said.append("refined masks")
    return "".join(f"; {part}" for part in said)
