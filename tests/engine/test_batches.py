"""A step's batch: who is in it, in which view, and where masks and key points lie in these views."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sketchfusion.data.packed.augment import Placement
from sketchfusion.engine.batches import Batch, BatchSampler, Dense, dense_labels
from sketchfusion.engine.encoded import EncodedSide
from sketchfusion.engine.fusion_recipe import TASKS, FusionRecipe, TasksConfig
from sketchfusion.engine.train_fusion import FusionTask
from sketchfusion.errors import DataError

SIDE, POINTS = 64, 4


def make_sampler(task: FusionTask, *tasks: str, **changes: object) -> BatchSampler:
    """On the sides of a task, for the named tasks alone (all if none is named)."""
    learned = TasksConfig.model_validate({name: {"weight": float(not tasks or name in tasks)} for name in TASKS})
    recipe = task._recipe.model_copy(update={"tasks": learned, **changes})
    assert isinstance(recipe, FusionRecipe)
    return BatchSampler(task.learner._sides, recipe, torch.nonzero(task.targets >= 0).flatten())


def everything(batch: Batch) -> list[int]:
    return torch.cat([batch.sketches, batch.photos, batch.sketch_views, batch.photo_views]).tolist()


@pytest.mark.parametrize("number", range(8))
def test_a_batch_is_pairs_of_things_then_of_classes_then_sketches_alone(number: int,
                                                                        universal_task: FusionTask) -> None:
    """Of 16 slots 8, 4 and 4; a slot of sketches holds two."""
    sketches, photos = (universal_task.learner._sides[side] for side in ("sketches", "photos"))
    batch = make_sampler(universal_task).batch(number)
    assert (len(batch.sketches), len(batch.photos), batch.num_instances) == (8 + 4 + 2 * 4, 8 + 4, 8)
    paired, alone = batch.sketches[:12], batch.sketches[12:]
    assert torch.equal(sketches.class_ids[paired], photos.class_ids[batch.photos])
    assert torch.equal(sketches.instance_ids[paired[:8]], photos.instance_ids[batch.photos[:8]])
    assert (universal_task.targets[sketches.class_ids[alone]] >= 0).all()
    samples = sketches.sample_ids[paired[:8]]
    assert torch.equal(samples, torch.where(samples >= 0, photos.sample_ids[batch.photos[:8]], -1))


@pytest.mark.parametrize("number", range(4))
def test_a_pair_is_seen_in_one_view(number: int, universal_task: FusionTask) -> None:
    batch = make_sampler(universal_task, views=2).batch(number)
    assert torch.equal(batch.sketch_views[:len(batch.photos)], batch.photo_views)
    assert len(batch.sketch_views) == len(batch.sketches)
    assert set(batch.sketch_views.tolist()) == {0, 1}


def test_siblings_come_together(universal_task: FusionTask) -> None:
    """Four instances of one class; classes that have fewer are pooled."""
    sampler, photos = make_sampler(universal_task, "fine_grained"), universal_task.learner._sides["photos"]
    counts = {name: len(set(photos.instance_ids[photos.class_ids == name].tolist()))
              for name in photos.class_ids.unique().tolist()}
    large = 0
    for number in range(8):
        rows = sampler.batch(number).photos
        for part in rows.split(4):
            instances, classes = photos.instance_ids[part].tolist(), set(photos.class_ids[part].tolist())
            assert len(set(instances)) == len(instances)
            if any(counts[name] >= 4 for name in classes):
                assert len(classes) == 1
                large += 1
    assert large > 4


@pytest.mark.parametrize(("task", "pairs", "sketches", "instances"), [
    ("category", 16, 16, 0), ("fine_grained", 16, 16, 16), ("correspondence", 16, 16, 16), ("segmentation", 16, 16, 16),
    ("recognition", 0, 32, 0)])
def test_a_single_task_gets_the_whole_batch(task: str, pairs: int, sketches: int, instances: int,
                                            universal_task: FusionTask) -> None:
    batch = make_sampler(universal_task, task).batch(0)
    assert (len(batch.photos), len(batch.sketches), batch.num_instances) == (pairs, sketches, instances)


def test_a_batch_depends_on_the_seed_and_its_number_alone(universal_task: FusionTask) -> None:
    used, other = make_sampler(universal_task), make_sampler(universal_task, seed=1)
    batches = [everything(used.batch(number)) for number in range(4)]
    assert everything(used.batch(1)) == everything(make_sampler(universal_task).batch(1)) == batches[1]
    assert everything(other.batch(1)) != batches[1]
    assert len({tuple(batch) for batch in batches}) == 4


def test_sketches_without_a_partner_are_seen_alone(universal_task: FusionTask) -> None:
    """There are drawings of airplanes and no photo."""
    sketches = universal_task.learner._sides["sketches"]
    name = universal_task._manifest["classes"].index("airplane")
    assert name not in universal_task.learner._sides["photos"].class_ids
    seen: set[int] = set()
    for number in range(20):
        batch = make_sampler(universal_task).batch(number)
        assert name not in sketches.class_ids[batch.sketches[:len(batch.photos)]]
        seen |= set(batch.sketches[len(batch.photos):].tolist())
    assert seen >= set(torch.nonzero(sketches.class_ids == name).flatten().tolist())


@pytest.mark.parametrize("task", ["category", "segmentation"])
def test_data_without_the_pairs_that_are_needed_are_refused(task: str, universal_task: FusionTask) -> None:
    sides, vanished = universal_task.learner._sides, {}
    for number, (name, side) in enumerate(sides.items()):
        other = {"class_ids": side.class_ids + 100 * number, "instance_ids": side.instance_ids + 1000 * number}
        vanished[name] = EncodedSide(**vars(side) | other)
    learned = TasksConfig.model_validate({name: {"weight": float(name == task)} for name in TASKS})
    recipe = universal_task._recipe.model_copy(update={"tasks": learned})
    with pytest.raises(DataError, match="of which there are both sketches and photos; pack the drawn world"):
        BatchSampler(vanished, recipe, torch.empty(0, dtype=torch.long))


# Masks and key points

def side_of(theta: Tensor, samples: list[int], *, masks: Tensor | None = None, mask_ids: list[int] | None = None,
            keypoints: Tensor | None = None) -> EncodedSide:
    """(V, N, 2, 3) placements of N pictures; what the encoders made of them does not matter."""
    count = len(samples)
    nothing = torch.zeros(count, dtype=torch.long)
    return EncodedSide(
        torch.zeros(len(theta), count, 0), torch.zeros(len(theta), count, 0), torch.zeros(count, 4), nothing, nothing,
        nothing, nothing, theta, torch.tensor(samples), torch.tensor(mask_ids or [-1] * count),
        torch.full((count, POINTS, 4), math.nan) if keypoints is None else keypoints,
        torch.zeros(0, SIDE, SIDE, dtype=torch.bool) if masks is None else masks, torch.zeros(0, 3, SIDE, SIDE))


def placements(views: int, count: int, seed: int) -> Tensor:
    """(V, N, 2, 3) by lot: moved, zoomed, turned; every other view mirrored."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for view in range(views):
        boxes = torch.stack([*(torch.rand(2, count, generator=generator) * 8 + 28),
                             torch.rand(count, generator=generator) * 20 + 56], dim=1)
        found.append(Placement.of(boxes, SIDE, flip=torch.full((count,), view % 2 == 1),
                                  angle=torch.rand(count, generator=generator) - 0.5).theta)
    return torch.stack(found)


