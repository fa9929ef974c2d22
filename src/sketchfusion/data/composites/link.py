"""From rasters to lines: the border of an area by marching squares, and thin pixel lines by walking them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sketchfusion.data.composites.colour import Array, Flags

Pixel = tuple[int, int]
LOOK_BACK = 4  # pixels by which the direction of a walk is judged
STRAIGHT = 0.5  # least cosine between the ways into and out of a junction for the walk to go on
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))  # edges before corners

# Corners of a cell: 1 top left, 2 top right, 4 bottom right, 8 bottom left. Sides: 0 top, 1 right, 2 bottom, 3 left.
# For each set of positive corners: the pairs of sides that the border joins; positive is on the right hand.
CASES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 3),), 2: ((1, 0),), 3: ((1, 3),), 4: ((2, 1),), 5: ((0, 3), (2, 1)), 6: ((2, 0),), 7: ((2, 3),),
    8: ((3, 2),), 9: ((0, 2),), 10: ((1, 0), (3, 2)), 11: ((1, 2),), 12: ((3, 1),), 13: ((0, 1),), 14: ((3, 0),)}


def trace_border(level: Array) -> list[Array]:
    """Closed lines along which the (H, W) raster, interpolated between pixel centres, is zero.

    Returns:
        (N, 2) float (x, y) each, pixel centres at +0.5, the last point the first again; what is beyond the raster
        counts as negative.
    Source: W. Lorensen, H. Cline, Marching cubes, 1987, in two dimensions.
    """
    values = np.pad(level, 1, constant_values=min(float(level.min()), -1.0))
    positive = values > 0
    code = (positive[:-1, :-1] * 1 + positive[:-1, 1:] * 2 + positive[1:, 1:] * 4 + positive[1:, :-1] * 8)
    follow: dict[tuple[int, int, int], tuple[int, int, int]] = {}
    for row, column in np.argwhere((code > 0) & (code < 15)).tolist():
        for start, end in CASES[int(code[row, column])]:
            follow[edge_key(row, column, start)] = edge_key(row, column, end)
    lines = []
    while follow:
        first, key = follow.popitem()
        keys = [first]
        while key != first:
            keys.append(key)
            key = follow.pop(key)
        lines.append(np.array([crossing(values, *each) for each in [*keys, first]]) - 0.5)
    return lines


def edge_key(row: int, column: int, side: int) -> tuple[int, int, int]:
    """The grid edge at a side of a cell, named alike from both cells: (0, row, column) across, (1, ...) down."""
    return ((0, row, column), (1, row, column + 1), (0, row + 1, column), (1, row, column))[side]


def crossing(values: Array, kind: int, row: int, column: int) -> tuple[float, float]:
    """Where the grid edge is crossed, (x, y), in the padded raster's grid."""
    here = float(values[row, column])
    there = float(values[row, column + 1] if kind == 0 else values[row + 1, column])
    share = here / (here - there)
    return (column + share, float(row)) if kind == 0 else (float(column), row + share)


def link_pixels(lines: Flags) -> list[npt.NDArray[np.int64]]:
    """Pixel lines of a thinned (H, W) raster, each (N, 2) int (row, column), N >= 2.

    A walk starts at an end (then anywhere, for closed lines), and at a junction goes straight on, or stops.
    """
    left = {(int(row), int(column)) for row, column in np.argwhere(lines)}
    degree = {pixel: len(around(pixel, left)) for pixel in left}
    starts = sorted(left, key=lambda pixel: (degree[pixel] != 1, pixel))
    found = []
    for start in starts:
        if start not in left:
            continue
        left.discard(start)
        walk = extend([start], left)
        walk = extend(walk[::-1], left)
        if len(walk) > 1:
            found.append(np.array(walk, dtype=np.int64))
    return found


def around(pixel: Pixel, pixels: set[Pixel]) -> list[Pixel]:
    """The neighbours of a pixel that are in the set."""
    row, column = pixel
    return [(row + dy, column + dx) for dy, dx in NEIGHBOURS if (row + dy, column + dx) in pixels]


def extend(walk: list[Pixel], left: set[Pixel]) -> list[Pixel]:
    """The walk carried on from its last pixel as far as it goes; its pixels leave ``left``."""
    walk = list(walk)
    while options := around(walk[-1], left):
        if len(walk) > 1:
            back = walk[max(0, len(walk) - 1 - LOOK_BACK)]
            heading = (walk[-1][0] - back[0], walk[-1][1] - back[1])
            options.sort(key=lambda pixel: -alignment(heading, walk[-1], pixel))
            if len(options) > 1 and alignment(heading, walk[-1], options[0]) < STRAIGHT:
                break
        walk.append(options[0])
        left.discard(options[0])
    return walk


def alignment(heading: Pixel, here: Pixel, there: Pixel) -> float:
    """Cosine between the heading and the step from here to there."""
    step = (there[0] - here[0], there[1] - here[1])
    size = np.hypot(*heading) * np.hypot(*step)
    return float((heading[0] * step[0] + heading[1] * step[1]) / max(float(size), 1e-9))
