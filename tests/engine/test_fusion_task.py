"""The task of training a fusion: gradients, batches, the head of recognition, data and settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from sketchfusion.data.packed.augment import Placement
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.world import write_world
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.encoded import SIDES
from sketchfusion.engine.fusion_recipe import TASKS, FusionRecipe
from sketchfusion.engine.judge_tasks import fuse_rows
from sketchfusion.engine.loop import fit
from sketchfusion.engine.train_fusion import FusionTask, build_model
from sketchfusion.errors import ConfigError, DataError
from sketchfusion.fusion.extractor import SketchFusion

WriteRecipe = Callable[..., Path]
MakeTask = Callable[..., FusionTask]
State = dict[str, Tensor]
UNTRAINED = r"the fusion of .* has not been trained"


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def copied(module: torch.nn.Module) -> State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


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


def test_the_boxes_that_losses_see_are_those_of_the_views(universal_task: FusionTask) -> None:
    learner, moved = universal_task.learner, 0
    sketches, photos = (learner._sides[side] for side in SIDES)
    for number in range(4):
        batch = learner.sampler.batch(number)
        with torch.no_grad():
            seen = learner.see(batch)
        for content, side, rows, views in ((seen.sketch_content, sketches, batch.sketches, batch.sketch_views),
                                           (seen.photo_content, photos, batch.photos, batch.photo_views)):
            for box, row, view in zip(content, rows.tolist(), views.tolist(), strict=True):
                corners = side.content[row][[0, 1, 2, 1, 0, 3, 2, 3]].view(4, 2)
                placed = Placement(side.theta[view, row:row + 1]).move(corners[None], 64)[0].clamp(0, 64)
                torch.testing.assert_close(box, torch.cat([placed.amin(0), placed.amax(0)]))
                moved += int(not torch.equal(box, side.content[row]))
    assert moved


def test_a_batch_depends_on_its_number_and_the_seed_alone(make_task: MakeTask) -> None:
    one, other = make_task(), make_task("seed=1")
    other.learner.load_state_dict(one.learner.state_dict())
    with torch.no_grad():
        values = [one.learner(number)[0].item() for number in range(2)]
        assert one.learner(0)[0].item() == values[0] != values[1]
        assert other.learner(0)[0].item() != values[0]


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


def test_nothing_is_learned_of_unseen_classes(make_task: MakeTask) -> None:
    task = make_task('unseen=["wine glass", key]')
    classes = task._manifest["classes"]
    assert task.model.heads.recognition is not None
    assert not {"wine glass", "key"} & set(task.model.heads.recognition.class_names)
    seen = set()
    for number in range(30):
        batch = task.learner.sampler.batch(number)
        for side, rows in (("sketches", batch.sketches), ("photos", batch.photos)):
            seen |= {classes[label] for label in task.learner._sides[side].class_ids[rows].tolist()}
    assert "house" in seen
    assert not {"wine glass", "key"} & seen


def test_an_unseen_class_that_the_data_have_not_is_refused_with_near_ones(make_task: MakeTask) -> None:
    with pytest.raises(ConfigError, match=r"unseen names 'hous', which is no class .*; near are house.*; leave it out"):
        make_task("unseen=[hous]")


def test_sketches_to_recognise_that_are_not_there_are_refused(make_task: MakeTask, fusion_shards: Path) -> None:
    with pytest.raises(ConfigError, match=r"hold no sketches of the kinds drawing to recognise; name some in data\.mix"
                                          r", .* or set tasks\.recognition\.weight to 0"):
        make_task(data={"shards": str(fusion_shards), "mix": {"photo": 1.0, "sketch": 1.0}})


def test_the_head_begins_as_the_seed_says_and_the_fusion_as_without_it(make_task: MakeTask) -> None:
    one, other, plain = make_task(), make_task("seed=1"), make_task(learn=("category",))
    assert not torch.equal(one.model.heads.recognition.linear.weight, other.model.heads.recognition.linear.weight)
    assert same(one.model.learned(heads=False), plain.model.learned(heads=False))


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
