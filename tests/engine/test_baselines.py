"""B-CLIP, B-SD and B-SD+CLIP: pooled by hand, and untouched by what was learned."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from sketchfusion.config import DescriptorConfig
from sketchfusion.engine.baselines import baseline_vectors
from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion

CONTENT = torch.tensor([[0.0, 0.0, 64.0, 64.0], [0.0, 16.0, 64.0, 48.0]])


def test_they_are_the_pooled_patches_the_pooled_taps_and_both(tiny_model: SketchFusion) -> None:
    images = torch.rand(2, 3, 64, 64)
    encoded = tiny_model.encode(images)
    found = baseline_vectors(tiny_model, encoded, CONTENT, DescriptorConfig())
    assert encoded.patch_features is not None
    patches = encoded.patch_features
    rows = [patches[0].amax((1, 2)), patches[1][:, 2:6].amax((1, 2))]  # rows 16 to 48 of 64, in cells of 8
    torch.testing.assert_close(found["B-CLIP"], F.normalize(torch.stack(rows), dim=1))
    (plain,) = tiny_model.diffusion.forward_taps(encoded.latents, encoded.keys, None)
    taps = [F.normalize(plain[tap][0].amax((1, 2)), dim=0) for tap in plain]
    torch.testing.assert_close(found["B-SD"][0], F.normalize(torch.cat(taps), dim=0))
    torch.testing.assert_close(found["B-SD+CLIP"][0],
                               F.normalize(torch.cat([found["B-SD"][0], found["B-CLIP"][0]]), dim=0))


def test_what_was_learned_has_no_part_in_them(make_tiny: Callable[..., SketchFusion]) -> None:
    model, images = make_tiny(), torch.rand(2, 3, 64, 64)
    before = baseline_vectors(model, model.encode(images), CONTENT, DescriptorConfig(pooling="mean"))
    with torch.no_grad():
        for parameter in [*model.injector.parameters(), *model.aggregator.parameters()]:
            parameter.add_(torch.randn_like(parameter))
    after = baseline_vectors(model, model.encode(images), CONTENT, DescriptorConfig(pooling="mean"))
    for name in before:
        assert torch.equal(before[name], after[name]), name


def test_an_extractor_without_one_of_the_backbones_is_refused(make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny("injection.blocks=[]")
    with pytest.raises(ConfigError, match="both backbones"):
        baseline_vectors(model, model.encode(torch.rand(1, 3, 64, 64)), CONTENT[:1], DescriptorConfig())
