"""Runs a protocol: every picture of a split is described once, then every query is judged by each measure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.canvas import Kind
from sketchfusion.config import digest
from sketchfusion.data.packed.names import class_name
from sketchfusion.data.sets import MaskedPair, Picture, SketchPhotoSet
from sketchfusion.engine.evaluate_pairs import judge_points, judge_segmentation
from sketchfusion.engine.methods import FUSED, HOG, check_method, describe, prepared
from sketchfusion.engine.protocol_data import check_split, read_split
from sketchfusion.engine.protocols import (
    MaskMeasure,
    Per,
    Precision,
    Protocol,
    RankingMeasure,
    Recognised,
    Split,
    Task,
    find_protocol,
)
from sketchfusion.engine.results import Figure, Result, Subject, data_checksum, make_result
from sketchfusion.errors import BlankPicture, ConfigError, DataError, ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.recognition import top_k_accuracy
from sketchfusion.metrics.retrieval import rank

CHUNK = 4_000_000  # scores that are ranked at once
NAMED = 3  # classes that an error names
Progress = Callable[[int, int], None]


@dataclass
class Run:
    """One evaluation while it runs.

    Attributes:
        extractor: as ``methods.prepared`` gives it; None: the method needs none.
        folder, split, classes: see ``evaluate``.
        data: the split.
        root: folder that all of its pictures lie in.
        figures: measure -> what was found.
        queries: name -> ids.
        groups: name of queries -> what each has in common with others; see ``results.make_result``.
        notes: what a reader of the figures should know, a sentence each.
    """

    extractor: SketchFusion | None
    protocol: Protocol
    method: str
    folder: Path
    split: Split
    classes: tuple[str, ...]
    data: SketchPhotoSet
    root: Path
    batch_size: int
    on_progress: Progress | None
    done: int = 0
    total: int = 0
    figures: dict[str, Figure] = field(default_factory=dict)
    queries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def model(self) -> SketchFusion:
        """The extractor, of a method that needs one."""
        assert self.extractor is not None, self.method
        return self.extractor

    def expect(self, count: int) -> None:
        """So many more steps are to come."""
        self.total += count

    def advance(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        if self.on_progress:
            self.on_progress(self.done, self.total)

    def name_of(self, picture: Picture) -> str:
        """The same for a picture in every evaluation: its path below the root, and the number of a drawing."""
        place = picture.path.relative_to(self.root).as_posix()
        return f"{place}#{picture.line}" if picture.line else place

    def group_of(self, picture: Picture) -> str:
        """What makes queries about this photo depend on one another: its origin, or itself."""
        return picture.origin or self.name_of(picture)

    def describe(self, pictures: Sequence[Picture], kind: Kind) -> Tensor:
        """(N, D) descriptors by the method."""
        found = describe(self.extractor, self.method, pictures, kind, batch_size=self.batch_size, advance=self.advance)
        bare = int((found == 0).all(1).sum())
        if bare:
            self.notes.append(f"{bare:,} of {len(found):,} {kind}s are blank to {self.method} and rank last")
        return found

    def add(self, name: str, values: Tensor, definition: str, per: Per = "query",
            class_names: Sequence[str] = ()) -> None:
        """Take in one measure of the queries called "queries", of each or as the mean of each class."""
        if per == "class":
            names = tuple(sorted(set(class_names)))
            values = torch.stack([values[torch.tensor([own == name for own in class_names])].nanmean()
                                  for name in names])
            self.queries["classes"] = names
        self.figures[name] = Figure(values, definition, "classes" if per == "class" else "queries")


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` gives.

    Attributes:
        result: for a file, and to compare with others.
        split: which one was touched.
        photos, sketches: how many were described.
        notes: what a reader of the figures should know, a sentence each.
    """

    result: Result
    split: Split
    photos: int
    sketches: int
    notes: tuple[str, ...]


