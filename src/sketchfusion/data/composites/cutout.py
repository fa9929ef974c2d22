"""Cutting an object out of a photo with a plain ground, with a strict gate: a cut is clean or it is refused.

White, grey, black and coloured grounds are modelled alike, gradients and soft shadows included. Pictures that come
with transparency are cut along it. Pixels are ``(row, column)`` arrays; boxes ``(left, top, right, bottom)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image
from scipy import ndimage

from sketchfusion.data.composites.colour import Bytes, Flags, to_lab
from sketchfusion.data.composites.gate import FRAMED, Gate, find_object, judge
from sketchfusion.data.composites.ground import fit_ground, within_margins
from sketchfusion.data.composites.matte import clean_edge
from sketchfusion.images import to_rgb

MARGIN = 2  # transparent pixels around a cut-out
MIN_SIDE = 32
FAINT = 8  # alpha up to which a pixel is taken for empty
TOLERANCES = (1.0, 1.5, 0.7)  # times the ground's own; the first that gives a clean cut is taken
MOST_FRAMES = 2  # frames within frames that are taken off


@dataclass(frozen=True, eq=False)
class CutOut:
    """An object without its ground.

    Attributes:
        rgb: (H, W, 3) uint8; at the edge free of the ground's colour, beyond it that of the nearest edge pixel.
        alpha: (H, W) uint8, soft over 1 to 2 pixels; the object is where it is above 127.
        box: (left, top, right, bottom) of this in the photo, pixels; may reach beyond it by the margin.
        measures: what the gate saw.
    """

    rgb: Bytes
    alpha: Bytes
    box: tuple[int, int, int, int]
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def mask(self) -> Flags:
        """(H, W) bool, alpha above one half."""
        return self.alpha > 127


@dataclass(frozen=True)
class Rejected:
    """Why a photo was not cut.

    Attributes:
        reason: a few words.
        measures: what the gate saw.
        inner: (left, top, right, bottom) of the picture within the frame, where the reason is a frame.
    """

    reason: str
    measures: dict[str, float] = field(default_factory=dict)
    inner: tuple[int, int, int, int] | None = None


def cut_out(photo: Image.Image, gate: Gate | None = None) -> CutOut | Rejected:
    """The object of a photo on a plain ground, or why there is no clean cut.

    Args:
        photo: any mode and size; with transparency it is cut along that. 150 to 400 pixels are enough.
        gate: how strict to be.
    """
    gate = gate or Gate()
    if min(photo.size) < MIN_SIDE:
        return Rejected("too small", {"side": min(photo.size)})
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        rgba = np.asarray(photo.convert("RGBA"))
        if (rgba[..., 3] < 128).mean() > 0.05:
            return cut_by_alpha(rgba, gate)
    rgb = np.asarray(to_rgb(photo))
    whole = cut_within(rgb, (0, 0), gate)
    if isinstance(whole, CutOut):
        return whole
    left, top, right, bottom = within_margins(to_lab(rgb))
    if (right - left, bottom - top) == photo.size or min(right - left, bottom - top) < MIN_SIDE:
        return whole
    return cut_within(rgb[top:bottom, left:right], (left, top), gate)


def cut_within(rgb: Bytes, corner: tuple[int, int], gate: Gate) -> CutOut | Rejected:
    """The object of the (H, W, 3) part of a photo at ``corner`` (left, top), frames taken off."""
    left, top = corner
    for _ in range(MOST_FRAMES + 1):
        result = cut_opaque(rgb, gate)
        if isinstance(result, CutOut):
            box = result.box
            return replace(result, box=(box[0] + left, box[1] + top, box[2] + left, box[3] + top))
        if result.inner is None or min(result.inner[2] - result.inner[0], result.inner[3] - result.inner[1]) < MIN_SIDE:
            break
        rgb = rgb[result.inner[1] : result.inner[3], result.inner[0] : result.inner[2]]
        left, top = left + result.inner[0], top + result.inner[1]
    return result


def cut_opaque(rgb: Bytes, gate: Gate) -> CutOut | Rejected:
    """As ``cut_out``, for (H, W, 3) uint8; a picture within a picture is refused and its place told."""
    lab = to_lab(rgb)
    ground = fit_ground(lab)
    measures = {"plain_share": ground.plain_share, "noise": ground.noise}
    if ground.noise > gate.noise or ground.plain_share < gate.plain_share:
        return Rejected("the ground is not plain", measures)
    first: Rejected | None = None
    for factor in TOLERANCES:
        seen = dict(measures)
        found = find_object(lab, ground, factor * ground.tolerance, gate)
        reason = "" if isinstance(found, str) else judge(found, lab, ground, gate, factor, seen)
        if isinstance(found, str):
            first = first or Rejected(found, seen)
        elif reason == FRAMED:
            return Rejected(reason, seen, inner_box(found))
        elif reason:
            first = first or Rejected(reason, seen)
        else:
            edge_rgb, alpha = clean_edge(rgb, found, ground.lab)
            return cropped(edge_rgb, alpha, seen)
    return first or Rejected("no cut was tried", measures)


def inner_box(mask: Flags) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the mask, less the blurred border of the picture that it is."""
    rows, columns = np.flatnonzero(mask.mean(axis=1) > 0.3), np.flatnonzero(mask.mean(axis=0) > 0.3)
    if not len(rows) or not len(columns):
        return 0, 0, 0, 0
    return int(columns[0]) + 3, int(rows[0]) + 3, int(columns[-1]) - 2, int(rows[-1]) - 2


def cut_by_alpha(rgba: Bytes, gate: Gate) -> CutOut | Rejected:
    """The object of a picture with transparency."""
    mask = rgba[..., 3] > 127
    share = float(mask.mean())
    if not gate.area[0] <= share <= 0.97:
        return Rejected("the object is too small or too large", {"area": share})
    nearest = ndimage.distance_transform_edt(rgba[..., 3] < 250, return_distances=False, return_indices=True)
    solid = rgba[..., :3][tuple(nearest)] if (rgba[..., 3] >= 250).any() else rgba[..., :3]
    rgb = np.where((rgba[..., 3] < 64)[..., None], solid, rgba[..., :3])
    return cropped(rgb, rgba[..., 3], {"area": share})


def cropped(rgb: Bytes, alpha: Bytes, measures: dict[str, float]) -> CutOut:
    """The cut-out reduced to the object and a transparent margin."""
    alpha = np.where(alpha > FAINT, alpha, 0).astype(np.uint8)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    left, top = int(columns[0]) - MARGIN, int(rows[0]) - MARGIN
    right, bottom = int(columns[-1]) + 1 + MARGIN, int(rows[-1]) + 1 + MARGIN
    pad = ((MARGIN, MARGIN), (MARGIN, MARGIN))
    window = np.s_[top + MARGIN : bottom + MARGIN, left + MARGIN : right + MARGIN]
    return CutOut(np.pad(rgb, (*pad, (0, 0)), mode="edge")[window], np.pad(alpha, pad)[window],
                  (left, top, right, bottom), measures)
