"""The settings of an extractor: frozen sections that validate themselves, and where a preset comes from.

Order of precedence: the default in the section, the preset's file (and those it extends), ``a.b=c`` overrides.
Unknown keys are errors. The resolved settings are saved with every model, gallery and result.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from sketchfusion.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and `sketchfusion --help` needs none
    from sketchfusion.canvas import Color

SUFFIXES = (".yaml", ".yml")
PLACES, TEXTS = ("source", "unet", "vae"), ("prompt",)  # settings that hold places of weights; that hold any text
DEFAULT_PRESET = "mini"

Positive = Annotated[int, Field(gt=0)]
Channel = Annotated[int, Field(ge=0, le=255)]
Sources = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
                    Field(min_length=1)]  # one place is as good as a list of one
T = TypeVar("T", bound=BaseModel)
BlockName = Annotated[str, Field(pattern=r"^(down[1-9]|mid|up[1-9])$")]
PATCHES = "patches"  # as a tap: the patch encoder's own features, beside those of the UNet
TapName = Annotated[str, Field(pattern=rf"^(down[1-9]|mid|up[1-9]|{PATCHES})$")]


class Section(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CanvasConfig(Section):
    """The square canvas that both backbones see."""

    size: Positive
    photo_padding: tuple[Channel, Channel, Channel] = (124, 116, 104)  # ImageNet mean: neutral after normalisation
    sketch_padding: tuple[Channel, Channel, Channel] = (255, 255, 255)  # paper
    ink: Literal["as_drawn", "even"] = "as_drawn"  # "even": lines that the scaling made faint are darkened again

    def padding(self, kind: str) -> Color:
        """Colour of the bars beside a ``photo`` or ``sketch``."""
        paddings = {"photo": self.photo_padding, "sketch": self.sketch_padding}
        if kind not in paddings:
            raise ConfigError(f"unknown kind of picture {kind!r}; expected {' or '.join(paddings)}")
        return paddings[kind]


class DiffusionConfig(Section):
    """The frozen diffusion model (paper Sec. 3.2, 5.1).

    ``source``, ``vae`` and ``unet`` are lists of places, tried in order; see ``backbones.weights``.
    """

    source: Sources
    unet: Sources | None = None  # a UNet that replaces the checkpoint's: a folder, or one safetensors file
    vae: Sources | None = None  # a VAE that replaces the checkpoint's
    variant: str | None = None  # file variant of the checkpoint, such as "fp16"
    timesteps: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(195,), min_length=1)
    prompt: str = ""
    noise: Literal["shared", "image", "zero", "clean"] = "shared"  # docs/architecture.md says why
    num_noise_samples: Positive = 1
    seed: int = 0
    vae_sampling: Literal["mean", "sample"] = "mean"
    value_range: tuple[float, float] = (-1.0, 1.0)
    max_batch: Positive = 16  # rows that pass the UNet together; bounds memory, does not change the features

    @field_validator("timesteps")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"timesteps must differ, got {value}")
        return value


class EncoderConfig(Section):
    """The frozen patch encoder: CLIP in the paper (Sec. 5.1); see ``backbones.patch_encoder`` for the families."""

    source: Sources
    layer: int = -2  # which block's output: -1 the last, -2 the penultimate (paper), 0 the first
    size: Positive | None = None  # side of its input; None: what its checkpoint was trained with
    final_norm: bool = False  # pass the tokens through the encoder's closing LayerNorm


class InjectionConfig(Section):
    """Patch features into the UNet's blocks (Sec. 5.1, Fig. 2)."""

    blocks: Literal["all"] | tuple[BlockName, ...] = "all"  # "all": every down and up block that is run
    init: Literal["zero", "torch"] = "zero"  # "torch": Conv2d's default, as in the released code
    skips: bool = False  # whether the block's skip tensor carries the injected features too
    convolutions: bool = True  # False: Table 6 "w/o 1D convolutions", channels matched by interpolation
    learned: bool = True  # False: the released code, which cuts the features off, so that its convolutions never learn


class AggregationConfig(Section):
    """UNet features into one map (Sec. 5.1).

    With ``patches`` among the taps, the patch encoder's features get a branch of their own: what trained baselines
    without injection need. Where it is the only tap the diffusion model is not run at all.
    """

    taps: tuple[TapName, ...] = Field(default=("up1", "up2", "up3"), min_length=1)
    grid_size: Positive = 60
    out_channels: Positive = 1280
    norm_groups: Positive = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # on whole input channels; training only
    network: bool = True  # False: Table 6 "w/o aggregation network", resized features summed
    learned_weights: bool = True  # False: Table 6 "w/o learnable weights", equal weights
    weights: Literal["softmax", "free"] = "softmax"

    @property
    def unet_taps(self) -> tuple[str, ...]:
        """The taps that are blocks of the UNet."""
        return tuple(tap for tap in self.taps if tap != PATCHES)

    @field_validator("taps")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"taps must differ, got {value}")
        return value


class DescriptorConfig(Section):
    """One vector per picture (Sec. 6.1: global max-pooling)."""

    pooling: Literal["max", "gem", "mean"] = "max"
    gem_p: Annotated[float, Field(gt=0)] = 3.0


class CorrespondenceConfig(Section):
    """How a point is found in the other picture (Sec. 6.3).

    Attributes:
        temperature: of the soft-argmax over cosines.
        window: half the side of the square around the best cell that is averaged over, as a share of the grid's side;
            the released code takes 7 of 60 cells.
    """

    temperature: Annotated[float, Field(gt=0)] = 0.02
    window: Annotated[float, Field(gt=0, le=1)] = 0.12


