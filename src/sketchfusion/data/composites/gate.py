"""What makes a cut clean: finding the object that the flood leaves, and judging its outline.

Masks are (H, W) bool; colours CIE L*a*b*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from sketchfusion.data.composites.colour import Array, Flags
from sketchfusion.data.composites.ground import EIGHT, FOUR, Ground, flood

CONVEX = 0.92  # solidity above which a thing has no openings
SPECK = 12  # pixels; smaller pieces are noise
FRAMED = "the object is a frame or a plain rectangle"


@dataclass(frozen=True)
class Gate:
    """What a clean cut must satisfy.

    Attributes:
        plain_share: least share of the border that is plain ground.
        noise: most deviation of the border from the ground's colour, L*a*b*.
        area: least and most share of the picture that the object covers.
        touch: most of the picture's border that the object covers.
        lost: most that small pieces left out may add up to, in shares of the object.
        contrast: least median L*a*b* step across the outline.
        faint: most of the outline where that step is lost.
        stable: least overlap (IoU) of the cuts at a lower and at a higher tolerance.
        shift: most that the outline moves between them, in pixels of area per pixel of outline.
        thin_shift: outlines that move no more than this pass whatever the overlap, which is small for thin things.
        rough: most share of the object, per outline length, that opening and closing it changes.
        ambiguous: most share of the object taken by enclosed parts that look like the ground.
        filled: most share of its upright or turned bounding rectangle that the object fills; more is a picture frame.
        flush: most share of two or more sides of its upright bounding box that the outline may follow.
        oval: most overlap (IoU) with an ellipse that is no circle; more is a vignette.
        pieces: most separate pieces.
        specks: most small pieces left out; more are lettering or clutter.
    """

    plain_share: float = 0.75
    noise: float = 6.0
    area: tuple[float, float] = (0.04, 0.85)
    touch: float = 0.08
    lost: float = 0.10
    contrast: float = 12.0
    faint: float = 0.09
    stable: float = 0.93
    shift: float = 0.78
    thin_shift: float = 0.45
    rough: float = 0.30
    ambiguous: float = 0.15
    filled: float = 0.94
    flush: float = 0.58
    oval: float = 0.965
    pieces: int = 4
    specks: int = 6


def find_object(lab: Array, ground: Ground, tolerance: float, gate: Gate) -> Flags | str:
    """(H, W) bool mask of the largest thing(s) that the flood leaves, holes decided; or a reason to refuse."""
    reached = flood(lab, ground, tolerance)
    labels, count = ndimage.label(~reached, EIGHT)
    if not count:
        return "nothing stands out from the ground"
    sizes = np.bincount(labels.ravel())[1:]
    kept = sizes >= max(0.15 * sizes.max(), 20)
    if kept.sum() > gate.pieces:
        return "many separate pieces"
    left_out = sizes[~kept & (sizes > SPECK)]
    if left_out.sum() > gate.lost * sizes[kept].sum() or len(left_out) > gate.specks:
        return "small pieces lie about"
    mask = np.isin(labels, np.flatnonzero(kept) + 1)
    return open_holes(ndimage.binary_fill_holes(mask), lab, ground, tolerance, gate)


def open_holes(filled: Flags, lab: Array, ground: Ground, tolerance: float, gate: Gate) -> Flags | str:
    """The mask without the enclosed parts that are ground: the gap within a handle, between spokes or legs.

    In a convex thing they are taken for markings of its surface instead: lettering, a screen, a dial.
    """
    if solidity(filled) > CONVEX:
        return filled
    difference = np.linalg.norm(ndimage.gaussian_filter(lab, (0.6, 0.6, 0)) - ground.lab, axis=-1)
    labels, count = ndimage.label(filled & (difference < 0.8 * tolerance), FOUR)
    if not count:
        return filled
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel())[1:]
    off = ndimage.median(difference, labels, numbers)
    seen = (sizes >= max(12, 0.0008 * filled.size)) & (off < 0.5 * tolerance)
    if sizes[seen].sum() > gate.ambiguous * filled.sum():
        return "much of the object may be ground"
    return filled & ~np.isin(labels, numbers[seen])


def judge(
    mask: Flags, lab: Array, ground: Ground, gate: Gate, factor: float, measures: dict[str, float],
) -> str:
    """Why the cut is not clean; empty if it is. What was measured is added to ``measures``."""
    measures["area"] = float(mask.mean())
    if not gate.area[0] <= measures["area"] <= gate.area[1]:
        return "the object is too small or too large"
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    measures["touch"] = float(rim.mean())
    if measures["touch"] > gate.touch:
        return "the object runs out of the picture"
    measures["filled"] = rectangle_share(mask)
    sides = flush_sides(mask)
    if measures["filled"] > gate.filled or (sides > gate.flush).sum() >= 2 or (sides > 0.7 * gate.flush).sum() >= 3:
        return FRAMED
    if oval_share(mask) > gate.oval:
        return "the object is an oval vignette"
    measures["contrast"], measures["faint"] = outline_contrast(mask, lab)
    if measures["contrast"] < gate.contrast or measures["faint"] > gate.faint:
        return "the outline is faint"
    measures["rough"] = roughness(mask)
    if measures["rough"] > gate.rough:
        return "the outline is ragged"
    cuts = [find_object(lab, ground, step * factor * ground.tolerance, gate) for step in (0.75, 1.4)]
    masks = [cut for cut in cuts if not isinstance(cut, str)]
    measures["stable"] = min((overlap(mask, cut) for cut in masks), default=0.0)
    measures["shift"] = max((float((mask ^ cut).sum()) for cut in masks), default=0.0) / outline_length(mask)
    steady = measures["stable"] >= gate.stable and measures["shift"] <= gate.shift
    if len(masks) < len(cuts) or not (steady or measures["shift"] <= gate.thin_shift):
        return "the outline depends on the tolerance"
    return ""


def outline_length(mask: Flags) -> float:
    """Pixels of the mask that have a neighbour outside it."""
    return max(1.0, float((mask & ~ndimage.binary_erosion(mask, FOUR)).sum()))


def flush_sides(mask: Flags) -> Array:
    """(4,) share of each side of the mask's bounding box along which the outline runs within 1.5 pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.array([box[:2].any(axis=0).mean(), box[-2:].any(axis=0).mean(), box[:, :2].any(axis=1).mean(),
                     box[:, -2:].any(axis=1).mean()])


