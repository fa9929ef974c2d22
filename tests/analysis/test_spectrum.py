"""Spectra of waves whose frequency is known, against a slow loop, and on grids of several sizes."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from sketchfusion.analysis.sheet import ACCENT, OTHER
from sketchfusion.analysis.spectrum import (
    Spectra,
    centre_square,
    joined,
    radius,
    spectra,
    spectra_of_sources,
    summarise,
)
from sketchfusion.analysis.spectrum_figure import ramp, spectrum_figure
from sketchfusion.canvas import make_canvas
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion


def wave(across: int, down: int, grid: int, phase: float = 0.3) -> torch.Tensor:
    """(1, 1, g, g), so many cycles per side, sampled at the cells' centres."""
    places = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    return torch.cos(2 * math.pi * (across * places[None] + down * places[:, None]) + phase)[None, None]


def noise(pictures: int = 3, channels: int = 5, grid: int = 8) -> torch.Tensor:
    return torch.randn(pictures, channels, grid, grid, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("across", "down", "share"), [(1, 0, 1.0), (0, 2, 1.0), (1, 1, 1.0), (2, 1, 0.0), (0, 3, 0.0)])
@pytest.mark.parametrize("grid", [8, 16, 24])
def test_a_wave_is_low_or_high_on_every_grid(across: int, down: int, share: float, grid: int) -> None:
    found = spectra(5 * wave(across, down, grid) + 3, 8)
    assert found.grid == grid
    assert float(found.low_share) == pytest.approx(share, abs=1e-9)
    assert float(found.beyond) == pytest.approx(0, abs=1e-9)
    place = found.energy[0].flatten().argmax()
    assert float(radius(8).flatten()[place]) == pytest.approx(math.hypot(across, down))


@pytest.mark.parametrize(("grid", "cells"), [(24, 21), (21, 21), (21, 8), (9, 5)])
def test_odd_grids_keep_the_zero_frequency_in_the_middle(grid: int, cells: int) -> None:
    found = spectra(wave(1, 0, grid), cells)
    middle = cells // 2
    assert float(found.energy[0, middle, middle + 1] + found.energy[0, middle, middle - 1]) == pytest.approx(1)


def test_what_is_finer_than_compared_lies_beyond() -> None:
    found = spectra(torch.cat([wave(6, 0, 16), wave(1, 0, 16)], dim=1), 8)
    assert float(found.beyond) == pytest.approx(0.5)
    assert float(found.low_share) == pytest.approx(1)


def test_equals_a_slow_loop() -> None:
    features = noise(1, 2, 4).double()
    found = spectra(features)
    channels = [channel - channel.mean() for channel in features[0]]
    scale = math.sqrt(sum(float(channel.square().sum()) for channel in channels) / 32)
    for row, column in ((0, 0), (1, 2), (2, 3), (3, 3)):
        magnitudes = []
        for channel in channels:
            total = sum(float(channel[y, x]) / scale * cmath.exp(-2j * math.pi * ((row - 2) * y + (column - 2) * x) / 4)
                        for y in range(4) for x in range(4))
            magnitudes.append(abs(total))
        assert float(found.energy[0, row, column]) == pytest.approx(sum((value / 16) ** 2 for value in magnitudes) / 2)
        assert float(found.log_magnitude[0, row, column]) == pytest.approx(sum(map(math.log1p, magnitudes)) / 2)
    assert float(found.energy[0, 2, 2]) == pytest.approx(0, abs=1e-20)


def test_energy_is_that_of_the_features() -> None:
    assert spectra(noise()).energy.sum((1, 2)).tolist() == pytest.approx([1, 1, 1])


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_mean_do_not_matter(scale: float, shift: float) -> None:
    torch.testing.assert_close(spectra(noise().double() * scale + shift).energy, spectra(noise().double()).energy)


def test_white_noise_has_a_flat_profile() -> None:
    found = spectra(noise(40, 30))
    assert found.profile.mean(0).tolist() == pytest.approx([1, 1, 1, 1], abs=0.05)
    rings = radius(8)
    low, high = int(((rings > 0) & (rings <= 2)).sum()), int(((rings > 2) & (rings <= 4)).sum())
    assert float(found.ratio.mean()) == pytest.approx(low / high, rel=0.05)


def test_smooth_features_fall_off() -> None:
    smooth = torch.nn.functional.interpolate(noise(8, 8, 4), (16, 16), mode="bilinear")
    profile = spectra(smooth, 8).profile.mean(0).tolist()
    assert profile == sorted(profile, reverse=True)
    assert profile[0] > 4 * profile[3]


