"""Correspondence and segmentation of sketches and the photos that they were drawn of, a few pairs at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.config import SegmentationConfig
from sketchfusion.data import masks
from sketchfusion.data.sets import KeyPointPair, MaskedPair, Picture
from sketchfusion.engine.methods import FUSED, Advance, maps_of
from sketchfusion.engine.protocols import Iou, KeyPoints, PixelAccuracy, Protocol
from sketchfusion.engine.results import Figure
from sketchfusion.errors import DataError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.images import as_image
from sketchfusion.metrics.correspondence import keypoint_errors
from sketchfusion.metrics.segmentation import mean_iou, pixel_accuracy
from sketchfusion.tasks.correspondence import find_in_maps, point_features_of
from sketchfusion.tasks.refinement import refine
from sketchfusion.tasks.segmentation import FOREGROUND, global_descriptor, similarity_map, soft_mask, to_picture

STEPS = 400  # thresholds that are tried, from -1 to 1


@dataclass(frozen=True)
class Side:
    """One picture of a pair: its canvas, (1, C, Hf, Wf) features, and its own cells, (1, Hf, Wf) bool."""

    canvas: Canvas
    features: Tensor
    own: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright picture."""
        height, width = self.canvas.sizes[0].tolist()
        return height, width


def sides_of(model: SketchFusion, method: str, pairs: Sequence[KeyPointPair] | Sequence[MaskedPair],
             batch_size: int) -> Iterator[tuple[Side, Side]]:
    """(sketch, photo) of each pair; a photo is described once for the sketches of a batch, so sort pairs by photo."""
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start:start + batch_size]
        sketches = featured(model, method, [pair.sketch for pair in batch], "sketch")
        photos = featured(model, method, [pair.photo for pair in batch], "photo")
        yield from ((sketches[pair.sketch], photos[pair.photo]) for pair in batch)


def featured(model: SketchFusion, method: str, pictures: Sequence[Picture], kind: Kind) -> dict[Picture, Side]:
    """The different ones among the pictures, described together."""
    each = {picture: model.read(picture.path, kind) for picture in dict.fromkeys(pictures)}
    canvas = Canvas.stack(list(each.values()))
    maps = maps_of(model, method, canvas)
    own = content_mask(canvas.content, model.canvas_size, (maps.shape[2], maps.shape[3]))
    return {picture: Side(part, maps[row:row + 1], own[row:row + 1])
            for row, (picture, part) in enumerate(each.items())}


def judge_points(model: SketchFusion, method: str, pairs: Sequence[KeyPointPair], protocol: Protocol, *,
                 batch_size: int, advance: Advance) -> dict[str, Figure]:
    """PCK as the protocol defines it.

    Args:
        pairs: sorted by photo.
        advance: is told how many more are done.
    Returns:
        Measure -> values of "queries", one per pair, or of "points", one per visible point: of each pair photo to
        sketch, then sketch to photo.
    Raises:
        DataError: a picture has another size than its points are meant for.
    """
    measures = [measure for measure in protocol.measures if isinstance(measure, KeyPoints)]
    near: dict[str, list[Tensor]] = {measure.name: [] for measure in measures}
    for pair, (sketch, photo) in zip(pairs, sides_of(model, method, pairs, batch_size), strict=True):
        seen = torch.tensor(pair.visible, dtype=torch.bool)
        errors, sizes = [], []
        for picture, side in ((pair.sketch, sketch), (pair.photo, photo)):
            check_side(picture, side, protocol)
        for source, target, source_points, target_points in (
                (photo, sketch, pair.photo_points, pair.sketch_points),
                (sketch, photo, pair.sketch_points, pair.photo_points)):
            if not seen.any():
                continue
            asked, true = framed(torch.tensor(source_points)[seen], torch.tensor(target_points)[seen],
                                 rounded=protocol.rounded)
            rows = point_features_of(source.features, source.canvas, asked)
            (found, _), = find_in_maps(model, rows, target.features, target.canvas)
            errors.append(keypoint_errors(found, true))
            sizes.append(max(target.size))
        for measure in measures:
            hits = within(errors, sizes, measure)  # both directions have as many, so that they count alike
            near[measure.name].append(hits if measure.per == "point" else hits.mean()[None])
        advance(1)
    return {measure.name: Figure(torch.cat(near[measure.name]), measure.definition,
                                 "points" if measure.per == "point" else "queries") for measure in measures}


def within(errors_px: Sequence[Tensor], sizes_px: Sequence[int], measure: KeyPoints) -> Tensor:
    """(N,) float64, 1 where a point is near enough, of all directions; (N,) errors and a size of each."""
    limits = [measure.k * size / 100 for size in sizes_px]
    near = [own < limit if measure.strict else own <= limit for own, limit in zip(errors_px, limits, strict=True)]
    return torch.cat([torch.zeros(0), *near]).double()


