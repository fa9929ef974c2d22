"""Pooling over the picture's own cells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.config import DescriptorConfig
from sketchfusion.fusion.descriptor import content_mask, pool


def slow_pool(cells: list[float], pooling: str, p: float) -> float:
    if pooling == "max":
        return max(cells)
    if pooling == "mean":
        return sum(cells) / len(cells)
    return (sum(max(cell, 1e-6) ** p for cell in cells) / len(cells)) ** (1 / p)


@pytest.mark.parametrize(("pooling", "p"), [("max", 3.0), ("mean", 3.0), ("gem", 3.0), ("gem", 1.5)])
def test_value_equals_a_slow_loop(pooling: str, p: float) -> None:
    feature_map, mask = torch.randn(2, 5, 4, 3), torch.rand(2, 4, 3) < 0.5
    mask[:, 0, 0] = True
    found = pool(feature_map, mask, DescriptorConfig(pooling=pooling, gem_p=p))  # type: ignore[arg-type]
    for image in range(2):
        pooled = torch.tensor([
            slow_pool([feature_map[image, channel, y, x].item() for y in range(4) for x in range(3)
                       if mask[image, y, x]], pooling, p) for channel in range(5)])
        torch.testing.assert_close(found[image], pooled / pooled.norm(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["max", "mean", "gem"])
def test_cells_outside_the_mask_do_not_matter(pooling: str) -> None:
    config = DescriptorConfig(pooling=pooling)  # type: ignore[arg-type]
    feature_map, mask = torch.randn(1, 5, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 1:3] = True
    changed = torch.where(mask[:, None], feature_map, torch.tensor(99.0))
    assert torch.equal(pool(feature_map, mask, config), pool(changed, mask, config))
    assert not torch.allclose(pool(feature_map, None, config), pool(changed, None, config))


@pytest.mark.parametrize("pooling", ["max", "mean", "gem"])
def test_descriptors_are_float32_of_unit_length(pooling: str) -> None:
    config = DescriptorConfig(pooling=pooling)  # type: ignore[arg-type]
    found = pool(torch.randn(3, 8, 4, 4).bfloat16(), None, config)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


def test_gem_lies_between_mean_and_max() -> None:
    feature_map = torch.rand(1, 1, 4, 4) + 0.1
    values = feature_map.flatten()
    gem = slow_pool(values.tolist(), "gem", 3.0)
    assert values.mean() < gem < values.max()


boxes = st.tuples(st.integers(0, 62), st.integers(0, 62), st.integers(1, 64), st.integers(1, 64)).map(
    lambda box: (box[0], box[1], min(64, box[0] + box[2]), min(64, box[1] + box[3])))


@given(box=boxes, height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_cell_belongs_where_its_centre_lies_on_the_picture(box: tuple[int, int, int, int], height: int,
                                                             width: int) -> None:
    mask = content_mask(torch.tensor([box], dtype=torch.float32), 64, (height, width))[0]
    assert mask.any()
    left, top, right, bottom = box
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * 64 / height, (column + 0.5) * 64 / width
            if left < x < right and top < y < bottom:
                assert mask[row, column]
            elif x < left - 64 / width or x > right + 64 / width or y < top - 64 / height or y > bottom + 64 / height:
                assert not mask[row, column]


def test_a_picture_thinner_than_a_cell_keeps_the_nearest_cells() -> None:
    mask = content_mask(torch.tensor([[0.0, 33.0, 64.0, 34.0]]), 64, (4, 4))[0]
    assert mask.nonzero().tolist() == [[2, 0], [2, 1], [2, 2], [2, 3]]


def test_each_picture_of_a_batch_has_its_own_mask() -> None:
    content = torch.tensor([[0.0, 0.0, 64.0, 64.0], [16.0, 0.0, 48.0, 64.0]])
    mask = content_mask(content, 64, (4, 4))
    assert mask[0].all()
    assert mask[1].tolist() == [[False, True, True, False]] * 4
