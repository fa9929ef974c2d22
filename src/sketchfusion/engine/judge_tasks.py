"""All tasks' figures of one model on encoded pictures, from one forward pass over each."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.engine.batches import Batch, Dense, dense_labels
from sketchfusion.engine.encoded import EncodedSide
from sketchfusion.engine.judge import instance_truth, judge_categories, judge_instances
from sketchfusion.features import Features
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.correspondence import keypoint_errors, pck_per_pair
from sketchfusion.metrics.recognition import top_k_accuracy
from sketchfusion.metrics.segmentation import intersection_over_union, pixel_accuracy
from sketchfusion.tasks.correlation import correlate, features_at, to_pixels, window_radius, window_soft_argmax
from sketchfusion.tasks.refinement import refine
from sketchfusion.tasks.segmentation import global_descriptor, similarity_map, soft_mask

CHUNK = 64
Progress = Callable[[int, int], None]
Figures = dict[str, Tensor]


def fuse_rows(model: SketchFusion, side: EncodedSide, rows: Tensor, views: Tensor | None = None) -> Features:
    """Features of (B,) encoded pictures, in the first view unless told otherwise."""
    encoded, content = side.take(rows, torch.zeros_like(rows) if views is None else views, model)
    return model.fuse(encoded, content)


@torch.no_grad()
def describe_side(model: SketchFusion, side: EncodedSide, on_progress: Progress | None = None) -> Tensor:
    """(N, D) descriptors of all pictures of a side, on the CPU."""
    parts, done = [], 0
    for rows in torch.arange(len(side)).split(CHUNK):
        parts.append(fuse_rows(model, side, rows).descriptor.float().cpu())
        done += len(rows)
        if on_progress:
            on_progress(done, len(side))
    return torch.cat(parts)


def judge_retrieval(sketches: EncodedSide, photos: EncodedSide, vectors: dict[str, Tensor]) -> Figures:
    """Category- and instance-level retrieval among all photos; ``vectors`` are those of ``describe_side`` by side."""
    found = judge_categories(vectors["sketches"], vectors["photos"], sketches.class_ids, photos.class_ids)
    figures = {f"category_{name}": values for name, values in found.items()}
    rows, truth = instance_truth(sketches.instance_ids, photos.instance_ids)
    if len(rows):
        found = judge_instances(vectors["sketches"][rows], vectors["photos"], truth)
        figures |= {f"instance_{name}": values for name, values in found.items()}
    return figures


@torch.no_grad()
def judge_recognition(model: SketchFusion, vectors: Tensor, targets: Tensor) -> Figures:
    """Acc@1 and Acc@5 of the recognition head.

    Args:
        vectors: (N, D) descriptors of sketches.
        targets: (N,) classes of the head, -1 for none of them: left out.
    """
    head = model.heads.recognition
    known = targets >= 0
    if head is None or not known.any():
        return {}
    logits = head(vectors[known].to(model.device)).cpu()
    return {f"recognition_Acc@{k}": top_k_accuracy(logits, targets[known], min(k, logits.shape[1])) for k in (1, 5)}


@torch.no_grad()
def judge_dense(model: SketchFusion, sketches: EncodedSide, photos: EncodedSide, *, refined: bool = False,
                on_progress: Progress | None = None) -> Figures:
    """Correspondence and segmentation on all sketches whose very photo is there, on the canvas.

    Returns:
        PCK@5 and PCK@10 of each pair (mean over its visible key points, then over both directions; share of the
        canvas side), IoU of the foreground and pixel accuracy of each pair at the head's threshold; with ``refined``
        also of the refined masks. Empty where there are no such pairs.
    """
    pairs = sample_pairs(sketches, photos)
    if not len(pairs):
        return {}
    figures: dict[str, list[Tensor]] = {}
    done = 0
    for part in pairs.split(CHUNK):
        drawn, shown = part.unbind(1)
        first = torch.zeros_like(drawn)
        dense = dense_labels(sketches, photos, Batch(drawn, shown, first, first, len(drawn)))
        both = fuse_rows(model, sketches, drawn), fuse_rows(model, photos, shown)
        contents = sketches.content[drawn], photos.content[shown]
        found = pck_of(model, both, contents, dense) | masks_of(model, both, contents, dense, photos.images[shown]
                                                                if refined else None)
        for name, values in found.items():
            figures.setdefault(name, []).append(values)
        done += len(part)
        if on_progress:
            on_progress(done, len(pairs))
    return {name: torch.cat(values) for name, values in figures.items()}


def sample_pairs(sketches: EncodedSide, photos: EncodedSide) -> Tensor:
    """(M, 2) rows of sketches and of the very photos that they were drawn of."""
    same = (sketches.sample_ids[:, None] == photos.sample_ids[None]) & (sketches.sample_ids[:, None] >= 0)
    return torch.nonzero(same)


def pck_of(model: SketchFusion, both: tuple[Features, Features], contents: tuple[Tensor, Tensor],
           dense: Dense) -> Figures:
    """PCK@5 and PCK@10 of each pair, the mean of both directions."""
    side, config = model.canvas_size, model.config.heads.correspondence
    points = dense.sketch_px.to(model.device), dense.photo_px.to(model.device)
    totals: Figures = {}
    for source, target in ((0, 1), (1, 0)):
        maps = both[target].feature_map.float()
        grid = (maps.shape[2], maps.shape[3])
        safe = torch.where(dense.visible[..., None].to(model.device), points[source], 0.0)
        rows = features_at(both[source].feature_map.float(), safe, side)
        allowed = content_mask(contents[target].to(model.device), side, grid)
        cells = window_soft_argmax(correlate(rows, maps), config.temperature, window_radius(config.window, grid),
                                   allowed)
        errors = keypoint_errors(to_pixels(cells, side, grid).cpu().flatten(0, 1),
                                 points[target].cpu().flatten(0, 1).nan_to_num()).view(dense.visible.shape)
        for k in (5, 10):
            name = f"correspondence_PCK@{k}"
            totals[name] = totals.get(name, 0) + pck_per_pair(errors, dense.visible, side, k) / 2
    return totals


def masks_of(model: SketchFusion, both: tuple[Features, Features], contents: tuple[Tensor, Tensor], dense: Dense,
             images: Tensor | None) -> Figures:
    """IoU and pixel accuracy of each pair; ``images`` (B, 3, S, S) uint8 are there where masks are to be refined."""
    maps = both[0].feature_map
    own = content_mask(contents[0].to(model.device), model.canvas_size, (maps.shape[2], maps.shape[3]))
    similarity = similarity_map(global_descriptor(maps, own), both[1].feature_map)
    side = dense.masks.shape[-1]
    fine = F.interpolate(similarity[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
    head = model.heads.segmentation
    probability = soft_mask(fine, head.threshold, head.softness).float().cpu()
    truth = dense.masks > 0.5
    found = {"": probability > 0.5}
    if images is not None:
        found["_refined"] = torch.stack([refine(values, image.float() / 255) > 0.5
                                         for values, image in zip(probability, images, strict=True)])
    figures = {}
    for name, masks in found.items():
        figures[f"segmentation_IoU{name}"] = intersection_over_union(masks, truth)
        figures[f"segmentation_pAcc{name}"] = pixel_accuracy(masks, truth)
    return figures
