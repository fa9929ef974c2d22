"""Sketch-photo correspondence (Sec. 6.3): which place of a photo a point of the sketch stands for, and the reverse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.config import CorrespondenceConfig, Section
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion, as_kind
from sketchfusion.images import Picture, as_image, each_picture
from sketchfusion.tasks.correlation import (
    correlate,
    features_at,
    soft_argmax,
    to_cells,
    to_pixels,
    window_radius,
    window_soft_argmax,
)

NotNegative = Annotated[float, Field(ge=0)]
Norm = Literal["squared", "plain"]
NUM_POINTS = 8  # as many as each pair of PSC6K has


class CorrespondenceLossConfig(Section):
    """How key points are taught to find each other: L_corr = L_CL + L_EPE.

    Attributes:
        contrast_weight, endpoint_weight: of the two terms; the released code leaves the contrast out.
        norm: of the endpoint error: "squared" is Eq. 3, "plain" the released code's and GeoAware-SC's.
        target_noise: std, in cells of the grid, of Gaussian noise on the places to be found; the released code takes 3
            cells of 60.
    """

    contrast_weight: NotNegative = 1.0
    endpoint_weight: NotNegative = 1.0
    norm: Norm = "squared"
    target_noise: NotNegative = 0.0


def correspondence_loss(
    sketch_maps: Tensor, photo_maps: Tensor, sketch_px: Tensor, photo_px: Tensor, visible: Tensor, *,
    canvas_size: int, temperature: float, scale: Tensor, config: CorrespondenceLossConfig,
    sketch_allowed: Tensor | None = None, photo_allowed: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The two terms of the loss of a batch of pairs, in float32 whatever the maps' type; all on one device.

    Args:
        sketch_maps, photo_maps: (B, D, Hf, Wf) feature maps; the two grids may differ.
        sketch_px, photo_px: (B, N, 2) key points in canvas pixels; point i of both is the same part of the object.
        visible: (B, N) bool; where false the points count nowhere and may hold anything.
        canvas_size: side of the canvas in pixels.
        temperature: of the soft-argmax.
        scale: of the cosines in the contrast, 0-dim.
        config: the norm and the noise; the weights are ``correspondence_total``'s.
        sketch_allowed, photo_allowed: (B, Hf, Wf) bool, the pictures' own cells; None: all.
        generator: of the noise, on the maps' device; None: torch's own.
    Returns:
        Scalars "contrast" (``keypoint_contrast``) and "endpoint" (``endpoint_error``, the mean of sketch to photo and
        photo to sketch), both unweighted.
    Source: Sec. 6.3, Eq. 3.
    """
    with torch.autocast(sketch_maps.device.type, enabled=False):  # half precision blurs cosines by its temperature
        sketch_px, photo_px = (torch.where(visible[..., None], points, 0.0) for points in (sketch_px, photo_px))
        sketch_rows = features_at(sketch_maps, sketch_px, canvas_size)
        photo_rows = features_at(photo_maps, photo_px, canvas_size)
        errors = []
        for rows, maps, points, allowed in ((sketch_rows, photo_maps, photo_px, photo_allowed),
                                            (photo_rows, sketch_maps, sketch_px, sketch_allowed)):
            predicted = soft_argmax(correlate(rows, maps), temperature, allowed)
            target = to_cells(points, canvas_size, (maps.shape[2], maps.shape[3]))
            if config.target_noise:
                noise = torch.randn(target.shape, generator=generator, device=target.device)
                target = target + config.target_noise * noise
            errors.append(endpoint_error(predicted, target, visible, config.norm))
        return {"contrast": keypoint_contrast(sketch_rows, photo_rows, visible, scale),
                "endpoint": (errors[0] + errors[1]) / 2}


def correspondence_total(terms: dict[str, Tensor], config: CorrespondenceLossConfig) -> Tensor:
    """The terms of ``correspondence_loss``, weighted and added."""
    return config.contrast_weight * terms["contrast"] + config.endpoint_weight * terms["endpoint"]


