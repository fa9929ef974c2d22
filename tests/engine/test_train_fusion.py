"""Training of the fusion: what changes, that it learns, that it can stop and go on, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app
from sketchfusion.engine import train_fusion as module
from sketchfusion.engine.checkpoint import FOLDER, latest_checkpoint
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import TASKS, FusionRecipe
from sketchfusion.engine.judge import judge_categories
from sketchfusion.engine.loop import Metrics
from sketchfusion.engine.meter import Meter
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.train_fusion import FusionLearner, FusionTask, train_fusion
from sketchfusion.errors import SketchFusionError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.correspondence import match_points
from sketchfusion.tasks.recognition import classify
from sketchfusion.tasks.segmentation import segment

WriteRecipe = Callable[..., Path]
MakeTask = Callable[..., FusionTask]
State = dict[str, Tensor]
HEADS = {"category": set(), "fine_grained": set(), "recognition": {"recognition"}, "correspondence": {"correspondence"},
         "segmentation": {"segmentation"}}
ALWAYS = {"category_mAP@all", "category_P@100", "instance_Acc@1", "instance_Acc@5", "instance_Acc@10", "threshold",
          "softness", "branch_weight_0", "branch_weight_1", "branch_weight_2"}
DENSE = {"correspondence_PCK@5", "correspondence_PCK@10", "segmentation_IoU", "segmentation_pAcc"}
FIGURES = {"category": set(), "fine_grained": set(), "recognition": {"recognition_Acc@1", "recognition_Acc@5"},
           "correspondence": DENSE, "segmentation": DENSE}


def train(file: Path, *overrides: str, **options: Any) -> tuple[Path, Metrics]:
    """Run a recipe on the CPU; its output folder and figures."""
    recipe = load_recipe(FusionRecipe, file, overrides)
    run = open_run(recipe, device="cpu", **options)
    return run.output, train_fusion(recipe, run)


def train_interrupted(file: Path, output: str) -> None:
    """SIGTERM after the first step."""
    def interrupt(status: Any) -> None:
        if status.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(file, output, on_status=interrupt)


def state(output: Path) -> State:
    folder = latest_checkpoint(output)
    assert folder is not None
    return load_file(folder / "state.safetensors")


def saved(output: Path) -> State:
    return load_file(output / "fusion" / "fusion.safetensors")


def loaded(output: Path) -> SketchFusion:
    """The trained model; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return SketchFusion.from_pretrained(output / "fusion", device="cpu")


def log(output: Path, key: str) -> list[Any]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def copied(module: torch.nn.Module) -> State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def is_learned(name: str) -> bool:
    return name.startswith(("injector.", "aggregator.", "heads."))


# What changes

