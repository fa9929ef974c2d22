"""Tracing a cut-out: its outline and inner edges as vector strokes.

Stroke points are ``(x, y)`` pixels of the cut-out, pixel centres at +0.5. Strokes come in the order in which they
matter: outlines from long to short, then inner edges by strength times length.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sketchfusion.data.composites import polyline
from sketchfusion.data.composites.colour import Array, Bytes, Flags, to_lab
from sketchfusion.data.composites.edges import edge_lines
from sketchfusion.data.composites.link import link_pixels, trace_border
from sketchfusion.errors import DataError

LOW, HIGH = 2.2, 5.5  # L*a*b* units per pixel
MOST_INNER = 60
TOLERANCE = 0.35  # pixels by which a simplified stroke may leave the traced line


@dataclass(frozen=True, eq=False)
class TracedStroke:
    """One line of the object.

    Attributes:
        points: (N, 2) float, N >= 2; of a closed stroke the last repeats the first.
        outline: whether it bounds the object; otherwise it is an edge within.
        strength: mean step across it, L*a*b* units per pixel.
    """

    points: Array
    outline: bool
    strength: float

    @property
    def closed(self) -> bool:
        """Whether it ends where it began."""
        return len(self.points) > 3 and bool(np.allclose(self.points[0], self.points[-1]))


@dataclass(frozen=True, eq=False)
class Trace:
    """All strokes of a cut-out of ``width`` x ``height`` pixels, the most important first."""

    strokes: tuple[TracedStroke, ...]
    width: int
    height: int

    def to_json(self) -> str:
        """One line of JSON; points to a hundredth of a pixel."""
        return json.dumps({"width": self.width, "height": self.height, "strokes": [
            {"outline": stroke.outline, "strength": round(stroke.strength, 2),
             "points": np.round(stroke.points, 2).tolist()} for stroke in self.strokes]}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, name: str = "the trace") -> Trace:
        """What ``to_json`` wrote. Raises DataError: it is something else."""
        try:
            record = json.loads(text)
            strokes = tuple(TracedStroke(np.array(stroke["points"], dtype=np.float64).reshape(-1, 2),
                                         bool(stroke["outline"]), float(stroke["strength"]))
                            for stroke in record["strokes"])
            return cls(strokes, int(record["width"]), int(record["height"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{name} is not a traced cut-out ({type(error).__name__}: {error}); "
                            "prepare it anew") from None


def trace(rgb: Bytes, alpha: Bytes) -> Trace:
    """Outline and inner edges of a cut-out.

    Args:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8.
    Returns:
        Trace; without strokes if nothing is opaque.
    """
    height, width = alpha.shape
    mask = alpha > 127
    if not mask.any():
        return Trace((), width, height)
    side = float(np.sqrt(mask.sum()))
    lab = spread_inward(to_lab(rgb), mask)
    sigma = max(1.0, side / 90)
    scale = sigma  # a blurred step is less steep
    outlines = []
    for line in trace_border(np.asarray(alpha, dtype=np.float64) - 127.5):
        if polyline.length(line) > 0.08 * side:
            smooth = polyline.smooth(line, 1.2, closed=True)
            outlines.append(TracedStroke(polyline.simplify(smooth, TOLERANCE), True, 100.0))
    outlines.sort(key=lambda stroke: -polyline.length(stroke.points))
    inner = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > 1.5 + sigma
    lines, strength = edge_lines(lab, inner, sigma=sigma, low=LOW / scale, high=HIGH / scale)
    found = []
    for pixels in link_pixels(lines):
        points = polyline.smooth(pixels[:, ::-1].astype(np.float64) + 0.5, 1.5)
        if polyline.length(points) > max(4.0, 0.06 * side):
            steep = float(strength[pixels[:, 0], pixels[:, 1]].mean())
            found.append(TracedStroke(polyline.simplify(points, TOLERANCE), False, steep))
    found.sort(key=lambda stroke: -stroke.strength * polyline.length(stroke.points))
    return Trace((*outlines, *found[:MOST_INNER]), width, height)


def spread_inward(lab: Array, mask: Flags) -> Array:
    """Colours with the ground replaced by the nearest of the object, so that its outline is no inner edge too."""
    core = ndimage.binary_erosion(mask, iterations=1)
    core = core if core.any() else mask
    nearest = ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True)
    spread: Array = lab[tuple(nearest)]
    return spread
