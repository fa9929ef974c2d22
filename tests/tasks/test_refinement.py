"""The dense CRF: against a slow double loop, and what it may and may not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.config import validate
from sketchfusion.errors import ConfigError
from sketchfusion.tasks.refinement import CERTAIN, REACH, CrfConfig, bands, enlarge, mean_field, refine, resample

SMALL = CrfConfig(radius=2, position_std=0.12, smoothness_std=0.1, color_std=60, smoothness_weight=1.5,
                  appearance_weight=3)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def disk(height: int, width: int, radius: float) -> tuple[Tensor, Tensor]:
    """(H, W) mask of a disk, and an (H, W, 3) uint8 picture of it: orange on blue, a little noisy."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    mask = (y - height * 0.45).square() + (x - width * 0.55).square() < radius ** 2
    colours = torch.where(mask[..., None], torch.tensor([230.0, 140.0, 30.0]), torch.tensor([40.0, 70.0, 160.0]))
    return mask, (colours + 6 * noise(height, width, 3) - 3).round().to(torch.uint8)


def blurred(mask: Tensor, cells: int) -> Tensor:
    """The mask seen through a square grid of so many cells."""
    coarse = F.interpolate(mask[None, None].float(), (cells, cells), mode="area")
    return F.interpolate(coarse, tuple(mask.shape), mode="bilinear", align_corners=False)[0, 0]


def overlap_of(probability: Tensor, mask: Tensor) -> float:
    found = probability > 0.5
    return float((found & mask).sum() / (found | mask).sum())


def slow_round(probability: Tensor, image: Tensor, config: CrfConfig) -> Tensor:
    """One iteration, pixel by pixel."""
    height, width = probability.shape
    longest = max(height, width)
    step = max(1, round(REACH * config.position_std * longest / config.radius))
    result = torch.empty(height, width)
    for y in range(height):
        for x in range(width):
            sums = {"appearance": [0.0, 0.0], "smoothness": [0.0, 0.0]}
            for i in range(-config.radius, config.radius + 1):
                for j in range(-config.radius, config.radius + 1):
                    v, u = y + i * step, x + j * step
                    if (i, j) == (0, 0) or not (0 <= v < height and 0 <= u < width):
                        continue
                    away = math.hypot(i * step, j * step) / longest
                    levels = 255 * float((image[:, y, x] - image[:, v, u]).norm())
                    near = math.exp(-away ** 2 / (2 * config.position_std ** 2))
                    alike = math.exp(-levels ** 2 / (2 * config.color_std ** 2))
                    weights = {"appearance": near * alike,
                               "smoothness": math.exp(-away ** 2 / (2 * config.smoothness_std ** 2))}
                    for name, weight in weights.items():
                        sums[name][0] += weight
                        sums[name][1] += weight * (2 * float(probability[v, u]) - 1)
            start = min(max(float(probability[y, x]), CERTAIN), 1 - CERTAIN)
            logit = math.log(start / (1 - start))
            logit += config.appearance_weight * sums["appearance"][1] / sums["appearance"][0]
            logit += config.smoothness_weight * sums["smoothness"][1] / sums["smoothness"][0]
            result[y, x] = 1 / (1 + math.exp(-logit))
    return result


@pytest.mark.parametrize("changes", [{}, {"radius": 1}, {"smoothness_weight": 0}, {"appearance_weight": 0}],
                         ids=["both", "narrow", "appearance", "smoothness"])
def test_a_round_is_what_a_double_loop_says(changes: dict[str, float]) -> None:
    config = SMALL.model_copy(update={**changes, "iterations": 1})
    probability, image = noise(7, 9), noise(3, 7, 9, seed=1)
    expected = slow_round(probability, image, config)
    assert (expected - probability).abs().max() > 0.1
    torch.testing.assert_close(refine(probability, image, config), expected, rtol=0, atol=1e-5)


def test_rounds_start_from_the_last_ones_but_keep_the_first_as_evidence() -> None:
    probability, image = noise(7, 9), noise(3, 7, 9, seed=1)
    first = slow_round(probability, image, SMALL)
    lead = torch.logit(slow_round(first, image, SMALL)) - torch.logit(first, eps=CERTAIN)
    expected = torch.sigmoid(torch.logit(probability, eps=CERTAIN) + lead)
    twice = refine(probability, image, SMALL.model_copy(update={"iterations": 2}))
    torch.testing.assert_close(twice, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(128, 128), (90, 121), (300, 400)], ids=str)
def test_a_blurred_disk_snaps_to_the_edge_of_the_disk(size: tuple[int, int]) -> None:
    """The last is larger than the mean field works at."""
    mask, image = disk(*size, radius=0.3 * min(size))
    before = blurred(mask, 8)
    refined = refine(before, image)
    assert overlap_of(refined, mask) > 0.985
    assert 1 - overlap_of(refined, mask) < 0.5 * (1 - overlap_of(before, mask))
    assert (refined - mask.float()).abs().mean() < 0.3 * (before - mask.float()).abs().mean()


def test_a_picture_says_more_than_smoothness_alone() -> None:
    mask, image = disk(96, 96, radius=30)
    before, grey = blurred(mask, 8), torch.full_like(image, 128)
    assert overlap_of(refine(before, image), mask) > overlap_of(refine(before, grey), mask) + 0.03


def test_half_and_half_stays_on_a_uniform_picture() -> None:
    for size in ((40, 30), (300, 270)):
        refined = refine(torch.full(size, 0.5), torch.full((*size, 3), 90, dtype=torch.uint8))
        assert (refined - 0.5).abs().max() < 1e-4


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(50, 64), (300, 200)], ids=str)
def test_what_is_certain_everywhere_does_not_move(value: float, size: tuple[int, int]) -> None:
    refined = refine(torch.full(size, value), noise(3, *size))
    assert (refined - value).abs().max() < 1e-4


