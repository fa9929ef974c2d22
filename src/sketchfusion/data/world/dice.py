"""Chance, seeded by names: what a ``Dice`` gives depends on its key, never on order, worker or machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
Item = TypeVar("Item")


class Dice:
    """A seeded source of chance.

    Only ``Generator.random`` and raw bytes are used: both are exact functions of the bit stream, while the
    samplers for other distributions call the mathematical library of the machine.
    """

    def __init__(self, *key: str | int) -> None:
        self.key = key
        text = "\x1f".join(str(part) for part in key)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        self._generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))

    def fork(self, *names: str | int) -> Dice:
        """A further dice, independent of this one; the same whenever it is asked for."""
        return Dice(*self.key, *names)

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def spread(self, width: float) -> float:
        """Around 0, triangular in (-width, width)."""
        return width * (float(self._generator.random()) - float(self._generator.random()))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return float(self._generator.random()) < probability

    def whole(self, low: int, high: int) -> int:
        """Whole number in [low, high], both ends included."""
        return low + int((high - low + 1) * float(self._generator.random()))

    def pick(self, options: Sequence[Item]) -> Item:
        """One of the options, all equally likely."""
        return options[int(len(options) * float(self._generator.random()))]

    def color(self, *palette: Color, spread: float = 16.0) -> Color:
        """One color of the palette, shifted a little in lightness and in each channel."""
        base = self.pick(palette)
        light = self.spread(spread)
        red, green, blue = (min(255, max(0, round(value + light + self.spread(spread / 2))))
            for value in base)
        return red, green, blue

    def uniforms(self, *shape: int) -> Array:
        """Array of this shape, uniform in [0, 1)."""
        return self._generator.random(shape)

    def spreads(self, *shape: int) -> Array:
        """Array of this shape, triangular in (-1, 1)."""
        return self._generator.random(shape) - self._generator.random(shape)

    def bytes(self, count: int) -> Bytes:
        """(count,) uint8, uniform."""
        return np.frombuffer(self._generator.bytes(count), dtype=np.uint8)


def tint(color: Color, factor: float) -> Color:
    """The color made darker (factor < 1) or lighter (factor > 1, towards white)."""
    if factor <= 1:
        red, green, blue = (round(value * factor) for value in color)
    else:
        red, green, blue = (round(value + (255 - value) * min(1.0, factor - 1)) for value in color)
    return red, green, blue
