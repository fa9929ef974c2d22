"""Chance that depends on a key alone, never on order, worker or what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*key: str | int | float) -> np.random.Generator:
    """A numpy generator seeded by a digest of the key; the same for the same key."""
    text = "\x1f".join(str(part) for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
