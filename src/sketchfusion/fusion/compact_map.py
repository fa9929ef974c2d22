"""A feature map in a few kilobytes, so that a gallery can say why a photo was found without passing it again.

    cells of unit length (cells, D)  ~  U (cells, r)  diag(scale) (r,)  V (r, D)      truncated SVD, U and V as int8

Each map stands for itself: nothing is shared with other photos. With what the rank keeps of the cells alone, brought to
unit length, every cosine would come out too high by the same factor, and a threshold would mean another thing than on
the map itself. So the mean length of what is kept goes along, and the cells that are given back have the rest of their
length at right angles to it.

The bytes are, little-endian, ``kept`` being that mean:

    "SFCM" | version u16 | D u16 | Hf u16 | Wf u16 | r u16 | kept f32 | scale r x f32 | U cells x r x i8 | V r x D x i8
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.errors import ConfigError, GalleryError

MAX_SIDE = 32  # cells; a larger grid is averaged down to it first
MAX_RANK = 256
MAGIC, VERSION = b"SFCM", 1
HEADER = struct.Struct("<4s5Hf")
LARGEST = 2**16 - 1  # of what a u16 holds
EPS = 1e-10  # least length that a cell is divided by
SPARE_COLUMNS, ROUNDS = 8, 2  # of the subspace iteration: columns beyond the rank, and how often they are multiplied
NOTHING = 1e-6  # of the largest singular value: what is smaller is rounding
LEVELS = 127  # of int8, either sign


class Layout(NamedTuple):
    """What the bytes of a map hold: D, the grid of stored cells, and the rank r."""

    channels: int
    height: int
    width: int
    rank: int

    @property
    def num_bytes(self) -> int:
        """Of header, scales, U and V."""
        return HEADER.size + self.rank * (4 + self.height * self.width + self.channels)


def compress(feature_map: Tensor, rank: int, *, max_side: int = MAX_SIDE) -> bytes:
    """A feature map in ``Layout.num_bytes``; the same bytes at every call.

    Args:
        feature_map: (D, Hf, Wf), cells of any lengths, which are forgotten.
        rank: at most so many components, 1 to ``MAX_RANK``; a map with fewer cells or channels has no more than these.
        max_side: a grid with more cells than this along a side is averaged down to it.
    Raises:
        ConfigError: the rank is out of range, or this is no feature map.
        GalleryError: the map holds numbers that are not finite.
    """
    check_rank(rank)
    if feature_map.ndim != 3 or not feature_map.numel() or max(feature_map.shape) > LARGEST:
        raise ConfigError(f"a feature map to be compressed must be (D, Hf, Wf), each from 1 to {LARGEST}, got "
                          f"{tuple(feature_map.shape)}; give one map at a time")
    if not feature_map.isfinite().all():
        raise GalleryError("the feature map holds numbers that are not finite and cannot be kept; the model's weights "
                           "may be damaged, load them again")
    cells = averaged(F.normalize(feature_map.detach().float().cpu(), dim=0, eps=EPS), max_side)
    channels, height, width = cells.shape
    left, sizes, right = truncated_svd(cells.flatten(1).T, min(rank, channels, height * width))
    lengths = torch.linalg.vector_norm(left * sizes, dim=1)
    lengths = lengths[lengths > EPS]
    kept = float(lengths.mean().clamp(max=1)) if len(lengths) else 0.0
    left_levels, left_scale = to_levels(left, dim=0)
    right_levels, right_scale = to_levels(right, dim=1)
    scale = (sizes * left_scale * right_scale).numpy().astype("<f4")
    header = HEADER.pack(MAGIC, VERSION, channels, height, width, len(scale), kept)
    return b"".join((header, scale.tobytes(), left_levels.numpy().tobytes(), right_levels.numpy().tobytes()))


def expand(data: bytes) -> Tensor:
    """The map that ``compress`` was given, nearly.

    Returns:
        (D, Hf, Wf) float32 on the CPU, cells of unit length (of no length where the given cell had none). The grid is
        the stored one, smaller than the given one where that was larger than ``MAX_SIDE``.
    Raises:
        GalleryError: these are not the bytes of a map, or they are damaged.
    """
    layout = read_layout(data)
    cells, rank = layout.height * layout.width, layout.rank
    kept = HEADER.unpack_from(data)[-1]
    scale = np.frombuffer(data, "<f4", rank, HEADER.size)
    # No singular value of so many unit vectors is larger than their number.
    if not (0 <= kept <= 1 and ((scale >= 0) & (scale <= cells)).all()):
        raise GalleryError("the dense map of a photo is damaged: its scales are no scales; describe the photos anew "
                           "with `sketchfusion index --rebuild`")
    left = np.frombuffer(data, np.int8, cells * rank, HEADER.size + scale.nbytes).reshape(cells, rank)
    right = np.frombuffer(data, np.int8, rank * layout.channels, HEADER.size + scale.nbytes + left.nbytes)
    basis = right.reshape(rank, layout.channels).astype(np.float32)
    mixed = completed(torch.from_numpy((left * scale) @ basis), torch.from_numpy(basis), kept)
    return mixed.T.reshape(layout.channels, layout.height, layout.width)


def completed(cells: Tensor, basis: Tensor, kept: float) -> Tensor:
    """What was kept of cells, with as much length as was lost on the average in a direction that nothing kept has.

    Cosines with them are those with the kept part times its mean length, up to what chance has in common with that
    direction.

    Args:
        cells: (n, D).
        basis: (r, D), of which the cells are made.
        kept: their mean length before they were stored, in [0, 1].
    Returns:
        (n, D), of unit length; cells of no length stay so.
    """
    unit = F.normalize(cells, dim=1, eps=EPS)
    if len(basis) >= basis.shape[1]:
        return unit
    across = torch.linalg.qr(basis.T).Q
    spare = torch.randn(basis.shape[1], generator=torch.Generator().manual_seed(0))
    spare = F.normalize(spare - across @ (across.T @ spare), dim=0)
    return kept * unit + (1 - kept ** 2) ** 0.5 * unit.any(1, keepdim=True) * spare


def read_layout(data: bytes) -> Layout:
    """What the bytes hold, from their header and their number alone. Raises GalleryError: not the bytes of a map."""
    again = "describe the photos anew with `sketchfusion index --rebuild`"
    if len(data) < HEADER.size or data[:len(MAGIC)] != MAGIC:
        raise GalleryError(f"the dense map of a photo is damaged: its {len(data)} bytes do not begin as those of a map "
                           f"do; {again}")
    _, version, *sizes, _ = HEADER.unpack_from(data)
    layout = Layout(*sizes)
    if version != VERSION:
        raise GalleryError(f"the dense map of a photo has version {version}, this version of sketchfusion knows "
                           f"{VERSION}; upgrade it, or {again}")
    if not all(layout) or len(data) != layout.num_bytes:
        raise GalleryError(f"the dense map of a photo is damaged: it has {len(data)} bytes, expected "
                           f"{layout.num_bytes} for rank {layout.rank}, {layout.channels} channels and "
                           f"{layout.height} x {layout.width} cells; {again}")
    return layout


def check_rank(rank: int) -> None:
    """Raise ConfigError: maps cannot be kept at this rank."""
    if not 1 <= rank <= MAX_RANK:
        raise ConfigError(f"the rank of dense maps must be from 1 to {MAX_RANK}, got {rank}")


def averaged(cells: Tensor, max_side: int) -> Tensor:
    """(D, Hf, Wf) unit vectors -> the same, or their means on a smaller grid over the canvas, which are shorter."""
    height, width = cells.shape[1:]
    if max(height, width) <= max_side:
        return cells
    share = max_side / max(height, width)
    size = (max(1, round(height * share)), max(1, round(width * share)))
    return F.interpolate(cells[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``rank`` largest singular values of (n, d) and their vectors: (n, r), (r,) descending, (r, d).

    Subspace iteration from a start that is always the same. Of each pair of vectors, the entry of the right one that
    is farthest from zero is positive. What is nothing but rounding is zero.

    Source: Halko et al., Finding structure with randomness, 2011, algorithms 4.4 and 5.1.
    """
    columns = min(rank + SPARE_COLUMNS, *matrix.shape)
    start = torch.randn(matrix.shape[1], columns, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.T @ basis).Q).Q
    inner, sizes, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
    left, sizes, right = (basis @ inner)[:, :rank], sizes[:rank], right[:rank]
    signs = right.gather(1, right.abs().argmax(1, keepdim=True)).sign()
    signs = signs * (sizes > NOTHING * sizes[0])[:, None]
    return left * signs.T, sizes, right * signs


def to_levels(vectors: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """Vectors along ``dim`` of a matrix as int8, and the step between two levels of each."""
    steps = vectors.abs().amax(dim, keepdim=True).clamp(min=EPS) / LEVELS
    return (vectors / steps).round().to(torch.int8).contiguous(), steps.squeeze(dim)
