"""Noise that depends on the image and the seed, never on batch, worker or device (paper Sec. 3.2).

An index built on twelve machines equals one built on a laptop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def content_keys(images_01: Tensor) -> list[str]:
    """One key per image, from its pixels at 8 bits: (B, 3, S, S) in [0, 1] -> B strings."""
    rows = (images_01.detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in rows]


def gaussian(key: str, seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal float32 noise of ``shape`` on the CPU; the same on every machine for the same key and seed."""
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.randn(tuple(shape), generator=generator)


def noise_samples(keys: Sequence[str], seed: int, num_samples: int, shape: Sequence[int]) -> Tensor:
    """(len(keys) * num_samples, *shape): the samples of the first key, then of the second, ...

    Sample i of a key does not depend on how many are drawn.
    """
    return torch.stack([gaussian(f"{key}:{index}", seed, shape) for key in keys for index in range(num_samples)])
