"""Recipes: everything that shapes a pre-training run, as frozen sections and YAML files (``configs/pretrain``).

Order of precedence: the default in the section, the file that a recipe extends, the recipe, ``a.b=c`` overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from sketchfusion.config import SUFFIXES, Positive, Section, assign, read_settings, validate
from sketchfusion.errors import ConfigError
from sketchfusion.pretrain.augment import Share, ViewConfig
from sketchfusion.pretrain.names import KINDS
from sketchfusion.pretrain.sampling import shares

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


class ExportConfig(Section):
    """The finished weights, in the hub's layout; larger files are split as the hub splits them."""

    dtype: Literal["float32", "float16"] = "float16"
    max_shard: str = "15MB"


class Recipe(Section):
    """What the three recipes share. ``initial`` is a folder of weights in the hub's layout to start from."""

    title: str = ""
    size: Positive
    seed: int = 0
    output: str
    initial: str = ""
    data: DataConfig
    training: TrainingConfig = TrainingConfig()
    export: ExportConfig = ExportConfig()


class VaeLossConfig(Section):
    """Weights of the terms of the autoencoder's loss."""

    l1: NonNegative = 1.0
    pyramid: NonNegative = 1.0
    edges: NonNegative = 1.0
    kl: NonNegative = 1e-6


class VaeRecipe(Recipe):
    """The autoencoder: ``architecture`` is the ``config.json`` of a diffusers AutoencoderKL."""

    architecture: dict[str, Any]
    loss: VaeLossConfig = VaeLossConfig()


class ClipLossConfig(Section):
    """The contrastive loss: ``cross_domain`` weighs pictures of one class against each other, without text."""

    cross_domain: NonNegative = 0.0
    cross_domain_temperature: Annotated[float, Field(gt=0)] = 0.1
    initial_temperature: Annotated[float, Field(gt=0)] = 0.07


class ClipRecipe(Recipe):
    """Both towers: ``text`` and ``vision`` are the ``config.json`` of transformers models with projection.

    Vocabulary size and special tokens of ``text`` come from the tokenizer, which is made from the names in the data.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    vocabulary: Positive = 4096
    loss: ClipLossConfig = ClipLossConfig()


class SamplingConfig(Section):
    """The pictures drawn while training: DDIM with guidance, one column per name."""

    names: tuple[str, ...] = ()
    per_name: Positive = 4
    steps: Positive = 30
    guidance: NonNegative = 3.0


class DiffusionRecipe(Recipe):
    """The UNet over the latents of a finished autoencoder and the text of a finished CLIP.

    Attributes:
        unet, scheduler: as in the ``config.json`` of diffusers.
        vae: folder of the autoencoder.
        clip: folder that ``sketchfusion pretrain clip`` wrote.
        latent_views: how many augmented views of each picture are encoded; half of them are mirrored.
        caption_dropout: share of pictures seen with the null prompt.
        min_snr: gamma of min-SNR loss weights; 0: the plain loss.
    """

    unet: dict[str, Any]
    scheduler: dict[str, Any]
    vae: str
    clip: str
    latent_views: Positive = 4
    caption_dropout: Share = 0.15
    min_snr: NonNegative = 5.0
    sampling: SamplingConfig = SamplingConfig()


def load_recipe(kind: type[R], file: Path, overrides: Sequence[str] = ()) -> R:
    """A recipe from its file and ``a.b=c`` overrides.

    Raises:
        ConfigError: missing or malformed file, unknown key, value that does not fit.
    """
    if file.suffix not in SUFFIXES:
        raise ConfigError(f"{file} is not a recipe; expected a file ending in {' or '.join(SUFFIXES)}, "
                          "see configs/pretrain")
    raw = read_settings(str(file))
    for override in overrides:
        assign(raw, override)
    recipe = validate(kind, raw, origin=f"recipe {file}")
    shares(recipe.data.mix, recipe.training.batch_size)  # refuses now what a batch could not hold later
    return recipe
