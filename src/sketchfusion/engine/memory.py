"""How much memory a run has needed."""

from __future__ import annotations

import sys

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory until now, in bytes.

    Returns:
        On CUDA what PyTorch had allocated on the device at once; otherwise the largest resident size of the process,
        or 0 on a system that does not tell it (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
