"""Tensors that are made part by part: in memory, or in a file, so that no more than a part has to be there at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from numpy.lib import format as npy
from torch import Tensor


class Parts(Protocol):
    """One tensor in the making: (B, ...) parts, all alike but for B, on the CPU."""

    def append(self, part: Tensor) -> None:
        """Add the next rows, which may be none."""

    def whole(self) -> Tensor:
        """(*rows, ...), when as many are there as ``rows`` said."""


Begin = Callable[[str, tuple[int, ...]], Parts]
"""Name and ``rows`` of a tensor -> its parts."""


class InMemory:
    """Parts that are kept until they are put together."""

    def __init__(self, name: str, rows: tuple[int, ...]) -> None:
        self._rows = rows
        self._parts: list[Tensor] = []

    def append(self, part: Tensor) -> None:
        """See ``Parts``."""
        self._parts.append(part)

    def whole(self) -> Tensor:
        """See ``Parts``."""
        parts = torch.cat(self._parts)
        return parts.view(*self._rows, *parts.shape[1:])


class OnDisk:
    """Parts that go into ``<folder>/<name>.npy`` at once. Raises OSError: there is no room."""

    def __init__(self, folder: Path, name: str, rows: tuple[int, ...]) -> None:
        self._file, self._rows = folder / f"{name}.npy", rows

    def append(self, part: Tensor) -> None:
        """See ``Parts``."""
        values = part.contiguous().numpy()
        with self._file.open("ab") as stream:
            if not stream.tell():
                shape = (*self._rows, *values.shape[1:])
                npy.write_array_header_2_0(stream, {"shape": shape, "fortran_order": False,
                                                    "descr": npy.dtype_to_descr(values.dtype)})
            stream.write(values.data)

    def whole(self) -> Tensor:
        """See ``Parts``; it is ``mapped``."""
        return mapped(self._file)


def mapped(file: Path) -> Tensor:
    """The tensor of a .npy file, on the CPU, read as it is needed; changing it does not change the file.

    Raises:
        OSError, ValueError: the file is not there or not whole.
    """
    return torch.from_numpy(npy.open_memmap(file, mode="c"))
