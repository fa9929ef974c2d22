"""What a fusion learned: its branch weights, and how strongly it injects at each block (paper Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchfusion.backbones.base import Injection
from sketchfusion.canvas import Canvas
from sketchfusion.features import Inject
from sketchfusion.fusion.extractor import SketchFusion


@dataclass(frozen=True)
class BlockInjection:
    """The injection at one block.

    Attributes:
        norm: Frobenius norm of the weight of C; None where it has none (``injection.convolutions=false``).
        strength: |C(f_v)| over |f_u|, the norms over all channels and cells of what is added and of what the block
            gave, mean over pictures; None without pictures.
    """

    norm: float | None
    strength: float | None


@dataclass(frozen=True)
class FusionWeights:
    """What a fusion learned.

    Attributes:
        branch_weights: timestep -> tap -> alpha.
        injection: block -> how strongly, in the order in which the blocks are run.
    """

    branch_weights: dict[int, dict[str, float]]
    injection: dict[str, BlockInjection]


class RecordedInjection:
    """An injection that notes the strength of what it adds; fulfils ``backbones.base.Injection``."""

    def __init__(self, injection: Injection) -> None:
        self.injection = injection
        self.into_skips, self.blocks = injection.into_skips, injection.blocks
        self.strengths: dict[str, list[Tensor]] = {name: [] for name in injection.blocks}

    def for_rows(self, rows: Tensor) -> Inject:
        """As the injection itself."""
        inject = self.injection.for_rows(rows)

        def noting(name: str, hidden: Tensor) -> Tensor:
            injected = inject(name, hidden)
            added, given = ((part.float().flatten(1).norm(dim=1)) for part in (injected - hidden, hidden))
            self.strengths[name].append((added / given.clamp(min=1e-12)).cpu())
            return injected

        return noting


@torch.no_grad()
def fusion_weights(model: SketchFusion, canvases: Iterable[Canvas] = ()) -> FusionWeights:
    """Branch weights and injection of a model.

    Args:
        canvases: pictures on which the strength of the injection is measured, over all timesteps and noise samples;
            without them only the weights are looked at.
    """
    taps = model.config.aggregation.taps
    steps = zip(model.diffusion.timesteps, model.aggregator.branch_weights.tolist(), strict=True)
    strengths: dict[str, list[Tensor]] = {name: [] for name in model.injector.channels}
    for canvas in canvases if strengths else ():
        encoded = model.encode(canvas.images_01)
        assert encoded.patch_features is not None
        recorded = RecordedInjection(model.injector(encoded.patch_features))
        model.diffusion.forward_taps(encoded.latents, encoded.keys, recorded)
        for name, values in recorded.strengths.items():
            strengths[name] += values
    return FusionWeights({step: dict(zip(taps, row, strict=True)) for step, row in steps},
                         {name: BlockInjection(_norm(model, name), float(torch.cat(values).mean()) if values else None)
                          for name, values in strengths.items()})


def _norm(model: SketchFusion, block: str) -> float | None:
    weight = model.learned(heads=False).get(f"injector.projections.{block}.weight")
    return None if weight is None else float(weight.float().norm())
