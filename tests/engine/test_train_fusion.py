"""Training of the fusion: what changes, that it learns, that it can stop and go on, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
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
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.world import write_world
from sketchfusion.engine import train_fusion as module
from sketchfusion.engine.checkpoint import FOLDER, latest_checkpoint
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.encoded import SIDES
from sketchfusion.engine.fusion_recipe import TASKS, FusionRecipe
from sketchfusion.engine.judge import judge_categories
from sketchfusion.engine.judge_tasks import fuse_rows
from sketchfusion.engine.loop import Metrics, fit
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.train_fusion import FusionLearner, FusionTask, build_model, train_fusion
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.correspondence import match_points
from sketchfusion.tasks.recognition import classify
from sketchfusion.tasks.segmentation import segment

WriteRecipe = Callable[..., Path]
MakeTask = Callable[..., FusionTask]
State = dict[str, Tensor]
UNTRAINED = r"the fusion of .* has not been trained"
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


def test_every_learned_tensor_has_a_gradient(make_task: MakeTask) -> None:
    task = make_task(tasks={"balance": "uncertainty"})
    for parameter in task.learner.parameters():  # off its start, where the zero convolutions hold gradients back
        parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.05)
    loss, terms = task.learner(0)
    loss.backward()
    without = [name for name, value in task.learner.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without
    assert tuple(terms) == TASKS
    parts = {name.split(".")[0] for name, _ in task.learner.named_parameters()}
    assert parts == {"injector", "aggregator", "heads", "objective"}


def test_recomputed_blocks_give_the_same_loss_and_gradients(make_task: MakeTask) -> None:
    found = []
    for recompute in (False, True):
        task = make_task(f"training.gradient_checkpointing={recompute}".lower())
        recomputing = [part for part in task.model.modules() if getattr(part, "gradient_checkpointing", False)]
        assert bool(recomputing) == recompute
        loss, _ = task.learner(0)
        loss.backward()
        found.append([loss, *(value.grad for value in task.learner.parameters())])
    for kept, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(kept, recomputed)


def test_descriptors_are_those_of_the_view_that_was_drawn_by_lot(universal_task: FusionTask) -> None:
    """So that a mirrored sketch meets the mirrored photo."""
    learner, model = universal_task.learner, universal_task.model
    batch = learner.sampler.batch(0)
    with torch.no_grad():
        seen = learner.see(batch)
        for side, vectors, rows, views in (("sketches", seen.sketches, batch.sketches, batch.sketch_views),
                                           ("photos", seen.photos, batch.photos, batch.photo_views)):
            own, other = (fuse_rows(model, learner._sides[side], rows, which).descriptor
                          for which in (views, 1 - views))
            torch.testing.assert_close(vectors.descriptor, own)
            assert ((vectors.descriptor - other).abs().amax(1) > 1e-5).all()


def test_a_batch_depends_on_its_number_and_the_seed_alone(make_task: MakeTask) -> None:
    one, other = make_task(), make_task("seed=1")
    other.learner.load_state_dict(one.learner.state_dict())
    with torch.no_grad():
        values = [one.learner(number)[0].item() for number in range(2)]
        assert one.learner(0)[0].item() == values[0] != values[1]
        assert other.learner(0)[0].item() != values[0]


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


# The head of recognition

@pytest.mark.parametrize(("kinds", "names"), [
    (["drawing"], ("airplane", "cup", "key")), (["sketch"], ("ball", "cup", "house", "key", "wine glass")),
    (["drawing", "sketch"], ("airplane", "ball", "cup", "house", "key", "wine glass"))])
def test_the_head_tells_apart_the_classes_of_the_kinds_named(kinds: list[str], names: tuple[str, ...],
                                                             make_task: MakeTask) -> None:
    task = make_task(tasks={"recognition": {"kinds": kinds}})
    assert task.model.heads.recognition is not None
    assert task.model.heads.recognition.class_names == names
    classes = task._manifest["classes"]
    for name, target in zip(classes, task.targets.tolist(), strict=True):
        assert target == (names.index(name) if name in names else -1)


def test_without_recognition_there_is_no_head(make_task: MakeTask) -> None:
    task = make_task(learn=("category", "segmentation"))
    assert task.model.heads.recognition is None
    assert set(task.targets.tolist()) == {-1}


def test_sketches_to_recognise_that_are_not_there_are_refused(make_task: MakeTask, fusion_shards: Path) -> None:
    with pytest.raises(ConfigError, match=r"hold no sketches of the kinds drawing to recognise; name some in data\.mix"
                                          r", .* or set tasks\.recognition\.weight to 0"):
        make_task(data={"shards": str(fusion_shards), "mix": {"photo": 1.0, "sketch": 1.0}})


def test_the_head_begins_as_the_seed_says_and_the_fusion_as_without_it(make_task: MakeTask) -> None:
    one, other, plain = make_task(), make_task("seed=1"), make_task(learn=("category",))
    assert not torch.equal(one.model.heads.recognition.linear.weight, other.model.heads.recognition.linear.weight)
    assert same(one.model.learned(heads=False), plain.model.learned(heads=False))


# Stopping, going on, seeds

def test_interrupted_and_resumed_equals_uninterrupted(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    """All five tasks, and the factors of their balance."""
    file = write_recipe(tasks={"balance": "uncertainty"},
                        training={"steps": 2, "accumulate": 2, "checkpoint_every": 2})
    straight, figures = train(file, f"output={tmp_path / 'straight'}")

    def interrupt(status: Any) -> None:
        if status.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = f"output={tmp_path / 'stopped'}"
    with pytest.raises(KeyboardInterrupt):
        train(file, stopped, on_status=interrupt)
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


# Data and settings

def test_training_and_held_out_part_share_no_instance_and_no_sample(universal_task: FusionTask) -> None:
    for side in SIDES:
        train_side, judged = universal_task.learner._sides[side], universal_task.judged[side]
        for name in ("instance_ids", "sample_ids"):
            both = set(getattr(train_side, name).tolist()) & set(getattr(judged, name).tolist())
            assert both <= {-1}, name


def test_few_held_out_sketches_still_meet_their_photos(make_task: MakeTask) -> None:
    judged = make_task(training={"evaluated": 3}).judged
    samples = set(judged["sketches"].sample_ids.tolist()) - {-1}
    assert [int((judged["sketches"].kinds == kind).sum()) for kind in range(3)] == [3, 3, 2]
    assert samples
    assert samples <= set(judged["photos"].sample_ids.tolist())


def test_sketches_of_classes_without_photos_can_be_drawn_on_the_sheet(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(learn=("recognition",))
    task.judged["photos"] = replace(task.judged["photos"], class_ids=task.judged["photos"].class_ids + 100)
    task.picture(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 64


def test_the_seed_of_the_recipe_decides_how_the_fusion_begins(write_recipe: WriteRecipe) -> None:
    file = write_recipe()
    one, again, other = (build_model(load_recipe(FusionRecipe, file, [f"seed={seed}"])) for seed in (0, 0, 1))
    assert same(one.learned(), again.learned())
    assert not same(one.learned(), other.learned())
    assert other.encoder.identity == one.encoder.identity


def test_a_saved_folder_gives_its_backbones_and_settings_but_not_its_fusion(write_recipe: WriteRecipe,
                                                                            tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=UNTRAINED):
        given = SketchFusion.from_pretrained("tiny", overrides=["descriptor.pooling=mean"], device="cpu")
    given.is_trained = True
    with torch.no_grad():
        given.aggregator.mixing.add_(1.0)
    folder = given.save_pretrained(tmp_path / "given")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build_model(load_recipe(FusionRecipe, write_recipe(model=str(folder)), []))
    assert model.config == given.config
    assert not model.is_trained
    assert not torch.equal(model.aggregator.mixing, given.aggregator.mixing)


def test_settings_of_the_model_apply(make_task: MakeTask) -> None:
    task = make_task(settings=["diffusion.max_batch=2", "injection.blocks=[]", "heads.segmentation.threshold=0.1"])
    assert (task.model.config.diffusion.max_batch, task.model.config.injection.blocks) == (2, ())
    assert not task.model.uses_patches
    assert task.model.heads.segmentation.threshold.item() == pytest.approx(0.1)
    loss, _ = task.learner(0)
    loss.backward()
    assert torch.isfinite(loss)


def test_a_threshold_that_shall_not_learn_stays(make_task: MakeTask) -> None:
    task = make_task(learn=("segmentation",), settings=["heads.segmentation.learned=false"], training={"steps": 2})
    before = copied(task.model.heads.segmentation)
    fit(task, task._recipe, task._run)
    assert same(before, task.model.heads.segmentation.state_dict())
    assert not list(task.learner.heads.segmentation.parameters())


def test_a_model_with_nothing_to_learn_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(ConfigError, match=r"nothing to learn: aggregation\.network is false, and so is inj"):
        make_task(settings=["aggregation.network=false", "injection.convolutions=false"])


def test_a_model_with_bars_of_other_colours_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(ConfigError, match=r"leave canvas\.photo_padding and canvas\.sketch_padding alone"):
        make_task(settings=["canvas.photo_padding=[0,0,0]"])


def test_data_without_a_held_out_part_are_refused(make_task: MakeTask, tmp_path: Path) -> None:
    write_world(tmp_path / "world", categories=["cup"], photos_per_class=1, size=64)
    (tmp_path / "data").mkdir()
    (tmp_path / "world" / "photo").rename(tmp_path / "data" / "caltech101")
    pack(tmp_path / "data", tmp_path / "whole", PackOptions(size=64, held_out=0))
    with pytest.raises(DataError, match="no held-out part of photo"):
        make_task(data={"shards": str(tmp_path / "whole"), "mix": {"photo": 1.0}})


def test_finetuning_moves_the_backbones_too_and_is_saved_whole(make_task: MakeTask, tmp_path: Path) -> None:
    """B-Finetuning: UNet and patch encoder learn, the VAE does not; by default neither moves."""
    settings = ["finetune=true", "injection.blocks=[]", "aggregation.taps=[up1, up2, up3, patches]"]
    task = make_task(settings=settings, training={"steps": 2}, cache=str(tmp_path / "encoded"))
    model = task.model
    before = {name: copied(part) for name, part in (("unet", model.diffusion.unet), ("encoder", model.encoder))}
    vae = copied(model.diffusion.vae)
    fingerprint = model.fingerprint
    fit(task, task._recipe, task._run)
    assert not same(before["unet"], model.diffusion.unet.state_dict())
    assert not same(before["encoder"], model.encoder.state_dict())
    assert same(vae, model.diffusion.vae.state_dict())
    assert model.fingerprint != fingerprint
    task.finish(tmp_path / "saved")
    again = SketchFusion.from_pretrained(tmp_path / "saved", device="cpu")
    images = torch.rand(1, 3, model.canvas_size, model.canvas_size)
    torch.testing.assert_close(again(images).descriptor, model.eval()(images).descriptor)
    assert again.fingerprint == model.fingerprint


def test_a_finetuned_run_goes_on_where_it_stopped_and_saves_the_average(write_recipe: WriteRecipe,
                                                                       tmp_path: Path) -> None:
    """Nothing of it is special: checkpoints, the average and the saved folder hold the backbones like the fusion."""
    settings = ["finetune=true", "injection.blocks=[]", "aggregation.taps=[up1, up2, up3, patches]"]
    file = write_recipe(settings=settings, views=1, training={"steps": 2})
    straight, _ = train(file, f"output={tmp_path / 'straight'}")

    def interrupt(status: Any) -> None:
        if status.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = f"output={tmp_path / 'stopped'}"
    with pytest.raises(KeyboardInterrupt):
        train(file, stopped, on_status=interrupt)
    resumed, _ = train(file, stopped)
    assert same(state(straight), state(resumed))
    assert same(saved(straight), saved(resumed))
    learned = {name for name in saved(straight) if name.startswith(("encoder.", "diffusion.unet."))}
    assert {name.partition(".")[0] for name in learned} == {"encoder", "diffusion"}
    assert all(torch.equal(saved(straight)[name], state(straight)[f"average/{name}"]) for name in learned)
    assert not any(name.startswith(("average/diffusion.vae", "optimizer/exp_avg/diffusion.vae"))
                   for name in state(straight))
