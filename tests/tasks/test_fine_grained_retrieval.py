"""The loss of fine-grained retrieval: the hardest sibling is the negative, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.tasks.category_retrieval import RetrievalLossConfig
from sketchfusion.tasks.fine_grained_retrieval import fine_grained_loss


def unit(count: int, seed: int, size: int = 5) -> Tensor:
    """(count, size) float64 unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, size, generator=generator, dtype=torch.float64), dim=1)


def slow_triplets(sketches: Tensor, photos: Tensor, instances: list[int], classes: list[int], margin: float,
                  distance: str) -> float:
    """Every sketch against the most similar photo of another instance of its class."""
    hinges = []
    for row in range(len(instances)):
        best, score = -1, -math.inf
        for column in range(len(instances)):
            sibling = classes[column] == classes[row] and instances[column] != instances[row]
            if sibling and float(sketches[row] @ photos[column]) > score:
                best, score = column, float(sketches[row] @ photos[column])
        if best < 0:
            continue
        if distance == "cosine":
            near, far = 1 - float(sketches[row] @ photos[row]), 1 - score
        else:
            near = math.sqrt(float(((sketches[row] - photos[row]) ** 2).sum()))
            far = math.sqrt(float(((sketches[row] - photos[best]) ** 2).sum()))
        hinges.append(max(0.0, margin + near - far))
    return sum(hinges) / len(hinges) if hinges else 0.0


@settings(deadline=None, max_examples=60)
@given(instances=st.lists(st.integers(0, 6), min_size=1, max_size=8), seed=st.integers(0, 1000),
       distance=st.sampled_from(["cosine", "euclidean"]))
def test_triplets_equal_a_slow_loop(instances: list[int], seed: int, distance: str) -> None:
    """An instance's class is its number modulo 3, so that instances, and siblings, repeat or are missing."""
    classes = [instance % 3 for instance in instances]
    sketches, photos = unit(len(instances), seed), unit(len(instances), seed + 1)
    config = RetrievalLossConfig.model_validate({"margin": 0.4, "distance": distance})
    found = fine_grained_loss(sketches, photos, torch.tensor(instances), torch.tensor(classes), config)
    expected = slow_triplets(sketches, photos, instances, classes, 0.4, distance)
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_the_most_similar_photo_of_another_class_does_not_count() -> None:
    sketches = torch.tensor([[1.0, 0.0]] * 3)
    photos = F.normalize(torch.tensor([[1.0, 0.2], [0.0, 1.0], [1.0, 0.0]]), dim=1)
    gap = 1 - 1 / math.sqrt(1.04)  # distance of the sketches to photo 0; to photos 1 and 2 it is 1 and 0
    config = RetrievalLossConfig(margin=0.1)
    apart = fine_grained_loss(sketches, photos, torch.arange(3), torch.tensor([0, 0, 1]), config)
    assert float(apart) == pytest.approx((0 + 0.1 + 1 - gap) / 2)  # photo 2 is of another class, row 2 has no sibling
    together = fine_grained_loss(sketches, photos, torch.arange(3), torch.zeros(3, dtype=torch.long), config)
    assert float(together) == pytest.approx((0.1 + gap + 0.1 + 1 + 0.1 - gap) / 3)


def test_another_photo_of_the_same_thing_is_no_negative() -> None:
    """Rows 0 and 1 show the same thing, so the only negative of each is row 2, opposite: no loss."""
    near, away = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])
    vectors = torch.stack([near, near, away])
    loss = fine_grained_loss(vectors, vectors, torch.tensor([7, 7, 9]), torch.zeros(3, dtype=torch.long),
                             RetrievalLossConfig())
    assert float(loss) == 0
    other = fine_grained_loss(vectors, vectors, torch.tensor([7, 8, 9]), torch.zeros(3, dtype=torch.long),
                              RetrievalLossConfig())
    assert float(other) == pytest.approx(0.2 * 2 / 3)


@pytest.mark.parametrize(("instances", "classes"), [([0, 1, 2], [0, 1, 2]), ([4, 4, 4], [1, 1, 1])])
def test_a_batch_without_siblings_has_no_triplets_and_a_gradient_of_zero(instances: list[int],
                                                                         classes: list[int]) -> None:
    sketches, photos = unit(3, 0).requires_grad_(), unit(3, 1).requires_grad_()
    loss = fine_grained_loss(sketches, photos, torch.tensor(instances), torch.tensor(classes), RetrievalLossConfig())
    loss.backward()
    assert loss.item() == 0
    assert sketches.grad is not None
    assert torch.equal(sketches.grad, torch.zeros_like(sketches))


def test_the_contrast_takes_all_other_instances_as_negatives_and_no_class_into_account() -> None:
    sketches, photos = unit(5, 0), unit(5, 1)
    instances = [3, 5, 3, 1, 0]
    total = 0.0
    for rows, columns in ((sketches, photos), (photos, sketches)):
        for row in range(5):
            weights = [math.exp(float(rows[row] @ columns[column]) / 0.1) for column in range(5)]
            own = [weights[column] for column in range(5) if instances[column] == instances[row]]
            total += -sum(math.log(weight / sum(weights)) for weight in own) / len(own) / 10
    config = RetrievalLossConfig(kind="contrast", temperature=0.1)
    for classes in ([0, 0, 0, 0, 0], [3, 5, 3, 1, 0]):
        found = fine_grained_loss(sketches, photos, torch.tensor(instances), torch.tensor(classes), config)
        assert float(found) == pytest.approx(total)


@pytest.mark.parametrize("config", [RetrievalLossConfig(margin=2.0), RetrievalLossConfig(kind="contrast")])
def test_gradients_reach_both_sides_and_lower_the_loss(config: RetrievalLossConfig) -> None:
    sketches, photos = unit(6, 0).requires_grad_(), unit(6, 1).requires_grad_()
    ids = torch.arange(6), torch.tensor([0, 0, 0, 1, 1, 1])
    before = fine_grained_loss(sketches, photos, *ids, config)
    before.backward()
    assert sketches.grad is not None
    assert photos.grad is not None
    assert sketches.grad.abs().sum(1).min() > 0
    assert photos.grad.abs().sum(1).min() > 0
    after = fine_grained_loss(F.normalize(sketches.detach() - 0.01 * sketches.grad, dim=1),
                              F.normalize(photos.detach() - 0.01 * photos.grad, dim=1), *ids, config)
    assert after < before