@pytest.mark.parametrize(("features", "expected"), [
    (wave(1, 0, 8).repeat(5, 3, 1, 1), 1.0),
    (torch.cat([wave(1, 0, 8), -wave(1, 0, 8)]), -1.0),
    (torch.cat([wave(1, 0, 8), wave(2, 0, 8)]), 0.0),
])
def test_what_pictures_have_in_common(features: torch.Tensor, expected: float) -> None:
    assert spectra(features).common == pytest.approx(expected, abs=1e-9)


def test_common_is_the_mean_cosine_between_different_pictures() -> None:
    features = noise(4) + noise(1) * 2
    flat = (features - features.mean((2, 3), keepdim=True)).flatten(1)
    cosines = [float(torch.cosine_similarity(flat[one], flat[other], dim=0))
               for one in range(4) for other in range(4) if one != other]
    assert spectra(features).common == pytest.approx(sum(cosines) / len(cosines), abs=1e-5)


def test_batches_put_together_are_one() -> None:
    features = noise(5)
    whole, parts = spectra(features), joined([spectra(features[:2]), spectra(features[2:])])
    for name in ("energy", "log_magnitude", "total"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


@pytest.mark.parametrize(("shape", "cells"), [((8, 4), None), ((8, 8), 16), ((2, 2), None)])
def test_grids_that_cannot_be_compared(shape: tuple[int, int], cells: int | None) -> None:
    with pytest.raises(ConfigError, match="expected square grids of at least"):
        spectra(torch.randn(1, 3, *shape), cells)


def test_summary_has_intervals_around_the_means() -> None:
    told = summarise(spectra(noise(12)))
    assert told["pictures"] == 12
    assert [ring["frequency"] for ring in told["profile"]] == [1, 2, 3, 4]
    for part in (told["low_share"], told["ratio"], *told["profile"]):
        assert part["low"] < part["mean"] < part["high"]
    assert summarise(spectra(noise(1)))["common"] is None


def test_of_sources(tiny_model: SketchFusion, pictures: list[Image.Image]) -> None:
    canvases = [make_canvas(list(map(centre_square, part)), tiny_model.canvas_size, (0, 0, 0))
                for part in (pictures[:2], pictures[2:5])]
    found = spectra_of_sources(tiny_model, canvases)
    assert list(found) == ["patches", "up2", "fused"]
    assert {spectrum.cells for spectrum in found.values()} == {min(spectrum.grid for spectrum in found.values())}
    assert {len(spectrum.energy) for spectrum in found.values()} == {5}
    with pytest.raises(ConfigError, match="there is no picture"):
        spectra_of_sources(tiny_model, [])


def test_the_square_in_the_middle() -> None:
    photo = Image.new("RGB", (90, 40), "red")
    photo.paste("blue", (25, 0, 65, 40))
    found = centre_square(photo)
    assert found.size == (40, 40)
    assert found.getcolors() == [(1600, (0, 0, 255))]


def colour_rows(figure: Image.Image, colour: str, left: int, right: int) -> np.ndarray:
    pixels = np.asarray(figure)[:, left:right]
    return np.flatnonzero((pixels == ImageColor.getrgb(colour)).all(2).any(1))


def test_the_figure_draws_steeper_profiles_steeper() -> None:
    steep = spectra(torch.nn.functional.interpolate(noise(4, 4, 4), (16, 16), mode="bilinear"), 8)
    figure = spectrum_figure({"a": {"photo": spectra(noise()), "sketch": steep}})
    flat_line, steep_line = (colour_rows(figure, colour, 88, figure.width) for colour in (ACCENT, OTHER))
    assert np.ptp(steep_line) > np.ptp(flat_line) + 40


def test_brightness_and_the_grey_centre() -> None:
    colours = ramp(torch.tensor([[0.0, 0.3], [0.7, 1.0]]))
    brightness = colours.sum(0).flatten().tolist()
    assert brightness == sorted(brightness)
    figure = spectrum_figure({"a": {"photo": spectra(wave(1, 0, 8))}})
    assert ((np.asarray(figure) == 153).all(2)).sum() >= (208 // 8) ** 2


@pytest.mark.parametrize("found", [{}, {"a": {}}, {"a": {"photo": spectra(wave(1, 0, 8))}, "b": {}}])
def test_a_figure_of_nothing(found: dict[str, dict[str, Spectra]]) -> None:
    with pytest.raises(ConfigError, match="cannot draw spectra"):
        spectrum_figure(found)  # type: ignore[arg-type]