PHOTO_SAMPLES, SKETCH_SAMPLES = [-1, 5, 0, 3], [3, 0, 5, -1, 5]  # in another order, sample 5 drawn twice
MIDDLES = torch.tensor([[30.0, 26.0], [36.0, 40.0], [24.0, 34.0]])  # of the objects of samples 5, 0 and 3
DRAWN = torch.tensor([[33.0, 30.0], [28.0, 37.0], [40.0, 25.0], [31.5, 31.5], [25.0, 29.0]])


def squares() -> tuple[EncodedSide, EncodedSide]:
    """Photos with a square object each; the first key point is its middle and a place in the sketch, one is far off."""
    masks = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    for mask, (x, y) in zip(masks, MIDDLES.int().tolist(), strict=True):
        mask[y - 5:y + 5, x - 5:x + 5] = True
    keypoints = torch.full((5, POINTS, 4), math.nan)
    for row, sample in enumerate(SKETCH_SAMPLES):
        if sample >= 0:
            middle = MIDDLES[PHOTO_SAMPLES.index(sample) - 1]
            keypoints[row, 0] = torch.cat([DRAWN[row], middle])
            keypoints[row, 2] = torch.cat([DRAWN[row], torch.tensor([-60.0, 5.0])])  # off the photo
            keypoints[row, 3] = torch.cat([torch.tensor([5.0, 140.0]), middle])  # off the sketch
    sketches = side_of(placements(2, 5, 1), SKETCH_SAMPLES, keypoints=keypoints)
    return sketches, side_of(placements(2, 4, 2), PHOTO_SAMPLES, masks=masks, mask_ids=[-1, 0, 1, 2])


def batch_of(sketches: list[int], photos: list[int], views: list[int]) -> Batch:
    seen = torch.tensor(views)
    return Batch(torch.tensor(sketches), torch.tensor(photos, dtype=torch.long), seen, seen[:len(photos)], 0)


# Sketch 0 with its photo, 1 with another's, 2 with its own, 3 is of none, 4 with its own; 2 and 0 again alone.
BATCH = batch_of([0, 1, 2, 3, 4, 2, 0], [3, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1, 1])
ROWS = [0, 2, 4]


