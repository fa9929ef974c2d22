"""Tensors made part by part: on disk they are what they are in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sketchfusion.engine.parts import InMemory, OnDisk, Parts, mapped


def filled(parts: Parts, whole: Tensor, rows: int) -> Tensor:
    """Given ``rows`` at a time."""
    for part in whole.split(rows):
        parts.append(part)
    return parts.whole()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
@pytest.mark.parametrize("rows", [1, 4, 5, 100])
def test_parts_together_are_the_whole(dtype: torch.dtype, rows: int, tmp_path: Path) -> None:
    whole = (torch.rand(14, 3, 2, generator=torch.Generator().manual_seed(0)) * 200).to(dtype)
    for parts in (InMemory("some", (2, 7)), OnDisk(tmp_path, "some", (2, 7))):
        found = filled(parts, whole, rows)
        assert found.dtype == dtype
        assert torch.equal(found, whole.view(2, 7, 3, 2))
    assert np.array_equal(np.load(tmp_path / "some.npy"), whole.view(2, 7, 3, 2).numpy())


@pytest.mark.parametrize(("rows", "shape"), [((0,), (0, 3, 8, 8)), ((2, 3), (6, 0))])
def test_there_may_be_nothing_in_it(rows: tuple[int, ...], shape: tuple[int, ...], tmp_path: Path) -> None:
    for parts in (InMemory("some", rows), OnDisk(tmp_path, "some", rows)):
        parts.append(torch.zeros(shape))
        assert parts.whole().shape == (*rows, *shape[1:])


def test_parts_need_not_lie_in_a_row(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4).T
    assert torch.equal(filled(OnDisk(tmp_path, "some", (4,)), whole, 2), whole)


def test_changing_what_is_mapped_does_not_change_the_file(tmp_path: Path) -> None:
    found = filled(OnDisk(tmp_path, "some", (4,)), torch.ones(4), 4)
    found += 1
    assert torch.equal(mapped(tmp_path / "some.npy"), torch.ones(4))


@pytest.mark.parametrize("left", [0, 5, 100, 159])
def test_a_file_that_is_not_whole_is_refused(left: int, tmp_path: Path) -> None:
    filled(OnDisk(tmp_path, "some", (8,)), torch.ones(8), 3)
    file = tmp_path / "some.npy"
    whole = file.read_bytes()
    assert len(whole) == 128 + 8 * 4
    file.write_bytes(whole[:left])
    with pytest.raises(ValueError):  # noqa: PT011
        mapped(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"some\.npy"):
        mapped(tmp_path / "some.npy")
