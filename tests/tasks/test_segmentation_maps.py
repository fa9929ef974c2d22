"""The map of a segmentation, its loss and its way to the photo, against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.canvas import Canvas, make_canvas
from sketchfusion.tasks.segmentation import (
    global_descriptor,
    segmentation_loss,
    similarity_map,
    soft_mask,
    to_picture,
)

GREY = (124, 116, 104)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_bilinear(values: Tensor, y: float, x: float) -> float:
    """An (h, w) map at a point in cells, cell centres at whole numbers, clamped to the outermost centres."""
    height, width = values.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    above = values[top, left] * (1 - (x - left)) + values[top, right] * (x - left)
    below = values[bottom, left] * (1 - (x - left)) + values[bottom, right] * (x - left)
    return float(above * (1 - (y - top)) + below * (y - top))


def test_the_map_holds_the_cosine_of_every_cell_with_its_own_sketch() -> None:
    descriptors, maps = noise(2, 5), 3 * noise(2, 5, 3, 4, seed=1)
    found = similarity_map(descriptors, maps)
    assert found.shape == (2, 3, 4)
    for b in range(2):
        for y in range(3):
            for x in range(4):
                sketch, cell = descriptors[b].tolist(), maps[b, :, y, x].tolist()
                dot = sum(s * c for s, c in zip(sketch, cell, strict=True))
                assert float(found[b, y, x]) == pytest.approx(dot / math.hypot(*sketch) / math.hypot(*cell), abs=1e-6)


def test_the_map_is_float32_even_in_half_precision_and_no_cell_is_a_zero_division() -> None:
    descriptors, maps = noise(1, 6), noise(1, 6, 2, 2, seed=1)
    maps[..., 0, 0] = 0
    with torch.autocast("cpu", torch.bfloat16):
        found = similarity_map(descriptors, maps)
    assert found.dtype == torch.float32
    assert torch.equal(found, similarity_map(descriptors, maps))
    assert found[0, 0, 0] == 0
    assert similarity_map(descriptors.bfloat16(), maps.bfloat16()).dtype == torch.float32


def test_the_soft_mask_is_a_half_at_the_threshold_and_as_steep_as_told() -> None:
    mask = soft_mask(torch.tensor([0.47, 0.50, 0.44, 1.0, -1.0]), 0.47, 0.03)
    expected = [0.5, 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1)), 1, 0]
    assert mask.tolist() == pytest.approx(expected, abs=1e-5)


def slow_loss(similarity: Tensor, masks: Tensor, threshold: float, softness: float, allowed: Tensor) -> float:
    costs = []
    for b, y, x in torch.nonzero(allowed).tolist():
        height, width = masks.shape[1:]
        cosine = slow_bilinear(similarity[b], (y + 0.5) * similarity.shape[1] / height - 0.5,
                               (x + 0.5) * similarity.shape[2] / width - 0.5)
        foreground = 1 / (1 + math.exp(-(cosine - threshold) / softness))
        target = float(masks[b, y, x])
        costs.append(-target * math.log(foreground) - (1 - target) * math.log(1 - foreground))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (3, 4), (2, 2)], ids=str)
@pytest.mark.parametrize("part", [1.0, 0.6])
def test_the_loss_is_the_mean_cross_entropy_of_the_enlarged_map(size: tuple[int, int], part: float) -> None:
    similarity, masks = torch.tanh(noise(2, 3, 4)), noise(2, *size, seed=1).sigmoid()
    allowed = torch.rand(2, *size, generator=torch.Generator().manual_seed(2)) < part
    found = segmentation_loss(similarity, masks, 0.1, 0.4, allowed=allowed)
    assert float(found) == pytest.approx(slow_loss(similarity, masks, 0.1, 0.4, allowed), abs=1e-5)
    if part == 1:
        assert float(segmentation_loss(similarity, masks, 0.1, 0.4)) == pytest.approx(float(found), abs=1e-6)


def test_enlarging_comes_before_the_sigmoid() -> None:
    """A third of the way between cells of -1 and 1 the cosine is -1/3, far from the mean of two probabilities."""
    similarity, masks = torch.tensor([[[-1.0, 1.0]]]), torch.ones(1, 1, 6)
    cosines = [-1, -1, -1 / 3, 1 / 3, 1, 1]  # the outermost two pixels on each side lie beyond the cells' centres
    expected = sum(math.log1p(math.exp(-(cosine - 0.5) / 0.1)) for cosine in cosines) / 6
    assert float(segmentation_loss(similarity, masks, 0.5, 0.1)) == pytest.approx(expected, rel=1e-5)


def test_pixels_that_are_not_allowed_have_no_say() -> None:
    similarity = torch.tanh(noise(1, 4, 4)).requires_grad_()
    masks, allowed = torch.ones(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    allowed[:, :, :2] = True
    before = segmentation_loss(similarity, masks, 0.4, 0.1, allowed=allowed)
    before.backward()
    assert similarity.grad is not None
    assert (similarity.grad[:, :, :2] < 0).all()
    assert (similarity.grad[:, :, 2:] == 0).all()
    masks[:, :, 2:] = 0
    assert torch.equal(segmentation_loss(similarity, masks, 0.4, 0.1, allowed=allowed), before)


def test_where_no_pixel_is_allowed_the_loss_is_nothing() -> None:
    similarity = torch.tanh(noise(1, 4, 4)).requires_grad_()
    loss = segmentation_loss(similarity, torch.ones(1, 4, 4), 0.4, 0.1, allowed=torch.zeros(1, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert similarity.grad is not None
    assert (similarity.grad == 0).all()


def test_gradients_reach_descriptors_maps_threshold_and_softness() -> None:
    descriptors, maps = noise(2, 6).requires_grad_(), noise(2, 6, 3, 3, seed=1).requires_grad_()
    threshold, softness = torch.tensor(0.3, requires_grad=True), torch.tensor(0.2, requires_grad=True)
    masks = (noise(2, 9, 9, seed=2) > 0).float()

    def loss() -> Tensor:
        return segmentation_loss(similarity_map(descriptors, maps), masks, threshold, softness)

    before = loss()
    before.backward()
    parts = [descriptors, maps, threshold, softness]
    assert all(part.grad is not None and torch.isfinite(part.grad).all() and part.grad.abs().sum() > 0
               for part in parts)
    for part in parts:
        with torch.no_grad():
            step = 1e-3 * part.grad / part.grad.norm()
            part -= step
            assert loss() < before
            part += step


def test_certain_cells_on_the_wrong_side_cost_much_but_not_infinitely_much() -> None:
    similarity = torch.full((1, 2, 2), -1.0, requires_grad=True)
    loss = segmentation_loss(similarity, torch.ones(1, 8, 8), 1.0, 0.001)
    loss.backward()
    assert loss.item() == pytest.approx(2000)
    assert similarity.grad is not None
    assert torch.isfinite(similarity.grad).all()


def test_the_global_descriptor_is_max_pooled_over_the_mask() -> None:
    feature_map = noise(2, 5, 3, 4)
    mask = noise(2, 3, 4, seed=1) > 0
    for b, found in enumerate(global_descriptor(feature_map, mask)):
        highest = [max(float(feature_map[b, d, y, x]) for y in range(3) for x in range(4) if mask[b, y, x])
                   for d in range(5)]
        assert found.tolist() == pytest.approx([value / math.hypot(*highest) for value in highest], abs=1e-6)


# To the frame of the photo


def drawn_canvas(sizes: list[tuple[int, int]], side: int) -> Canvas:
    """Canvases of pictures of the given (height, width)."""
    return make_canvas([np.zeros((*size, 3), dtype=np.uint8) for size in sizes], side, GREY)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 12), width=st.integers(1, 12), rows=st.integers(1, 5), columns=st.integers(1, 5),
       side=st.integers(8, 20))
def test_every_pixel_of_the_photo_reads_the_map_at_its_place_on_the_canvas(
        height: int, width: int, rows: int, columns: int, side: int) -> None:
    canvas, similarity = drawn_canvas([(3, 7), (height, width)], side), noise(rows, columns)
    found = to_picture(similarity, canvas, 1)
    left, top, right, bottom = canvas.content[1].tolist()
    assert found.shape == (height, width)
    for y in range(height):
        for x in range(width):
            across = left + (x + 0.5) * (right - left) / width
            down = top + (y + 0.5) * (bottom - top) / height
            expected = slow_bilinear(similarity, down * rows / side - 0.5, across * columns / side - 0.5)
            assert float(found[y, x]) == pytest.approx(expected, abs=1e-5)


def test_a_square_photo_is_plain_bilinear_enlargement_as_in_the_loss() -> None:
    similarity = noise(5, 5)
    expected = F.interpolate(similarity[None, None], (33, 33), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(to_picture(similarity, drawn_canvas([(33, 33)], 20), 0), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "own"), [
    ((40, 80), (slice(2, 6), slice(None))), ((80, 20), (slice(None), slice(3, 5)))], ids=["wide", "tall"])
def test_the_map_of_the_padding_stays_outside(size: tuple[int, int], own: tuple[slice, slice]) -> None:
    """On a grid of 8 cells, the photo covers 4 rows or 2 columns; farther than half a cell no padding is seen."""
    similarity = torch.full((8, 8), 100.0)
    similarity[own] = 0
    found = to_picture(similarity, drawn_canvas([size], 32), 0)
    inner = found[5:-5] if size[0] < size[1] else found[:, 5:-5]
    assert found.shape == size
    assert inner.abs().max() < 1e-3
    assert 40 < found.max() <= 50  # at the very edge, half way to the next cell


@pytest.mark.parametrize(("size", "longest", "expected"), [
    ((90, 60), 30, (30, 20)), ((60, 90), 30, (20, 30)), ((90, 60), 90, (90, 60)), ((90, 60), 500, (90, 60)),
    ((200, 1), 20, (20, 1))])
def test_a_map_may_be_read_at_a_smaller_size(size: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    """A pixel of the smaller picture reads the map where the middle of the pixels that it stands for does."""
    canvas, similarity = drawn_canvas([size], 32), noise(4, 4)
    found = to_picture(similarity, canvas, 0, longest=longest)
    assert found.shape == expected
    full = to_picture(similarity, canvas, 0)
    if expected != size and size[1] > 1:
        middles = full.unfold(0, 3, 3).unfold(1, 3, 3)[:, :, 1, 1]
        torch.testing.assert_close(found, middles, rtol=0, atol=1e-4)
    elif expected == size:
        assert torch.equal(found, full)


def test_large_photos_are_read_in_bands_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, similarity = drawn_canvas([(90, 70)], 32), noise(8, 8)
    whole = to_picture(similarity, canvas, 0)
    monkeypatch.setattr("sketchfusion.tasks.refinement.BAND_PIXELS", 200)
    assert torch.equal(to_picture(similarity, canvas, 0), whole)
