"""Principal components of the features of several pictures together, as colours (paper Sec. 4, Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchfusion.analysis.sources import DEFAULT_TAP, source_maps
from sketchfusion.canvas import Canvas
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion

COMPONENTS = 3  # red, green, blue
TAILS = (0.01, 0.99)  # quantiles of a component that become 0 and 1


@dataclass(frozen=True)
class JointPca:
    """The first three principal components of pictures' features.

    Attributes:
        maps: (B, 3, Hf, Wf) in [0, 1], each component scaled over all pictures together; NaN in the padding.
        explained: (3,) share of the variance that each component holds.
    """

    maps: Tensor
    explained: Tensor


def joint_pca(features: Tensor, mask: Tensor) -> JointPca:
    """Principal components over the cells of all pictures together, so that a colour means the same in all of them.

    They are computed in full and in double precision, without chance; a component points to where its largest loading
    is positive.

    Args:
        features: (B, C, Hf, Wf), at least three channels.
        mask: (B, Hf, Wf) bool, the cells that count; at least three.
    Raises:
        ConfigError: fewer channels or cells than colours.
    Source: Sec. 4; scaling and signs are not said.
    """
    cells = features.permute(0, 2, 3, 1)[mask].double()                      # (N, C)
    if min(cells.shape) < COMPONENTS:
        raise ConfigError(f"cannot make {COMPONENTS} colours of {cells.shape[0]} cells with {cells.shape[1]} channels; "
                          "give more pictures, or a finer grid")
    centred = cells - cells.mean(0)
    _, singular, loadings = torch.linalg.svd(centred, full_matrices=False)
    loadings = loadings[:COMPONENTS]
    largest = loadings.gather(1, loadings.abs().argmax(1, keepdim=True))
    components = centred @ (loadings * largest.sign()).T                     # (N, 3)
    maps = torch.full((*mask.shape, COMPONENTS), float("nan"))
    maps[mask] = unit_range(components).float()
    energy = singular.square()
    return JointPca(maps.permute(0, 3, 1, 2), energy[:COMPONENTS] / energy.sum().clamp(min=1e-30))


def unit_range(components: Tensor) -> Tensor:
    """(N, K) -> (N, K) in [0, 1]: each column from its lower to its upper tail, what lies beyond cut off."""
    low, high = torch.quantile(components, torch.tensor(TAILS, dtype=components.dtype), dim=0)
    return ((components - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)


def pca_of_sources(model: SketchFusion, canvases: Sequence[Canvas], tap: str = DEFAULT_TAP) -> dict[str, JointPca]:
    """Components of each source of features over all pictures of some canvases, in order; padding is left out.

    Raises:
        ConfigError: see ``source_maps`` and ``joint_pca``.
    """
    parts = [source_maps(model, canvas, tap) for canvas in canvases]
    content = torch.cat([canvas.content for canvas in canvases])
    found = {}
    for name in parts[0]:
        features = torch.cat([part[name] for part in parts])
        mask = content_mask(content, model.canvas_size, (features.shape[2], features.shape[3]))
        found[name] = joint_pca(features, mask)
    return found