@pytest.mark.parametrize("learn", [TASKS, *((name,) for name in TASKS)], ids=lambda learn: "+".join(learn))
def test_what_is_learned_changes_is_judged_and_saved_and_nothing_else(learn: tuple[str, ...], write_recipe: WriteRecipe,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks and each alone, a single step: backbones and heads of other tasks stay bit for bit."""
    begun: list[tuple[FusionTask, State]] = []

    class Noted(FusionTask):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.append((self, copied(self.model)))

    monkeypatch.setattr(module, "FusionTask", Noted)
    output, figures = train(write_recipe(learn=learn, training={"steps": 1}))
    (task, before), = begun
    after = task.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    heads = tuple(f"heads.{head}." for name in learn for head in HEADS[name])
    assert changed == {name for name in before if name.startswith(("injector.", "aggregator.", *heads))}
    assert len([name for name in before if not is_learned(name)]) > 50
    parameters = dict(task.model.named_parameters())
    assert {name for name, value in parameters.items() if value.requires_grad} == changed & parameters.keys()
    assert not task.model.encoder.training
    assert not task.model.diffusion.training

    assert set(figures) == ALWAYS.union(*(FIGURES[name] for name in learn))
    assert log(output, "loss") == pytest.approx([sum(log(output, name)[0] for name in learn)], abs=1e-4)
    model = loaded(output)
    assert model.is_trained
    assert all(torch.isfinite(value).all() for value in model.learned().values())
    assert (model.heads.recognition is not None) == ("recognition" in learn)


def test_a_handful_of_pictures_is_learned_by_heart(write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch of step 0 again and again, by all tasks together."""
    real = FusionLearner.forward
    monkeypatch.setattr(FusionLearner, "forward", lambda self, number: real(self, 0))
    tasks = {name: {"loss": {"kind": "contrast"}, "weight": 10.0} for name in ("category", "fine_grained")}
    training = {"steps": 20, "lr": 1e-2, "final_lr": 1.0, "warmup": 0}
    output, _ = train(write_recipe(tasks=tasks, training=training))
    for name in TASKS:
        losses = log(output, name)
        assert losses[-1] < 0.8 * losses[0], (name, losses)


# Stopping, going on, seeds

def test_interrupted_and_resumed_equals_uninterrupted(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    """All five tasks, and the factors of their balance."""
    file = write_recipe(tasks={"balance": "uncertainty"},
                        training={"steps": 2, "accumulate": 2, "checkpoint_every": 2})
    straight, figures = train(file, f"output={tmp_path / 'straight'}")
    stopped = f"output={tmp_path / 'stopped'}"
    train_interrupted(file, stopped)
    assert latest_checkpoint(tmp_path / "stopped") == tmp_path / "stopped" / FOLDER / "step-00000001"
    assert not (tmp_path / "stopped" / "fusion").exists()
    resumed, figures_resumed = train(file, stopped)
    assert same(state(straight), state(resumed))
    assert same(saved(straight), saved(resumed))
    for name in ("loss", *TASKS):
        assert log(straight, name) == log(resumed, name)
        assert len(log(straight, name)) == 2
    assert figures == figures_resumed
    balance = {name: value for name, value in state(straight).items() if name.startswith("model/objective.")}
    assert set(balance) == {f"model/objective.log_variances.{name}" for name in TASKS}
    assert all(value != 0 for value in balance.values())
    assert not any("objective" in name for name in saved(straight))


def test_a_loss_that_is_not_finite_ends_the_run_before_anything_of_it_is_saved(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Out of time after four steps, none of them logged; the loss of the third is not a number."""
    real = FusionLearner.forward

    def spoilt(self: FusionLearner, number: int) -> tuple[Tensor, State]:
        loss, terms = real(self, number)
        return loss * (float("nan") if number == 2 else 1.0), terms

    monkeypatch.setattr(FusionLearner, "forward", spoilt)
    monkeypatch.setattr(Meter, "share", lambda self, step: float(step >= 4))
    file = write_recipe(training={"steps": 100, "log_every": 100, "checkpoint_every": 2})
    with pytest.raises(SketchFusionError, match=r"not finite at step 3, .* go on from step-00000002"):
        train(file)
    output = tmp_path / "run"
    assert latest_checkpoint(output) == output / FOLDER / "step-00000002"
    assert all(value.isfinite().all() for value in state(output).values())
    assert not (output / "fusion").exists()
    monkeypatch.setattr(FusionLearner, "forward", real)
    train(file)
    assert (output / "fusion").exists()
    assert log(output, "step")[-2:] == [2, 4]  # resumed, and the final figures


def test_a_seed_gives_the_same_weights_and_two_share_what_was_encoded(
    write_recipe: WriteRecipe, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    real = module.encode_side

    def note(model: SketchFusion, corpus: Any, side: str, *arguments: Any, **options: Any) -> Any:
        encoded.append(side)
        return real(model, corpus, side, *arguments, **options)

    monkeypatch.setattr(module, "encode_side", note)
    file, cache = write_recipe(training={"steps": 1}, views=1), f"cache={tmp_path / 'cache'}"
    one, _ = train(file, cache, f"output={tmp_path / 'one'}")
    assert sorted(encoded) == ["photos", "photos", "sketches", "sketches"]  # training and held-out part
    kept = sorted((tmp_path / "cache").iterdir())
    again, other = (train(file, cache, f"output={tmp_path / name}", f"seed={seed}")[0]
                    for name, seed in (("again", 0), ("other", 1)))
    assert len(encoded) == 4
    assert sorted((tmp_path / "cache").iterdir()) == kept
    assert same(saved(one), saved(again))
    assert not any(torch.equal(value, saved(other)[name]) for name, value in saved(one).items()
                   if value.is_floating_point() and value.ndim > 1)
    make_task(cache, f"output={tmp_path / 'more'}", "views=2")
    assert len(encoded) == 6  # the held-out part is seen in one view, whatever the recipe


def test_without_a_place_for_it_the_cache_is_beside_the_output(make_task: MakeTask, tmp_path: Path) -> None:
    make_task(cache="", views=1)
    assert len(list((tmp_path / "run" / "encoded").glob("*.safetensors"))) == 4


# What is left behind

def test_a_model_of_all_tasks_is_trained_by_the_command_and_does_them(write_recipe: WriteRecipe,
                                                                      fusion_folders: Path) -> None:
    recipe = write_recipe(training={"steps": 1})
    done = CliRunner().invoke(app, ["train", str(recipe), "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert set(printed["metrics"]) == ALWAYS | DENSE | FIGURES["recognition"]
    assert all(0 <= value <= 1 for value in printed["metrics"].values())
    model = loaded(Path(printed["output"]))
    assert model.heads.recognition is not None
    assert model.heads.recognition.class_names == ("airplane", "cup", "key")
    sketch = next((fusion_folders / "world").glob("sketch*/cup/*.png"))
    photo = next((fusion_folders / "world").glob("photo*/cup/*"))
    (guesses,) = classify(model, sketch)
    assert {guess.name for guess in guesses} == {"airplane", "cup", "key"}
    assert sum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-5)
    (matches,) = match_points(model, sketch, photo, num_points=5)
    assert matches.found_px.shape == (5, 2)
    assert ((matches.found_px >= 0) & (matches.found_px <= 64)).all()
    (found,) = segment(model, sketch, photo)
    assert found.mask.shape == (64, 64)
    assert found.threshold == pytest.approx(printed["metrics"]["threshold"])
    with Image.open(Path(printed["output"]) / "samples" / "final.png") as sheet:
        assert sheet.size == (8 * 66, 10 * 66)  # ten sketches, seven photos each


def test_what_is_saved_is_the_average(write_recipe: WriteRecipe) -> None:
    output, _ = train(write_recipe(training={"steps": 2}))
    weights, kept = saved(output), state(output)
    parameters = [name.removeprefix("average/") for name in kept if name.startswith("average/")]
    assert {name.split(".")[0] for name in parameters} == {"injector", "aggregator", "heads"}
    assert all(torch.equal(weights[name], kept[f"average/{name}"]) for name in parameters)
    assert not any(torch.equal(weights[name], kept[f"model/{name}"]) for name in parameters)


def test_the_weights_with_the_highest_figure_are_saved(write_recipe: WriteRecipe,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged before the first step, after each of three, and once more: what was saved, which is step 2."""
    judged: list[State] = []

    def evaluate(task: FusionTask) -> Metrics:
        judged.append({name: value.detach().clone() for name, value in task.learner.named_parameters()
                       if value.requires_grad})
        return {"segmentation_IoU": (0.1, 0.3, 0.9, 0.2, 0.7)[len(judged) - 1]}

    monkeypatch.setattr(FusionTask, "evaluate", evaluate)
    training = {"steps": 3, "best": "segmentation_IoU", "evaluate_every": 1}
    output, figures = train(write_recipe(training=training))
    assert len(judged) == 5
    assert same(judged[4], judged[2])
    assert not any(same(judged[2], judged[step]) for step in (0, 1, 3))
    weights = saved(output)
    assert all(torch.equal(weights[name], value) for name, value in judged[2].items())
    assert figures == {"segmentation_IoU": 0.7}  # that of what was saved


def test_the_figures_are_those_of_the_saved_model(write_recipe: WriteRecipe, make_task: MakeTask) -> None:
    """Held-out sketches against all held-out photos."""
    output, figures = train(write_recipe(training={"steps": 2}))
    task, model = make_task(), loaded(output)
    sketches, photos = task.judged["sketches"], task.judged["photos"]
    assert [len(side) for side in (sketches, photos)] == [24, 13]
    vectors = []
    for side in (sketches, photos):
        rows = torch.arange(len(side))
        with torch.no_grad():
            vectors.append(model.fuse(*side.take(rows, torch.zeros_like(rows), model)).descriptor)
    found = judge_categories(*vectors, sketches.class_ids, photos.class_ids)
    assert figures["category_mAP@all"] == pytest.approx(found["mAP@all"].nanmean().item(), abs=1e-5)
    scores, hits = vectors[0] @ vectors[1].T, []
    for row, instance in enumerate(sketches.instance_ids.tolist()):
        if instance in photos.instance_ids:
            hits.append(float(photos.instance_ids[scores[row].argmax()] == instance))
    assert figures["instance_Acc@1"] == pytest.approx(sum(hits) / len(hits))
    names = np.array(task._manifest["classes"])[sketches.class_ids.numpy()]
    head, right = model.heads.recognition, []
    assert head is not None
    for row, name in enumerate(names.tolist()):
        if name in head.class_names:
            guess = head(vectors[0][row:row + 1]).argmax()
            right.append(float(head.class_names[int(guess)] == name))
    assert figures["recognition_Acc@1"] == pytest.approx(sum(right) / len(right))


@pytest.mark.thorough
def test_a_finetuned_run_goes_on_where_it_stopped_and_saves_the_average(write_recipe: WriteRecipe,
                                                                       tmp_path: Path) -> None:
    """Nothing of it is special: checkpoints, the average and the saved folder hold the backbones like the fusion."""
    settings = ["finetune=true", "injection.blocks=[]", "aggregation.taps=[up1, up2, up3, patches]"]
    file = write_recipe(settings=settings, views=1, training={"steps": 2})
    straight, _ = train(file, f"output={tmp_path / 'straight'}")
    stopped = f"output={tmp_path / 'stopped'}"
    train_interrupted(file, stopped)
    resumed, _ = train(file, stopped)
    whole, folder = state(straight), saved(straight)
    assert same(whole, state(resumed))
    assert same(folder, saved(resumed))
    learned = {name for name in folder if name.startswith(("encoder.", "diffusion.unet."))}
    assert {name.partition(".")[0] for name in learned} == {"encoder", "diffusion"}
    assert all(torch.equal(folder[name], whole[f"average/{name}"]) for name in learned)
    assert not any(name.startswith(("average/diffusion.vae", "optimizer/exp_avg/diffusion.vae")) for name in whole)
