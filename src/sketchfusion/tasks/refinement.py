"""A foreground probability brought in line with the edges of its photo: a dense CRF with a local window.

Mean field inference (Kraehenbuehl and Koltun, 2011) for two labels, with pairwise kernels cut off to a dilated window
as in ConvCRF (Teichmann and Cipolla, 2018), so that it takes plain tensor operations. A large photo is worked on at a
smaller size, and a guided filter (He et al., 2013) brings the result back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sketchfusion.config import Section
from sketchfusion.errors import ConfigError

LEVELS = 255
CERTAIN = 1e-5  # a probability counts as no nearer to 0 or 1 than that, so that its logit is finite
REACH = 2.0  # the window's half side, in standard deviations of the position
GUIDE_RADIUS, GUIDE_VARIANCE = 2, 1e-4  # of the guided filter: pixels of the smaller size, and contrast it overlooks
BAND_PIXELS = 1 << 20  # as many pixels at once, where it is done by rows

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Region = tuple[slice, slice]


class CrfConfig(Section):
    """How strongly and how far neighbours draw a pixel to their own label.

    The defaults were found on masks blurred to grids of 8 and 16 cells. A weight is the most that its neighbours can
    add to the logit of a pixel: they count as a weighted mean, not as a sum.

    Attributes:
        iterations: of the mean field; 0 leaves the probability as it is.
        appearance_weight: of near neighbours of like colour.
        smoothness_weight: of the nearest neighbours, whatever their colour.
        color_std: 8-bit levels by which like colours differ.
        position_std: how far away near neighbours of like colour are, as a share of the longer side.
        smoothness_std: how far away the nearest neighbours are, as a share of the longer side.
        radius: steps from the window's centre to its edge; a step is as long as it takes to reach ``REACH`` times
            ``position_std``.
        working_side: longer side in pixels at which the mean field works; larger pictures are shrunk to it.
    """

    iterations: Annotated[int, Field(ge=0)] = 5
    appearance_weight: Weight = 6.0
    smoothness_weight: Weight = 1.0
    color_std: Positive = 8.0
    position_std: Positive = 0.03
    smoothness_std: Positive = 0.01
    radius: Annotated[int, Field(ge=1)] = 7
    working_side: Annotated[int, Field(ge=1)] = 256


DEFAULTS = CrfConfig()


class Neighbour(NamedTuple):
    """One offset of the window: all pixels that have a neighbour there, those neighbours, and the squared distance.

    The distance is a share of the picture's longer side.
    """

    pixels: Region
    neighbours: Region
    distance: float


@torch.no_grad()
def refine(probability: Tensor, image: Tensor | np.ndarray, config: CrfConfig = DEFAULTS) -> Tensor:
    """The probability with edges that follow those of the picture.

    Args:
        probability: (H, W) in [0, 1], of the foreground.
        image: the picture, (H, W, 3) uint8 or (3, H, W) floats in [0, 1].
        config: strength and reach.
    Returns:
        (H, W) float32 in [0, 1]. The memory it takes besides does not grow with the picture beyond ``working_side``.
    Raises:
        ConfigError: shapes or types do not fit.
    Source: Sec. 6.4 ("dense CRF", without parameters).
    """
    planes = as_planes(torch.as_tensor(image), tuple(probability.shape))
    height, width = probability.shape
    scale = min(1.0, config.working_side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = shrink(planes, size)
    refined = mean_field(shrink(probability.float()[None], size)[0], small, config)
    return refined if size == (height, width) else enlarge(refined, small, planes)


def as_planes(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """(3, H, W) of either form of picture, bytes left as bytes. Raises ConfigError: not a picture of that size."""
    planes = image.permute(2, 0, 1) if image.dtype == torch.uint8 and image.ndim == 3 else image
    is_picture = planes.dtype == torch.uint8 or planes.is_floating_point()
    if len(size) != 2 or 0 in size or tuple(planes.shape) != (3, *size) or not is_picture:
        raise ConfigError("refine expects a probability (H, W) and its picture, (H, W, 3) uint8 or (3, H, W) floats, "
                          f"got {size} and {tuple(image.shape)} {image.dtype}; bring both to one size")
    return planes


def mean_field(probability: Tensor, image_01: Tensor, config: CrfConfig) -> Tensor:
    """The probability after so many rounds in which each pixel hears its neighbours.

    Args:
        probability: (H, W) in [0, 1]; its logit is the unary term.
        image_01: (3, H, W) in [0, 1].
    Returns:
        (H, W) float32 in [0, 1].
    """
    around = window((probability.shape[0], probability.shape[1]), config)
    kernel = pairwise(image_01, around, config)
    unary = torch.logit(probability, eps=CERTAIN)
    for _ in range(config.iterations):
        # Of two labels that are penalised for differing, only the lead of one over the other counts.
        probability = torch.sigmoid(unary + message(2 * probability - 1, around, kernel))
    return probability


def window(size: tuple[int, int], config: CrfConfig) -> list[Neighbour]:
    """The window's offsets but its centre, as far as any pixel of a picture of that size has a neighbour there."""
    longest = max(size)
    step = max(1, round(REACH * config.position_std * longest / config.radius))
    line = range(-step * config.radius, step * config.radius + 1, step)
    offsets = [(dy, dx) for dy in line for dx in line if (dy or dx) and abs(dy) < size[0] and abs(dx) < size[1]]
    found = []
    for dy, dx in offsets:
        rows, columns = overlap(dy, size[0]), overlap(dx, size[1])
        found.append(Neighbour((rows[0], columns[0]), (rows[1], columns[1]), (dy ** 2 + dx ** 2) / longest ** 2))
    return found