class SegmentationConfig(Section):
    """Where the cosine of sketch and patch becomes foreground (Sec. 6.4), and how sharply.

    Attributes:
        threshold: of the cosine; 0.47 in the paper.
        softness: tau of the sigmoid while training; the paper gives none, the work it cites 0.03.
        learned: whether training moves both.
    """

    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.47
    softness: Annotated[float, Field(gt=0)] = 0.03
    learned: bool = True


class HeadsConfig(Section):
    """What the tasks do with the features; no part of the features themselves."""

    correspondence: CorrespondenceConfig = CorrespondenceConfig()
    segmentation: SegmentationConfig = SegmentationConfig()


class ExtractorConfig(Section):
    """Everything that shapes a feature, and the heads of the tasks."""

    canvas: CanvasConfig
    diffusion: DiffusionConfig
    encoder: EncoderConfig
    injection: InjectionConfig = InjectionConfig()
    aggregation: AggregationConfig = AggregationConfig()
    descriptor: DescriptorConfig = DescriptorConfig()
    heads: HeadsConfig = HeadsConfig()
    finetune: bool = False  # UNet and patch encoder learn too; the paper's B-Finetuning (Sec. 6.1), which collapses

    def shaping(self) -> dict[str, Any]:
        """The settings that change a feature; where weights come from is told by their content instead."""
        places = {"source", "unet", "vae", "variant", "max_batch"}
        return self.model_dump(mode="json", exclude={
            "diffusion": places, "encoder": {"source"}, "injection": {"learned"}, "heads": True, "finetune": True})


class Licence(Section):
    """Terms of one set of weights."""

    what: str
    licence: str
    terms: str = ""


class Preset(Section):
    """A named extractor: what it is, the shapes of its parts, the terms of its weights, and its settings.

    ``fusion`` lists places of trained injection and aggregation (folders of ``save_pretrained``); without it they start
    from nothing.
    """

    name: str
    title: str
    summary: str = ""
    architectures: dict[str, str] = {}
    licences: tuple[Licence, ...] = ()
    fusion: Sources | None = None
    extractor: ExtractorConfig


def preset_names() -> list[str]:
    """Names of the packaged presets, sorted."""
    folder = resources.files("sketchfusion.presets")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_preset(name: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """The preset of that name, or of that YAML file, with ``a.b=c`` overrides of its extractor applied.

    Raises:
        ConfigError: unknown name or key, malformed file, value that does not fit.
    """
    raw = read_settings(str(name))
    raw.setdefault("name", Path(name).stem)
    settings = raw.setdefault("extractor", {})
    for override in overrides if isinstance(settings, dict) else ():
        assign(settings, override)
    return validate(Preset, raw, origin=f"preset {name}")


def validate(section: type[T], raw: Mapping[str, Any], *, origin: str) -> T:
    """A section from plain data; every problem named by its dotted key.

    Raises:
        ConfigError: what does not fit, and in which file or preset.
    """
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                problems.append(f"{key} is not a setting{known_keys(section, item['loc'])}")
            else:
                problems.append(f"{key}: {item['msg']} (got {str(item['input'])[:80]!r})")
        raise ConfigError(f"{origin} does not fit: " + "; ".join(problems)) from None


def known_keys(section: type[BaseModel], location: Sequence[int | str]) -> str:
    """What the section that an unknown key was put into does know, the nearest spelling first."""
    for part in location[:-1]:
        inner = section.model_fields[str(part)].annotation if str(part) in section.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        section = inner
    names = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"{f', did you mean {close[0]}?' if close else ','} known there: {', '.join(names)}"


def read_settings(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Plain data of a packaged preset or a YAML file, laid over what it ``extends``.

    Raises:
        ConfigError: no such preset or file, malformed, or it extends itself.
    """
    if name in seen:
        raise ConfigError(f"{name} extends itself: {' -> '.join((*seen, name))}")
    raw = _parse(_text(name), name)
    base = str(raw.pop("extends", None) or "")
    if base.endswith(SUFFIXES):  # relative to the file that names it
        base = str(Path(name).parent / base)
    return _merge(read_settings(base, (*seen, name)), raw) if base else raw


def _text(name: str) -> str:
    if name.endswith(SUFFIXES):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"there is no configuration file {name}; check the path")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the configuration file {name}: {error}") from None
    if name not in preset_names():
        close = difflib.get_close_matches(name, preset_names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown preset {name!r}.{hint} Known: {', '.join(preset_names())}; "
                          "or give a configuration file (.yaml) or a folder saved by save_pretrained")
    return resources.files("sketchfusion.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{origin} must hold keys and values, got {type(raw).__name__}")
    return raw


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def assign(raw: dict[str, Any], override: str) -> None:
    """Set one ``a.b=c`` in nested data; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"cannot read the setting {override!r}; expected key.key=value, "
                          "e.g. diffusion.timesteps=[195]")
    *parents, last = key.strip().split(".")
    for parent in parents:
        child = raw.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"cannot set {key!r}: {parent!r} is a value, not a section")
        raw = child
    value = _value(text, override)
    # "yes" and "a: b" are text in a prompt, whatever YAML makes of them.
    raw[last] = text if last in TEXTS and not isinstance(value, str) else value


def settle_place(override: str) -> str:
    """The same override with a relative path of weights made absolute, so that it means the same from anywhere."""
    key, _, text = override.partition("=")
    path = Path(text).expanduser()
    return f"{key}={path.absolute()}" if key.split(".")[-1] in PLACES and text and path.exists() else override


def _value(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot read the value of {override!r}: {error}") from None


def digest(data: Any) -> str:
    """Short stable hash of plain data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
