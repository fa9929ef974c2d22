"""Seeded random checkpoints: written once, the same everywhere, in the hub's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sketchfusion.backbones.random_weights import (
    architecture_names,
    build_part,
    cache_folder,
    load_architecture,
    materialise,
)
from sketchfusion.backbones.weights import fingerprint
from sketchfusion.errors import ConfigError


def test_the_same_seed_gives_the_same_checkpoint_in_another_cache(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    here = materialise("tiny-clip")
    monkeypatch.setenv("SKETCHFUSION_CACHE", str(tmp_path))
    elsewhere = materialise("tiny-clip")
    assert elsewhere.is_relative_to(tmp_path)
    assert elsewhere != here
    assert fingerprint(elsewhere) == fingerprint(here)
    assert fingerprint(materialise("tiny-clip", seed=1)) != fingerprint(here)


def test_a_checkpoint_is_written_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKETCHFUSION_CACHE", str(tmp_path))
    file = materialise("tiny-clip") / "model.safetensors"
    written = file.stat().st_mtime_ns
    assert materialise("tiny-clip") / "model.safetensors" == file
    assert file.stat().st_mtime_ns == written
    assert [path.name for path in file.parent.parent.iterdir()] == [file.parent.name], "no half-written folder is left"


def test_layout_is_the_hubs() -> None:
    folder = materialise("tiny-sd")
    for part in ("unet", "vae", "text_encoder"):
        assert (folder / part / "config.json").is_file()
        assert list((folder / part).glob("*.safetensors"))
    assert (folder / "scheduler" / "scheduler_config.json").is_file()
    assert (folder / "tokenizer" / "tokenizer.json").is_file()


def test_the_global_generator_is_not_moved() -> None:
    before = torch.get_rng_state()
    build_part(load_architecture("tiny-clip")["."])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", architecture_names())
def test_every_packaged_architecture_builds_without_memory(name: str) -> None:
    for part, config in load_architecture(name).items():
        if part != "scheduler" and not part.startswith("tokenizer"):
            built = build_part(config, device="meta")
            assert all(parameter.is_meta for parameter in built.parameters())


def test_an_unknown_architecture_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown architecture 'sd99'; known: .*sd15, sd21"):
        load_architecture("sd99")


def test_cache_follows_the_users_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKETCHFUSION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sketchfusion"
