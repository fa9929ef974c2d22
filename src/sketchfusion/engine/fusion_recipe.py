"""The recipe of a fusion: what it learns on, how a batch is made, and how the tasks' losses are balanced."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sketchfusion.config import Positive, Section
from sketchfusion.data.packed.augment import Share, ViewConfig
from sketchfusion.engine.config import NonNegative, Recipe
from sketchfusion.tasks.category_retrieval import RetrievalLossConfig


class TaskConfig(Section):
    """One task's part of the loss."""

    weight: NonNegative = 1.0
    loss: RetrievalLossConfig = RetrievalLossConfig()


class TasksConfig(Section):
    """The tasks that are learned together; a weight of 0 leaves one out."""

    category: TaskConfig = TaskConfig()
    fine_grained: TaskConfig = TaskConfig()


class PairsConfig(Section):
    """How a batch of pairs of sketch and photo is made.

    Attributes:
        instance_share: of the pairs that show the very same thing; the others only share the class.
        siblings: instances of one class that are put into a batch together, so that it holds hard negatives.
    """

    instance_share: Share = 0.5
    siblings: Annotated[int, Field(ge=2)] = 4


class FusionRecipe(Recipe):
    """Injection, aggregation and branch weights over frozen backbones.

    ``data.mix`` says how likely a picture of each kind is, among those of its class, to stand for the class.

    Attributes:
        model: preset, configuration file or folder whose backbones are taken; its fusion starts anew.
        settings: ``a.b=c`` overrides of the model.
        views: augmented views of each picture that are encoded once and kept; every other one is mirrored.
        cache: folder for what was encoded; beside the output if empty.
    """

    model: str
    settings: tuple[str, ...] = ()
    tasks: TasksConfig = TasksConfig()
    pairs: PairsConfig = PairsConfig()
    views: Positive = 2
    cache: str = ""

    def view(self, kind: str) -> ViewConfig:
        """The augmentation of one kind; a photo is shown whole."""
        return self.data.views.get(kind, ViewConfig(whole=1.0))

    @model_validator(mode="after")
    def _learns_something(self) -> FusionRecipe:
        if not self.tasks.category.weight and not self.tasks.fine_grained.weight:
            raise ValueError("all tasks have the weight 0, so there is nothing to learn")
        if self.view("photo").whole < 1:
            raise ValueError("descriptors are pooled over the whole picture, so photos must not be cropped; set "
                             "data.views.photo.whole to 1.0")
        return self