@pytest.mark.parametrize("size", [(40, 51), (61, 300)], ids=str)
def test_a_mirrored_picture_gives_the_mirrored_result(size: tuple[int, int]) -> None:
    mask, image = disk(*size, radius=0.3 * min(size))
    probability = (blurred(mask, 8) + 0.3 * noise(*size)).clamp(0, 1)
    mirrored = refine(probability.flip(1), image.flip(1))
    torch.testing.assert_close(mirrored.flip(1), refine(probability, image), rtol=0, atol=2e-4)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000), side=st.integers(1, 40),
       contrast=st.floats(0, 1))
def test_any_size_keeps_its_shape_and_range_and_gives_the_same_again(
        height: int, width: int, seed: int, side: int, contrast: float) -> None:
    config = SMALL.model_copy(update={"working_side": side})
    probability = (0.5 + contrast * 20 * (noise(height, width, seed=seed) - 0.5)).clamp(0, 1)
    image = (255 * noise(height, width, 3, seed=seed + 1)).to(torch.uint8)
    refined = refine(probability, image, config)
    assert refined.shape == (height, width)
    assert refined.dtype == torch.float32
    assert 0 <= refined.min() <= refined.max() <= 1
    assert torch.equal(refined, refine(probability, image, config))


def test_both_forms_of_picture_and_an_array_are_the_same() -> None:
    mask, image = disk(33, 47, radius=11)
    probability = blurred(mask, 6)
    from_bytes = refine(probability, image)
    assert torch.equal(from_bytes, refine(probability, image.numpy()))
    assert torch.equal(from_bytes, refine(probability, image.permute(2, 0, 1) / 255))
    assert torch.equal(from_bytes, refine(probability.double(), np.ascontiguousarray(image.numpy())))


def test_without_rounds_nothing_happens() -> None:
    probability = noise(20, 30)
    assert torch.equal(refine(probability, noise(3, 20, 30, seed=1), CrfConfig(iterations=0)), probability)


def test_enlarging_follows_the_colours_where_bilinear_steps_would_not() -> None:
    mask, image = disk(160, 200, radius=50)
    planes = image.permute(2, 0, 1) / 255
    small = F.interpolate(planes[None], (40, 50), mode="area")[0]
    coarse = F.interpolate(mask[None, None].float(), (40, 50), mode="area")[0, 0]
    bilinear = F.interpolate(coarse[None, None], (160, 200), mode="bilinear", align_corners=False)[0, 0]
    error = (enlarge(coarse, small, planes) - mask.float()).abs().mean()
    assert error < 0.5 * (bilinear - mask.float()).abs().mean()


def test_a_probability_that_is_linear_in_colour_is_enlarged_exactly() -> None:
    planes = noise(3, 24, 36)
    small = F.interpolate(planes[None], (12, 18), mode="area")[0]
    weights = torch.tensor([0.5, 0.2, 0.1])[:, None, None]
    found = enlarge((weights * small).sum(0) + 0.1, small, planes)
    torch.testing.assert_close(found, (weights * planes).sum(0) + 0.1, rtol=0, atol=0.01)  # the variance it overlooks


def test_large_pictures_are_enlarged_in_bands_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    planes, small, coarse = noise(3, 50, 40), noise(3, 9, 7, seed=1), noise(9, 7, seed=2)
    whole = enlarge(coarse, small, planes)
    monkeypatch.setattr("sketchfusion.tasks.refinement.BAND_PIXELS", 120)
    assert len(list(bands(50, 40))) == 17
    assert torch.equal(enlarge(coarse, small, planes), whole)


def test_the_mean_field_never_sees_more_than_the_working_side(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(probability: Tensor, image_01: Tensor, config: CrfConfig) -> Tensor:
        seen.append((tuple(probability.shape), tuple(image_01.shape)))
        return mean_field(probability, image_01, config)

    monkeypatch.setattr("sketchfusion.tasks.refinement.mean_field", spy)
    refined = refine(noise(200, 900), noise(3, 200, 900), SMALL.model_copy(update={"working_side": 45}))
    assert refined.shape == (200, 900)
    assert seen == [((10, 45), (3, 10, 45))]


@pytest.mark.parametrize("size", [(5, 8), (11, 3), (1, 1)], ids=str)
def test_resampling_at_pixel_centres_is_bilinear_interpolation(size: tuple[int, int]) -> None:
    planes = noise(2, 4, 6)
    rows = (torch.arange(size[0]) + 0.5) * (4 / size[0]) - 0.5
    columns = (torch.arange(size[1]) + 0.5) * (6 / size[1]) - 0.5
    expected = F.interpolate(planes[None], size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(resample(planes, rows, columns), expected)


@pytest.mark.parametrize(("probability", "image"), [
    (torch.zeros(4, 5), torch.zeros(3, 5, 4)),
    (torch.zeros(4, 5), torch.zeros(4, 5, 3)),
    (torch.zeros(4, 5), torch.zeros(3, 4, 5, dtype=torch.int64)),
    (torch.zeros(1, 4, 5), torch.zeros(3, 4, 5)),
    (torch.zeros(0, 5), torch.zeros(3, 0, 5)),
], ids=["turned", "floats last", "integers", "batch", "empty"])
def test_what_does_not_fit_is_named(probability: Tensor, image: Tensor) -> None:
    with pytest.raises(ConfigError, match=r"refine expects a probability \(H, W\) and its picture.*got \("):
        refine(probability, image)


@pytest.mark.parametrize("setting", [{"iterations": -1}, {"color_std": 0}, {"radius": 0}, {"appearance_weight": -1}])
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(setting))}: Input should be greater"):
        validate(CrfConfig, setting, origin="the CRF")
