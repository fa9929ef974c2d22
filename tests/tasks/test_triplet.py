"""The triplet loss and the choice of negatives, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.errors import ConfigError
from sketchfusion.tasks.triplet import DISTANCES, hardest, pair_distance, random_negative, triplet_loss


def unit(count: int, seed: int, size: int = 5) -> Tensor:
    """(count, size) float64 unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, size, generator=generator, dtype=torch.float64), dim=1)


def slow_distance(first: list[float], second: list[float], distance: str) -> float:
    if distance == "cosine":
        return 1 - sum(a * b for a, b in zip(first, second, strict=True))
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), count=st.integers(1, 6), margin=st.floats(0.01, 1.0),
       distance=st.sampled_from(DISTANCES))
def test_the_loss_is_the_mean_of_the_hinges(seed: int, count: int, margin: float, distance: str) -> None:
    anchor, positive, negative = (unit(count, 3 * seed + part) for part in range(3))
    hinges = [max(0.0, margin + slow_distance(a, p, distance) - slow_distance(a, n, distance))
              for a, p, n in zip(anchor.tolist(), positive.tolist(), negative.tolist(), strict=True)]
    found = triplet_loss(anchor, positive, negative, margin=margin, distance=distance)
    assert float(found) == pytest.approx(sum(hinges) / count, abs=1e-9)


def test_an_example_by_hand() -> None:
    """The photo is at 90 degrees, the other one at 60: cosine 0 and 1/2, lengths sqrt 2 and 1."""
    sketch, photo = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    other = torch.tensor([[0.5, math.sqrt(0.75)]])
    assert float(triplet_loss(sketch, photo, other, margin=0.2)) == pytest.approx(0.7)
    assert float(triplet_loss(sketch, photo, other, margin=0.2, distance="euclidean")) == pytest.approx(
        0.2 + math.sqrt(2) - 1)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_triplet_that_keeps_the_margin_costs_nothing_and_moves_nothing(distance: str) -> None:
    sketch = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = triplet_loss(sketch, torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]), margin=0.2, distance=distance)
    loss.backward()
    assert loss.item() == 0
    assert sketch.grad is not None
    assert sketch.grad.abs().max() == 0


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_reach_all_three_and_point_the_right_way(distance: str) -> None:
    parts = [unit(4, seed).requires_grad_() for seed in (0, 1, 2)]
    before = triplet_loss(*parts, margin=2.0, distance=distance)
    before.backward()
    grads = [part.grad for part in parts]
    assert all(grad is not None and grad.abs().sum(1).min() > 0 for grad in grads)
    with torch.no_grad():
        moved = [F.normalize(part - 0.05 * grad, dim=1) for part, grad in zip(parts, grads, strict=True)]
    assert triplet_loss(*moved, margin=2.0, distance=distance) < before


def test_equal_vectors_have_a_euclidean_distance_with_a_finite_gradient() -> None:
    vectors = unit(3, 0).requires_grad_()
    pair_distance(vectors, vectors.detach().clone(), "euclidean").sum().backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_an_unknown_distance_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown distance 'manhattan'; expected cosine or euclidean"):
        triplet_loss(unit(1, 0), unit(1, 1), unit(1, 2), margin=0.2, distance="manhattan")


masks = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda shape: st.lists(
    st.lists(st.booleans(), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]))


@settings(deadline=None, max_examples=60)
@given(mask=masks, seed=st.integers(0, 1000))
def test_the_hardest_negative_is_the_most_similar_one_allowed(mask: list[list[bool]], seed: int) -> None:
    sketches, photos = unit(len(mask), seed), unit(len(mask[0]), seed + 1)
    expected = []
    for row, allowed in enumerate(mask):
        best, score = -1, -math.inf
        for column, may in enumerate(allowed):
            similar = float(sketches[row] @ photos[column])
            if may and similar > score:
                best, score = column, similar
        if best >= 0:
            expected.append((row, best))
    rows, negatives = hardest(sketches, photos, torch.tensor(mask))
    assert list(zip(rows.tolist(), negatives.tolist(), strict=True)) == expected


@settings(deadline=None, max_examples=60)
@given(mask=masks, seed=st.integers(0, 1000))
def test_a_random_negative_is_allowed_and_every_row_that_can_has_one(mask: list[list[bool]], seed: int) -> None:
    rows, negatives = random_negative(torch.tensor(mask), torch.Generator().manual_seed(seed))
    assert rows.tolist() == [row for row, allowed in enumerate(mask) if any(allowed)]
    assert all(mask[row][column] for row, column in zip(rows.tolist(), negatives.tolist(), strict=True))


def test_random_negatives_are_all_equally_likely_and_follow_the_generator() -> None:
    allowed = torch.tensor([[True, False, True, True]]).expand(6000, 4)
    _, drawn = random_negative(allowed, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=4)
    assert counts[1] == 0
    assert (counts[[0, 2, 3]] / 6000 - 1 / 3).abs().max() < 0.03
    assert torch.equal(drawn, random_negative(allowed, torch.Generator().manual_seed(0))[1])
    assert not torch.equal(drawn, random_negative(allowed, torch.Generator().manual_seed(1))[1])


def test_choosing_the_hardest_leaves_no_trace_in_the_gradient() -> None:
    sketches = unit(3, 0).requires_grad_()
    rows, negatives = hardest(sketches, unit(3, 1), ~torch.eye(3, dtype=torch.bool))
    assert not rows.requires_grad
    assert not negatives.requires_grad
