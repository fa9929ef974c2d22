"""Principal components against the covariance's eigenvectors, and the padding that they leave out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from sketchfusion.analysis.pca import JointPca, joint_pca, pca_of_sources, unit_range
from sketchfusion.analysis.pca_figure import SIDE, ShownPicture, pca_figure
from sketchfusion.analysis.sheet import EDGE, GAP, HEAD, LABEL
from sketchfusion.canvas import make_canvas
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion

ALL = torch.ones(2, 4, 5, dtype=torch.bool)


def some_features() -> torch.Tensor:
    """(2, 6, 4, 5), each channel of another variance."""
    scale = torch.tensor([5.0, 3.0, 2.0, 0.5, 0.3, 0.1])[:, None, None]
    return torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0)) * scale + 7


def test_components_are_the_covariances_eigenvectors() -> None:
    features = some_features()
    found = joint_pca(features, ALL)
    cells = features.permute(0, 2, 3, 1).reshape(-1, 6).double()
    values, vectors = np.linalg.eigh(np.cov(cells.numpy().T))
    assert found.explained.tolist() == pytest.approx((values[::-1] / values.sum())[:3].tolist())
    for component in range(3):
        vector = vectors[:, -1 - component]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        expected = unit_range(torch.from_numpy(cells.numpy() @ vector)[:, None])[:, 0]
        torch.testing.assert_close(found.maps[:, component].flatten().double(), expected, atol=1e-5, rtol=0)


def test_the_sign_follows_the_features() -> None:
    features = some_features()
    there, back = joint_pca(features, ALL), joint_pca(-features, ALL)
    torch.testing.assert_close(back.maps, 1 - there.maps, atol=1e-5, rtol=0)


def test_padding_has_no_part_in_it() -> None:
    features, mask = some_features(), ALL.clone()
    mask[0, :, 3:] = False
    changed = features.clone()
    changed[0, :, :, 3:] = 1000
    found, other = joint_pca(features, mask), joint_pca(changed, mask)
    torch.testing.assert_close(found.maps, other.maps, equal_nan=True)
    assert torch.equal(found.maps.isnan().any(1), ~mask)


def test_a_place_that_both_pictures_share_has_one_colour() -> None:
    features = some_features()
    features[1, :, 0, 0] = features[0, :, 3, 4]
    found = joint_pca(features, ALL)
    torch.testing.assert_close(found.maps[1, :, 0, 0], found.maps[0, :, 3, 4])
    assert float(found.maps.min()) == 0
    assert float(found.maps.max()) == 1


@pytest.mark.parametrize(("channels", "cells"), [(2, 20), (6, 2)])
def test_too_little_for_three_colours(channels: int, cells: int) -> None:
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    mask.view(-1)[:cells] = True
    with pytest.raises(ConfigError, match=f"3 colours of {cells} cells with {channels} channels"):
        joint_pca(torch.randn(1, channels, 4, 5), mask)


def test_of_sources(tiny_model: SketchFusion, pictures: list[Image.Image]) -> None:
    canvases = [make_canvas([picture], tiny_model.canvas_size, tiny_model.padding("photo")) for picture in pictures[:3]]
    found = pca_of_sources(tiny_model, canvases)
    assert list(found) == ["patches", "up2", "fused"]
    for pca in found.values():
        mask = content_mask(torch.cat([canvas.content for canvas in canvases]), tiny_model.canvas_size,
                            (pca.maps.shape[2], pca.maps.shape[3]))
        assert torch.equal(~pca.maps.isnan().any(1), mask)
        assert 0 < float(pca.explained.sum()) <= 1
    again = pca_of_sources(tiny_model, canvases)
    assert all(torch.equal(found[name].maps.nan_to_num(), again[name].maps.nan_to_num()) for name in found)


def test_of_sources_needs_a_tap_that_is_read(tiny_model: SketchFusion, pictures: list[Image.Image],
                                             make_tiny: Callable[..., SketchFusion]) -> None:
    canvas = make_canvas(pictures[:1], tiny_model.canvas_size, (0, 0, 0))
    with pytest.raises(ConfigError, match="reads no tap 'down1'; it reads up1, up2, up3"):
        pca_of_sources(tiny_model, [canvas], "down1")
    with pytest.raises(ConfigError, match="it reads none of its UNet"):
        pca_of_sources(make_tiny("aggregation.taps=[patches]", "injection.blocks=[]"), [canvas])


def test_the_figure_shows_pictures_and_maps_in_their_places() -> None:
    maps = torch.zeros(2, 3, 4, 4)
    maps[0, 0] = 1  # the first picture is red
    maps[1, 2] = 1  # the second blue
    maps[1, :, 0] = float("nan")  # with padding at its top
    figure = pca_figure([ShownPicture("photo", Image.new("RGB", (8, 8), "green"), 0),
                         ShownPicture("sketch", Image.new("RGB", (8, 8), "gray"), 1)],
                        {"fused": JointPca(maps, torch.tensor([0.5, 0.2, 0.1]))})

    def colour(row: int, column: int, down: float) -> tuple[int, ...]:
        x, y = EDGE + LABEL + column * (SIDE + GAP) + SIDE // 2, EDGE + HEAD + row * (SIDE + GAP) + round(down * SIDE)
        found = figure.getpixel((x, y))
        assert isinstance(found, tuple)
        return found

    assert colour(0, 0, 0.5) == (0, 128, 0)
    assert colour(0, 1, 0.5) == (255, 0, 0)
    assert colour(1, 0, 0.5) == (128, 128, 128)
    assert colour(1, 1, 0.5) == (0, 0, 255)
    assert colour(1, 1, 0.1) == (255, 255, 255)


def test_a_figure_of_nothing() -> None:
    with pytest.raises(ConfigError, match="there is no picture to draw"):
        pca_figure([], {})
