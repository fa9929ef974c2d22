"""SD feature aggregation: sum_n alpha_n A(fhat_u^n) (paper Sec. 5.1).

Every tap is resized to one grid, passes a bottleneck of its own, and is weighed by a learned branch weight. With
several timesteps a tap's bottleneck is shared and every (timestep, tap) has a weight of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sketchfusion.config import AggregationConfig
from sketchfusion.errors import ConfigError
from sketchfusion.features import FeatureInfo, FeaturePyramid
from sketchfusion.fusion.injection import resample_channels


class Bottleneck(nn.Module):
    """ResNet bottleneck 1x1, 3x3, 1x1 with group normalisation, and a 1x1 shortcut where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int) -> None:
        super().__init__()
        middle = out_channels // 4
        if middle % norm_groups or out_channels % norm_groups or middle == 0:
            raise ConfigError(f"aggregation.out_channels {out_channels} must be a multiple of 4 * norm_groups = "
                              f"{4 * norm_groups}; change either")
        self.reduce = normalised(in_channels, middle, 1, norm_groups)
        self.mix = normalised(middle, middle, 3, norm_groups)
        self.expand = normalised(middle, out_channels, 1, norm_groups)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else normalised(in_channels, out_channels, 1, norm_groups)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H, W)."""
        hidden = F.relu(self.reduce(features))
        hidden = F.relu(self.mix(hidden))
        return F.relu(self.expand(hidden) + self.shortcut(features))


def normalised(in_channels: int, out_channels: int, kernel: int, groups: int) -> nn.Sequential:
    """A convolution without bias, and the group normalisation after it."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.GroupNorm(groups, out_channels))


class AggregationNetwork(nn.Module):
    """Taps into one feature map on a ``grid_size`` grid."""

    def __init__(self, config: AggregationConfig, blocks: Mapping[str, FeatureInfo], num_timesteps: int = 1) -> None:
        """
        Args:
            blocks: the blocks that are run, as the diffusion backbone declares them.
            num_timesteps: how many pyramids ``forward`` will be given.
        """
        super().__init__()
        self.config, self.recomputed = config, False
        self.branches = nn.ModuleDict()
        if config.network:
            for tap in config.taps:
                self.branches[tap] = Bottleneck(blocks[tap].channels, config.out_channels, config.norm_groups)
        self.dropout = nn.Dropout2d(config.dropout)
        if config.learned_weights:
            self.mixing = nn.Parameter(torch.ones(num_timesteps, len(config.taps)))
        else:
            self.register_buffer("mixing", torch.ones(num_timesteps, len(config.taps)), persistent=False)

    def enable_gradient_checkpointing(self) -> None:
        """Compute the bottlenecks again in the backward pass instead of keeping what is inside them."""
        self.recomputed = True

    @property
    def branch_weights(self) -> Tensor:
        """alpha, (timesteps, taps). Softmax weights are positive and sum to 1; free ones start there."""
        if self.config.weights == "free":
            return self.mixing / self.mixing.numel()
        return self.mixing.flatten().softmax(0).view_as(self.mixing)

    def forward(self, pyramids: Sequence[FeaturePyramid]) -> Tensor:
        """One pyramid per timestep, tap -> (B, C, Hf, Wf); gives (B, D, grid_size, grid_size)."""
        weights = self.branch_weights
        total: Tensor | None = None
        for step, pyramid in enumerate(pyramids):
            for index, tap in enumerate(self.config.taps):
                branch = self._branch(tap, pyramid[tap]) * weights[step, index].to(pyramid[tap].dtype)
                total = branch if total is None else total + branch
        assert total is not None
        return total

    def _branch(self, tap: str, features: Tensor) -> Tensor:
        if self.recomputed and torch.is_grad_enabled():
            again: Tensor = checkpoint(self.branch, tap, features, use_reentrant=False)
            return again
        return self.branch(tap, features)

    def branch(self, tap: str, features: Tensor) -> Tensor:
        """fbar^n, before its weight: (B, C, Hf, Wf) -> (B, D, grid_size, grid_size)."""
        side = self.config.grid_size
        resized = F.interpolate(features, (side, side), mode="bilinear", align_corners=False)
        if tap not in self.branches:
            return resample_channels(resized, self.config.out_channels)
        branch: Tensor = self.branches[tap](self.dropout(resized))
        return branch
