"""Features at points, cosines and soft-argmax, against slow loops; frames, borders and padding."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sketchfusion.tasks.correlation import (
    correlate,
    features_at,
    soft_argmax,
    to_cells,
    to_pixels,
    window_soft_argmax,
)

SIDE = 48  # canvas; with the grid (4, 6) a cell is 8 pixels wide and 12 high
GRID = (4, 6)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cell_mask(batch: int, grid: tuple[int, int], left: int, right: int) -> Tensor:
    """(B, Hf, Wf) bool: columns ``left`` up to but not including ``right``."""
    mask = torch.zeros(batch, *grid, dtype=torch.bool)
    mask[:, :, left:right] = True
    return mask


class LargestTensor(TorchDispatchMode):
    """Notes the entries of the largest tensor that any operation gives, forwards and backwards."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for part in given if isinstance(given, (tuple, list)) else [given]:
            if isinstance(part, Tensor):
                self.entries = max(self.entries, part.untyped_storage().nbytes() // part.element_size())
        return given


def slow_unit(values: list[float]) -> list[float]:
    length = max(math.sqrt(sum(value * value for value in values)), 1e-10)
    return [value / length for value in values]


def slow_feature(feature_map: Tensor, x: float, y: float) -> list[float]:
    """Bilinear between unit vectors, at pixel (x, y) of the canvas, for one (D, Hf, Wf) map."""
    _, height, width = feature_map.shape
    column = min(max(x * width / SIDE - 0.5, 0), width - 1)
    row = min(max(y * height / SIDE - 0.5, 0), height - 1)
    mixed = [0.0] * len(feature_map)
    for r in range(height):
        for c in range(width):
            weight = max(0.0, 1 - abs(row - r)) * max(0.0, 1 - abs(column - c))
            unit = slow_unit(feature_map[:, r, c].tolist())
            mixed = [total + weight * value for total, value in zip(mixed, unit, strict=True)]
    return slow_unit(mixed)


def slow_mean_cell(scores: Tensor, temperature: float, cells: list[tuple[int, int]]) -> tuple[float, float]:
    """(x, y) of one (Hf, Wf) map of scores, over the (row, column) cells given."""
    weights = [math.exp(float(scores[cell]) / temperature) for cell in cells]
    return (sum(weight * c for weight, (_, c) in zip(weights, cells, strict=True)) / sum(weights),
            sum(weight * r for weight, (r, _) in zip(weights, cells, strict=True)) / sum(weights))


@given(x=st.floats(-1000, 1000), y=st.floats(-1000, 1000), side=st.integers(1, 1024), height=st.integers(1, 96),
       width=st.integers(1, 96))
def test_cells_and_pixels_are_inverse(x: float, y: float, side: int, height: int, width: int) -> None:
    points = torch.tensor([[x, y]])
    back = to_pixels(to_cells(points, side, (height, width)), side, (height, width))
    assert torch.allclose(back, points, rtol=1e-5, atol=1e-5 * side)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 5), (1, 4)])
def test_whole_cells_are_the_centres_of_cells(row: int, column: int) -> None:
    cell = torch.tensor([column, row])
    pixel = to_pixels(cell, SIDE, GRID)
    assert pixel.tolist() == [(column + 0.5) * 8, (row + 0.5) * 12]
    assert torch.equal(to_cells(pixel, SIDE, GRID), cell.float())


def test_features_equal_a_slow_loop() -> None:
    maps = normal(2, 5, *GRID) * 3
    points = torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(1)) * (SIDE + 20) - 10  # some beyond the edge
    found = features_at(maps, points, SIDE)
    slow = [[slow_feature(maps[b], *points[b, n].tolist()) for n in range(9)] for b in range(2)]
    assert torch.allclose(found, torch.tensor(slow), atol=1e-5)
    assert torch.allclose(found.norm(dim=-1), torch.ones(2, 9))


def test_the_centre_of_a_cell_has_the_feature_of_the_cell() -> None:
    maps = normal(1, 5, *GRID)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    centres = to_pixels(torch.stack([columns.flatten(), rows.flatten()], dim=-1), SIDE, GRID)
    expected = F.normalize(maps, dim=1).flatten(2).transpose(1, 2)
    assert torch.allclose(features_at(maps, centres[None], SIDE), expected, atol=1e-6)