def check_side(picture: Picture, side: Side, protocol: Protocol) -> None:
    """Raise DataError where the picture has not the size that its points are for."""
    if protocol.side and side.size != (protocol.side, protocol.side):
        height, width = side.size
        raise DataError(f"{picture.path} has {width} x {height} pixels, but the points of {protocol.name} are for "
                        f"{protocol.side} x {protocol.side}; unpack the pictures that they were set on again")


def framed(asked: Tensor, true: Tensor, *, rounded: bool) -> tuple[Tensor, Tensor]:
    """Published points in pixels with centres at +0.5: as they are, or numbers of pixels, the asked ones rounded."""
    return (asked.round() + 0.5, true + 0.5) if rounded else (asked, true)


def judge_segmentation(model: SketchFusion, method: str, pairs: Sequence[MaskedPair], others: Sequence[MaskedPair],
                       protocol: Protocol, *, batch_size: int, advance: Advance) -> tuple[dict[str, Tensor], float]:
    """IoU and pixel accuracy as the protocol defines them.

    Args:
        pairs: sorted by photo.
        others: pairs to choose a baseline's threshold by, beside the softness that heads start with; not used where the
            model has its own.
        advance: is told how many more are done.
    Returns:
        Measure -> (P,) values, and the threshold of the cosine.
    Raises:
        DataError: a mask cannot be used, or there is nothing to choose a threshold by.
    """
    head = model.heads.segmentation
    own = method == FUSED
    threshold = head.threshold.item() if own else best_threshold(model, method, others, batch_size, advance)
    softness = head.softness.item() if own else SegmentationConfig().softness
    values: dict[str, list[Tensor]] = {measure.name: [] for measure in protocol.measures}
    for pair, (sketch, photo) in zip(pairs, sides_of(model, method, pairs, batch_size), strict=True):
        probability = soft_mask(full_map(sketch, photo), threshold, softness)
        if protocol.refined:
            probability = refine(probability, np.array(as_image(pair.photo.path)))
        mask, truth = (probability > FOREGROUND)[None], read_mask(pair, photo)[None]
        for measure in protocol.measures:
            if isinstance(measure, Iou):
                values[measure.name].append(mean_iou(mask, truth, over=measure.over))
            elif isinstance(measure, PixelAccuracy):
                values[measure.name].append(pixel_accuracy(mask, truth))
        advance(1)
    return {name: torch.cat(parts) for name, parts in values.items()}, threshold


def full_map(sketch: Side, photo: Side) -> Tensor:
    """(H, W) cosine of the max-pooled sketch with every place of the photo, at the photo's size."""
    vector = global_descriptor(sketch.features, sketch.own)
    return to_picture(similarity_map(vector, photo.features)[0], photo.canvas, 0)


def best_threshold(model: SketchFusion, method: str, pairs: Sequence[MaskedPair], batch_size: int,
                   advance: Advance) -> float:
    """The threshold in [-1, 1] with the best mean foreground IoU before any refinement; the lowest of equal ones.

    Raises:
        DataError: there are no pairs.
    """
    if not pairs:
        raise DataError(f"there are no other pairs to choose the threshold of {method} by; expected some in the "
                        "validation split: add photos with masks and sketches")
    total = torch.zeros(STEPS, dtype=torch.float64)
    for pair, (sketch, photo) in zip(pairs, sides_of(model, method, pairs, batch_size), strict=True):
        total += iou_by_threshold(full_map(sketch, photo), read_mask(pair, photo))
        advance(1)
    return float(thresholds()[int(total.argmax())])


def thresholds() -> Tensor:
    """(STEPS,) float64, ascending."""
    return torch.linspace(-1, 1, STEPS + 1, dtype=torch.float64)[:-1]


def iou_by_threshold(similarity: Tensor, truth: Tensor) -> Tensor:
    """(H, W) cosines and (H, W) bool -> (STEPS,) float64 IoU of the foreground at each of ``thresholds``."""
    bins = ((similarity.double() + 1) / 2 * STEPS).long().clamp(0, STEPS - 1)
    above, hits = (torch.bincount(chosen.flatten(), minlength=STEPS).flip(0).cumsum(0).flip(0).double()
                   for chosen in (bins, bins[truth]))
    union = above + truth.sum() - hits
    return torch.where(union > 0, hits / union, 1.0)


def read_mask(pair: MaskedPair, photo: Side) -> Tensor:
    """(H, W) bool, the foreground. Raises DataError: it marks nothing, has a palette, or has not the photo's size."""
    return torch.from_numpy(masks.read_mask(pair.mask, photo.size))