def evaluate(model: SketchFusion | None, protocol: str | Protocol, folder: str | os.PathLike[str], *,
             method: str = FUSED, baseline_settings: Sequence[str] = (), split: Split = "test",
             classes: Sequence[str] = (), data: SketchPhotoSet | None = None, batch_size: int = 8,
             on_progress: Progress | None = None) -> Evaluation:
    """A model, judged on a data set by a protocol.

    Memory holds the descriptors of the split, a batch of pictures, and the scores of a few queries at a time.

    Args:
        model: None will do for "HOG", and for nothing else.
        protocol: its name, or one of your own.
        folder: of the data set.
        method: "fused", the model itself; a training-free baseline of its backbones, "B-CLIP", "B-SD" or "B-SD+CLIP",
            or of another patch encoder on its canvas, "B-DINO" or "B-DINOv2"; "HOG"; or "chance". ``engine.methods``
            says what each does for each task.
        baseline_settings: ``key=value`` of that other patch encoder: ``source`` (its places of weights), ``layer``,
            ``size``, ``final_norm``.
        split: "test", or "validation" to choose a model by.
        classes: these only; such a result can only be compared with others of the same classes.
        data: what ``read_split`` gave for protocol, folder, split and classes; None: it is read.
        batch_size: pictures that pass the networks together.
        on_progress: called with (done, total) steps.
    Raises:
        ConfigError: unknown protocol, method, setting or split, or the method cannot do the task.
        WeightsUnavailable: the weights of a baseline's own patch encoder are nowhere found.
        DataError: something of the data set is missing or wrong.
        BlankPicture: there is nothing on a sketch.
        ImageError: a picture cannot be read; the message says how to find all such pictures.
    Source: protocol by protocol, see ``engine.protocols``.
    """
    row = find_protocol(protocol) if isinstance(protocol, str) else protocol
    check_method(method, row.task)
    check_split(split)
    data = data or read_split(row, folder, split, classes)
    run = Run(prepared(model, method, baseline_settings), row, method, Path(folder), split, tuple(sorted(classes)),
              data, common_root(data), batch_size, on_progress, notes=list(data.notes))
    try:
        photos, sketches = JUDGES[row.task](run)
    except BlankPicture as error:
        raise BlankPicture(f"{error}; of the data set {folder}: leave it out, or draw it again") from None
    except ImageError as error:
        raise ImageError(f"{error}; remove or repair it; `sketchfusion data check {row.data} {folder} --deep` lists "
                         "all that cannot be read") from None
    result = record(run, [*photos, *sketches])
    return Evaluation(result, split, len(photos), len(sketches), (*run.notes, *result.thin_evidence))


def common_root(data: SketchPhotoSet) -> Path:
    """The data set's folder, or the lowest one that holds it and all pictures."""
    parents = {picture.path.parent for picture in (*data.photos, *data.sketches)}
    return Path(os.path.commonpath([data.root, *parents]))