@pytest.mark.parametrize(("x", "y", "column", "row"), [
    (0, 18, 0, 1), (-99, 18, 0, 1), (SIDE, 18, 5, 1), (SIDE + 99, 18, 5, 1), (20, 0, 2, 0), (20, -7, 2, 0),
    (20, SIDE, 2, 3), (20, SIDE + 7, 2, 3), (SIDE, SIDE, 5, 3), (0, SIDE, 0, 3), (1e9, -1e9, 5, 0)])
def test_beyond_the_border_is_the_edge_cell(x: float, y: float, column: int, row: int) -> None:
    maps = normal(1, 5, *GRID)
    found = features_at(maps, torch.tensor([[[x, y]]]), SIDE)
    assert torch.allclose(found[0, 0], F.normalize(maps[0, :, row, column], dim=0), atol=1e-6)


def test_a_map_of_one_cell_has_one_feature() -> None:
    maps = normal(1, 5, 1, 1)
    found = features_at(maps, torch.tensor([[[3.0, 40.0], [24.0, 24.0]]]), SIDE)
    assert torch.allclose(found, F.normalize(maps, dim=1).flatten(2).transpose(1, 2).expand(1, 2, 5))


@pytest.mark.parametrize("shared", [False, True])
def test_correlation_equals_a_slow_loop(shared: bool) -> None:
    maps = normal(2, 5, *GRID) * 4
    rows = F.normalize(normal(1 if shared else 2, 3, 5, seed=1), dim=-1)
    found = correlate(rows, maps)
    assert found.shape == (2, 3, *GRID)
    for b in range(2):
        for n in range(3):
            for r in range(4):
                for c in range(6):
                    unit = slow_unit(maps[b, :, r, c].tolist())
                    cosine = sum(p * q for p, q in zip(rows[0 if shared else b, n].tolist(), unit, strict=True))
                    assert float(found[b, n, r, c]) == pytest.approx(cosine, abs=1e-6)


def test_empty_cells_have_cosine_zero_and_finite_gradients() -> None:
    maps = normal(1, 5, *GRID)
    maps[:, :, :, 3] = 0
    maps.requires_grad_()
    points = torch.tensor([[[28.0, 18.0], [4.0, 6.0]]])  # the first lies on an empty cell
    rows = features_at(maps, points, SIDE)
    scores = correlate(rows, maps)
    assert torch.equal(rows[0, 0], torch.zeros(5))
    assert torch.equal(scores[..., 3], torch.zeros_like(scores[..., 3]))
    scores.square().sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_soft_argmax_equals_a_slow_loop(masked: bool, temperature: float) -> None:
    scores = normal(2, 3, *GRID) / 4
    allowed = cell_mask(2, GRID, 1, 4) if masked else None
    cells = [(r, c) for r in range(4) for c in range(6) if allowed is None or allowed[0, r, c]]
    slow = [[slow_mean_cell(scores[b, n], temperature, cells) for n in range(3)] for b in range(2)]
    assert torch.allclose(soft_argmax(scores, temperature, allowed), torch.tensor(slow), atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("radius", [0, 1, 2])
def test_window_soft_argmax_equals_a_slow_loop(masked: bool, radius: int) -> None:
    """Many random maps, so that many windows are cut off by the border, or by where the picture ends."""
    scores = normal(5, 8, *GRID) / 4
    allowed = cell_mask(5, GRID, 1, 4) if masked else None
    found = window_soft_argmax(scores, 0.1, radius, allowed)
    cells = [(r, c) for r in range(4) for c in range(6) if allowed is None or allowed[0, r, c]]
    for b in range(5):
        for n in range(8):
            best = max(cells, key=lambda cell: float(scores[b, n][cell]))
            near = [(r, c) for r, c in cells if abs(r - best[0]) <= radius and abs(c - best[1]) <= radius]
            assert found[b, n].tolist() == pytest.approx(slow_mean_cell(scores[b, n], 0.1, near), abs=1e-4)


def test_a_window_as_large_as_the_grid_is_the_soft_argmax() -> None:
    scores = normal(2, 3, *GRID)
    assert torch.allclose(window_soft_argmax(scores, 0.3, 6), soft_argmax(scores, 0.3))


def test_the_window_keeps_to_one_of_two_peaks() -> None:
    scores = torch.zeros(1, 1, 9, 9)
    scores[0, 0, 4, 1], scores[0, 0, 4, 7] = 1.0, 0.999
    x, y = soft_argmax(scores, 0.02)[0, 0].tolist()
    assert (x, y) == pytest.approx((4, 4), abs=0.1)
    assert window_soft_argmax(scores, 0.02, 2)[0, 0].tolist() == pytest.approx([1, 4], abs=1e-3)


@pytest.mark.parametrize("windowed", [False, True])
def test_padding_has_no_part(windowed: bool) -> None:
    """The best cells by far are padding: they change nothing and get no gradient."""
    allowed = cell_mask(1, GRID, 1, 4)

    def place(scores: Tensor) -> Tensor:
        return window_soft_argmax(scores, 0.1, 2, allowed) if windowed else soft_argmax(scores, 0.1, allowed)

    plain = normal(1, 3, *GRID)
    scores = torch.where(allowed[:, None], plain, 50.0).requires_grad_()
    found = place(scores)
    assert torch.equal(found, place(plain))
    assert ((found[..., 0] >= 1) & (found[..., 0] <= 3)).all()
    found.sum().backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad[..., [0, 4, 5]], torch.zeros(1, 3, 4, 3))
    assert scores.grad[..., 1:4].abs().sum() > 0


