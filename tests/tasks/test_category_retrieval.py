"""The loss of category-level retrieval, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from sketchfusion.tasks import category_retrieval
from sketchfusion.tasks.category_retrieval import RetrievalLossConfig, category_loss, contrast_both_ways

CLASSES = torch.tensor([0, 0, 1, 2, 1, 0])


def unit(count: int, seed: int, size: int = 5) -> Tensor:
    """(count, size) float64 unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, size, generator=generator, dtype=torch.float64), dim=1)


def loss_of(sketches: Tensor, photos: Tensor, classes: Tensor, seed: int = 0, **config: object) -> Tensor:
    return category_loss(sketches, photos, classes, classes, RetrievalLossConfig.model_validate(config),
                         torch.Generator().manual_seed(seed))


def slow_contrast(rows: list[list[float]], columns: list[list[float]], ids: list[int], other_ids: list[int],
                  temperature: float) -> float:
    total = 0.0
    for row, label in zip(rows, ids, strict=True):
        weights = [math.exp(sum(a * b for a, b in zip(row, column, strict=True)) / temperature) for column in columns]
        matching = [weight for weight, other in zip(weights, other_ids, strict=True) if other == label]
        total += -sum(math.log(weight / sum(weights)) for weight in matching) / len(matching)
    return total / len(rows)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), labels=st.lists(st.integers(0, 3), min_size=1, max_size=7),
       temperature=st.floats(0.05, 2.0))
def test_the_contrast_is_the_mean_of_both_directions(seed: int, labels: list[int], temperature: float) -> None:
    sketches, photos = unit(len(labels), seed), unit(len(labels), seed + 1)
    forth = slow_contrast(sketches.tolist(), photos.tolist(), labels, labels, temperature)
    back = slow_contrast(photos.tolist(), sketches.tolist(), labels, labels, temperature)
    ids = torch.tensor(labels)
    assert float(contrast_both_ways(sketches, photos, ids, ids, temperature)) == pytest.approx((forth + back) / 2)
    assert float(loss_of(sketches, photos, ids, kind="contrast", temperature=temperature)) == pytest.approx(
        (forth + back) / 2)


def test_the_contrast_sees_both_directions() -> None:
    """Where two sketches are one, sketches against photos and photos against sketches differ; the loss is the mean."""
    sketches = torch.eye(3)[[0, 0, 2]]
    photos = torch.eye(3)
    ids = torch.arange(3)
    swapped = contrast_both_ways(photos, sketches, ids, ids, 0.1)
    assert torch.allclose(contrast_both_ways(sketches, photos, ids, ids, 0.1), swapped)
    forth = slow_contrast(sketches.tolist(), photos.tolist(), [0, 1, 2], [0, 1, 2], 0.1)
    back = slow_contrast(photos.tolist(), sketches.tolist(), [0, 1, 2], [0, 1, 2], 0.1)
    assert forth != pytest.approx(back)
    assert float(swapped) == pytest.approx((forth + back) / 2, rel=1e-5)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(4))
def test_triplets_take_a_photo_of_another_class(distance: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sketches, photos = unit(6, 10 * seed), unit(6, 10 * seed + 1)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    real = category_retrieval.triplet_loss

    def note(anchor: Tensor, positive: Tensor, negative: Tensor, **options: object) -> Tensor:
        seen.append((anchor, positive, negative))
        return real(anchor, positive, negative, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(category_retrieval, "triplet_loss", note)
    found = loss_of(sketches, photos, CLASSES, seed, margin=0.5, distance=distance)
    (anchors, positives, negatives), = seen
    assert torch.equal(anchors, sketches)
    assert torch.equal(positives, photos)
    total = 0.0
    for row in range(6):
        chosen, = [column for column in range(6) if torch.equal(photos[column], negatives[row])]
        assert CLASSES[chosen] != CLASSES[row]
        near, far = photos[row], photos[chosen]
        if distance == "cosine":
            gap = float(sketches[row] @ far - sketches[row] @ near)
        else:
            gap = float((sketches[row] - near).norm() - (sketches[row] - far).norm())
        total += max(0.0, 0.5 + gap)
    assert float(found) == pytest.approx(total / 6)


def test_negatives_follow_the_generator() -> None:
    sketches, photos = unit(6, 0), unit(6, 1)
    values = {seed: float(loss_of(sketches, photos, CLASSES, seed, margin=1.0)) for seed in range(5)}
    assert float(loss_of(sketches, photos, CLASSES, 3, margin=1.0)) == values[3]
    assert len(set(values.values())) > 1


def test_photos_may_have_other_classes_than_their_rows_suggest() -> None:
    """Classes of both sides count: a photo of the sketch's class is never its negative, wherever it stands."""
    sketches, photos = unit(3, 0), unit(3, 1)
    found = category_loss(sketches, photos, torch.tensor([0, 0, 0]), torch.tensor([0, 1, 0]),
                          RetrievalLossConfig(margin=1.5), torch.Generator().manual_seed(0))
    slow = [max(0.0, 1.5 + float(sketches[row] @ photos[1] - sketches[row] @ photos[row])) for row in range(3)]
    assert float(found) == pytest.approx(sum(slow) / 3)


def test_a_batch_of_one_class_has_no_triplets_and_a_gradient_of_zero() -> None:
    sketches, photos = unit(4, 0).requires_grad_(), unit(4, 1).requires_grad_()
    loss = loss_of(sketches, photos, torch.zeros(4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert sketches.grad is not None
    assert torch.equal(sketches.grad, torch.zeros_like(sketches))


@pytest.mark.parametrize("config", [{"kind": "triplet", "margin": 2.0}, {"kind": "contrast"}])
def test_gradients_reach_both_sides_and_lower_the_loss(config: dict[str, object]) -> None:
    sketches, photos = unit(6, 0).requires_grad_(), unit(6, 1).requires_grad_()
    before = loss_of(sketches, photos, CLASSES, **config)
    before.backward()
    assert sketches.grad is not None
    assert photos.grad is not None
    assert sketches.grad.abs().sum(1).min() > 0
    assert photos.grad.abs().sum(1).min() > 0
    after = loss_of(F.normalize(sketches.detach() - 0.01 * sketches.grad, dim=1),
                    F.normalize(photos.detach() - 0.01 * photos.grad, dim=1), CLASSES, **config)
    assert after < before


@pytest.mark.parametrize("wrong", [{"kind": "hinge"}, {"margin": 0.0}, {"distance": "manhattan"}, {"temperature": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RetrievalLossConfig.model_validate(wrong)