def judge_retrieval(run: Run) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Rank the gallery for every query. Gives the photos and sketches that took part."""
    data, instances = run.data, run.protocol.task == "fine-grained retrieval"
    numbers = sorted({photo for _, photo in data.pairs}) if run.protocol.gallery == "drawn" else range(len(data.photos))
    photos = [data.photos[number] for number in numbers]
    drawn = sorted({sketch for sketch, _ in data.pairs}) if instances else range(len(data.sketches))
    sketches = [data.sketches[number] for number in drawn]
    run.expect(len(photos) + len(sketches))
    found, gallery = run.describe(sketches, "sketch"), run.describe(photos, "photo")
    if instances:
        place = {number: row for row, number in enumerate(numbers)}
        row_of = {number: row for row, number in enumerate(drawn)}
        own = torch.tensor([place[photo] for _, photo in data.pairs])
        labels, found = torch.arange(len(photos)), found[torch.tensor([row_of[sketch] for sketch, _ in data.pairs])]
        run.queries["queries"] = tuple(f"{run.name_of(data.sketches[sketch])} > {run.name_of(data.photos[photo])}"
                                       for sketch, photo in data.pairs)
        run.groups["queries"] = tuple(run.group_of(data.photos[photo]) for _, photo in data.pairs)
    else:
        own, labels = (torch.tensor([data.class_names.index(item.class_name) for item in side])
                       for side in (sketches, photos))
        run.queries["queries"] = tuple(run.name_of(sketch) for sketch in sketches)
        drawn_of = {sketch: data.photos[photo] for sketch, photo in data.pairs}
        if drawn_of:
            run.groups["queries"] = tuple(run.group_of(drawn_of.get(number, sketch))
                                          for number, sketch in enumerate(sketches))
    run.notes.append(f"{len(own):,} queries, {len(photos):,} photos in the gallery")
    measures = [item for item in run.protocol.measures if isinstance(item, RankingMeasure)]
    run.notes += [f"{item.name} is of all {len(photos):,} photos, which are fewer" for item in measures
                  if isinstance(item, Precision) and not item.short and len(photos) < item.k]
    run.expect(len(found))
    for measure, values in zip(measures, rank_and_judge(run, measures, found, gallery, own, labels), strict=True):
        run.add(measure.name, values, measure.definition)
    return photos, sketches


def rank_and_judge(run: Run, measures: Sequence[RankingMeasure], queries: Tensor, gallery: Tensor, own: Tensor,
                   labels: Tensor) -> list[Tensor]:
    """Every measure of every query, some queries at a time.

    Args:
        queries, gallery: (Q, D), (G, D) unit vectors.
        own, labels: (Q,), (G,); a photo is relevant where they are equal.
    Returns:
        (Q,) of each measure.
    Raises:
        DataError: nothing is relevant to a query.
    """
    bare = int((~torch.isin(own, labels)).sum())
    if bare:
        raise DataError(f"the gallery holds nothing relevant to {bare:,} of {len(own):,} queries; expected photos of "
                        "every class that is searched: add them, or name the classes that you have")
    parts: list[list[Tensor]] = [[] for _ in measures]
    for rows in torch.arange(len(queries)).split(max(1, CHUNK // len(gallery))):
        order = rank(queries[rows] @ gallery.T)
        relevant = labels[order] == own[rows, None]
        for values, measure in zip(parts, measures, strict=True):
            values.append(measure.values(relevant))
        run.advance(len(rows))
    return [torch.cat(values) for values in parts]


def judge_recognition(run: Run) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Tell the classes of the data apart, by the head or by the nearest class mean."""
    names, sketches = run.data.class_names, run.data.sketches
    head = run.model.heads.recognition if run.method == FUSED else None
    run.expect(len(sketches))
    if head is not None:
        known = {name: number for number, name in enumerate(head.class_names)}
        own = [known.get(name, known.get(class_name(name))) for name in names]  # packed data have names of their own
        lacking = [name for name, number in zip(names, own, strict=True) if number is None]
        if lacking:
            raise ConfigError(f"the recognition head of {run.model.name!r} does not know {len(lacking)} of "
                              f"{len(names)} classes, such as {', '.join(lacking[:NAMED])}; train one for this data "
                              "set, or name the classes to evaluate")
        vectors = run.describe(sketches, "sketch")
        with torch.no_grad():
            logits = head(vectors.to(run.model.device)).cpu()[:, own]
        run.notes.append("recognised by the model's head")
    else:
        means = class_means(run, names)
        logits = run.describe(sketches, "sketch") @ means.T
        run.notes.append("recognised by the nearest class mean of the training split's sketches"
                         + (": the model has no recognition head" if run.method == FUSED else ""))
    targets = torch.tensor([names.index(sketch.class_name) for sketch in sketches])
    run.queries["queries"] = tuple(run.name_of(sketch) for sketch in sketches)
    for measure in run.protocol.measures:
        if isinstance(measure, Recognised):
            values = top_k_accuracy(logits, targets, min(measure.k, len(names)))
            run.add(measure.name, values, measure.definition, measure.per, [item.class_name for item in sketches])
    return (), sketches


def class_means(run: Run, names: Sequence[str]) -> Tensor:
    """(K, D) mean descriptor of the training sketches of each class, of unit length.

    Raises:
        DataError: a class has none.
    """
    training = read_split(run.protocol, run.folder, "train", run.classes).sketches
    bare = sorted(set(names) - {sketch.class_name for sketch in training})
    if bare:
        raise DataError(f"{len(bare)} classes have no sketches to train on, such as {', '.join(bare[:NAMED])}; "
                        "expected enough of each for training, validation and test: unpack the data set again")
    counts = Counter(sketch.class_name for sketch in training).values()
    run.notes.append(f"class means of {min(counts):,} to {max(counts):,} sketches of each class, "
                     f"{len(training) / len(names):.0f} on average")
    run.expect(len(training))
    vectors = run.describe(training, "sketch")
    totals = vectors.new_zeros(len(names), vectors.shape[1])
    totals.index_add_(0, torch.tensor([names.index(sketch.class_name) for sketch in training]), vectors)
    return F.normalize(totals, dim=1)


