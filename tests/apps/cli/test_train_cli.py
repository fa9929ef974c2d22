"""``sketchfusion train`` from a recipe to a folder that loads, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.world import write_world
from sketchfusion.engine import loop
from sketchfusion.engine.fusion_recipe import TASKS
from sketchfusion.fusion.extractor import SketchFusion

WriteRecipe = Callable[..., Path]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """A drawn world of two classes with five instances each, and a few photos beside it."""
    root = tmp_path_factory.mktemp("fusion-data")
    write_world(root / "world", categories=["cup", "key"], photos_per_class=5, size=64)
    (root / "data" / "caltech101" / "cup").mkdir(parents=True)
    for index in range(2):
        draw_picture((60, 40), index).save(root / "data" / "caltech101" / "cup" / f"image_{index:04d}.jpg")
    pack(root / "data", root / "shards", PackOptions(size=64, held_out=0.4), extra=(f"world={root / 'world'}",))
    return root / "shards"


@pytest.fixture
def write_recipe(tmp_path: Path, shards: Path) -> WriteRecipe:
    """``write_recipe(key=value)``: a tiny recipe's file."""

    def write(**changes: Any) -> Path:
        raw = {"model": "tiny", "output": str(tmp_path / "run"), "views": 1,
               "data": {"shards": str(shards), "mix": {"photo": 1.0, "sketch": 1.0}},
               "tasks": {"recognition": {"kinds": ["sketch"]}},
               "training": {"steps": 3, "batch_size": 4, "warmup": 1, "log_every": 1, "sample_every": 0,
                            "checkpoint_every": 0, "ema": 0.5}} | changes
        (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "fusion.yaml"

    return write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments), "--device", "cpu"])


def losses(output: Path) -> list[float]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_figures_are_printed_as_json_and_the_folder_loads(write_recipe: WriteRecipe, shards: Path,
                                                          tmp_path: Path) -> None:
    """The options stand in for what the recipe leaves open."""
    file = write_recipe(data={"mix": {"photo": 1.0, "sketch": 1.0}}, output="nowhere")
    result = run(file, "--data", shards, "--out", tmp_path / "mine", "--json", "--set", "training.steps=2")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed.keys() == {"output", "metrics", "peak_memory_mb"}
    assert printed["peak_memory_mb"] > 1
    assert printed["output"] == str(tmp_path / "mine")
    lines = [json.loads(line) for line in (tmp_path / "mine" / "log.jsonl").read_text().splitlines()]
    evaluated, = [line for line in lines if line.get("event") == "evaluation"]
    assert {"category_mAP@all", "instance_Acc@1"} <= printed["metrics"].keys()
    for name, value in printed["metrics"].items():
        assert evaluated[name] == pytest.approx(value, abs=1e-5)
    assert len(losses(tmp_path / "mine")) == 2
    assert "Encoding photos" in result.stderr
    assert SketchFusion.from_pretrained(tmp_path / "mine" / "fusion", device="cpu").is_trained


def test_figures_are_printed_for_people(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    result = run(write_recipe())
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-1] == f"saved in {tmp_path / 'run'}"
    assert lines[-2].split()[:2] == ["peak", "memory"]
    printed = {line.split()[0]: float(line.split()[1]) for line in lines[:-2]}
    assert 0 <= printed["category_mAP@all"] <= 1


def test_a_finished_run_is_not_repeated_unless_it_is_restarted(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    file = write_recipe()
    first = run(file, "--json")
    assert first.exit_code == 0, first.output
    again = run(file, "--json")
    assert json.loads(again.stdout)["metrics"] == json.loads(first.stdout)["metrics"]
    assert len(losses(tmp_path / "run")) == 3
    other = run(file, "--set", "seed=1")
    assert other.exit_code == 2
    assert "made by another recipe" in other.output.replace("\n", " ")
    restarted = run(file, "--set", "seed=1", "--restart")
    assert restarted.exit_code == 0, restarted.output
    assert len(losses(tmp_path / "run")) == 3


def test_an_interrupted_run_says_how_to_go_on(write_recipe: WriteRecipe, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop._step

    def stop(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(loop, "_step", stop)
    file = write_recipe()
    result = run(file)
    assert result.exit_code == 130
    assert "Run the same command again to go on from there" in result.output
    assert losses(tmp_path / "run") == losses(tmp_path / "run")[:1]
    monkeypatch.setattr(loop, "_step", real)
    assert run(file).exit_code == 0
    assert len(losses(tmp_path / "run")) == 3


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (tuple(part for name in TASKS for part in ("--set", f"tasks.{name}.weight=0")), 2, "all tasks have the weight 0"),
    (("--set", "tasks.category.wait=1"), 2, "did you mean weight"),
    (("--set", "stepz=3"), 2, "stepz is not a setting"),
    (("--set", "model=tini"), 2, "Did you mean 'tiny'"),
    (("--set", "data.shards=''"), 2, "no training data are named; give --data FOLDER"),
    (("--set", "data.mix={photo: 1}"), 2, "the data hold no sketches"),
    (("--set", "data.mix={photo: 1, drawing: 1}"), 6, "holds no drawing"),
    (("--data", "nowhere"), 6, "pretrain pack"),
    (("--set", "settings=['encoder.source=./missing']"), 4, "missing does not exist"),
])
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, words: str, write_recipe: WriteRecipe,
                               tmp_path: Path) -> None:
    result = run(write_recipe(), *arguments)
    assert (result.exit_code, words in result.output.replace("\n", " ")) == (code, True), result.output
    assert not (tmp_path / "run" / "fusion").exists()


def test_an_unknown_device_is_an_error(write_recipe: WriteRecipe) -> None:
    result = CliRunner().invoke(app, ["train", str(write_recipe()), "--device", "abacus", "--json"])
    assert result.exit_code == 7
    assert json.loads(result.stdout)["error"]["type"] == "DeviceError"


def test_data_without_pairs_say_what_to_pack(write_recipe: WriteRecipe, tmp_path: Path,
                                             draw_picture: Callable[..., Image.Image]) -> None:
    """Photos and icons of the same class, but nothing that is both."""
    for folder in ("data/caltech101/cup", "icons/cup"):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(5):
            draw_picture((64, 64), index).save(tmp_path / folder / f"image_{index:04d}.png")
    pack(tmp_path / "data", tmp_path / "unpaired", PackOptions(size=64, held_out=0.2),
         extra=(f"icon={tmp_path / 'icons'}",))
    result = run(write_recipe(), "--data", tmp_path / "unpaired", "--set", "data.mix={photo: 1, icon: 1}", "--json",
                 "--set", "tasks.recognition.kinds=[icon]")
    assert result.exit_code == 6
    error = json.loads(result.stdout)["error"]
    assert error["type"] == "DataError"
    assert "pretrain pack --extra world=FOLDER" in error["message"]