def overlap(offset: int, size: int) -> tuple[slice, slice]:
    """Along an axis: the pixels with a neighbour at the offset, and those neighbours."""
    return slice(max(0, -offset), size - max(0, offset)), slice(max(0, offset), size + min(0, offset))


def pairwise(image_01: Tensor, around: list[Neighbour], config: CrfConfig) -> Tensor:
    """(N, H, W) weights of the N neighbours of each pixel, 0 where there is none; each kernel sums to its weight."""
    weights = image_01.new_zeros(len(around), *image_01.shape[1:])
    nearness = image_01.new_zeros(image_01.shape[1:])
    for kernel, (pixels, neighbours, distance) in zip(weights, around, strict=True):
        colour = (image_01[:, *pixels] - image_01[:, *neighbours]).square().sum(0) * (LEVELS / config.color_std) ** 2
        kernel[pixels] = torch.exp(-(colour + distance / config.position_std ** 2) / 2)
        nearness[pixels] += gaussian(distance, config.smoothness_std)
    weights *= config.appearance_weight / weights.sum(0).clamp(min=1e-12)
    share = config.smoothness_weight / nearness.clamp(min=1e-12)
    for kernel, (pixels, _, distance) in zip(weights, around, strict=True):
        kernel[pixels] += share[pixels] * gaussian(distance, config.smoothness_std)
    return weights


def gaussian(squared_distance: float, std: float) -> float:
    """exp(-d^2 / 2 std^2)."""
    return math.exp(-squared_distance / std ** 2 / 2)


def message(values: Tensor, around: list[Neighbour], kernel: Tensor) -> Tensor:
    """(H, W), for each pixel the sum of its neighbours' (H, W) values, weighted by the (N, H, W) kernel."""
    total = torch.zeros_like(values)
    for weights, (pixels, neighbours, _) in zip(kernel, around, strict=True):
        total[pixels] += weights[pixels] * values[neighbours]
    return total


