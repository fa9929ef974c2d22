"""The loop: it learns, it repeats itself, and a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sketchfusion.engine.checkpoint import FOLDER, latest_checkpoint
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.runtime import open_run
from sketchfusion.errors import SketchFusionError
from sketchfusion.pretrain.clip import train_clip
from sketchfusion.pretrain.config import ClipRecipe, DiffusionRecipe, VaeRecipe
from sketchfusion.pretrain.diffusion import train_diffusion
from sketchfusion.pretrain.vae import train_vae

WriteRecipe = Callable[..., Path]
KINDS: dict[str, tuple[Any, Any]] = {"vae": (VaeRecipe, train_vae), "clip": (ClipRecipe, train_clip),
                                     "diffusion": (DiffusionRecipe, train_diffusion)}


def train(kind: str, file: Path, *overrides: str, **options: Any) -> Path:
    """Run one recipe on the CPU; its output folder."""
    recipe_kind, function = KINDS[kind]
    recipe = load_recipe(recipe_kind, file, overrides)
    run = open_run(recipe, device="cpu", **options)
    function(recipe, run)
    return run.output


def state(output: Path) -> dict[str, torch.Tensor]:
    folder = latest_checkpoint(output)
    assert folder is not None
    return load_file(folder / "state.safetensors")


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def trained_parts(write_recipe: WriteRecipe) -> None:
    """The VAE and CLIP that the diffusion recipe needs."""
    for kind in ("vae", "clip"):
        train(kind, write_recipe(kind, training={"steps": 1, "checkpoint_every": 0}))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["vae", "clip", "diffusion"])
def test_interrupted_and_resumed_equals_uninterrupted(
    kind: str, write_recipe: WriteRecipe, tmp_path: Path, request: pytest.FixtureRequest,
) -> None:
    if kind == "diffusion":
        request.getfixturevalue("trained_parts")
    file = write_recipe(kind, training={"accumulate": 2})
    straight = train(kind, file, f"output={tmp_path / 'straight'}")

    def interrupt(status: Any) -> None:
        if status.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = f"output={tmp_path / 'stopped'}"
    with pytest.raises(KeyboardInterrupt):
        train(kind, file, stopped, on_status=interrupt)
    assert latest_checkpoint(tmp_path / "stopped") == tmp_path / "stopped" / FOLDER / "step-00000004"
    resumed = train(kind, file, stopped)
    assert same(state(straight), state(resumed))
    assert losses(straight) == losses(resumed)
    other = train(kind, file, f"output={tmp_path / 'other'}", "seed=1")
    assert not same(state(straight), state(other))


@pytest.mark.parametrize("kind", ["vae", "clip"])
def test_it_learns(kind: str, write_recipe: WriteRecipe) -> None:
    file = write_recipe(kind, training={"steps": 20, "lr": 5e-3, "checkpoint_every": 0, "warmup": 0})
    values = losses(train(kind, file))
    assert sum(values[-3:]) < 0.9 * sum(values[:3])


def test_the_unet_learns(write_recipe: WriteRecipe, trained_parts: None) -> None:
    file = write_recipe("diffusion", training={"steps": 20, "lr": 5e-3, "checkpoint_every": 0, "warmup": 0},
                        min_snr=0.0)
    values = losses(train("diffusion", file))
    assert sum(values[-3:]) < 0.9 * sum(values[:3])


def test_what_is_saved_is_the_average(write_recipe: WriteRecipe) -> None:
    output = train("vae", write_recipe("vae", training={"ema": 0.5}, export={"dtype": "float32"}))
    saved = load_file(output / "vae" / "diffusion_pytorch_model.safetensors")
    name = "encoder.conv_in.weight"
    assert torch.equal(saved[name], state(output)[f"average/vae.{name}"])
    assert not torch.equal(saved[name], state(output)[f"model/vae.{name}"])


def test_large_weights_are_split_as_the_hub_splits_them(write_recipe: WriteRecipe) -> None:
    from sketchfusion.backbones.loading import load_diffuser

    output = train("vae", write_recipe("vae", export={"max_shard": "20KB", "dtype": "float16"}))
    assert len(list((output / "vae").glob("*.safetensors"))) > 1
    assert load_diffuser("AutoencoderKL", output / "vae").config.scaling_factor > 0


def test_a_time_limit_ends_the_run_with_a_low_rate(write_recipe: WriteRecipe) -> None:
    output = train("vae", write_recipe("vae", training={
        "steps": 100_000, "max_minutes": 0.1, "reserve_minutes": 0.05, "checkpoint_every": 0, "final_lr": 0.0}))
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert steps[-1]["step"] < 100_000
    assert steps[-1]["elapsed_s"] == pytest.approx(3.0, abs=1.5)
    assert steps[-1]["lr"] < 0.2 * max(line["lr"] for line in steps)
    assert (output / "vae" / "config.json").is_file()


def test_a_loss_that_is_no_number_stops_the_run(write_recipe: WriteRecipe) -> None:
    with pytest.raises(SketchFusionError, match=r"lower training\.lr"):
        train("vae", write_recipe("vae", training={"lr": 1e18, "clip_norm": 0.0, "warmup": 0}))


def test_bfloat16_runs_on_the_cpu(write_recipe: WriteRecipe) -> None:
    output = train("clip", write_recipe("clip", training={"precision": "bfloat16", "steps": 2}))
    assert all(value == value for value in losses(output))
