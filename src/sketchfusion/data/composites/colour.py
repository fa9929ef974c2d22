"""Perceptual colour: sRGB to CIE L*a*b*, in which equal distances look about equally different."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
RGB_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])
LEVELS = np.arange(256) / 255
LINEAR = np.where(LEVELS <= 0.04045, LEVELS / 12.92, ((LEVELS + 0.055) / 1.055) ** 2.4)  # (256,) of 8-bit sRGB
KNEE = 6 / 29


def to_lab(rgb: Bytes) -> Array:
    """(H, W, 3) uint8 sRGB -> (H, W, 3) float: L in [0, 100], a and b about in [-110, 110].

    Source: CIE 15:2004, D65 white.
    """
    ratio = LINEAR[rgb] @ RGB_TO_XYZ.T / WHITE
    root = np.where(ratio > KNEE**3, np.cbrt(ratio), ratio / (3 * KNEE**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
