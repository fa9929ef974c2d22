"""CLIP feature injection: fhat_u^n = f_u^n + C(f_v) (paper Sec. 5.1, Fig. 2).

C is a learned 1x1 convolution per block; its output is resized to the block's grid and added out of place, so that the
tensor the UNet made is left alone and gradients reach C through the frozen UNet.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from sketchfusion.config import InjectionConfig
from sketchfusion.errors import ConfigError
from sketchfusion.features import FeatureInfo, Inject


def injected_blocks(config: InjectionConfig, run: Mapping[str, FeatureInfo]) -> list[str]:
    """The blocks that receive patch features, in the order in which they are run.

    "all" means every down and up block that is run: the paper's Fig. 2 draws none at ``mid``.

    Raises:
        ConfigError: a block that is not run.
    """
    if config.blocks == "all":
        return [name for name in run if name != "mid"]
    unknown = [name for name in config.blocks if name not in run]
    if unknown:
        raise ConfigError(f"injection.blocks names {', '.join(unknown)}, which is not run before the last tap; "
                          f"the blocks that are run: {', '.join(run)}")
    return [name for name in run if name in config.blocks]


class FeatureInjector(nn.Module):
    """A projection per block from patch channels to the block's channels.

    Zero-initialised by default, so that training starts from the diffusion model as it is. Without convolutions
    (Table 6) channels are matched by linear interpolation and nothing is learned here.

    The skip tensors do not see the injection by default: Sec. 5.1 defines it on the blocks' outputs, and the skips
    carry the high frequencies that the decoder was trained to find there. The released code's in-place addition changes
    them too; ``InjectionConfig.skips`` does that. It also detaches the injected features, so that the convolutions keep
    their random start; with ``InjectionConfig.learned`` false they do.
    """

    def __init__(self, config: InjectionConfig, patch_channels: int, blocks: Mapping[str, FeatureInfo]) -> None:
        """
        Args:
            patch_channels: channels of the patch features.
            blocks: the blocks that are run, as the diffusion backbone declares them.
        """
        super().__init__()
        self.config = config
        self.channels = {name: blocks[name].channels for name in injected_blocks(config, blocks)}
        self.projections = nn.ModuleDict()
        if config.convolutions:
            for name, channels in self.channels.items():
                self.projections[name] = nn.Conv2d(patch_channels, channels, kernel_size=1)
        if config.init == "zero":
            for parameter in self.projections.parameters():
                nn.init.zeros_(parameter)
        self.projections.requires_grad_(config.learned)

    def forward(self, patch_features: Tensor) -> BoundInjection:
        """(B, C, Hp, Wp) -> what these patches add to every block, projected once per image."""
        return BoundInjection({name: self.project(name, patch_features) for name in self.channels}, self.config.skips)

    def project(self, name: str, patch_features: Tensor) -> Tensor:
        """(B, C_patch, Hp, Wp) -> (B, C_block, Hp, Wp)."""
        if name in self.projections:
            projected: Tensor = self.projections[name](patch_features)
            return projected
        return resample_channels(patch_features, self.channels[name])


class BoundInjection:
    """The projected patches of one batch; fulfils ``backbones.base.Injection``."""

    def __init__(self, projected: dict[str, Tensor], into_skips: bool) -> None:
        self.projected, self.into_skips = projected, into_skips
        self.blocks = frozenset(projected)

    def for_rows(self, rows: Tensor) -> Inject:
        """The ``inject`` function for a pass whose row r belongs to image ``rows[r]``."""

        def inject(name: str, hidden: Tensor) -> Tensor:
            addition = F.interpolate(self.projected[name], hidden.shape[-2:], mode="bilinear", align_corners=False)
            return hidden + addition[rows].to(hidden.dtype)                  # (rows, C_block, Hf, Wf)

        return inject


def resample_channels(features: Tensor, channels: int) -> Tensor:
    """(B, C, H, W) -> (B, channels, H, W) by linear interpolation along the channels; nothing learned (Table 6)."""
    if features.shape[1] == channels:
        return features
    flat = features.flatten(2).transpose(1, 2)                               # (B, H * W, C)
    resampled = F.interpolate(flat, channels, mode="linear", align_corners=False)
    return resampled.transpose(1, 2).unflatten(2, features.shape[-2:])

