"""A feature map into one vector of unit length (paper Sec. 6.1: global max-pooling)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.config import DescriptorConfig


def content_mask(content: Tensor, canvas_size: int, grid: tuple[int, int]) -> Tensor:
    """Which cells of a feature grid belong to the picture and not to the padding beside it.

    A cell belongs where its centre lies on the picture; the nearest cells stay for a picture thinner than a cell.

    Args:
        content: (B, 4) boxes (left, top, right, bottom) in canvas pixels.
        canvas_size: side of the canvas in pixels.
        grid: (Hf, Wf).
    Returns:
        (B, Hf, Wf) bool, true somewhere in every row of the batch.
    """
    inside = []
    for cells, low, high in ((grid[0], content[:, 1], content[:, 3]), (grid[1], content[:, 0], content[:, 2])):
        centres = (torch.arange(cells, device=content.device) + 0.5) * (canvas_size / cells)
        nearest = (centres - ((low + high) / 2)[:, None]).abs()
        covered = (centres >= low[:, None]) & (centres <= high[:, None])
        inside.append(covered | (nearest == nearest.amin(1, keepdim=True)))
    return inside[0][:, :, None] & inside[1][:, None, :]


def pool(feature_map: Tensor, mask: Tensor | None, config: DescriptorConfig) -> Tensor:
    """Global pooling over the cells of the mask, then L2 normalisation.

    Args:
        feature_map: (B, D, Hf, Wf).
        mask: (B, Hf, Wf) bool; None takes all cells.
    Returns:
        (B, D) float32 of unit length.
    """
    cells = feature_map.float().flatten(2)                                   # (B, D, Hf * Wf)
    keep = torch.ones_like(cells[:, :1], dtype=torch.bool) if mask is None else mask.flatten(1)[:, None]
    if config.pooling == "max":
        pooled = cells.masked_fill(~keep, float("-inf")).amax(-1)
    else:
        power = config.gem_p if config.pooling == "gem" else 1.0
        raised = cells.clamp(min=1e-6).pow(power) if config.pooling == "gem" else cells
        pooled = ((raised * keep).sum(-1) / keep.sum(-1)).pow(1 / power)
    return F.normalize(pooled, dim=-1, eps=1e-10)