def solidity(mask: Flags) -> float:
    """Share of its convex hull that the mask covers."""
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask, FOUR))
    if len(edge) < 3 or not np.ptp(edge, axis=0).all():
        return 1.0
    corners = np.concatenate([edge + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])
    return float(mask.sum() / ConvexHull(corners).volume)


def overlap(first: Flags, second: Flags) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def rectangle_share(mask: Flags) -> float:
    """How much of its tightest rectangle, at any of 30 angles, the filled mask covers."""
    filled = ndimage.binary_fill_holes(mask)
    rows, columns = np.nonzero(filled & ~ndimage.binary_erosion(filled))
    angles = np.deg2rad(np.arange(0, 90, 3))[:, None]
    u = columns * np.cos(angles) + rows * np.sin(angles)
    v = rows * np.cos(angles) - columns * np.sin(angles)
    areas = (np.ptp(u, axis=1) + 1) * (np.ptp(v, axis=1) + 1)
    return float(filled.sum() / areas.min())


def oval_share(mask: Flags) -> float:
    """Overlap (IoU) of the filled mask with the ellipse of its moments; 0 where that is nearly a circle."""
    filled = ndimage.binary_fill_holes(mask)
    points = np.argwhere(filled).astype(np.float64)
    points -= points.mean(axis=0)
    spread = points.T @ points / len(points)
    small, large = np.linalg.eigvalsh(spread)
    if large < 1.3 * small or small < 1:
        return 0.0
    # The ellipse of these moments and of the same area has the squared radius 4 in this measure.
    within = float((((points @ np.linalg.inv(spread)) * points).sum(axis=1) <= 4.0).sum())
    area = 4 * np.pi * np.sqrt(small * large)
    return float(within / (len(points) + area - within))


def outline_contrast(mask: Flags, lab: Array) -> tuple[float, float]:
    """Median L*a*b* step between 2 pixels inside and 2 outside along the outline; share where it is below 6."""
    height, width = mask.shape
    inside = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    toward_inside = ndimage.gaussian_filter(mask.astype(np.float64), 1.5)
    slope = np.stack([ndimage.sobel(toward_inside, 0), ndimage.sobel(toward_inside, 1)], axis=-1)
    rows, columns = np.nonzero(mask & (inside <= 1.0))
    step = slope[rows, columns]
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    smooth = ndimage.gaussian_filter(lab, (0.6, 0.6, 0))
    ends = []
    for reach in (2.0, -2.5):
        r = np.clip(np.round(rows + reach * step[:, 0]).astype(int), 0, height - 1)
        c = np.clip(np.round(columns + reach * step[:, 1]).astype(int), 0, width - 1)
        ends.append(smooth[r, c])
    contrast = np.linalg.norm(ends[0] - ends[1], axis=1)
    return float(np.median(contrast)), float((contrast < 6).mean())


def roughness(mask: Flags) -> float:
    """Pixels that a small opening or closing changes, per pixel of outline."""
    cross = ndimage.iterate_structure(FOUR, 1)
    changed = (mask ^ ndimage.binary_opening(mask, cross)) | (mask ^ ndimage.binary_closing(mask, cross))
    changed[[0, -1]] = changed[:, [0, -1]] = False
    return float(changed.sum() / outline_length(mask))
