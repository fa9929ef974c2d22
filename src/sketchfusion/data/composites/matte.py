"""The soft edge of a cut-out, and its colour without what shone through from the ground."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sketchfusion.data.composites.colour import LINEAR, RGB_TO_XYZ, WHITE, Array, Bytes, Flags

BAND = 2.0  # pixels on each side of the outline within which the edge is soft
BIAS = 0.6  # pixels by which the flood stops short of the outline: a mixed pixel is no ground yet
CORE = 2.0  # pixels inside the outline from which the colour is taken to be the object's own


def lab_to_rgb(lab: Array) -> Array:
    """(..., 3) L*a*b* -> (..., 3) float sRGB in [0, 255]; the inverse of ``colour.to_lab`` up to rounding."""
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = np.clip((ratio * WHITE) @ np.linalg.inv(RGB_TO_XYZ).T, 0, 1)
    return np.interp(linear, LINEAR, np.arange(256))


def clean_edge(rgb: Bytes, mask: Flags, ground_lab: Array) -> tuple[Bytes, Bytes]:
    """Colour and alpha with a soft edge.

    A pixel near the outline is a mixture of the object's colour, taken from the nearest core pixel, and of the
    ground's; its share of the first is its alpha, held near what the mask says,
    so that noise cannot move the outline far.

    Args:
        rgb: (H, W, 3) uint8 photo.
        mask: (H, W) bool.
        ground_lab: (H, W, 3) colour of the ground.
    Returns:
        (H, W, 3) uint8 colour, without the ground's share, and (H, W) uint8 alpha.
    """
    padded = np.pad(mask, 1, mode="edge")
    inside = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~padded)[1:-1, 1:-1]
    core = inside > CORE
    core |= mask & ~ndimage.binary_dilation(core, iterations=3)  # thin parts have no core: they are their own
    nearest = tuple(ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True))
    pixel, own, ground = rgb.astype(np.float64), rgb[nearest].astype(np.float64), lab_to_rgb(ground_lab)
    own = np.where(core[..., None], pixel, ndimage.gaussian_filter(own, (0.7, 0.7, 0)))
    span = own - ground
    share = ((pixel - ground) * span).sum(axis=-1) / np.maximum((span * span).sum(axis=-1), 400.0)
    distance = np.where(mask, inside - 0.5, 0.5 - outside)  # pixels, positive inside
    shape = np.clip(0.5 + (distance - BIAS) / 2, 0, 1)
    alpha = np.clip(0.35 * shape + 0.65 * np.clip(share, 0, 1), shape - 0.4, shape + 0.4)
    alpha = np.where(distance > BAND, 1.0, np.where(distance < -BAND, 0.0, np.clip(alpha, 0, 1)))
    unmixed = np.clip((pixel - (1 - alpha[..., None]) * ground) / np.maximum(alpha[..., None], 0.35), 0, 255)
    trust = np.clip((distance[..., None] + 0.5) / CORE, 0, 1)  # the further out, the more the nearest core pixel
    colour = np.where(core[..., None], pixel, trust * unmixed + (1 - trust) * own)
    return np.round(colour).astype(np.uint8), np.round(alpha * 255).astype(np.uint8)
