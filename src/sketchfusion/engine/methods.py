"""What is evaluated: the fused features, the training-free baselines of Sec. 6.1, or HOG of edges, as one interface.

==============  =======================================================================================================
retrieval       cosine of pooled descriptors
recognition     the nearest class mean of the training sketches' descriptors, by cosine; the fused features use their
                recognition head if they have one
correspondence  cosine of feature maps, window soft-argmax; of a baseline, the maps of its taps on the largest grid,
                each cell of each of unit length, one after the other
segmentation    cosine of the photo's map with the max-pooled sketch; the threshold is the one with the best mean
                foreground IoU on other pictures (validation, or train while validating), the fused features have
                their own
==============  =======================================================================================================

HOG gives one vector per picture and has no part in the last two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.data.sets import Picture, read_drawings
from sketchfusion.engine.baselines import baseline_vectors
from sketchfusion.engine.hog import edge_descriptor
from sketchfusion.engine.protocols import Task
from sketchfusion.errors import ConfigError, DataError, ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.images import as_image
from sketchfusion.sketches import render

Method = Literal["fused", "B-CLIP", "B-SD", "B-SD+CLIP", "HOG"]
DENSE: tuple[Task, ...] = ("correspondence", "segmentation")
Advance = Callable[[int], None]


def check_method(method: str, task: Task) -> None:
    """Raise ConfigError: there is no such method, or it cannot do the task."""
    if method not in get_args(Method):
        raise ConfigError(f"unknown method {method!r}; choose one of {', '.join(get_args(Method))}")
    if method == "HOG" and task in DENSE:
        raise ConfigError(f"HOG cannot do {task}: it gives one vector per picture and no feature map; choose one of "
                          f"{', '.join(name for name in get_args(Method) if name != method)}")


def opened(pictures: Iterable[Picture]) -> Iterator[Path | Image.Image]:
    """Pictures as the extractor takes them: paths, and drawings rendered while their files are gone through once.

    Raises:
        DataError: a file of drawings has fewer of them than were listed.
    """
    for (path, drawn), group in groupby(pictures, key=lambda item: (item.path, bool(item.line))):
        if not drawn:
            yield from (item.path for item in group)
            continue
        drawings = enumerate(read_drawings(path), start=1)
        for item in group:
            drawing = next((drawing for line, drawing in drawings if line == item.line), None)
            if drawing is None:
                raise DataError(f"{path} has no drawing {item.line}; it has changed since it was listed")
            yield render(drawing)


def describe(model: SketchFusion, method: Method, pictures: Sequence[Picture], kind: Kind, *, batch_size: int,
             advance: Advance) -> Tensor:
    """Descriptors of pictures by a method; a batch at a time is in memory.

    Args:
        pictures: drawings of one file in a row, in the order of their lines.
        kind: of all of them.
        batch_size: pictures that pass the networks together.
        advance: is told how many more are done.
    Returns:
        (N, D) float32 of unit length on the CPU.
    Raises:
        ImageError: a picture cannot be read, or is blank.
        ConfigError: the extractor lacks a backbone that the method needs.
    """
    parts = []
    if method == "HOG":
        for item, picture in zip(pictures, opened(pictures), strict=True):
            try:
                parts.append(torch.from_numpy(edge_descriptor(as_image(picture), kind))[None])
            except ImageError as error:
                raise ImageError(f"{item.path}: {error}") from None
            advance(1)
        return torch.cat(parts)
    for canvas in model.canvases(opened(pictures), kind, batch_size):
        parts.append(describe_canvas(model, method, canvas))
        advance(len(canvas))
    return torch.cat(parts)


@torch.no_grad()
def describe_canvas(model: SketchFusion, method: Method, canvas: Canvas) -> Tensor:
    """(B, D) float32 of unit length on the CPU, pooled as the extractor pools."""
    if method == "fused":
        return model.describe_canvas(canvas)
    encoded = model.encode(canvas.images_01, always_patches=True)
    return baseline_vectors(model, encoded, canvas.content, model.config.descriptor)[method]


@torch.no_grad()
def maps_of(model: SketchFusion, method: Method, canvas: Canvas) -> Tensor:
    """(B, C, Hf, Wf) float32 feature maps on the CPU.

    Raises:
        ConfigError: the extractor lacks a backbone that the method needs.
    """
    if method == "fused":
        return model.features_of(canvas).feature_map
    encoded = model.encode(canvas.images_01, always_patches=True)
    parts = []
    if "SD" in method:
        if not model.config.aggregation.unet_taps:
            raise ConfigError(f"{method} needs a diffusion model; take an extractor with taps of its UNet")
        pyramids = model.diffusion.forward_taps(encoded.latents, encoded.keys, None)
        parts += [features for pyramid in pyramids for features in pyramid.values()]
    if "CLIP" in method and encoded.patch_features is not None:
        parts.append(encoded.patch_features)
    return side_by_side(parts).cpu()


def side_by_side(maps: Sequence[Tensor]) -> Tensor:
    """(B, C_i, H_i, W_i) each -> (B, sum of C, H, W) float32 on the largest grid, every part of a cell of unit length.

    The cosine of two cells is then the mean of the parts' cosines.
    """
    height, width = (max(features.shape[axis] for features in maps) for axis in (2, 3))
    resized = (F.interpolate(features.float(), (height, width), mode="bilinear", align_corners=False)
               for features in maps)
    return torch.cat([F.normalize(features, dim=1, eps=1e-10) for features in resized], dim=1)
