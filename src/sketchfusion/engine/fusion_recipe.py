"""The recipe of a fusion: what it learns on, how a batch is made, and how the tasks' losses are balanced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sketchfusion.config import Positive, Section
from sketchfusion.data.packed.augment import Share, ViewConfig
from sketchfusion.data.packed.sampling import shares
from sketchfusion.engine.config import NonNegative, Recipe
from sketchfusion.tasks.category_retrieval import RetrievalLossConfig
from sketchfusion.tasks.correspondence import CorrespondenceLossConfig

TASKS = ("category", "fine_grained", "recognition", "correspondence", "segmentation")
SLOTS = {"instance": ("fine_grained", "correspondence", "segmentation"), "category": ("category",),
         "sketch": ("recognition",)}  # kind of slot of a batch -> tasks that cannot do without


class RetrievalTask(Section):
    """A retrieval task's part of the loss."""

    weight: NonNegative = 1.0
    loss: RetrievalLossConfig = RetrievalLossConfig()


class RecognitionTask(Section):
    """Recognition's part of the loss.

    Attributes:
        smoothing: share of a label that is spread over all classes.
        kinds: the head tells apart all classes of which there are sketches of these kinds.
    """

    weight: NonNegative = 1.0
    smoothing: Share = 0.0
    kinds: tuple[Literal["drawing", "sketch", "icon"], ...] = Field(default=("drawing",), min_length=1)


class CorrespondenceTask(Section):
    """Correspondence's part of the loss."""

    weight: NonNegative = 1.0
    loss: CorrespondenceLossConfig = CorrespondenceLossConfig()


class SegmentationTask(Section):
    """Segmentation's part of the loss."""

    weight: NonNegative = 1.0


class TasksConfig(Section):
    """The tasks that are learned together; a weight of 0 leaves one out.

    Attributes:
        balance: "fixed" multiplies each loss by its weight alone. "uncertainty" also by a learned factor
            exp(-s), with s added, so that losses of other sizes and noise come to terms (Kendall, Gal, Cipolla,
            Multi-Task Learning Using Uncertainty to Weigh Losses, 2018).
    """

    category: RetrievalTask = RetrievalTask()
    fine_grained: RetrievalTask = RetrievalTask()
    recognition: RecognitionTask = RecognitionTask()
    correspondence: CorrespondenceTask = CorrespondenceTask()
    segmentation: SegmentationTask = SegmentationTask()
    balance: Literal["fixed", "uncertainty"] = "fixed"

    @property
    def weights(self) -> dict[str, float]:
        """Task -> weight, of the tasks that are learned."""
        every = {name: float(getattr(self, name).weight) for name in TASKS}
        return {name: weight for name, weight in every.items() if weight}


class PairsConfig(Section):
    """What a batch is made of: slots of one kind or another; a kind that no learned task needs is left out.

    Attributes:
        instance: share of the slots that hold a sketch and a photo of the very same thing.
        category: share with a sketch and a photo of the same class.
        sketch: share with two sketches alone, of any classes to be recognised.
        siblings: instances of one class that are put into a batch together, so that it holds hard negatives.
    """

    instance: NonNegative = 0.5
    category: NonNegative = 0.25
    sketch: NonNegative = 0.25
    siblings: Annotated[int, Field(ge=2)] = 4

    def slots(self, tasks: TasksConfig, total: int) -> dict[str, int]:
        """How many of ``total`` slots each kind gets, by largest remainder. Raises ConfigError: one gets none."""
        wanted = {kind for kind, needed_by in SLOTS.items() if set(needed_by) & tasks.weights.keys()}
        counts = shares({kind: float(getattr(self, kind)) for kind in SLOTS if kind in wanted}, total)
        return {kind: counts.get(kind, 0) for kind in SLOTS}


class FusionRecipe(Recipe):
    """Injection, aggregation, branch weights and heads over frozen backbones; one task or several together.

    ``data.mix`` says how likely a picture of each kind is, among those of its class, to stand for the class.

    Attributes:
        model: preset, configuration file or folder whose backbones are taken; its fusion starts anew.
        settings: ``a.b=c`` overrides of the model.
        views: augmented views of each picture that are encoded once and kept; every other one is mirrored.
        cache: folder for what was encoded; beside the output if empty.
        unseen: classes of which nothing is learned, so that finding them is zero-shot for the fusion; the backbones may
            have seen them, as in the paper.
    """

    model: str
    settings: tuple[str, ...] = ()
    tasks: TasksConfig = TasksConfig()
    pairs: PairsConfig = PairsConfig()
    views: Positive = 2
    cache: str = ""
    unseen: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse now what a batch could not hold later. Raises ConfigError."""
        self.pairs.slots(self.tasks, self.training.batch_size)

    def view(self, kind: str) -> ViewConfig:
        """The augmentation of one kind; a photo is shown whole."""
        return self.data.views.get(kind, ViewConfig(whole=1.0))

    @model_validator(mode="after")
    def _learns_something(self) -> FusionRecipe:
        if not self.tasks.weights:
            raise ValueError("all tasks have the weight 0, so there is nothing to learn")
        if self.view("photo").whole < 1:
            raise ValueError("descriptors are pooled over the whole picture, so photos must not be cropped; set "
                             "data.views.photo.whole to 1.0")
        return self
