"""What is minimised: each task's term by hand, whom it teaches, and how the terms are weighed and added."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine import objective as module
from sketchfusion.engine.batches import Dense
from sketchfusion.engine.fusion_recipe import TASKS, TasksConfig
from sketchfusion.engine.objective import Objective, Seen
from sketchfusion.engine.train_fusion import FusionTask
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.category_retrieval import RetrievalLossConfig, category_loss, contrast_both_ways
from sketchfusion.tasks.correspondence import CorrespondenceLossConfig, correspondence_loss
from sketchfusion.tasks.fine_grained_retrieval import fine_grained_loss
from sketchfusion.tasks.recognition import recognition_loss

WEIGHTS = {"category": 2.0, "fine_grained": 0.5, "recognition": 3.0, "correspondence": 0.25, "segmentation": 1.5}
OWN_HEAD = {"category": "", "fine_grained": "", "recognition": "recognition", "correspondence": "correspondence",
            "segmentation": "segmentation"}
Changes = dict[str, dict[str, Any]]


def config(*names: str, balance: str = "fixed", **changes: dict[str, Any]) -> TasksConfig:
    """The named tasks with their ``WEIGHTS`` (all if none is named), and changes by task."""
    every: dict[str, Any] = {name: {"weight": WEIGHTS[name] if not names or name in names else 0.0} | changes.get(
        name, {}) for name in TASKS}
    return TasksConfig.model_validate(every | {"balance": balance})


def lots() -> torch.Generator:
    return generator_for("cpu", "lots")


@pytest.fixture(scope="module")
def seen(universal_task: FusionTask) -> Seen:
    """A batch of all five tasks after its forward pass, gradients recorded."""
    learner = universal_task.learner
    return learner.see(learner.sampler.batch(0))


@pytest.fixture(scope="module")
def run(universal_task: FusionTask, seen: Seen) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """``run(tasks)``: loss and terms of that batch."""
    return lambda tasks, changed=seen: Objective(tasks)(changed, universal_task.model.heads, lots())


Run = Callable[..., tuple[Tensor, dict[str, Tensor]]]


def test_the_batch_has_something_for_every_task(seen: Seen) -> None:
    """And something that each must leave out, so that the terms by hand say something."""
    assert 0 < seen.num_instances < len(seen.photo_classes) < len(seen.sketch_classes)
    assert 0 < len(seen.dense.rows) < len(seen.photo_classes)
    assert seen.dense.visible.any(1).all()
    assert not seen.dense.visible.all()
    assert set(seen.targets.tolist()) == {-1, 0, 1, 2}
    assert len(seen.photo_classes.unique()) > 1


def test_category_is_that_of_all_pairs(run: Run, seen: Seen) -> None:
    count, ids = len(seen.photo_classes), seen.photo_classes
    sketches, photos = seen.sketches.descriptor[:count], seen.photos.descriptor
    found = run(config("category"))[1]["category"]
    triplets = category_loss(sketches, photos, seen.sketch_classes[:count], ids, RetrievalLossConfig(), lots())
    torch.testing.assert_close(found, triplets)
    contrast = {"loss": {"kind": "contrast", "temperature": 0.1}}
    torch.testing.assert_close(run(config("category", category=contrast | {"weight": 1.0}))[1]["category"],
                               contrast_both_ways(sketches, photos, ids, ids, 0.1))


@pytest.mark.parametrize("loss", [RetrievalLossConfig(margin=0.3), RetrievalLossConfig(kind="contrast")])
def test_fine_grained_is_that_of_the_pairs_of_one_thing(loss: RetrievalLossConfig, run: Run, seen: Seen) -> None:
    tasks = config("fine_grained", fine_grained={"weight": 1.0, "loss": loss.model_dump()})
    near = seen.num_instances
    expected = fine_grained_loss(seen.sketches.descriptor[:near], seen.photos.descriptor[:near], seen.instances[:near],
                                 seen.photo_classes[:near], loss)
    torch.testing.assert_close(run(tasks)[1]["fine_grained"], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_recognition_is_that_of_all_sketches_of_a_known_class(smoothing: float, run: Run, seen: Seen,
                                                              universal_task: FusionTask) -> None:
    known = seen.targets >= 0
    head = universal_task.model.heads.recognition
    assert head is not None
    expected = recognition_loss(head(seen.sketches.descriptor[known]), seen.targets[known], smoothing)
    found = run(config("recognition", recognition={"weight": 1.0, "smoothing": smoothing}))[1]["recognition"]
    torch.testing.assert_close(found, expected)
    assert known[:len(seen.photo_classes)].any()  # in pairs too
    assert known[len(seen.photo_classes):].all()


@pytest.mark.parametrize("loss", [
    CorrespondenceLossConfig(), CorrespondenceLossConfig(norm="plain", contrast_weight=0.3, endpoint_weight=0.7),
    CorrespondenceLossConfig(target_noise=1.0)])
def test_correspondence_is_that_of_the_pairs_with_key_points(loss: CorrespondenceLossConfig, run: Run, seen: Seen,
                                                             universal_task: FusionTask) -> None:
    rows, dense = seen.dense.rows, seen.dense
    assert dense.sketch_px.shape == (len(rows), 16, 2)
    terms = correspondence_loss(
        seen.sketches.feature_map[rows], seen.photos.feature_map[rows], dense.sketch_px, dense.photo_px, dense.visible,
        canvas_size=64, temperature=0.02, scale=universal_task.model.heads.correspondence.scale, config=loss,
        sketch_allowed=content_mask(seen.sketch_content[rows], 64, (16, 16)),
        photo_allowed=content_mask(seen.photo_content[rows], 64, (16, 16)), generator=lots())
    tasks = config("correspondence", correspondence={"weight": 1.0, "loss": loss.model_dump()})
    torch.testing.assert_close(run(tasks)[1]["correspondence"],
                               loss.contrast_weight * terms["contrast"] + loss.endpoint_weight * terms["endpoint"])


def test_segmentation_equals_a_slow_loop(run: Run, seen: Seen) -> None:
    """Of each pair with a mask: cosines with the sketch's maximum over its own cells, as probabilities of pixels.

    Of the photo its own pixels count, and no other.
    """
    costs = []
    content = replace(seen, sketch_content=seen.sketch_content.clone(), photo_content=seen.photo_content.clone())
    for boxes in (content.sketch_content, content.photo_content):
        boxes[seen.dense.rows] = torch.tensor([0.0, 0.0, 64.0, 64.0])
    content.sketch_content[seen.dense.rows[0]] = torch.tensor([0.0, 16.0, 64.0, 48.0])  # as if it had bars
    content.photo_content[seen.dense.rows[1]] = torch.tensor([10.0, 0.0, 50.0, 64.0])
    for place, row in enumerate(seen.dense.rows.tolist()):
        sketch, photo = seen.sketches.feature_map[row], seen.photos.feature_map[row]
        own = sketch[:, 4:12] if not place else sketch
        similarity = F.cosine_similarity(own.amax((1, 2))[:, None, None], photo, dim=0)
        fine = F.interpolate(similarity[None, None], (64, 64), mode="bilinear")[0, 0]
        probability = 1 / (1 + torch.exp(-((fine - 0.47) / 0.03).double()))
        mask = seen.dense.masks[place].double()
        cost = -(mask * probability.log() + (1 - mask) * (1 - probability).log())
        costs.append(cost[:, 10:50].flatten() if place == 1 else cost.flatten())
    found = run(config("segmentation"), content)[1]["segmentation"]
    assert found.item() == pytest.approx(torch.cat(costs).mean().item(), rel=1e-4)
    for own in ("sketch_content", "photo_content"):  # each counts
        other = replace(content, **{own: getattr(seen, own)})
        assert found.item() != pytest.approx(run(config("segmentation"), other)[1]["segmentation"].item(), rel=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_teaches_the_fusion_and_its_own_head_and_no_other(name: str, run: Run,
                                                                 universal_task: FusionTask) -> None:
    learner = universal_task.learner
    parameters = dict(learner.named_parameters())
    gradients = torch.autograd.grad(run(config(name))[1][name], list(parameters.values()), retain_graph=True,
                                    allow_unused=True)
    taught = {key for key, value in zip(parameters, gradients, strict=True) if value is not None and value.any()}
    heads = {key.split(".")[1] for key in taught if key.startswith("heads.")}
    assert heads == ({OWN_HEAD[name]} if OWN_HEAD[name] else set())
    shared = {key for key in parameters if key.startswith(("aggregator.", "injector."))}
    assert shared <= taught
    own = {key for key in parameters if key.startswith(f"heads.{OWN_HEAD[name]}.")}
    assert own <= taught


@pytest.mark.parametrize("name", TASKS)
def test_a_task_of_weight_zero_is_not_computed(name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError(name)

    monkeypatch.setitem(module.TERMS, name, refuse)
    others = [other for other in TASKS if other != name]
    loss, terms = run(config(*others))
    assert list(terms) == others
    assert torch.isfinite(loss)
    with pytest.raises(AssertionError, match=name):
        run(config())


def test_the_loss_is_the_weighted_sum(run: Run) -> None:
    loss, terms = run(config())
    assert loss.item() == pytest.approx(sum(WEIGHTS[name] * value.item() for name, value in terms.items()), rel=1e-5)
    assert list(terms) == list(TASKS)
    assert not list(Objective(config()).parameters())


def test_uncertainty_begins_with_the_weighted_sum(run: Run) -> None:
    fixed, uncertain = run(config())[0], run(config(balance="uncertainty"))[0]
    torch.testing.assert_close(fixed, uncertain)


def test_uncertainty_equals_its_formula_and_its_gradient(seen: Seen, universal_task: FusionTask) -> None:
    """w L exp(-s) + s, so that s stands still where exp(s) is w L."""
    names = ("category", "recognition", "segmentation")
    objective = Objective(config(*names, balance="uncertainty"))
    assert [name for name, _ in objective.named_parameters()] == [f"log_variances.{name}" for name in names]
    values = dict(zip(names, (0.3, -0.7, 1.1), strict=True))
    with torch.no_grad():
        for name, value in values.items():
            objective.log_variances[name].fill_(value)
    loss, terms = objective(seen, universal_task.model.heads, lots())
    parts = {name: WEIGHTS[name] * terms[name].item() * math.exp(-value) for name, value in values.items()}
    assert loss.item() == pytest.approx(sum(parts.values()) + sum(values.values()), rel=1e-5)
    gradients = torch.autograd.grad(loss, [objective.log_variances[name] for name in names], retain_graph=True)
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient.item() == pytest.approx(1 - parts[name], rel=1e-4, abs=1e-6)


def without_labels(seen: Seen) -> Seen:
    """As if no pair of the batch were of a sample."""
    nothing = Dense(*(value[:0] for value in vars(seen.dense).values()))
    return replace(seen, dense=nothing)


@pytest.mark.parametrize("name", ["correspondence", "segmentation"])
def test_without_masks_and_key_points_the_term_is_nought_and_teaches_nothing(name: str, run: Run, seen: Seen,
                                                                             universal_task: FusionTask) -> None:
    term = run(config(name), without_labels(seen))[1][name]
    assert term.item() == 0
    gradients = torch.autograd.grad(term, list(universal_task.learner.parameters()), retain_graph=True,
                                    allow_unused=True)
    assert all(value is None or not value.any() for value in gradients)


def test_without_known_classes_recognition_is_nought(run: Run, seen: Seen) -> None:
    term = run(config("recognition"), replace(seen, targets=torch.full_like(seen.targets, -1)))[1]["recognition"]
    assert term.item() == 0


Passes = list[int]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """The number of pictures of each forward pass."""
    real, counted = SketchFusion.fuse, []

    def note(self: SketchFusion, *arguments: Any) -> Any:
        features = real(self, *arguments)
        counted.append(len(features.descriptor))
        return features

    monkeypatch.setattr(SketchFusion, "fuse", note)
    return counted


def test_a_batch_of_all_tasks_costs_one_pass_over_sketches_and_one_over_photos(universal_task: FusionTask,
                                                                               passes: Passes) -> None:
    with torch.no_grad():
        _, terms = universal_task.learner(1)
    assert list(terms) == list(TASKS)
    assert passes == [8 + 4 + 2 * 4, 8 + 4]


def test_a_batch_of_sketches_alone_costs_one_pass(make_task: Callable[..., FusionTask], passes: Passes) -> None:
    task = make_task(learn=("recognition",))
    passes.clear()
    loss, terms = task.learner(0)
    assert passes == [2 * 6]
    assert loss.item() == terms["recognition"].item() > 0
