"""IoU and pixel accuracy against slow loops, hand-worked examples and torchmetrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_jaccard_index,
    multiclass_jaccard_index,
)

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics.segmentation import intersection_over_union, mean_iou, pixel_accuracy

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
MEASURES: tuple[Measure, ...] = (intersection_over_union, pixel_accuracy, partial(mean_iou, over="foreground"),
                                 partial(mean_iou, over="both"))
Pixels = list[tuple[bool, bool]]
pictures = st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=6), min_size=1, max_size=4)


def masks_of(rows: list[Pixels]) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 2, 3) masks and truth of pictures of six pixels."""
    both = torch.tensor(rows)
    return both[..., 0].reshape(-1, 2, 3), both[..., 1].reshape(-1, 2, 3)


def slow_iou(row: Pixels, foreground: bool = True) -> float:
    shared = sum(mask == foreground and truth == foreground for mask, truth in row)
    either = sum(mask == foreground or truth == foreground for mask, truth in row)
    return shared / either if either else 1.0


@settings(deadline=None)
@given(rows=pictures)
def test_all_equal_slow_loops(rows: list[Pixels]) -> None:
    masks, truth = masks_of(rows)
    foreground = [slow_iou(row) for row in rows]
    both = [(slow_iou(row) + slow_iou(row, foreground=False)) / 2 for row in rows]
    right = [sum(mask == true for mask, true in row) / 6 for row in rows]
    for found, expected in ((intersection_over_union(masks, truth), foreground), (pixel_accuracy(masks, truth), right),
                            (mean_iou(masks, truth, over="foreground"), foreground),
                            (mean_iou(masks, truth, over="both"), both)):
        assert found.dtype == torch.float64
        assert found.tolist() == pytest.approx(expected)


@settings(deadline=None)
@given(rows=pictures)
def test_what_all_measures_keep(rows: list[Pixels]) -> None:
    masks, truth = masks_of(rows)
    for measure in MEASURES:
        found = measure(masks, truth)
        assert ((found >= 0) & (found <= 1)).all()
        assert torch.equal(found, measure(truth, masks))
        assert (measure(truth, truth) == 1).all()
        assert torch.equal(found == 1, (masks == truth).flatten(1).all(1))
    assert torch.equal(mean_iou(masks, truth, over="both"), mean_iou(~masks, ~truth, over="both"))


def test_by_hand() -> None:
    """Of 3 x 4 pixels, 4 are found and 3 of the 5 true ones are among them."""
    masks, truth = torch.zeros(1, 3, 4, dtype=torch.bool), torch.zeros(1, 3, 4, dtype=torch.bool)
    masks[0, 0] = True
    truth[0, 0, 1:] = truth[0, 1, :2] = True
    assert intersection_over_union(masks, truth).item() == pytest.approx(3 / 6)
    assert mean_iou(masks, truth, over="both").item() == pytest.approx((3 / 6 + 6 / 9) / 2)
    assert pixel_accuracy(masks, truth).item() == pytest.approx(9 / 12)


def test_an_empty_region_is_right_where_it_is_empty_in_both() -> None:
    empty, full = torch.zeros(1, 2, 2, dtype=torch.bool), torch.ones(1, 2, 2, dtype=torch.bool)
    assert intersection_over_union(empty, empty).item() == 1
    assert mean_iou(full, full, over="both").item() == 1
    assert intersection_over_union(empty, full).item() == mean_iou(empty, full, over="both").item() == 0


def test_agreement_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, truth = (torch.rand(6, 9, 7, generator=generator) < 0.4 for _ in range(2))
    for index in range(6):
        one, true = masks[index].int(), truth[index].int()
        torch.testing.assert_close(intersection_over_union(masks, truth)[index].float(),
                                   binary_jaccard_index(one, true))
        torch.testing.assert_close(mean_iou(masks, truth, over="both")[index].float(),
                                   multiclass_jaccard_index(one, true, num_classes=2, average="macro"))
    torch.testing.assert_close(pixel_accuracy(masks, truth).float(),
                               binary_accuracy(masks.int(), truth.int(), multidim_average="samplewise"))


@pytest.mark.parametrize("measure", MEASURES)
def test_what_does_not_fit_is_refused(measure: Measure) -> None:
    masks = torch.zeros(2, 3, 4, dtype=torch.bool)
    for given_masks, truth in ((masks.float(), masks), (masks, masks.int()), (masks[0], masks[0]), (masks, masks[:1]),
                               (masks[:, :0], masks[:, :0])):
        with pytest.raises(DataError, match=r"expected \(N, H, W\) bool of one size: compare probabilities with the"):
            measure(given_masks, truth)


def test_unknown_regions_are_refused() -> None:
    masks = torch.zeros(1, 2, 2, dtype=torch.bool)
    with pytest.raises(ConfigError, match="unknown regions 'background'; choose one of foreground, both"):
        mean_iou(masks, masks, over="background")  # type: ignore[arg-type]
