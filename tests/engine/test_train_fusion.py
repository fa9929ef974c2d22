"""Training of the fusion: what changes, that it learns, that it can stop and go on, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.world import write_world
from sketchfusion.engine import train_fusion as module
from sketchfusion.engine.checkpoint import FOLDER, latest_checkpoint
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.encoded import SIDES
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.judge import judge_categories
from sketchfusion.engine.runtime import open_run
from sketchfusion.engine.train_fusion import FusionLearner, FusionTask, build_model, train_fusion
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.category_retrieval import RetrievalLossConfig, contrast_both_ways
from sketchfusion.tasks.fine_grained_retrieval import fine_grained_loss

WriteRecipe = Callable[..., Path]
TRAINING = {"steps": 5, "batch_size": 8, "lr": 2e-3, "warmup": 2, "log_every": 1, "sample_every": 0,
            "checkpoint_every": 0, "ema": 0.8}
UNTRAINED = r"the fusion of .* has not been trained"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable[..., Image.Image]) -> Path:
    """A drawn world of three classes with six instances each, two of them held out, and a few photos beside it."""
    root = tmp_path_factory.mktemp("fusion-data")
    write_world(root / "world", categories=["cup", "key", "wine glass"], photos_per_class=6, size=64)
    (root / "data" / "caltech101" / "cup").mkdir(parents=True)
    for index in range(3):
        draw_picture((60, 40), index).save(root / "data" / "caltech101" / "cup" / f"image_{index:04d}.jpg")
    pack(root / "data", root / "shards", PackOptions(size=64, held_out=0.34), extra=(f"world={root / 'world'}",))
    return root / "shards"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests keep what was encoded."""
    return tmp_path_factory.mktemp("encoded")


@pytest.fixture
def write_recipe(tmp_path: Path, shards: Path, cache: Path) -> WriteRecipe:
    """``write_recipe(key=value, training={...})``: a tiny recipe's file."""

    def write(*, training: dict[str, Any] | None = None, **changes: Any) -> Path:
        raw = {"model": "tiny", "output": str(tmp_path / "run"), "cache": str(cache), "views": 2,
               "data": {"shards": str(shards), "mix": {"photo": 1.0, "sketch": 1.0}},
               "training": TRAINING | (training or {})} | changes
        (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "fusion.yaml"

    return write


def train(file: Path, *overrides: str, **options: Any) -> tuple[Path, dict[str, float]]:
    """Run a recipe on the CPU; its output folder and figures."""
    recipe = load_recipe(FusionRecipe, file, overrides)
    run = open_run(recipe, device="cpu", **options)
    return run.output, train_fusion(recipe, run)


def make_task(file: Path, *overrides: str) -> FusionTask:
    recipe = load_recipe(FusionRecipe, file, overrides)
    return FusionTask(recipe, open_run(recipe, device="cpu"))


def state(output: Path) -> dict[str, torch.Tensor]:
    folder = latest_checkpoint(output)
    assert folder is not None
    return load_file(folder / "state.safetensors")


def log(output: Path, key: str) -> list[Any]:
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def is_learned(name: str) -> bool:
    return name.startswith(("injector.", "aggregator."))


def test_only_the_fusion_changes_and_the_backbones_stay_bit_for_bit(write_recipe: WriteRecipe,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[SketchFusion, dict[str, torch.Tensor]]] = []
    real = module.build_model

    def note(recipe: FusionRecipe) -> SketchFusion:
        model = real(recipe)
        built.append((model, {name: value.clone() for name, value in model.state_dict().items()}))
        return model

    monkeypatch.setattr(module, "build_model", note)
    train(write_recipe())
    (model, before), = built
    after = model.state_dict()
    frozen = [name for name in before if not is_learned(name)]
    assert len(frozen) > 50
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    unchanged = {name for name in before if is_learned(name) and torch.equal(before[name], after[name])}
    assert not unchanged
    assert {parameter.requires_grad for name, parameter in model.named_parameters() if not is_learned(name)} == {False}
    assert not model.encoder.training
    assert not model.diffusion.training


def test_every_learned_tensor_has_a_gradient(write_recipe: WriteRecipe) -> None:
    task = make_task(write_recipe())
    for parameter in task.learner.parameters():  # off its start, where the zero convolutions hold gradients back
        parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.05)
    loss, terms = task.learner(0)
    loss.backward()
    without = [name for name, value in task.learner.named_parameters() if value.grad is None or not value.grad.any()]
    assert not without
    assert terms.keys() == {"category", "fine_grained"}
    assert {name.split(".")[0] for name, _ in task.learner.named_parameters()} == {"injector", "aggregator"}


