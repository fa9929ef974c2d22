"""Points on feature maps: their features, their cosines with every cell of another map, and the place these point to.

Cells are (x, y) with whole numbers at the centres of cells: (0, 0) is the centre of the first one, which lies at
pixel (S / Wf / 2, S / Hf / 2) of the canvas. All is computed in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-10  # least length that features are divided by, as in the released code


def to_cells(points_px: Tensor, canvas_size: int, grid: tuple[int, int]) -> Tensor:
    """(..., 2) canvas pixels -> (..., 2) float32 cells of a (Hf, Wf) grid, fractions of cells kept, nothing clamped."""
    return points_px.float() * _cells_per_pixel(canvas_size, grid, points_px.device) - 0.5


def to_pixels(cells: Tensor, canvas_size: int, grid: tuple[int, int]) -> Tensor:
    """(..., 2) cells of a (Hf, Wf) grid -> (..., 2) float32 canvas pixels; inverse of ``to_cells``."""
    return (cells.float() + 0.5) / _cells_per_pixel(canvas_size, grid, cells.device)


def _cells_per_pixel(canvas_size: int, grid: tuple[int, int], device: torch.device) -> Tensor:
    return torch.tensor([grid[1] / canvas_size, grid[0] / canvas_size], device=device)


def features_at(maps: Tensor, points_px: Tensor, canvas_size: int) -> Tensor:
    """Features of single points: bilinear between the unit vectors of the four nearest cells, brought to unit length.

    Args:
        maps: (B, D, Hf, Wf), any lengths.
        points_px: (B, N, 2) finite canvas pixels; on and beyond the outermost cell centres the edge cells count alone.
        canvas_size: side of the canvas in pixels.
    Returns:
        (B, N, D) float32 of unit length, differentiable.
    Source: L2 over channels before correlation, and the eps, as in the released code.
    """
    height, width = maps.shape[2:]
    last = torch.tensor([width - 1, height - 1], dtype=torch.float32, device=maps.device)
    steps = last.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    cells = to_cells(points_px.to(maps.device), canvas_size, (height, width))
    cells = cells.clamp(min=torch.zeros_like(last), max=last)[:, :, None]     # (B, N, 1, 2)
    first = cells.detach().floor()
    corners = torch.minimum(first + steps, last)                              # (B, N, 4, 2)
    weights = (1 - (cells - first - steps).abs()).prod(-1)                    # (B, N, 4)
    places = (corners[..., 1] * width + corners[..., 0]).long().flatten(1)    # (B, N * 4)
    found = maps.flatten(2).gather(2, places[:, None].expand(-1, maps.shape[1], -1)).unflatten(2, (-1, 4))
    mixed = (F.normalize(found.float(), dim=1, eps=EPS) * weights[:, None]).sum(-1)
    return F.normalize(mixed, dim=1, eps=EPS).transpose(1, 2)


def correlate(rows: Tensor, maps: Tensor) -> Tensor:
    """Cosines of points with every cell; only of the N points, so that memory grows with N and not with the grid.

    Args:
        rows: (B, N, D) unit vectors, or (1, N, D) for all maps alike.
        maps: (B, D, Hf, Wf), any lengths.
    Returns:
        (B, N, Hf, Wf) float32 in [-1, 1].
    """
    flat = maps.float().flatten(2)
    lengths = torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp(min=EPS)
    return (rows.float() @ flat / lengths).unflatten(2, maps.shape[2:])


def soft_argmax(scores: Tensor, temperature: float, allowed: Tensor | None = None) -> Tensor:
    """The mean cell, weighted by the softmax of the scores.

    Args:
        scores: (B, N, Hf, Wf).
        temperature: that scores are divided by; 0.02 in the released code.
        allowed: (B, Hf, Wf) bool, cells that take part, some of every map; None: all.
    Returns:
        (B, N, 2) float32 cells, differentiable.
    Source: Sec. 6.3.
    """
    return _mean_cell(scores, temperature, None if allowed is None else allowed[:, None])


def window_soft_argmax(scores: Tensor, temperature: float, radius: int, allowed: Tensor | None = None) -> Tensor:
    """As ``soft_argmax``, among the cells within ``radius`` cells of the best one in both directions.

    The square is cut off at the border of the grid, and where ``allowed`` ends.

    Source: window soft-argmax of the released code, Zhang et al., GeoAware-SC, 2024.
    """
    height, width = scores.shape[2:]
    ruled = scores if allowed is None else scores.masked_fill(~allowed[:, None], float("-inf"))
    best = ruled.flatten(2).argmax(-1)[..., None]                             # (B, N, 1)
    in_rows = (torch.arange(height, device=scores.device) - best // width).abs() <= radius
    in_columns = (torch.arange(width, device=scores.device) - best % width).abs() <= radius
    window = in_rows[..., :, None] & in_columns[..., None, :]                 # (B, N, Hf, Wf)
    return _mean_cell(scores, temperature, window if allowed is None else window & allowed[:, None])


def window_radius(share: float, grid: tuple[int, int]) -> int:
    """Half the side of the window in cells, at least 1, for a share of the grid's longer side."""
    return max(1, round(share * max(grid)))


def _mean_cell(scores: Tensor, temperature: float, keep: Tensor | None) -> Tensor:
    """``keep`` is as large as the scores, or one mask for all points of a map."""
    scaled = scores.float() / temperature
    if keep is not None:
        scaled = scaled.masked_fill(~keep, float("-inf"))
    weights = scaled.flatten(2).softmax(-1).unflatten(2, scores.shape[2:])
    means = [(weights.sum(other) * torch.arange(weights.shape[own], device=scores.device)).sum(-1)
             for own, other in ((3, 2), (2, 3))]
    return torch.stack(means, dim=-1)
