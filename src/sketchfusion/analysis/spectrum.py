"""Which spatial frequencies features hold (paper Sec. 4, Fig. 1): spectra, radial profiles, low against high.

Frequencies are in cycles per picture side. Grids of several sizes are compared up to the lowest of their Nyquist
frequencies; energy beyond it is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sketchfusion.analysis.sources import DEFAULT_TAP, source_maps
from sketchfusion.canvas import Canvas
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.retrieval import bootstrap_interval

MIN_CELLS = 4  # below, low and high are a frequency each
PLACES = 4  # of decimals in reports


@dataclass(frozen=True)
class Spectra:
    """Spectra of several pictures' features from one source.

    Attributes:
        grid: cells per side that the features have.
        energy: (P, n, n) at each frequency of a grid of n cells, summed over the channels, zero frequency at
            [n // 2, n // 2]; the variance of a picture's features is 1.
        log_magnitude: (P, n, n), mean over the channels of log(1 + |F|), F of channels of variance 1 on average, in
            the units of the transform of n x n cells.
        total: (C, g, g), the sum of the pictures' features, of each its mean taken off and of variance 1.
    """

    grid: int
    energy: Tensor
    log_magnitude: Tensor
    total: Tensor

    @property
    def cells(self) -> int:
        """n; frequencies go up to n / 2."""
        return self.energy.shape[-1]

    @property
    def low(self) -> Tensor:
        """(P,) energy from the lowest frequency to half the Nyquist frequency, that included."""
        rings = radius(self.cells)
        return self.energy[:, (rings > 0) & (rings <= self.cells / 4)].sum(1)

    @property
    def high(self) -> Tensor:
        """(P,) energy above half the Nyquist frequency, up to it."""
        rings = radius(self.cells)
        return self.energy[:, (rings > self.cells / 4) & (rings <= self.cells / 2)].sum(1)

    @property
    def low_share(self) -> Tensor:
        """(P,) low / (low + high), in [0, 1]; NaN for features without any variation."""
        return self.low / (self.low + self.high)

    @property
    def ratio(self) -> Tensor:
        """(P,) low / high."""
        return self.low / self.high

    @property
    def beyond(self) -> Tensor:
        """(P,) share of all energy that lies beyond what is compared, that of the corners included."""
        return (1 - self.low - self.high).clamp(min=0)

    @property
    def common(self) -> float:
        """What two pictures have in common, on average: the mean cosine between whole maps of different pictures.

        1: the features do not depend on the picture at all, only on the place; NaN of a single picture.
        """
        count = len(self.energy)
        both = float(self.total.square().mean(dim=(1, 2)).mean())            # sum over all pairs, own ones included
        return (both - count) / (count * (count - 1)) if count > 1 else float("nan")

    @property
    def profile(self) -> Tensor:
        """(P, R) mean energy of a coefficient at radius 1 ... R (rounded), where 1 is the mean of them all: that of
        white noise."""
        rings = radius(self.cells).round()
        inside = (radius(self.cells) > 0) & (radius(self.cells) <= self.cells / 2)
        mean = self.energy[:, inside].mean(1)
        parts = [self.energy[:, inside & (rings == ring)].mean(1) / mean for ring in range(1, self.cells // 2 + 1)]
        return torch.stack(parts, dim=1)


def radius(cells: int) -> Tensor:
    """(n, n) frequency of each coefficient in cycles per side, the zero frequency at [n // 2, n // 2]."""
    steps = torch.fft.fftshift(torch.fft.fftfreq(cells, 1 / cells, dtype=torch.float64))
    return torch.hypot(steps[:, None], steps[None])


def spectra(features: Tensor, cells: int | None = None) -> Spectra:
    """Spectra of feature maps.

    Of each channel its mean is taken off; then all channels of a picture are divided by one number, so that their
    variance is 1 on average. Channels that vary more weigh more, as they do in a cosine.

    Args:
        features: (B, C, g, g).
        cells: n, at most g; frequencies above n / 2 are left out. All without it.
    Raises:
        ConfigError: the grid is not square, or coarser than what is to be compared.
    Source: Sec. 4 shows the magnitude; mean over channels, logarithm and scale are ours.
    """
    grid, cells = features.shape[-1], cells or features.shape[-1]
    if features.shape[-2] != grid or not MIN_CELLS <= cells <= grid:
        raise ConfigError(f"cannot compare frequencies of {tuple(features.shape[-2:])} cells on a grid of {cells}; "
                          f"expected square grids of at least {max(cells, MIN_CELLS)}: take a larger canvas or "
                          "another tap")
    centred = features.double() - features.double().mean((2, 3), keepdim=True)
    scale = centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
    even = centred / scale
    transformed = torch.fft.fftshift(torch.fft.fft2(even, norm="forward"), dim=(-2, -1)).abs()
    start = grid // 2 - cells // 2
    kept = transformed[..., start:start + cells, start:start + cells]        # (B, C, n, n)
    return Spectra(grid, kept.square().mean(1), torch.log1p(kept * cells ** 2).mean(1), even.sum(0))


def spectra_of_sources(model: SketchFusion, canvases: Iterable[Canvas], tap: str = DEFAULT_TAP) -> dict[str, Spectra]:
    """Spectra of each source of features over pictures that fill their canvases, on the coarsest grid among them.

    Raises:
        ConfigError: see ``source_maps`` and ``spectra``; or there is no picture.
    """
    parts: dict[str, list[Spectra]] = {}
    for canvas in canvases:
        maps = source_maps(model, canvas, tap)
        cells = min(features.shape[-1] for features in maps.values())
        for name, features in maps.items():
            parts.setdefault(name, []).append(spectra(features, cells))
    if not parts:
        raise ConfigError("there is no picture to look at; give at least one")
    return {name: joined(found) for name, found in parts.items()}


def joined(parts: Sequence[Spectra]) -> Spectra:
    """The spectra of several batches as one."""
    return Spectra(parts[0].grid, torch.cat([part.energy for part in parts]),
                   torch.cat([part.log_magnitude for part in parts]),
                   torch.stack([part.total for part in parts]).sum(0))


def centre_square(photo: Image.Image) -> Image.Image:
    """The largest square in the middle: padding beside a photo would have frequencies of its own."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side))


def summarise(found: Spectra) -> dict[str, Any]:
    """Means over the pictures with 95 % intervals of the bootstrap over them, as plain values."""
    profile = found.profile
    return {"pictures": len(found.energy), "low_share": interval(found.low_share), "ratio": interval(found.ratio),
            "beyond": interval(found.beyond), "common": round(found.common, PLACES) if len(found.energy) > 1 else None,
            "profile": [{"frequency": ring + 1, **interval(profile[:, ring])} for ring in range(profile.shape[1])]}


def interval(values: Tensor) -> dict[str, float]:
    """Mean, low and high."""
    low, high = bootstrap_interval(values)
    return {name: round(value, PLACES) for name, value in
            (("mean", float(values.nanmean())), ("low", low), ("high", high))}
