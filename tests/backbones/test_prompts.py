"""Prompts are encoded as the stock pipelines do, and the text encoders are let go."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.prompts import encode_prompt
from sketchfusion.config import DiffusionConfig
from sketchfusion.errors import WeightsUnavailable

PROMPTS = ["", "a photo of [GIRAFFE]", "é" * 200]  # null, the pilot study's, longer than the encoder can read
Folder = Callable[[str], Path]


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_sd_takes_the_last_hidden_state(prompt: str, diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    ids = tokenizer([prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    embeds = encode_prompt(folder, prompt, wants_pooled=False)
    torch.testing.assert_close(embeds.hidden, encoder(ids).last_hidden_state)
    assert embeds.hidden.shape == (1, 77, 32)
    assert embeds.pooled is None


@pytest.mark.parametrize("prompt", PROMPTS)
@torch.no_grad()
def test_xl_joins_penultimate_states_and_pools_with_the_second(prompt: str, diffusion_folder: Folder) -> None:
    folder = diffusion_folder("xl")
    states = []
    for suffix, name in (("", "CLIPTextModel"), ("_2", "CLIPTextModelWithProjection")):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / f"tokenizer{suffix}")
        encoder = getattr(transformers, name).from_pretrained(folder / f"text_encoder{suffix}").eval()
        ids = tokenizer([prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        output = encoder(ids, output_hidden_states=True)
        states.append(output.hidden_states[-2])
    embeds = encode_prompt(folder, prompt, wants_pooled=True)
    assert embeds.pooled is not None
    torch.testing.assert_close(embeds.hidden, torch.cat(states, dim=-1))
    torch.testing.assert_close(embeds.pooled, output.text_embeds)


def test_two_prompts_differ(diffusion_folder: Folder) -> None:
    folder = diffusion_folder("sd2")
    null, other = (encode_prompt(folder, prompt, wants_pooled=False).hidden for prompt in PROMPTS[:2])
    assert not torch.allclose(null, other)


def test_vocabulary_files_of_older_checkpoints_are_read(tmp_path: Path, diffusion_folder: Folder) -> None:
    """SD 1.x and 2.x ship vocab.json and merges.txt, without tokenizer.json."""
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    whole = folder / "tokenizer" / "tokenizer.json"
    vocabulary = json.loads(whole.read_text())["model"]["vocab"]
    expected = encode_prompt(folder, "a photo of [CAT]", wants_pooled=False).hidden
    whole.unlink()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    torch.testing.assert_close(encode_prompt(folder, "a photo of [CAT]", wants_pooled=False).hidden, expected)


def test_text_encoders_are_not_kept(diffusion_folder: Folder) -> None:
    """Neither as part of the model nor anywhere else in memory."""
    def alive() -> set[int]:
        gc.collect()
        return {id(thing) for thing in gc.get_objects() if type(thing).__name__ in kinds}

    kinds = ("CLIPTextModel", "CLIPTextModelWithProjection")
    before = alive()
    config = DiffusionConfig(source=(str(diffusion_folder("xl")),), prompt="a cat")
    model = LatentDiffusion.from_config(config, taps=("up1",), canvas_size=64)
    model.set_prompt("a dog")
    assert alive() <= before
    assert not any("Text" in type(module).__name__ for module in model.modules())


def test_a_missing_encoder_is_an_error(tmp_path: Path, diffusion_folder: Folder) -> None:
    folder = shutil.copytree(diffusion_folder("sd2"), tmp_path / "copy")
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(WeightsUnavailable, match=r"no text_encoder/ folder, which the prompt 'a cat' needs"):
        encode_prompt(folder, "a cat", wants_pooled=False)