def judge_correspondence(run: Run) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Look for every visible key point in the other picture, in both directions."""
    pairs = sorted(run.data.key_points, key=lambda pair: (run.name_of(pair.photo), run.name_of(pair.sketch)))
    run.expect(len(pairs))
    found = judge_points(run.model, run.method, pairs, run.protocol, batch_size=run.batch_size, advance=run.advance)
    ids = [f"{run.name_of(pair.sketch)} > {run.name_of(pair.photo)}" for pair in pairs]
    run.queries["queries"], run.groups["queries"] = tuple(ids), tuple(run.group_of(pair.photo) for pair in pairs)
    if "points" in {figure.queries for figure in found.values()}:
        run.queries["points"] = tuple(f"{name}, {way} {number}" for name, pair in zip(ids, pairs, strict=True)
                                      for way in ("photo to sketch", "sketch to photo")
                                      for number, seen in enumerate(pair.visible) if seen)
        run.groups["points"] = tuple(run.group_of(pair.photo) for pair in pairs for _ in range(2 * sum(pair.visible)))
    run.figures |= found
    return unique(pair.photo for pair in pairs), unique(pair.sketch for pair in pairs)


def judge_masks(run: Run) -> tuple[Sequence[Picture], Sequence[Picture]]:
    """Cut out of every photo what its sketch shows."""
    pairs = sorted(run.data.masked, key=lambda pair: (run.name_of(pair.photo), run.name_of(pair.sketch)))
    run.expect(len(pairs))
    others: Sequence[MaskedPair] = ()
    if run.method != FUSED:
        other: Split = "validation" if run.split == "test" else "train"
        others = read_split(run.protocol, run.folder, other, run.classes).masked
        run.expect(len(others))
    found, threshold = judge_segmentation(run.model, run.method, pairs, others, run.protocol,
                                          batch_size=run.batch_size, advance=run.advance)
    run.notes.append(f"threshold {threshold:.3f} of the cosine, " + (
        "the model's own" if run.method == FUSED else f"the best on {len(others):,} other pairs"))
    run.queries["queries"] = tuple(f"{run.name_of(pair.sketch)} > {run.name_of(pair.photo)}" for pair in pairs)
    run.groups["queries"] = tuple(run.group_of(pair.photo) for pair in pairs)
    for measure in run.protocol.measures:
        if isinstance(measure, MaskMeasure):
            run.add(measure.name, found[measure.name], measure.definition, measure.per,
                    [pair.photo.class_name for pair in pairs])
    return unique(pair.photo for pair in pairs), unique(pair.sketch for pair in pairs)


def unique(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(pictures))


JUDGES: Mapping[Task, Callable[[Run], tuple[Sequence[Picture], Sequence[Picture]]]] = {
    "category retrieval": judge_retrieval, "fine-grained retrieval": judge_retrieval,
    "recognition": judge_recognition, "correspondence": judge_correspondence, "segmentation": judge_masks}


def record(run: Run, pictures: Sequence[Picture]) -> Result:
    """The result."""
    task = run.protocol.task
    files = {picture.path for picture in pictures} | (
        {pair.mask for pair in run.data.masked} if task == "segmentation" else set())
    points = [[pair.sketch_points, pair.photo_points, pair.visible] for pair in run.data.key_points]
    data = digest([data_checksum(run.root, files), points if task == "correspondence" else []])
    name = f"{run.protocol.name}, {run.split} split" + (f", {', '.join(run.classes)} only" if run.classes else "")
    seeds = () if run.extractor is None else (run.extractor.config.diffusion.seed,)
    return make_result(subject_of(run), run.figures, run.queries, task=task, protocol=name, data=data, seeds=seeds,
                       groups=run.groups)


def subject_of(run: Run) -> Subject:
    """What was evaluated; a baseline is another model than the one that it takes parts of, and HOG is none at all."""
    own = Subject(HOG, digest([HOG])) if run.extractor is None else Subject.of(run.extractor)
    if run.extractor is not None and run.method != FUSED:
        own = replace(own, name=f"{own.name}, {run.method}", fingerprint=digest([own.fingerprint, run.method]))
    how = {"method": run.method, "split": run.split, "classes": list(run.classes), "notes": list(run.notes)}
    return replace(own, settings={**own.settings, "evaluation": how})
