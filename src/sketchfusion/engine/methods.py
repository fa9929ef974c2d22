"""What is evaluated: the fused features, the training-free baselines of Sec. 6.1, HOG of edges, or chance.

The parts of a baseline's features are rows of ``engine.baselines.BASELINES``. B-Finetuning and every other trained
baseline is a model of its own, judged as "fused".

==============  =======================================================================================================
retrieval       cosine of pooled descriptors; of a baseline, its patches, its taps, or both one after the other
recognition     the nearest class mean of the training sketches' descriptors, by cosine; the fused features use their
                recognition head if they have one
correspondence  cosine of feature maps, window soft-argmax; of a baseline, the maps of its patches and taps on the
                largest grid, each cell of each of unit length, one after the other
segmentation    cosine of the photo's map with the max-pooled sketch; the threshold is the one with the best mean
                foreground IoU on other pictures (validation, or train while validating), the fused features have
                their own
==============  =======================================================================================================

B-DINO and B-DINOv2 see the extractor's canvas, resized to what their checkpoints were trained with, and give the patch
tokens of the last block through the closing LayerNorm; B-CLIP is the extractor's own encoder at its own layer. HOG
gives one vector per picture, has no part in the last two, and needs no extractor; a photo on which it finds no line is
like no sketch and ranks last. "chance" is white noise for features
(``engine.chance``); of the extractor it takes the canvas, the grid and the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import Canvas, Kind
from sketchfusion.data.sets import Picture, read_drawings
from sketchfusion.engine.baselines import (
    BASELINES,
    as_baseline,
    baseline_maps,
    baseline_vectors,
    encode_for,
    own_encoder,
)
from sketchfusion.engine.chance import chance_maps, chance_vectors
from sketchfusion.engine.hog import edge_descriptor
from sketchfusion.engine.protocols import Task
from sketchfusion.errors import BlankPicture, ConfigError, DataError, ImageError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.images import as_image
from sketchfusion.sketches import render

FUSED, CHANCE, HOG = "fused", "chance", "HOG"
METHODS = (FUSED, *BASELINES, CHANCE, HOG)
DENSE: tuple[Task, ...] = ("correspondence", "segmentation")
Advance = Callable[[int], None]


def check_method(method: str, task: Task) -> None:
    """Raise ConfigError: there is no such method, or it cannot do the task."""
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    if method == HOG and task in DENSE:
        raise ConfigError(f"HOG cannot do {task}: it gives one vector per picture and no feature map; choose one of "
                          f"{', '.join(name for name in METHODS if name != method)}")


def needs_model(method: str) -> bool:
    """Whether an extractor has any part in the method."""
    return method != HOG


def prepared(model: SketchFusion | None, method: str, settings: Sequence[str] = ()) -> SketchFusion | None:
    """What the other functions here take: the extractor that the method's features come from; None for HOG.

    Args:
        settings: ``key=value`` of the baseline's own patch encoder, see ``baselines.own_encoder``.
    Raises:
        WeightsUnavailable: the weights of the baseline's own patch encoder are nowhere found.
        ConfigError: there is no extractor, or the settings do not fit.
    """
    if method in BASELINES and model is not None:
        return as_baseline(model, method, settings)
    own_encoder(method, settings)  # refuses settings that have nothing to be set on
    if model is None and needs_model(method):
        raise ConfigError(f"{method} needs a model; only {HOG} does without")
    return model if needs_model(method) else None


def opened(pictures: Iterable[Picture]) -> Iterator[Path | Image.Image]:
    """Pictures as the extractor takes them: paths, and drawings rendered while their files are gone through once.

    Raises:
        DataError: a file of drawings has fewer of them than were listed.
    """
    for (path, drawn), group in groupby(pictures, key=lambda item: (item.path, bool(item.line))):
        if not drawn:
            yield from (item.path for item in group)
            continue
        items = list(group)
        drawings = enumerate(read_drawings(path, items[0].line), start=items[0].line)
        for item in items:
            drawing = next((drawing for line, drawing in drawings if line == item.line), None)
            if drawing is None:
                raise DataError(f"{path} has no drawing {item.line}; it has changed since it was listed")
            yield render(drawing)


def describe(model: SketchFusion | None, method: str, pictures: Sequence[Picture], kind: Kind, *, batch_size: int,
             advance: Advance) -> Tensor:
    """Descriptors of pictures by a method; a batch at a time is in memory.

    Args:
        model: as ``prepared`` gives it.
        pictures: drawings of one file in a row, in the order of their lines.
        kind: of all of them.
        batch_size: pictures that pass the networks together.
        advance: is told how many more are done.
    Returns:
        (N, D) float32 on the CPU, of unit length; zeros for a photo on which HOG finds no line.
    Raises:
        BlankPicture: there is nothing on a sketch.
        ImageError: a picture cannot be read.
        ConfigError: the extractor lacks a backbone that the method needs.
    """
    if method == HOG:
        return describe_edges(pictures, kind, advance)
    parts = []
    assert model is not None, method
    for canvas in model.canvases(opened(pictures), kind, batch_size):
        parts.append(describe_canvas(model, method, canvas))
        advance(len(canvas))
    return torch.cat(parts)


def describe_edges(pictures: Sequence[Picture], kind: Kind, advance: Advance) -> Tensor:
    """HOG of edges, as ``describe`` gives it; errors as there."""
    found: list[Tensor | None] = []
    for item, picture in zip(pictures, opened(pictures), strict=True):
        try:
            found.append(torch.from_numpy(edge_descriptor(as_image(picture), kind)))
        except BlankPicture as error:
            if kind == "sketch":
                raise BlankPicture(f"{item.path}: {error}") from None
            found.append(None)
        except ImageError as error:
            raise ImageError(f"{item.path}: {error}") from None
        advance(1)
    size = next((len(row) for row in found if row is not None), 1)
    return torch.stack([torch.zeros(size) if row is None else row for row in found])


@torch.no_grad()
def describe_canvas(model: SketchFusion, method: str, canvas: Canvas) -> Tensor:
    """(B, D) float32 of unit length on the CPU, pooled as the extractor pools."""
    if method == FUSED:
        return model.describe_canvas(canvas)
    if method == CHANCE:
        return chance_vectors(canvas.images_01, model.config)
    encoded = encode_for(model, method, canvas.images_01)
    return baseline_vectors(model, encoded, canvas.content, model.config.descriptor, [method])[method]


@torch.no_grad()
def maps_of(model: SketchFusion, method: str, canvas: Canvas) -> Tensor:
    """(B, C, Hf, Wf) float32 feature maps on the CPU.

    Raises:
        ConfigError: the extractor lacks a backbone that the method needs.
    """
    if method == FUSED:
        return model.features_of(canvas).feature_map
    if method == CHANCE:
        return chance_maps(canvas.images_01, model.config)
    return side_by_side(baseline_maps(model, method, encode_for(model, method, canvas.images_01))).cpu()


def side_by_side(maps: Sequence[Tensor]) -> Tensor:
    """(B, C_i, H_i, W_i) each -> (B, sum of C, H, W) float32 on the largest grid, every part of a cell of unit length.

    The cosine of two cells is then the mean of the parts' cosines.
    """
    height, width = (max(features.shape[axis] for features in maps) for axis in (2, 3))
    resized = (F.interpolate(features.float(), (height, width), mode="bilinear", align_corners=False)
               for features in maps)
    return torch.cat([F.normalize(features, dim=1, eps=1e-10) for features in resized], dim=1)
