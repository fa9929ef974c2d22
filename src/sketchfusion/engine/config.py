"""Recipes: everything that shapes a training run, as frozen sections and YAML files (``configs/``).

Order of precedence: the default in the section, the file that a recipe extends, the recipe, ``a.b=c`` overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from sketchfusion.config import SUFFIXES, Positive, Section, assign, read_settings, validate
from sketchfusion.data.packed.augment import Share, ViewConfig
from sketchfusion.data.packed.names import KINDS
from sketchfusion.data.packed.sampling import shares
from sketchfusion.errors import ConfigError

NonNegative = Annotated[float, Field(ge=0)]
KindName = Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")]
R = TypeVar("R", bound="Recipe")


class DataConfig(Section):
    """Which of the packed data, in which mixture.

    Attributes:
        shards: folder of ``sketchfusion pretrain pack``.
        mix: kind -> share of a batch; a kind that is not named is not used.
        balance: 0: every picture equally often; 1: every class equally often.
        views: kind -> augmentation.
    """

    shards: str = ""
    mix: dict[KindName, Annotated[float, Field(gt=0)]] = Field(default={"photo": 1.0})
    balance: Share = 0.0
    views: dict[KindName, ViewConfig] = Field(default={})

    def view(self, kind: str) -> ViewConfig:
        """The augmentation of one kind."""
        return self.views.get(kind, ViewConfig())


class TrainingConfig(Section):
    """The loop.

    Attributes:
        steps: at most so many; with ``max_minutes`` set, whichever comes first ends the run.
        max_minutes: of all starts of a run together, loading and closing work included; 0: no limit.
        reserve_minutes: of these, kept for evaluation, pictures and saving.
        batch_size: of one forward pass of one process; ``accumulate`` of them make a step.
        lr, warmup, final_lr: linear warm-up over steps, then cosine down to the share ``final_lr`` at the end.
        ema: decay of the running average of the weights; 0: none is kept. What is saved is the average.
        precision: of the forward pass; weights stay in single precision.
        compile: "auto" compiles on a GPU where compiling works.
        log_every, sample_every, checkpoint_every: in steps; 0: never.
        evaluated: at most so many held-out pictures of each kind are judged.
        evaluate_every: in steps; 0: never. Figures of the weights, or of their average if one is kept; no picture.
        best: a held-out figure, higher is better, such as "category_mAP@all": of the evaluated weights those with the
            highest are kept, the last step's among them. Empty: none are.
        gradient_checkpointing: compute the blocks of UNet and aggregation again on the way back instead of keeping
            them: slower, far less memory.
        tensorboard: write the numbers of the log for TensorBoard too.
    """

    steps: Positive = 10_000
    max_minutes: NonNegative = 0.0
    reserve_minutes: NonNegative = 0.5
    batch_size: Positive = 64
    accumulate: Positive = 1
    lr: Annotated[float, Field(gt=0)] = 3e-4
    final_lr: Share = 0.01
    warmup: Annotated[int, Field(ge=0)] = 200
    weight_decay: NonNegative = 0.01
    betas: tuple[Share, Share] = (0.9, 0.99)
    clip_norm: NonNegative = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool | Literal["auto"] = False
    log_every: Positive = 50
    sample_every: Annotated[int, Field(ge=0)] = 1000
    checkpoint_every: Annotated[int, Field(ge=0)] = 1000
    evaluated: Positive = 1024
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    best: str = ""
    gradient_checkpointing: bool = False
    tensorboard: bool = False

    @model_validator(mode="after")
    def _best_is_looked_for(self) -> Self:
        if self.best and not self.evaluate_every:
            raise ValueError(f"best is {self.best}, but evaluate_every is 0; set the steps between evaluations too, or "
                             "leave both out")
        return self


class Recipe(Section):
    """What all recipes share."""

    title: str = ""
    seed: int = 0
    output: str
    data: DataConfig
    training: TrainingConfig = TrainingConfig()

    def check(self) -> None:
        """Refuse now what a batch could not hold later. Raises ConfigError."""
        shares(self.data.mix, self.training.batch_size)


class ExportConfig(Section):
    """The finished weights, in the hub's layout; larger files are split as the hub splits them."""

    dtype: Literal["float32", "float16"] = "float16"
    max_shard: str = "15MB"


def load_recipe(kind: type[R], file: Path, overrides: Sequence[str] = ()) -> R:
    """A recipe from its file and ``a.b=c`` overrides.

    Raises:
        ConfigError: missing or malformed file, unknown key, value that does not fit.
    """
    if file.suffix not in SUFFIXES:
        raise ConfigError(f"{file} is not a recipe; expected a file ending in {' or '.join(SUFFIXES)}, "
                          "see configs/")
    raw = read_settings(str(file))
    for override in overrides:
        assign(raw, override)
    recipe = validate(kind, raw, origin=f"recipe {file}")
    recipe.check()
    return recipe
