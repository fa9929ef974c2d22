"""Settings: precedence, errors that name the key, presets that load, and no field that nobody reads."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import sketchfusion
from sketchfusion.backbones.random_weights import load_architecture
from sketchfusion.config import (
    DiffusionConfig,
    ExtractorConfig,
    Preset,
    Section,
    digest,
    load_preset,
    preset_names,
    settle_place,
)
from sketchfusion.errors import ConfigError

ROOT = Path(sketchfusion.__file__).parent


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_override_beats_file_beats_default(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.yaml", "extends: tiny\nextractor: {diffusion: {seed: 5}, canvas: {size: 96}}\n")
    assert load_preset("tiny").extractor.diffusion.seed == DiffusionConfig(source=("x",)).seed == 0
    assert load_preset(file).extractor.diffusion.seed == 5
    assert load_preset(file, ["diffusion.seed=7"]).extractor.diffusion.seed == 7
    assert load_preset(file, ["diffusion.seed=7", "diffusion.seed=8"]).extractor.diffusion.seed == 8
    settings = load_preset(file).extractor
    assert settings.canvas.size == 96
    assert settings.diffusion.source == ("random:tiny-sd",), "what a file leaves out comes from the one it extends"


def test_extends_is_relative_to_its_file(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "extends: tiny\nextractor: {canvas: {size: 72}}\n")
    assert load_preset(write(tmp_path, "mine.yaml", "extends: base.yaml\n")).extractor.canvas.size == 72


def test_circles_of_extends_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "extends: a.yaml\n")
    with pytest.raises(ConfigError, match=r"extends itself: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"):
        load_preset(tmp_path / "a.yaml")


@pytest.mark.parametrize(("override", "says"), [
    ("diffusion.timestep=[3]", r"extractor\.diffusion\.timestep is not a setting, did you mean timesteps\?"),
    ("canvas.size=abc", r"extractor\.canvas\.size: .*integer"),
    ("canvas.size=0", r"extractor\.canvas\.size: .*greater than 0"),
    ("diffusion.seed=1.5", r"extractor\.diffusion\.seed: "),
    ("diffusion.timesteps=[1,1]", "timesteps must differ"),
    ("diffusion.timesteps=[]", r"extractor\.diffusion\.timesteps: "),
    ("diffusion.noise=loud", r"extractor\.diffusion\.noise: .*'shared'"),
    ("aggregation.taps=[up1,left2]", r"extractor\.aggregation\.taps\.1: "),
    ("aggregation.taps=[up1,up1]", "taps must differ"),
    ("aggregation.dropout=1", r"extractor\.aggregation\.dropout: "),
    ("injection.blocks=[up0]", r"extractor\.injection\.blocks"),
    ("diffusion=3", r"extractor\.diffusion: "),
    ("diffusion.seed", "expected key.key=value"),
    ("=3", "expected key.key=value"),
    ("diffusion.timesteps=[", "cannot read the value"),
    ("canvas.size.x=3", "'size' is a value, not a section"),
])
def test_a_wrong_setting_is_named_by_its_key(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_preset("tiny", [override])


def test_an_unknown_preset_names_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'sd21-clip'\. Did you mean 'sd21-clip-l14'\? Known: mini"):
        load_preset("sd21-clip")


@pytest.mark.parametrize(("content", "says"), [
    (b"- a\n- b\n", "must hold keys and values, got list"), (b"{", "not valid YAML"), (b"\xff\xfe\x00", "cannot read"),
    (b"extends: tiny\nextractor: 3\n", "extractor: "),
    (b"extends: tiny\nsurprise: 1\n", "surprise is not a setting, known there: name, title"),
    (b"extends: nobody\n", "unknown preset 'nobody'"), (b"title: alone\n", r"extractor\.canvas: Field required")])
def test_a_malformed_file_is_an_error_with_its_name(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        load_preset(tmp_path / "mine.yaml", ["diffusion.seed=1"])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file .*nowhere\.yaml"):
        load_preset(tmp_path / "nowhere.yaml")


def test_one_place_is_as_good_as_a_list_in_an_override() -> None:
    settings = load_preset("tiny", ["diffusion.source=./here", "encoder.source=[./a, ./b]", "diffusion.prompt="])
    assert settings.extractor.diffusion.source == ("./here",)
    assert settings.extractor.encoder.source == ("./a", "./b")
    assert settings.extractor.diffusion.prompt == ""


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_its_shapes_are_packaged(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.title
    assert preset.licences, "the terms of the weights belong to a preset"
    for architecture in preset.architectures.values():
        assert load_architecture(architecture)


def test_the_released_codes_settings_load() -> None:
    file = Path(__file__).parents[1] / "configs" / "official_code.yaml"
    preset = load_preset(file)
    assert preset.name == "official_code"
    settings = preset.extractor
    assert settings.injection.skips
    assert settings.injection.init == "torch"
    assert settings.encoder.layer == -1
    assert settings.diffusion.value_range == (0, 255)
    assert settings.diffusion.num_noise_samples == 32
    assert settings.diffusion.source == load_preset("sd21-clip-l14").extractor.diffusion.source


def test_settings_survive_being_written() -> None:
    settings = load_preset("sd21-cleandift").extractor
    assert ExtractorConfig.model_validate_json(settings.model_dump_json()) == settings


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_preset("tiny").extractor.canvas.size = 3  # type: ignore[misc]


def test_places_and_memory_limits_do_not_shape_a_feature() -> None:
    shaping = load_preset("tiny").extractor.shaping()
    assert load_preset("tiny", ["diffusion.max_batch=1", "encoder.source=./x"]).extractor.shaping() == shaping
    assert load_preset("tiny", ["diffusion.seed=1"]).extractor.shaping() != shaping


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1}) != digest({"a": 1, "b": [3, 2]})


def sections(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Dotted name of every field below a section -> the section that has it."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in section.model_fields.items():
        found[f"{section.__name__}.{name}"] = section
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                found |= sections(part)
    return found


def test_every_setting_is_read_somewhere() -> None:
    """An option that nobody reads is a lie."""
    read: set[str] = set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
    unread = [name for name in sections(Preset) if name.partition(".")[2] not in read]
    assert not unread


def test_a_prompt_is_text_whatever_yaml_makes_of_it() -> None:
    for text in ("yes", "a: b", "12", "[x]", "plain words"):
        assert load_preset("tiny", [f"diffusion.prompt={text}"]).extractor.diffusion.prompt == text


def test_a_relative_place_in_an_override_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settle_place("diffusion.source=weights") == f"diffusion.source={tmp_path / 'weights'}"
    assert settle_place("diffusion.source=owner/model") == "diffusion.source=owner/model"
    assert settle_place("diffusion.prompt=weights") == "diffusion.prompt=weights"
