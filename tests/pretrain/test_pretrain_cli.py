"""``sketchfusion pretrain`` from the data folder to checkpoints that the package's own loaders read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sketchfusion.apps.cli.pretrain import app
from sketchfusion.backbones.diffusion import LatentDiffusion
from sketchfusion.backbones.patch_encoder import TransformerEncoder
from sketchfusion.config import DiffusionConfig, EncoderConfig

WriteRecipe = Callable[..., Path]


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and all output of one command."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_three_recipes_follow_one_another(open_data: Path, tmp_path: Path, write_recipe: WriteRecipe) -> None:
    shards = tmp_path / "shards"
    code, text = run("pack", "--data", open_data, "--out", shards, "--size", 16, "--json")
    assert code == 0, text
    assert {shard["source"] for shard in json.loads(text)["shards"]} == {"caltech101", "quickdraw", "emoji_noto"}
    for kind in ("vae", "clip", "diffusion"):
        code, text = run(kind, "--config", write_recipe(kind), "--data", shards, "--device", "cpu",
                         "--set", "training.steps=3", "--set", "training.sample_every=2")
        assert code == 0, text
        log = [json.loads(line) for line in (tmp_path / kind / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in log if "loss" in line] == [1, 2, 3]
        assert sorted(file.name for file in (tmp_path / kind / "samples").iterdir()) == ["final.png",
                                                                                        "step-00000002.png"]

    images = torch.rand(2, 3, 16, 16)
    encoder = TransformerEncoder.from_config(EncoderConfig(source=(str(tmp_path / "clip" / "clip"),)))
    assert encoder.patch_features(images).shape == (2, 16, 2, 2)
    config = DiffusionConfig(source=(str(tmp_path / "diffusion" / "diffusion"),))
    model = LatentDiffusion.from_config(config, taps=("up1", "up3"), canvas_size=32)
    taps = model.forward_taps(model.encode(torch.rand(2, 3, 32, 32), ["a", "b"]), ["a", "b"], None)[0]
    assert taps["up1"].shape == (2, 16, 2, 2)
    assert taps["up3"].shape == (2, 8, 8, 8)
    assert model.vae.config.scaling_factor != pytest.approx(0.18215)


def test_the_finished_folder_is_a_stock_pipeline(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    from diffusers import StableDiffusionPipeline

    for kind in ("vae", "clip", "diffusion"):
        code, text = run(kind, "--config", write_recipe(kind, training={"steps": 1}), "--device", "cpu")
        assert code == 0, text
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "diffusion" / "diffusion", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("a photo of a dalmatian", height=32, width=32, num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 32, 32, 3)


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("--set", "training.stepz=3"), 2, "training.stepz"),
    (("--set", "training.lr=-1"), 2, "training.lr"),
    (("--set", "architecture.block_out_channels=[7]"), 2, "cannot build AutoencoderKL"),
    (("--device", "abacus"), 7, "expected auto, cpu or cuda"),
    (("--data", "nowhere"), 6, "pretrain pack"),
    (("--set", "data.mix={sketch: 1}"), 6, "holds no sketch"),
    (("--set", "data.mix={photo: 1, icon: 0.001}"), 2, "no room for icon"),
    (("--config", "nowhere.yaml"), 2, "nowhere.yaml"),
])
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, words: str, write_recipe: WriteRecipe) -> None:
    given = ["--config", str(write_recipe("vae")), "--device", "cpu", *arguments]
    found, text = run("vae", *given)
    assert (found, words in text.replace("\n", " ")) == (code, True), text


def test_a_missing_clip_is_said(tmp_path: Path, write_recipe: WriteRecipe) -> None:
    assert run("vae", "--config", write_recipe("vae", training={"steps": 1}), "--device", "cpu")[0] == 0
    code, text = run("diffusion", "--config", write_recipe("diffusion"), "--device", "cpu")
    assert code == 4
    assert "pretrain clip" in text


def test_another_recipe_cannot_resume(write_recipe: WriteRecipe) -> None:
    file = write_recipe("vae", training={"steps": 3})
    assert run("vae", "--config", file, "--device", "cpu")[0] == 0
    code, text = run("vae", "--config", file, "--device", "cpu", "--set", "training.lr=0.1")
    assert code == 2
    assert "--restart" in text
    assert run("vae", "--config", file, "--device", "cpu", "--set", "training.lr=0.1", "--restart")[0] == 0