def test_the_loss_is_the_weighted_sum_of_the_tasks(write_recipe: WriteRecipe) -> None:
    tasks = {"category": {"weight": 2.0, "loss": {"margin": 0.4}}, "fine_grained": {"weight": 0.5}}
    loss, terms = make_task(write_recipe(tasks=tasks)).learner(3)
    assert loss.item() == pytest.approx(2 * terms["category"].item() + 0.5 * terms["fine_grained"].item())
    assert terms["category"].item() != pytest.approx(terms["fine_grained"].item())


Described = dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def described(task: FusionTask, number: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Described, dict[str, float]]:
    """Side -> rows, views and descriptors of a batch; and the tasks' losses of it."""
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    real = module.describe

    def note(model: SketchFusion, side: Any, rows: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        vectors = real(model, side, rows, views)
        seen.append((rows, views, vectors.detach()))
        return vectors

    with monkeypatch.context() as patch:
        patch.setattr(module, "describe", note)
        _, terms = task.learner(number)
    return dict(zip(SIDES, seen, strict=True)), {name: value.item() for name, value in terms.items()}


def test_a_batch_is_siblings_then_classes_each_pair_in_one_view(write_recipe: WriteRecipe,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(write_recipe(training={"batch_size": 12}, pairs={"instance_share": 0.34, "siblings": 4}))
    sides = task.learner._sides
    batches = [described(task, number, monkeypatch)[0] for number in range(3)]
    for batch in batches:
        (sketches, views, _), (photos, photo_views, _) = batch["sketches"], batch["photos"]
        assert torch.equal(views, photo_views)
        assert set(views.tolist()) == {0, 1}
        instances = sides["photos"].instance_ids[photos]
        assert torch.equal(sides["sketches"].class_ids[sketches], sides["photos"].class_ids[photos])
        assert torch.equal(sides["sketches"].instance_ids[sketches[:4]], instances[:4])
        assert len(set(instances[:4].tolist())) == 4
        assert len(set(sides["photos"].class_ids[photos[:4]].tolist())) == 1
        assert not torch.equal(sides["sketches"].instance_ids[sketches[4:]], instances[4:])
    for part in (slice(4), slice(4, None)):
        assert len({tuple(batch["photos"][0][part].tolist()) for batch in batches}) == 3


def test_a_mirrored_sketch_meets_the_mirrored_photo(write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors are those of the view that was drawn by lot."""
    task = make_task(write_recipe())
    for name, (rows, views, vectors) in described(task, 0, monkeypatch)[0].items():
        for place, (row, view) in enumerate(zip(rows.tolist(), views.tolist(), strict=True)):
            side = task.learner._sides[name]
            with torch.no_grad():
                own, other = (module.describe(task.model, side, torch.tensor([row]), torch.tensor([which]))[0]
                              for which in (view, 1 - view))
            assert torch.allclose(vectors[place], own, atol=1e-5)
            assert not torch.allclose(vectors[place], other, atol=1e-5)


def test_the_fine_grained_loss_sees_the_instance_pairs_alone(write_recipe: WriteRecipe,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(write_recipe(tasks={"category": {"loss": {"kind": "contrast"}},
                                         "fine_grained": {"loss": {"margin": 0.3}}}))
    batch, terms = described(task, 1, monkeypatch)
    (_, _, sketches), (rows, _, photos) = batch["sketches"], batch["photos"]
    classes = task.learner._sides["photos"].class_ids[rows]
    instances = task.learner._sides["photos"].instance_ids[rows]
    near = fine_grained_loss(sketches[:4], photos[:4], instances[:4], classes[:4], RetrievalLossConfig(margin=0.3))
    everyone = contrast_both_ways(sketches, photos, classes, classes, 0.07)
    assert terms["fine_grained"] == pytest.approx(near.item(), rel=1e-5)
    assert terms["category"] == pytest.approx(everyone.item(), rel=1e-5)


@pytest.mark.parametrize(("weights", "share", "instances"), [
    ((1.0, 1.0), 0.5, 4), ((1.0, 1.0), 0.25, 2), ((1.0, 1.0), 1.0, 8), ((0.0, 1.0), 0.25, 8), ((1.0, 0.0), 0.5, 0)])
def test_a_task_of_weight_zero_is_left_out_and_has_no_part_of_the_batch(
    weights: tuple[float, float], share: float, instances: int, write_recipe: WriteRecipe,
) -> None:
    names = ("category", "fine_grained")
    task = make_task(write_recipe(tasks={name: {"weight": weight} for name, weight in zip(names, weights, strict=True)},
                                  pairs={"instance_share": share}))
    assert task.learner.num_instances == instances
    assert set(task.learner(0)[1]) == {name for name, weight in zip(names, weights, strict=True) if weight}


def test_a_batch_depends_on_its_number_and_the_seed_alone(write_recipe: WriteRecipe) -> None:
    file = write_recipe()
    first, again, other = make_task(file), make_task(file), make_task(file, "seed=1")
    other.learner.load_state_dict(first.learner.state_dict())
    with torch.no_grad():
        values = [first.learner(number)[0].item() for number in range(4)]
        assert again.learner(2)[0].item() == values[2]
        assert other.learner(2)[0].item() != values[2]
    assert len(set(values)) == 4


def test_a_handful_of_pairs_is_learned_by_heart(write_recipe: WriteRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs of step 0 again and again."""
    real = FusionLearner.forward
    monkeypatch.setattr(FusionLearner, "forward", lambda self, number: real(self, 0))
    tasks = {name: {"loss": {"margin": 0.5}} for name in ("category", "fine_grained")}
    training = {"steps": 20, "lr": 1e-2, "final_lr": 1.0, "warmup": 0}
    losses = log(train(write_recipe(tasks=tasks, training=training))[0], "loss")
    assert losses[0] == pytest.approx(1.0, abs=0.1)  # two margins: nothing is told apart yet
    assert losses[-1] < 0.5 * losses[0]


def test_interrupted_and_resumed_equals_uninterrupted(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    file = write_recipe(training={"steps": 4, "accumulate": 2, "checkpoint_every": 2})
    straight, figures = train(file, f"output={tmp_path / 'straight'}")

    def interrupt(status: Any) -> None:
        if status.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = f"output={tmp_path / 'stopped'}"
    with pytest.raises(KeyboardInterrupt):
        train(file, stopped, on_status=interrupt)
    assert latest_checkpoint(tmp_path / "stopped") == tmp_path / "stopped" / FOLDER / "step-00000003"
    assert not (tmp_path / "stopped" / "fusion").exists()
    resumed, figures_resumed = train(file, stopped)
    assert same(state(straight), state(resumed))
    assert same(*(load_file(output / "fusion" / "fusion.safetensors") for output in (straight, resumed)))
    assert log(straight, "loss") == log(resumed, "loss")
    assert figures == figures_resumed


def test_two_seeds_share_what_was_encoded_and_differ_in_what_they_learn(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    real = module.encode_side

    def note(model: SketchFusion, corpus: Any, side: str, *arguments: Any, **options: Any) -> Any:
        encoded.append(side)
        return real(model, corpus, side, *arguments, **options)

    monkeypatch.setattr(module, "encode_side", note)
    file, cache = write_recipe(training={"steps": 2}), f"cache={tmp_path / 'cache'}"
    one, _ = train(file, cache, f"output={tmp_path / 'one'}")
    assert sorted(encoded) == ["photos", "photos", "sketches", "sketches"]  # training and held-out part
    kept = sorted((tmp_path / "cache").iterdir())
    other, _ = train(file, cache, f"output={tmp_path / 'other'}", "seed=1")
    assert len(encoded) == 4
    assert sorted((tmp_path / "cache").iterdir()) == kept
    assert not same(*(load_file(output / "fusion" / "fusion.safetensors") for output in (one, other)))
    make_task(file, cache, f"output={tmp_path / 'more'}", "views=3")
    assert len(encoded) == 6  # the held-out part is seen in one view, whatever the recipe


def test_without_a_place_for_it_the_cache_is_beside_the_output(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    make_task(write_recipe(cache=""))
    assert len(list((tmp_path / "run" / "encoded").glob("*.safetensors"))) == 4


def test_what_is_saved_loads_as_a_trained_model(write_recipe: WriteRecipe) -> None:
    output, figures = train(write_recipe(training={"steps": 3}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SketchFusion.from_pretrained(output / "fusion", device="cpu")
    assert model.is_trained
    assert all(torch.isfinite(value).all() for value in model.learned().values())
    assert {"category_mAP@all", "category_P@100", "instance_Acc@1", "instance_Acc@10",
            "branch_weight_0"} <= figures.keys()
    assert all(0 <= value <= 1 for value in figures.values())
    with Image.open(output / "samples" / "final.png") as sheet:
        assert sheet.width > sheet.height > 64


def test_what_is_saved_is_the_average(write_recipe: WriteRecipe) -> None:
    output, _ = train(write_recipe())
    saved, kept = load_file(output / "fusion" / "fusion.safetensors"), state(output)
    parameters = [name.removeprefix("average/") for name in kept if name.startswith("average/")]
    assert parameters
    assert all(torch.equal(saved[name], kept[f"average/{name}"]) for name in parameters)
    assert not any(torch.equal(saved[name], kept[f"model/{name}"]) for name in parameters)


def test_the_figures_are_those_of_the_saved_model(write_recipe: WriteRecipe) -> None:
    """Held-out sketches against all held-out photos, two instances of three classes each and one more photo."""
    file = write_recipe(training={"steps": 3})
    output, figures = train(file)
    task = make_task(file)
    model = SketchFusion.from_pretrained(output / "fusion", device="cpu")
    sketches, photos = task.judged["sketches"], task.judged["photos"]
    assert (len(sketches), len(photos)) == (6, 7)
    vectors = []
    for side in (sketches, photos):
        rows = torch.arange(len(side))
        with torch.no_grad():
            vectors.append(model.fuse(*side.take(rows, torch.zeros_like(rows), model)).descriptor)
    found = judge_categories(*vectors, sketches.class_ids, photos.class_ids)
    assert figures["category_mAP@all"] == pytest.approx(found["mAP@all"].mean().item(), abs=1e-5)
    scores, hits = vectors[0] @ vectors[1].T, 0
    for row, instance in enumerate(sketches.instance_ids.tolist()):
        hits += int(photos.instance_ids[scores[row].argmax()]) == instance
    assert figures["instance_Acc@1"] == pytest.approx(hits / 6)


def test_training_and_held_out_part_share_no_instance(write_recipe: WriteRecipe) -> None:
    task = make_task(write_recipe())
    for number in range(6):
        for pairs in (task.learner.sampler.by_class, task.learner.sampler.by_instance):
            _, rows = pairs(number, 16)
            seen = set(task.learner._sides["photos"].instance_ids[torch.from_numpy(rows)].tolist())
            assert not seen & set(task.judged["photos"].instance_ids.tolist())


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


def test_settings_of_the_model_apply(write_recipe: WriteRecipe) -> None:
    task = make_task(write_recipe(settings=["diffusion.max_batch=2", "injection.blocks=[]"]))
    assert (task.model.config.diffusion.max_batch, task.model.config.injection.blocks) == (2, ())
    assert not task.model.uses_patches
    loss, _ = task.learner(0)
    loss.backward()
    assert torch.isfinite(loss)


def test_a_model_with_nothing_to_learn_is_refused(write_recipe: WriteRecipe) -> None:
    file = write_recipe(settings=["aggregation.network=false", "injection.convolutions=false"])
    with pytest.raises(ConfigError, match=r"nothing to learn: aggregation\.network and injection\.convolutions"):
        make_task(file)


@pytest.mark.parametrize(("changes", "words"), [
    ({"tasks": {"category": {"weight": 0}, "fine_grained": {"weight": 0}}}, "all tasks have the weight 0"),
    ({"tasks": {"category": {"wait": 1}}}, r"tasks\.category\.wait is not a setting, did you mean weight"),
    ({"pairs": {"siblings": 1}}, r"pairs\.siblings"),
    ({"data": {"mix": {"photo": 1}, "views": {"photo": {"whole": 0.5}}}}, r"set data\.views\.photo\.whole to 1\.0"),
])
def test_a_recipe_that_does_not_fit_says_why(changes: dict[str, Any], words: str, write_recipe: WriteRecipe) -> None:
    with pytest.raises(ConfigError, match=words):
        make_task(write_recipe(**changes))


def test_data_without_a_held_out_part_are_refused(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    write_world(tmp_path / "world", categories=["cup"], photos_per_class=1, size=64)
    (tmp_path / "data").mkdir()
    (tmp_path / "world" / "photo").rename(tmp_path / "data" / "caltech101")
    pack(tmp_path / "data", tmp_path / "whole", PackOptions(size=64, held_out=0))
    with pytest.raises(DataError, match="no held-out part of photo"):
        make_task(write_recipe(data={"shards": str(tmp_path / "whole"), "mix": {"photo": 1.0}}))