def keypoint_contrast(sketch_rows: Tensor, photo_rows: Tensor, visible: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy of each key point against all key points of the other picture of its pair, in both directions.

    Args:
        sketch_rows, photo_rows: (B, N, D) unit vectors; row i of one matches row i of the other.
        visible: (B, N) bool; the others are no rows and no columns.
        scale: of the cosines, 1 / temperature.
    Returns:
        Scalar: mean over the visible points of the batch, 0 if there is none; a point that is alone in its pair
        counts with 0.
    Source: Sec. 6.3, L_CL; as in GeoAware-SC, the loss of CLIP.
    """
    logits = scale * sketch_rows @ photo_rows.transpose(1, 2)                 # (B, N, N)
    lowest = torch.finfo(logits.dtype).min
    forth = logits.masked_fill(~visible[:, None, :], lowest).log_softmax(2).diagonal(dim1=1, dim2=2)
    back = logits.masked_fill(~visible[:, :, None], lowest).log_softmax(1).diagonal(dim1=1, dim2=2)
    return _mean_of_visible(-(forth + back) / 2, visible)


def endpoint_error(predicted_cells: Tensor, target_cells: Tensor, visible: Tensor, norm: Norm) -> Tensor:
    """How far the places found are from those to be found: the end of the flow, whose start both share.

    Args:
        predicted_cells, target_cells: (B, N, 2) cells. The unit is one cell, so the error depends on the grid: twice
            the cells per side are twice the error, and four times its square.
        visible: (B, N) bool.
        norm: "squared" is the squared distance, "plain" the distance.
    Returns:
        Scalar: mean over the visible points of the batch, 0 if there is none.
    Source: Eq. 3 for "squared"; the released code for "plain".
    """
    gap = torch.where(visible[..., None], predicted_cells - target_cells, 0.0)
    distance = gap.square().sum(-1) if norm == "squared" else torch.linalg.vector_norm(gap, dim=-1)
    return _mean_of_visible(distance, visible)


def _mean_of_visible(values: Tensor, visible: Tensor) -> Tensor:
    return torch.where(visible, values, 0.0).sum() / visible.sum().clamp(min=1)


@dataclass(frozen=True, eq=False)
class Matches:
    """Where the points of one picture were found in another; on the CPU in float32.

    Attributes:
        query_px: (N, 2) points, in pixels of the picture they were given on.
        found_px: (N, 2) their places, in pixels of the picture they were looked for in, never outside it.
        scores: (N,) cosine of the features at both, in [-1, 1].
    """

    query_px: Tensor
    found_px: Tensor
    scores: Tensor


@torch.no_grad()
def match_points(model: SketchFusion, sketch: Picture, photos: Iterable[Picture] | Picture,
                 points_px: Tensor | None = None, *, num_points: int = NUM_POINTS, reverse: bool = False,
                 batch_size: int = 8) -> list[Matches]:
    """Find points of a sketch in photos; with ``reverse``, points of a photo in the sketch.

    Args:
        sketch: see ``SketchFusion.features``. Strokes and SVG have the pixels that ``sketches.read_sketch`` draws.
        photos: one or many; with ``reverse`` exactly one.
        points_px: (N, 2) in pixels of the upright original of the sketch (with ``reverse`` of the photo), edges
            included. None: ``num_points`` of the sketch's ink (``ink_points``).
        batch_size: photos that pass the networks together.
    Returns:
        One ``Matches`` per photo, in order.
    Raises:
        ConfigError: a point lies outside its picture, or an argument does not fit.
        ImageError: a picture cannot be read, the sketch is blank, or there is no photo.
    Source: window soft-argmax of the released code's evaluation.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    source = as_kind(_only(photos), "photo") if reverse else as_kind(sketch, "sketch")
    kind: Kind = "photo" if reverse else "sketch"
    if points_px is None:
        if reverse:
            raise ConfigError("no points were given, and with reverse=True they cannot be chosen, since a photo has "
                              "no ink; give points_px, (N, 2) pixels of the photo")
        points_px = ink_points(as_image(source), num_points)
    rows = point_features(model, source, kind, points_px)
    targets = model.canvases(sketch, "sketch") if reverse else model.canvases(photos, "photo", batch_size)
    points = torch.as_tensor(points_px, dtype=torch.float32, device="cpu")
    return [Matches(points, *found) for canvas in targets
            for found in find_in_maps(model, rows, model.features_of(canvas).feature_map, canvas)]


def point_features(model: SketchFusion, picture: Picture, kind: Kind, points_px: Tensor) -> Tensor:
    """Features of points of a picture, which passes the networks once.

    Args:
        picture: see ``SketchFusion.features``.
        points_px: (N, 2) in pixels of the upright original, edges included.
    Returns:
        (1, N, D) float32 of unit length, on the CPU.
    Raises:
        ConfigError: a point lies outside the picture, or they are not (N, 2).
        ImageError: the picture cannot be read, or the sketch is blank.
    """
    canvas = model.read(picture, kind)
    points = _inside(points_px, canvas, kind)
    return point_features_of(model.features_of(canvas).feature_map, canvas, points)


def point_features_of(feature_map: Tensor, canvas: Canvas, points_px: Tensor) -> Tensor:
    """As ``point_features``, from the (1, D, Hf, Wf) map of the only picture of the canvas; points are not checked."""
    return features_at(feature_map, canvas.to_canvas_frame(points_px, 0)[None], canvas.side)


def find_in_maps(model: SketchFusion, rows: Tensor, maps: Tensor, canvas: Canvas) -> list[tuple[Tensor, Tensor]]:
    """Find points in photos whose feature maps are known; nothing passes the networks.

    Args:
        rows: (1, N, D) unit vectors of the points (``point_features``).
        maps: (B, D, Hf, Wf), fresh or from a gallery (``compact_map.expand``), any lengths.
        canvas: where the photos of the maps lie; ``canvas.blank_canvas`` will do.
    Returns:
        Per photo (N, 2) float32 pixels of the upright original, never outside it, and (N,) cosines in [-1, 1].
    Source: window soft-argmax of the released code's evaluation.
    """
    config: CorrespondenceConfig = model.config.heads.correspondence
    grid = (maps.shape[2], maps.shape[3])
    allowed = content_mask(canvas.content, canvas.side, grid)
    radius = window_radius(config.window, grid)
    cells = window_soft_argmax(correlate(rows, maps), config.temperature, radius, allowed)
    found = to_pixels(cells, canvas.side, grid)
    scores = (features_at(maps, found, canvas.side) * rows).sum(-1).clamp(-1, 1)
    return [(canvas.to_image_frame(found[index], index).clamp(torch.zeros(2), size.flip(0).float()), scores[index])
            for index, size in enumerate(canvas.sizes)]


def ink_points(sketch_image: Image.Image, count: int) -> Tensor:
    """Points spread over the ink: first the one farthest from its middle, then each farthest from those before.

    Args:
        sketch_image: RGB, dark ink on light paper. Ink is what is darker, in its darkest channel, than half way between
            the picture's darkest and lightest.
        count: at least 1.
    Returns:
        (N, 2) float32 centres of pixels, N = ``count``, or all the ink if it has fewer pixels. The same at every call.
    Raises:
        ConfigError: ``count`` below 1.
    """
    if count < 1:
        raise ConfigError(f"the number of points must be at least 1, got {count}")
    levels = np.asarray(sketch_image.convert("RGB")).min(axis=2).astype(np.float32)
    rows, columns = np.nonzero(levels <= (levels.min() + levels.max()) / 2)
    ink = np.column_stack([columns, rows]) + 0.5
    chosen = [int(((ink - ink.mean(axis=0)) ** 2).sum(axis=1).argmax())]
    distance = np.full(len(ink), np.inf)
    while len(chosen) < min(count, len(ink)):
        distance = np.minimum(distance, ((ink - ink[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return torch.from_numpy(ink[chosen]).float()


def _only(photos: Iterable[Picture] | Picture) -> Picture:
    first, *more = each_picture(photos)
    if more:
        raise ConfigError(f"with reverse=True the points lie on one photo, but {1 + len(more)} were given; "
                          "call match_points once for each")
    return first


def _inside(points_px: Tensor, canvas: Canvas, kind: Kind) -> Tensor:
    """The points as float32 on the CPU. Raises ConfigError: not (N, 2), or outside the only picture of ``canvas``."""
    points = torch.as_tensor(points_px, dtype=torch.float32, device="cpu")
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ConfigError(f"points must be (N, 2) pixels (x, y), at least one, got {tuple(points.shape)}")
    size = canvas.sizes[0].flip(0)
    inside = ((points >= 0) & (points <= size)).all(1)
    if not inside.all():
        width, height = size.tolist()
        x, y = points[~inside][0].tolist()
        raise ConfigError(f"the point ({x:g}, {y:g}) lies outside the {kind}, which is {width} pixels wide and "
                          f"{height} high; give points from (0, 0) to ({width}, {height}), in the {kind}'s own pixels")
    return points
