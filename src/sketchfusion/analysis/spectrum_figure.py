"""Spectra as a picture: a column for each source of features; spectra of photos and sketches, radial profiles below."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from sketchfusion.analysis.sheet import ACCENT, EDGE, GAP, HEAD, LABEL, OTHER, cells_image, font, head, polyline
from sketchfusion.analysis.spectrum import Spectra
from sketchfusion.canvas import Kind
from sketchfusion.drawing import INK, LINE, PAPER, SOFT, place
from sketchfusion.errors import ConfigError

SIDE, PLOT, FACTS, AXIS = 208, 176, 26, 44  # pixels
COLOURS: dict[Kind, str] = {"photo": ACCENT, "sketch": OTHER}
RAMP = ((0.05, 0.05, 0.12), (0.36, 0.10, 0.36), (0.85, 0.28, 0.10), (0.99, 0.78, 0.35), (1.0, 1.0, 0.92))

Kinds = Mapping[Kind, Spectra]


def spectrum_figure(found: Mapping[str, Kinds]) -> Image.Image:
    """Source -> kind of picture -> spectra; a column shares one scale of brightness, all profiles one pair of axes.

    Returns:
        RGB picture, white. In the spectra the zero frequency, which is left out, is grey at the centre.
    Raises:
        ConfigError: there is no source, or the sources have not the same kinds.
    """
    kinds = [tuple(by_kind) for by_kind in found.values()]
    if not kinds or not kinds[0] or len(set(kinds)) != 1:
        raise ConfigError("cannot draw spectra; expected at least one source of features, all with the same kinds of "
                          "pictures")
    step, rows = SIDE + GAP, len(kinds[0])
    plot_top = EDGE + HEAD + rows * (SIDE + FACTS + GAP) + GAP
    size = 2 * EDGE + LABEL + step * len(found) - GAP, plot_top + PLOT + AXIS + EDGE
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    every = [spectra for by_kind in found.values() for spectra in by_kind.values()]
    limits = profile_limits([spectra.profile.mean(0) for spectra in every])
    for column, (name, by_kind) in enumerate(found.items()):
        x = EDGE + LABEL + column * step
        grid = next(iter(by_kind.values())).grid
        brightest = max(float(spectra.log_magnitude.mean(0).max()) for spectra in by_kind.values())
        head(draw, (x, EDGE), name, f"{grid} x {grid} cells", SIDE)
        for row, (kind, spectra) in enumerate(by_kind.items()):
            y = EDGE + HEAD + row * (SIDE + FACTS + GAP)
            place(sheet, draw, spectrum_image(spectra, brightest), (x, y), SIDE)
            share = f"low share {100 * float(spectra.low_share.nanmean()):.0f} %"
            draw.text((x, y + SIDE + 6), share, fill=INK, font=font())
            if not column:
                draw.text((EDGE, y + SIDE / 2), kind, fill=COLOURS[kind], font=font(), anchor="lm")
        profile_plot(sheet, draw, (x, plot_top), by_kind, limits, numbered=not column)
    draw.text((EDGE + LABEL, plot_top + PLOT + 24), "energy of a coefficient (white noise: 1) over cycles per picture",
              fill=SOFT, font=font())
    return sheet


def spectrum_image(spectra: Spectra, brightest: float) -> Image.Image:
    """The mean log magnitude over the pictures as an RGB square of ``SIDE`` pixels."""
    shares = spectra.log_magnitude.mean(0) / max(brightest, 1e-12)
    colours = ramp(shares)
    colours[:, spectra.cells // 2, spectra.cells // 2] = 0.6
    return cells_image(colours, SIDE)


def ramp(shares: Tensor) -> Tensor:
    """(n, n) in [0, 1] -> (3, n, n) from dark to bright."""
    stops = torch.tensor(RAMP)
    places = shares.float().clamp(0, 1) * (len(stops) - 1)
    below = places.floor().long().clamp(max=len(stops) - 2)
    part = (places - below)[..., None]
    return (stops[below] * (1 - part) + stops[below + 1] * part).permute(2, 0, 1)


def profile_limits(profiles: list[Tensor]) -> tuple[int, int]:
    """Powers of ten around all values, and around 1."""
    values = torch.cat(profiles).clamp(min=1e-6)
    return min(0, math.floor(float(values.log10().min()))), max(1, math.ceil(float(values.log10().max())))


def profile_plot(sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], by_kind: Kinds,
                 limits: tuple[int, int], *, numbered: bool) -> None:
    """Radial profiles, mean over the pictures, on a logarithmic scale."""
    left, top = corner
    low, high = limits

    def height(power: float) -> float:
        return top + PLOT * (1 - (power - low) / (high - low))

    for power in range(low, high + 1):
        y = round(height(power))
        draw.line((left, y, left + SIDE, y), fill=SOFT if power == 0 else LINE)
        if numbered:
            draw.text((left - 8, y), f"{10.0 ** power:g}", fill=SOFT, font=font(), anchor="rm")
    for kind, spectra in by_kind.items():
        profile = spectra.profile.mean(0).clamp(min=10.0 ** low)
        across = (SIDE - 16) / max(1, len(profile) - 1)
        points = [(left + 8 + ring * across, height(math.log10(float(value)))) for ring, value in enumerate(profile)]
        polyline(sheet, points, COLOURS[kind], dots=3 if len(points) <= 12 else 0)
        every = max(1, len(profile) // 6)
        for ring in range(0, len(profile), every):
            draw.text((points[ring][0], top + PLOT + 6), f"{ring + 1}", fill=SOFT, font=font(), anchor="mt")