def slow_point(theta: Tensor, point: Tensor) -> Tensor:
    """Where a point is shown: what ``theta`` maps onto it, in pixels."""
    wanted = point.double() * 2 / SIDE - 1 - theta[:, 2].double()
    return (torch.linalg.solve(theta[:, :2].double(), wanted) + 1) * SIDE / 2


def test_only_pairs_of_a_sketch_and_its_very_photo_have_labels() -> None:
    found = dense_labels(*squares(), BATCH)
    assert found.rows.tolist() == ROWS
    assert (found.masks.shape, found.visible.shape) == ((3, SIDE, SIDE), (3, POINTS))


def test_key_points_and_masks_are_those_of_the_views_that_are_shown() -> None:
    """The sketch's by the sketch's placement, the photo's by the photo's."""
    sketches, photos = squares()
    found = dense_labels(sketches, photos, BATCH)
    places = torch.arange(SIDE) + 0.5
    for place, row in enumerate(ROWS):
        drawn, shown = int(BATCH.sketches[row]), int(BATCH.photos[row])
        view = int(BATCH.photo_views[row])
        middle = MIDDLES[int(photos.mask_ids[shown])]
        torch.testing.assert_close(found.sketch_px[place, 0].double(),
                                   slow_point(sketches.theta[view, drawn], DRAWN[drawn]), atol=1e-3, rtol=0)
        torch.testing.assert_close(found.photo_px[place, 0].double(), slow_point(photos.theta[view, shown], middle),
                                   atol=1e-3, rtol=0)
        mask = found.masks[place]
        mass = torch.stack([(mask.sum(0) * places).sum(), (mask.sum(1) * places).sum()]) / mask.sum()
        torch.testing.assert_close(mass, found.photo_px[place, 0], atol=0.1, rtol=0)
        area = 10 * 10 / float(torch.det(photos.theta[view, shown, :, :2]).abs())  # as large as it is shown
        assert float(mask.sum()) == pytest.approx(area, rel=0.05)


def test_a_point_is_visible_where_it_is_on_both_canvases() -> None:
    assert dense_labels(*squares(), BATCH).visible.tolist() == [[True, False, False, False]] * 3


def test_the_very_edge_of_the_canvas_belongs_to_it() -> None:
    keypoints = torch.full((1, POINTS, 4), math.nan)
    keypoints[0, :3] = torch.tensor([[0.0, 0, 64, 64], [0, 64.01, 1, 1], [1, 1, -0.01, 1]])
    upright = Placement.unmoved(1).theta[None]
    sketches = side_of(upright, [0], keypoints=keypoints)
    photos = side_of(upright, [0], masks=torch.zeros(1, SIDE, SIDE, dtype=torch.bool), mask_ids=[0])
    found = dense_labels(sketches, photos, batch_of([0], [0], [0]))
    assert found.visible.tolist() == [[True, False, False, False]]


@pytest.mark.parametrize(("sketches", "photos"), [([0, 3], [1, 0]), ([2, 4], [])])
def test_a_batch_without_such_pairs_has_no_labels(sketches: list[int], photos: list[int]) -> None:
    """Others' photos, and no photos at all."""
    found = dense_labels(*squares(), batch_of(sketches, photos, [0, 1]))
    assert found.rows.shape == (0,)
    assert found.masks.shape == (0, SIDE, SIDE)
    assert (found.sketch_px.shape, found.visible.shape) == ((0, POINTS, 2), (0, POINTS))


def test_all_of_it_goes_to_another_device() -> None:
    found = dense_labels(*squares(), BATCH).to(torch.device("meta"))
    assert isinstance(found, Dense)
    assert {value.device.type for value in vars(found).values()} == {"meta"}


@pytest.mark.parametrize("number", range(3))
def test_labels_of_packed_data_are_of_the_pairs_of_a_batch(number: int, universal_task: FusionTask) -> None:
    """Every pair of a thing that is of a sample has them; most masks hold most of their visible key points."""
    sides, batch = universal_task.learner._sides, make_sampler(universal_task).batch(number)
    found = dense_labels(sides["sketches"], sides["photos"], batch)
    expected = [row for row, (sketch, photo) in enumerate(zip(batch.sketches.tolist(), batch.photos.tolist(),
                                                              strict=False))
                if sides["sketches"].sample_ids[sketch] == sides["photos"].sample_ids[photo] != -1]
    assert found.rows.tolist() == expected
    near = sides["sketches"].sample_ids[batch.sketches[:batch.num_instances]] >= 0
    assert set(torch.nonzero(near).flatten().tolist()) <= set(expected)
    assert found.visible.any(1).all()
    grown = torch.nn.functional.max_pool2d(found.masks[:, None], 7, stride=1, padding=3)[:, 0] > 0.5
    cells = found.photo_px.nan_to_num().long().clamp(0, SIDE - 1)
    hit = grown[torch.arange(len(cells))[:, None], cells[..., 1], cells[..., 0]]
    assert hit[found.visible].float().mean() > 0.7
