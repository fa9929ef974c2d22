"""Chance: noise of each picture's own, ranked as anything else is, without any network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sketchfusion.engine.chance import chance_maps, chance_vectors
from sketchfusion.engine.evaluate import evaluate
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.retrieval import rank

PICTURES = torch.arange(4 * 3 * 16 * 16, dtype=torch.float32).reshape(4, 3, 16, 16) / 4000


def test_it_depends_on_the_picture_and_the_seed_alone(make_tiny: Callable[..., SketchFusion]) -> None:
    config, other = make_tiny().config, make_tiny("diffusion.seed=1").config
    vectors, maps = chance_vectors(PICTURES, config), chance_maps(PICTURES, config)
    side = config.aggregation.grid_size
    assert (vectors.shape, maps.shape) == ((4, config.aggregation.out_channels),
                                           (4, config.aggregation.out_channels, side, side))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert torch.equal(chance_vectors(PICTURES[2:3], config), vectors[2:3])
    assert torch.equal(chance_maps(PICTURES[2:3], config), maps[2:3])
    assert not torch.allclose(chance_vectors(PICTURES, other), vectors)
    assert (vectors @ vectors.T).fill_diagonal_(0).abs().max() < 0.5  # nothing in common


def test_every_place_of_a_ranking_is_as_likely(tiny_model: SketchFusion) -> None:
    """The mean rank of any one of 40 photos over 400 queries is the middle, within four standard errors."""
    generator = torch.Generator().manual_seed(0)
    canvases = torch.rand(440, 3, 8, 8, generator=generator)
    vectors = chance_vectors(canvases, tiny_model.config)
    places = rank(vectors[40:] @ vectors[:40].T).argsort(dim=1).double().mean(dim=0)
    assert places.mean().item() == pytest.approx(19.5)
    assert (places - 19.5).abs().max() < 4 * (40**2 / 12 / 400) ** 0.5


def test_no_network_runs(pacs: Path, tiny_model: SketchFusion, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network ran")

    for network in (tiny_model.encoder, tiny_model.diffusion):
        for name in ("patch_features", "encode", "forward_taps"):
            monkeypatch.setattr(network, name, refuse, raising=False)
    found = evaluate(tiny_model, "pacs", pacs, method="chance").result
    assert found.model == "tiny, chance"
    with pytest.raises(AssertionError, match="a network ran"):
        evaluate(tiny_model, "pacs", pacs)
