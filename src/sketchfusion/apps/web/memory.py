"""The server's memory: what stays for long lies apart, and what is free goes back to the system."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from functools import cache

import torch
from torch import Tensor

LARGE = 512 * 1024  # a piece of memory that lies outside the heap, and goes back to the system at once
FREE_END = 4 * 2**20  # of a heap; a larger one is cut off
CALLS = 64  # of the model, after which the other free memory goes back too
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt, from malloc.h


def apart(tensor: Tensor) -> Tensor:
    """A copy on the CPU that lies outside the heap, and whose memory the system has back once it is let go.

    Inside the heap, among all that comes and goes with a pass of the model, each such tensor would leave a hole that
    little else fits into.
    """
    if not tensor.nbytes:
        return tensor.cpu()
    room = torch.frombuffer(mmap.mmap(-1, tensor.nbytes), dtype=tensor.dtype).view(tensor.shape)
    return room.copy_(tensor)


@cache
def glibc() -> ctypes.CDLL | None:
    """The C library, where it is GNU's; others have no such settings."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def return_large_pieces() -> None:
    """Keep GNU's malloc from raising the size from which it returns memory, which it does whenever a larger piece is
    let go, up to 32 MiB: each thread's heap would then keep all that it ever needed. For the whole process; left alone
    where the environment sets malloc already, or the C library is another."""
    library = glibc()
    if library is not None and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        library.mallopt(MMAP_THRESHOLD, LARGE)
        library.mallopt(TRIM_THRESHOLD, FREE_END)


class Returning:
    """Returns free memory to the system, once every ``CALLS`` calls of the model; for one thread."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self, calls: int) -> None:
        """So many more; where it is time, a few milliseconds of work."""
        self.calls += calls
        library = glibc()
        if self.calls >= CALLS and library is not None:
            self.calls = 0
            library.malloc_trim(0)