@settings(deadline=None, max_examples=30)
@given(dx=st.integers(-4, 4), dy=st.integers(-3, 3), seed=st.integers(0, 100))
def test_a_shifted_copy_is_found_exactly(dx: int, dy: int, seed: int) -> None:
    """Every cell of the source whose shifted place is on the target is found there, also next to the border."""
    grid, side = (8, 12), 96
    source = normal(1, 64, *grid, seed=seed)
    target = normal(1, 64, *grid, seed=seed + 1)
    cells = torch.tensor([(c, r) for r in range(8) for c in range(12) if 0 <= r + dy < 8 and 0 <= c + dx < 12])
    for c, r in cells.tolist():
        target[:, :, r + dy, c + dx] = source[:, :, r, c] * 2.5
    rows = features_at(source, to_pixels(cells, side, grid)[None], side)
    scores = correlate(rows, target)
    expected = (cells + torch.tensor([dx, dy])).float()[None]
    assert torch.allclose(soft_argmax(scores, 0.01), expected, atol=1e-3)
    assert torch.allclose(window_soft_argmax(scores, 0.01, 2), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_all_is_float32(dtype: torch.dtype) -> None:
    maps = normal(1, 5, *GRID).to(dtype)
    rows = features_at(maps, torch.tensor([[[20.0, 20.0]]], dtype=torch.float64), SIDE)
    scores = correlate(rows.to(dtype), maps)
    assert rows.dtype == scores.dtype == soft_argmax(scores.to(dtype), 0.1).dtype == torch.float32
    assert torch.allclose(correlate(rows, maps), correlate(rows, maps.float()))


@pytest.mark.parametrize("windowed", [False, True])
def test_gradients_reach_both_maps(windowed: bool) -> None:
    source, target = normal(1, 5, *GRID).requires_grad_(), normal(1, 5, *GRID, seed=1).requires_grad_()
    scores = correlate(features_at(source, torch.tensor([[[22.0, 15.0]]]), SIDE), target)
    (window_soft_argmax(scores, 0.1, 2) if windowed else soft_argmax(scores, 0.1)).sum().backward()
    assert source.grad is not None
    assert target.grad is not None
    about = (source.grad.abs().sum(1)[0] > 0).nonzero().tolist()
    assert about == [[0, 2], [0, 3], [1, 2], [1, 3]]  # the four cells about the point
    assert (target.grad.abs().sum(1)[0] > 0).all() != windowed


def test_the_whole_correlation_is_never_made() -> None:
    """With three points of 4,096 cells, nothing is larger than a map, forwards or backwards."""
    source, target = normal(1, 8, 64, 64).requires_grad_(), normal(1, 8, 64, 64, seed=1).requires_grad_()
    points = torch.rand(1, 3, 2) * SIDE
    with LargestTensor() as largest:
        scores = correlate(features_at(source, points, SIDE), target)
        (soft_argmax(scores, 0.02) + window_soft_argmax(scores, 0.02, 7)).sum().backward()
    assert 0 < largest.entries <= source.numel() < 64**4 / 100
