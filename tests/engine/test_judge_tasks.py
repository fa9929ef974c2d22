"""The tasks' figures on held-out pictures, against slow loops over pairs, points, cells and pixels."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.engine import judge_tasks as module
from sketchfusion.engine.encoded import EncodedSide
from sketchfusion.engine.judge_tasks import (
    describe_side,
    fuse_rows,
    judge_dense,
    judge_recognition,
    judge_retrieval,
    sample_pairs,
)
from sketchfusion.engine.train_fusion import FusionTask
from sketchfusion.features import Features
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.refinement import refine

SIDE, GRID = 64, 16
CELL = SIDE / GRID
TEMPERATURE, RADIUS = 0.02, 2  # a share of 0.12 of 16 cells


@pytest.fixture(scope="module")
def model(universal_task: FusionTask) -> SketchFusion:
    """The tiny model with a threshold in the midst of its cosines."""
    model = copy.deepcopy(universal_task.model)
    with torch.no_grad():
        cosines = torch.cat([similarity(*both) for both in features(model, universal_task)])
        model.heads.segmentation.threshold.copy_(cosines.median())
    return model


def features(model: SketchFusion, task: FusionTask) -> list[tuple[Features, Features, Tensor]]:
    """Of each pair of a sketch and its photo, each picture by itself: (sketch, photo, box of the sketch)."""
    sketches, photos = task.judged["sketches"], task.judged["photos"]
    return [(fuse_rows(model, sketches, pair[:1]), fuse_rows(model, photos, pair[1:]), sketches.content[pair[0]])
            for pair in sample_pairs(sketches, photos)]


def own_cells(content: Tensor) -> Tensor:
    """(Hf, Wf) bool, those whose middle lies on the picture."""
    left, top, right, bottom = content.tolist()
    middles = [(cell + 0.5) * CELL for cell in range(GRID)]
    return torch.tensor([[left <= x <= right and top <= y <= bottom for x in middles] for y in middles])


def similarity(sketch: Features, photo: Features, content: Tensor) -> Tensor:
    """(S, S) cosines with the maximum over the sketch's own cells."""
    peak = sketch.feature_map[0][:, own_cells(content)].amax(1)
    cells = F.cosine_similarity(photo.feature_map[0], peak[:, None, None], dim=0)
    return F.interpolate(cells[None, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0, 0]


def feature_at(feature_map: Tensor, x: float, y: float) -> Tensor:
    """Bilinear between unit vectors, clamped to the outermost cells."""
    u, v = (min(max(value / CELL - 0.5, 0.0), GRID - 1.0) for value in (x, y))
    total = torch.zeros(len(feature_map))
    for row in range(GRID):
        for column in range(GRID):
            weight = max(0.0, 1 - abs(column - u)) * max(0.0, 1 - abs(row - v))
            if weight:
                total += weight * F.normalize(feature_map[:, row, column], dim=0)
    return F.normalize(total, dim=0)


def found_at(query: Tensor, feature_map: Tensor, allowed: Tensor) -> tuple[float, float]:
    """Pixels: the mean of the cells near the best allowed one, by the softmax of their cosines."""
    cosines = F.cosine_similarity(feature_map, query[:, None, None], dim=0).masked_fill(~allowed, -2)
    best = divmod(int(cosines.argmax()), GRID)
    total = x = y = 0.0
    for row in range(GRID):
        for column in range(GRID):
            if allowed[row, column] and max(abs(row - best[0]), abs(column - best[1])) <= RADIUS:
                weight = math.exp(float(cosines[row, column] - cosines.max()) / TEMPERATURE)
                total, x, y = total + weight, x + weight * column, y + weight * row
    return (x / total + 0.5) * CELL, (y / total + 0.5) * CELL


def slow_pck(both: tuple[Tensor, Tensor], points: Tensor, allowed: tuple[Tensor, Tensor], k: int) -> float:
    """``points`` (N, 4), in sketch and photo, NaN where not visible; the mean of both directions."""
    known = points[~points.isnan().any(1)]
    shares = []
    for source, target in ((0, 1), (1, 0)):
        near = 0
        for point in known:
            start, goal = point.view(2, 2)[source].tolist(), point.view(2, 2)[target].tolist()
            x, y = found_at(feature_at(both[source], *start), both[target], allowed[target])
            near += math.hypot(x - goal[0], y - goal[1]) <= k * SIDE / 100
        shares.append(near / len(known))
    return sum(shares) / 2


@pytest.fixture(scope="module")
def dense_figures(model: SketchFusion, universal_task: FusionTask) -> dict[str, Tensor]:
    return judge_dense(model, universal_task.judged["sketches"], universal_task.judged["photos"], refined=True)


def test_pck_equals_a_slow_loop_in_both_directions(model: SketchFusion, universal_task: FusionTask,
                                                   dense_figures: dict[str, Tensor]) -> None:
    sketches, photos = universal_task.judged["sketches"], universal_task.judged["photos"]
    pairs = sample_pairs(sketches, photos).tolist()
    with torch.no_grad():
        maps = [(sketch.feature_map[0], photo.feature_map[0]) for sketch, photo, _ in features(model, universal_task)]
    for place in range(0, len(pairs), 3):
        row, shown = pairs[place]
        allowed = own_cells(sketches.content[row]), own_cells(photos.content[shown])
        for k in (5, 10):
            expected = slow_pck(maps[place], sketches.keypoints[row], allowed, k)
            assert dense_figures[f"correspondence_PCK@{k}"][place].item() == pytest.approx(expected), (place, k)
    assert len(dense_figures["correspondence_PCK@10"].unique()) > 2


def test_masks_are_judged_at_the_threshold_of_the_head(model: SketchFusion, universal_task: FusionTask,
                                                       dense_figures: dict[str, Tensor]) -> None:
    sketches, photos = universal_task.judged["sketches"], universal_task.judged["photos"]
    threshold = model.heads.segmentation.threshold.item()
    pairs = sample_pairs(sketches, photos)
    with torch.no_grad():
        found = [similarity(*both) > threshold for both in features(model, universal_task)]
    for place, (_, row) in enumerate(pairs.tolist()):
        truth = photos.masks[photos.mask_ids[row]]
        shared, union = int((found[place] & truth).sum()), int((found[place] | truth).sum())
        assert dense_figures["segmentation_IoU"][place].item() == pytest.approx(shared / union, abs=2e-3)
        right = int((found[place] == truth).sum()) / SIDE ** 2
        assert dense_figures["segmentation_pAcc"][place].item() == pytest.approx(right, abs=2e-3)
    assert 0.2 < torch.stack(found).float().mean() < 0.8


def test_refined_masks_are_those_that_refine_makes_of_the_kept_photo(model: SketchFusion, universal_task: FusionTask,
                                                                     dense_figures: dict[str, Tensor]) -> None:
    photos, head = universal_task.judged["photos"], model.heads.segmentation
    pairs = sample_pairs(universal_task.judged["sketches"], photos)
    with torch.no_grad():
        every = features(model, universal_task)
        for place in (0, 9):
            row = int(pairs[place, 1])
            fine = similarity(*every[place])
            probability = torch.sigmoid((fine - head.threshold) / head.softness)
            mask = refine(probability, photos.images[row].permute(1, 2, 0)) > 0.5
            truth = photos.masks[photos.mask_ids[row]]
            expected = int((mask & truth).sum()) / int((mask | truth).sum())
            assert dense_figures["segmentation_IoU_refined"][place].item() == pytest.approx(expected, abs=5e-3)
    assert not torch.equal(dense_figures["segmentation_IoU_refined"], dense_figures["segmentation_IoU"])


def test_there_is_a_figure_of_each_pair_and_refined_ones_only_if_wanted(model: SketchFusion,
                                                                        universal_task: FusionTask,
                                                                        dense_figures: dict[str, Tensor]) -> None:
    sides = universal_task.judged
    plain = judge_dense(model, sides["sketches"], sides["photos"])
    assert set(plain) == {"correspondence_PCK@5", "correspondence_PCK@10", "segmentation_IoU", "segmentation_pAcc"}
    assert set(dense_figures) == {*plain, "segmentation_IoU_refined", "segmentation_pAcc_refined"}
    for name, values in dense_figures.items():
        assert values.shape == (len(sample_pairs(sides["sketches"], sides["photos"])),)
        assert ((values >= 0) & (values <= 1)).all()
        if name in plain:
            assert torch.equal(values, plain[name])


def test_small_portions_give_the_same_and_tell_how_far_they_are(model: SketchFusion, universal_task: FusionTask,
                                                                dense_figures: dict[str, Tensor],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    sketches, photos = universal_task.judged["sketches"], universal_task.judged["photos"]
    whole = describe_side(model, photos)
    monkeypatch.setattr(module, "CHUNK", 7)
    calls: list[tuple[int, int]] = []
    found = judge_dense(model, sketches, photos, on_progress=lambda done, total: calls.append((done, total)))
    total = len(sample_pairs(sketches, photos))
    assert calls == [(min(done, total), total) for done in range(7, total + 7, 7)]
    for name, values in found.items():
        torch.testing.assert_close(values, dense_figures[name], atol=2e-3, rtol=0)
    calls.clear()
    torch.testing.assert_close(
        describe_side(model, photos, on_progress=lambda done, total: calls.append((done, total))), whole)
    assert calls == [(7, 13), (13, 13)]


def test_a_pair_is_a_sketch_and_its_very_photo(universal_task: FusionTask) -> None:
    sketches, photos = universal_task.judged["sketches"], universal_task.judged["photos"]
    slow = [[row, column] for row, sample in enumerate(sketches.sample_ids.tolist())
            for column, other in enumerate(photos.sample_ids.tolist()) if sample == other != -1]
    assert sample_pairs(sketches, photos).tolist() == slow
    assert len(slow) == int((sketches.sample_ids >= 0).sum()) == 16


def without_samples(side: EncodedSide) -> EncodedSide:
    return replace(side, sample_ids=torch.full_like(side.sample_ids, -1))


def test_without_such_pairs_there_are_no_figures(model: SketchFusion, universal_task: FusionTask) -> None:
    sides = universal_task.judged
    assert judge_dense(model, without_samples(sides["sketches"]), without_samples(sides["photos"])) == {}


def test_descriptors_are_those_of_the_model(model: SketchFusion, universal_task: FusionTask) -> None:
    """Of the pictures that were kept to look at."""
    for side in universal_task.judged.values():
        with torch.no_grad():
            expected = model(side.images.float() / 255, side.content).descriptor
        found = describe_side(model, side)
        assert not found.requires_grad
        assert (found * expected).sum(1).min() > 0.999


@pytest.mark.parametrize("k", [1, 5])
def test_recognition_equals_a_slow_loop_and_leaves_out_what_is_of_no_class(k: int, model: SketchFusion) -> None:
    """Seven classes of the head, every third sketch is of none of them."""
    recognising = copy.deepcopy(model)
    recognising.learn_anew(3, list("abcdefg"))
    recognising.eval()
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(60, recognising.descriptor_size, generator=generator), dim=1)
    targets = torch.randint(7, (60,), generator=generator)
    targets[::3] = -1
    head, expected = recognising.heads.recognition, []
    assert head is not None
    with torch.no_grad():
        for vector, target in zip(vectors, targets.tolist(), strict=True):
            if target >= 0:
                logits = head(vector[None])[0].tolist()
                expected.append(float(target in sorted(range(7), key=lambda index: -logits[index])[:k]))
    found = judge_recognition(recognising, vectors, targets)
    assert set(found) == {"recognition_Acc@1", "recognition_Acc@5"}
    assert found[f"recognition_Acc@{k}"].tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_fewer_classes_than_guesses_are_all_right(model: SketchFusion) -> None:
    assert model.heads.recognition is not None
    assert len(model.heads.recognition.class_names) == 3
    found = judge_recognition(model, torch.eye(model.descriptor_size)[:4], torch.tensor([0, -1, 2, 1]))
    assert found["recognition_Acc@5"].tolist() == [1, 1, 1]


def test_without_a_head_or_without_known_sketches_nothing_is_said(model: SketchFusion,
                                                                  tiny_model: SketchFusion) -> None:
    vectors = torch.eye(model.descriptor_size)[:2]
    assert judge_recognition(tiny_model, vectors, torch.tensor([0, 1])) == {}
    assert judge_recognition(model, vectors, torch.tensor([-1, -1])) == {}


def test_retrieval_equals_a_slow_loop(model: SketchFusion, universal_task: FusionTask) -> None:
    sketches, photos = universal_task.judged["sketches"], universal_task.judged["photos"]
    vectors = {name: describe_side(model, side) for name, side in universal_task.judged.items()}
    found = judge_retrieval(sketches, photos, vectors)
    assert set(found) == {"category_mAP@all", "category_P@100", "instance_Acc@1", "instance_Acc@5", "instance_Acc@10"}
    scores, hits = vectors["sketches"] @ vectors["photos"].T, []
    for row, instance in enumerate(sketches.instance_ids.tolist()):
        same = torch.nonzero(photos.instance_ids == instance).flatten().tolist()
        ranking = scores[row].argsort(descending=True).tolist()
        if same:
            hits.append(float(same[0] in ranking[:5]))
        relevant = [photos.class_ids[column] == sketches.class_ids[row] for column in ranking]
        if any(relevant):
            precisions = [sum(relevant[:place + 1]) / (place + 1) for place in range(13) if relevant[place]]
            assert found["category_mAP@all"][row].item() == pytest.approx(float(sum(precisions) / len(precisions)))
        else:
            assert found["category_mAP@all"][row].isnan()
    assert found["instance_Acc@5"].tolist() == hits


def test_without_things_in_common_there_are_the_figures_of_classes_alone(universal_task: FusionTask) -> None:
    sides = universal_task.judged
    apart = replace(sides["sketches"], instance_ids=sides["sketches"].instance_ids + 1000)
    vectors = {name: torch.eye(64)[:len(side)] for name, side in sides.items()}
    assert set(judge_retrieval(apart, sides["photos"], vectors)) == {"category_mAP@all", "category_P@100"}