def shrink(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) uint8, or float in [0, 1] -> (C, h, w) float32 in [0, 1], antialiased."""
    if tuple(planes.shape[1:]) != size:
        planes = F.interpolate(planes[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    return as_float(planes).clamp(0, 1)


def as_float(planes: Tensor) -> Tensor:
    """uint8, or float in [0, 1] -> float32 in [0, 1]."""
    return planes.float() / LEVELS if planes.dtype == torch.uint8 else planes.float()


def enlarge(probability: Tensor, small_01: Tensor, planes: Tensor) -> Tensor:
    """A small probability at the size of its picture, its edges along those of the picture.

    In each neighbourhood the probability is fitted as a linear function of colour, which then takes the colours at full
    size: a guided filter, with coefficients found at the smaller size.

    Args:
        probability: (h, w) in [0, 1].
        small_01: (3, h, w) in [0, 1], the picture at that size.
        planes: (3, H, W) uint8 or float in [0, 1], the picture.
    Returns:
        (H, W) float32 in [0, 1].
    """
    slopes = fit_colours(probability, small_01)
    height, width = planes.shape[1:]
    rows, columns = (centres(full, small) for full, small in zip((height, width), probability.shape, strict=True))
    full = probability.new_empty(height, width)
    for band in bands(height, width):
        *slope, constant = resample(slopes, rows[band], columns)
        colours = as_float(planes[:, band])
        full[band] = sum((part * colour for part, colour in zip(slope, colours, strict=True)), constant)
    return full.clamp_(0, 1)


def fit_colours(probability: Tensor, image_01: Tensor) -> Tensor:
    """(4, H, W): slopes along red, green and blue, and the constant, that give the (H, W) probability around a pixel.

    Source: He et al., Guided Image Filtering, 2013, Sec. 3.6.
    """
    mean, level = box_mean(image_01), box_mean(probability[None])
    products = (image_01[:, None] * image_01[None]).flatten(0, 1)
    covariance = (box_mean(products) - (mean[:, None] * mean[None]).flatten(0, 1)).unflatten(0, (3, 3))
    together = box_mean(image_01 * probability) - mean * level
    system = covariance.permute(2, 3, 0, 1) + GUIDE_VARIANCE * torch.eye(3, device=image_01.device)
    slopes = torch.linalg.solve(system, together.permute(1, 2, 0)).permute(2, 0, 1)
    return box_mean(torch.cat([slopes, level - (slopes * mean).sum(0, keepdim=True)]))


def box_mean(planes: Tensor) -> Tensor:
    """(C, H, W) -> (C, H, W), means over squares of ``GUIDE_RADIUS``, cut off at the edge."""
    return F.avg_pool2d(planes[None], 2 * GUIDE_RADIUS + 1, stride=1, padding=GUIDE_RADIUS, count_include_pad=False)[0]


def bands(height: int, width: int) -> Iterator[slice]:
    """Rows from top to bottom in bands of about ``BAND_PIXELS`` pixels."""
    step = max(1, BAND_PIXELS // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def centres(count: int, cells: int) -> Tensor:
    """(count,) centres of pixels in the frame of as many cells over the same length, cell centres at whole numbers."""
    return (torch.arange(count) + 0.5) * (cells / count) - 0.5


def resample(planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(C, h, w) at every pair of (H,) rows and (W,) columns, bilinear; outside as at the nearest edge.

    Args:
        rows, columns: in cells, cell centres at whole numbers.
    Returns:
        (C, H, W).
    """
    return between(between(planes, rows, 1), columns, 2)


def between(values: Tensor, positions: Tensor, dim: int) -> Tensor:
    """Values along a dimension at (N,) positions, linear in between, clamped to the ends."""
    last = values.shape[dim] - 1
    positions = positions.to(values.device).clamp(0, last)
    low = positions.floor().long()
    share = (positions - low).view(-1, *[1] * (values.ndim - 1 - dim))
    return torch.lerp(values.index_select(dim, low), values.index_select(dim, (low + 1).clamp(max=last)), share)
