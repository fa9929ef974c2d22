"""The models that galleries were made by: loaded when needed, two at most, and run by one thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sketchfusion.apps.web.admission import ModelThread
from sketchfusion.apps.web.errors import ApiError
from sketchfusion.apps.web.memory import apart
from sketchfusion.apps.web.naming import model_names, namer
from sketchfusion.apps.web.sketches import Described, Sketch
from sketchfusion.canvas import Canvas
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.index.record import GalleryRecord
from sketchfusion.tasks.recognition import (
    Guess,
    check_labels,
    class_vectors,
    guesses,
    head_probabilities,
    text_probabilities,
)
from sketchfusion.tasks.segmentation import sketch_descriptor_of

if TYPE_CHECKING:
    from sketchfusion.backbones.zero_shot import NamingModel

KEPT = 2
LABELS_KEPT = 32  # lists of names whose vectors are kept
Load = Callable[[str, tuple[str, ...]], SketchFusion]


@dataclass(eq=False)
class Loaded:
    """A model that is ready.

    Attributes:
        model: on its device.
        fingerprint: its own, which takes a while to work out.
        naming: the whole patch encoder with its text tower; None until names are asked for.
        labels: vectors of the names asked for lately.
    """

    model: SketchFusion
    fingerprint: str
    naming: NamingModel | None = None
    labels: OrderedDict[tuple[str, ...], Tensor] = field(default_factory=OrderedDict)


class Models:
    """Gives the model of a gallery, and what models make of sketches.

    Args:
        load: ``load(model, overrides)`` gives a model; raises the library's errors.
        thread: where models run and are loaded.
    """

    def __init__(self, load: Load, thread: ModelThread) -> None:
        self.load, self.thread = load, thread
        self.loaded: OrderedDict[tuple[str, tuple[str, ...]], Loaded] = OrderedDict()  # the one used last comes last
        self.lock = threading.Lock()

    def ready(self, model: str, overrides: Sequence[str]) -> Loaded:
        """The model, loaded where it is not yet; the one used least recently leaves. Only for the model's thread.

        Raises:
            ConfigError, WeightsUnavailable, DeviceError: see ``SketchFusion.from_pretrained``.
        """
        key = model, tuple(overrides)
        found = self.used(key)
        if found is None:
            with self.lock:
                while len(self.loaded) >= KEPT:
                    self.loaded.popitem(last=False)
            built = self.load(*key)
            found = Loaded(built, built.fingerprint)
            with self.lock:
                self.loaded[key] = found
        return found

    def used(self, key: tuple[str, tuple[str, ...]]) -> Loaded | None:
        """The model, marked as the one used last; None where it is not loaded."""
        with self.lock:
            found = self.loaded.get(key)
            if found is not None:
                self.loaded.move_to_end(key)
            return found

    def last(self) -> Loaded | None:
        """The model used last; None where none is loaded."""
        with self.lock:
            return next(reversed(self.loaded.values()), None)

    async def of(self, record: GalleryRecord) -> Loaded:
        """The model that made a gallery.

        Raises:
            ApiError: 409, the model is another one now, or cannot be loaded; 504, it is still being loaded.
        """
        found = self.used((record.model, record.overrides))
        if found is None:
            found = await self.thread.run(lambda: self.ready(record.model, record.overrides))
        if found.fingerprint != record.fingerprint:
            name = namer(model_names(record.model, ()))(record.model)
            raise ApiError(409, "other_model", f"this gallery was made by a model {name!r} with fingerprint "
                           f"{record.fingerprint}, which has {found.fingerprint} now; their descriptors cannot be "
                           "compared. Describe its photos anew with `sketchfusion index --rebuild`")
        return found

    async def first(self) -> Loaded:
        """The model used last. Raises ApiError 503: none is loaded."""
        found = self.last()
        if found is None:
            raise ApiError(503, "no_model", "no model is loaded; choose a gallery", {"Retry-After": "5"})
        return found

    async def describe(self, sketch: Sketch, loaded: Loaded) -> Described:
        """What the model makes of the sketch: worked out once, however many ask. Raises ApiError: see ``Together``."""
        future = sketch.described.get(loaded.fingerprint)
        if future is None or future.cancelled() or (future.done() and future.exception() is not None):
            future = self.thread.submit(lambda sketches: describe_sketches(loaded.model, sketches), sketch,
                                        ("describe", loaded.fingerprint))
            sketch.described[loaded.fingerprint] = future
        described = await self.thread.result(future)
        sketch.on_use(sketch)
        return described

    async def names(self, described: Described, loaded: Loaded, labels: Sequence[str] | None, top: int) -> list[Guess]:
        """What the sketch shows: classes of the model's head, or names of one's own.

        Raises:
            ConfigError: labels that do not fit, or the model has no head.
            WeightsUnavailable: the model has no text tower.
        """
        if labels is None:
            return await self.thread.run(lambda: by_head(loaded.model, described, top))
        check_labels(labels)
        return await self.thread.run(lambda: by_labels(loaded, described, tuple(labels), top))


def check_same(record: GalleryRecord, loaded: Loaded) -> None:
    """Raise ApiError 409 where a gallery has by now been described anew by another model than this."""
    if record.fingerprint != loaded.fingerprint:
        raise ApiError(409, "other_model", "this gallery was described anew by another model while this was worked "
                       "out; ask again")


@torch.no_grad()
def describe_sketches(model: SketchFusion, sketches: Sequence[Sketch]) -> list[Described]:
    """Features of sketches, all in one forward pass."""
    canvases = [model.place(sketch.picture, "sketch", sketch.size) for sketch in sketches]
    features = model.features_of(Canvas.stack(canvases))
    found = []
    for index, canvas in enumerate(canvases):
        feature_map = apart(features.feature_map[index:index + 1])
        found.append(Described(canvas, features.descriptor[index].float().numpy().copy(), feature_map,
                               sketch_descriptor_of(feature_map, canvas)))
    return found


@torch.no_grad()
def by_head(model: SketchFusion, described: Described, top: int) -> list[Guess]:
    """Guesses of the recognition head. Raises ConfigError: the model has none."""
    descriptors = torch.from_numpy(described.descriptor)[None]
    return guesses(*head_probabilities(model, descriptors), top)[0]


@torch.no_grad()
def by_labels(loaded: Loaded, described: Described, labels: tuple[str, ...], top: int) -> list[Guess]:
    """Guesses among names of one's own, by the text tower of the model's patch encoder."""
    from sketchfusion.backbones.zero_shot import load_naming_model

    if loaded.naming is None:
        loaded.naming = load_naming_model(loaded.model.config.encoder.source, device=loaded.model.device)
    if labels not in loaded.labels:
        loaded.labels[labels] = class_vectors(loaded.naming, labels)
        while len(loaded.labels) > LABELS_KEPT:
            loaded.labels.popitem(last=False)
    probabilities = text_probabilities(loaded.naming, described.canvas.images_01, loaded.labels[labels])
    return guesses(labels, probabilities, top)[0]


class PatientDescriber:
    """A model as an indexing job sees it: it runs in the model's thread, whenever no person waits for that.

    Args:
        loaded: the model.
        thread: where it runs.
        check: called before each batch; raises what ends the job.
    """

    def __init__(self, loaded: Loaded, thread: ModelThread, check: Callable[[], None]) -> None:
        self.model, self.fingerprint, self.thread, self.check = loaded.model, loaded.fingerprint, thread, check

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def describe_canvas(self, canvas: Canvas) -> Tensor:
        """See ``SketchFusion``."""
        return self.patiently(lambda: self.model.describe_canvas(canvas))

    def features_of(self, canvas: Canvas) -> Any:
        """See ``SketchFusion``."""
        return self.patiently(lambda: self.model.features_of(canvas))

    def patiently(self, work: Callable[[], Any]) -> Any:
        """Do it when nothing urgent waits."""
        self.check()
        future: Future[Any] = self.thread.submit(lambda items: [work()], None, urgent=False)
        return future.result()
