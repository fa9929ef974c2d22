"""What a fusion learned, with weights that were set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image

from sketchfusion.analysis.weights import RecordedInjection, fusion_weights
from sketchfusion.canvas import make_canvas
from sketchfusion.features import Inject
from sketchfusion.fusion.extractor import SketchFusion


def test_branch_weights(make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny("diffusion.timesteps=[50,195]")
    with torch.no_grad():
        model.aggregator.mixing.copy_(torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]))
    found = fusion_weights(model).branch_weights
    assert {step: list(taps) for step, taps in found.items()} == {50: ["up1", "up2", "up3"], 195: ["up1", "up2", "up3"]}
    values = [value for taps in found.values() for value in taps.values()]
    assert values == pytest.approx(torch.arange(6.0).softmax(0).tolist())


def test_norms_without_pictures(make_tiny: Callable[..., SketchFusion]) -> None:
    model = make_tiny("injection.blocks=[down1,up2]")
    weight = model.injector.projections["up2"].weight
    with torch.no_grad():
        weight.zero_()  # type: ignore[operator]
        weight[0, :2, 0, 0] = torch.tensor([3.0, 4.0])  # type: ignore[index]
    found = fusion_weights(model).injection
    assert list(found) == ["down1", "up2"]
    assert (found["down1"].norm, found["up2"].norm) == pytest.approx((0, 5))
    assert {block.strength for block in found.values()} == {None}


def test_strength_of_what_is_added(make_tiny: Callable[..., SketchFusion], pictures: list[Image.Image]) -> None:
    model = make_tiny("injection.blocks=[up2]", "injection.init=torch")
    canvases = [make_canvas([picture], model.canvas_size, (0, 0, 0)) for picture in pictures[:3]]
    one = fusion_weights(model, canvases).injection["up2"]
    expected = []
    with torch.no_grad():
        for canvas in canvases:
            encoded = model.encode(canvas.images_01)
            plain = model.diffusion.forward_taps(encoded.latents, encoded.keys, None)[0]["up2"]
            injected = model.pyramids(encoded)[0]["up2"]
            expected.append(float((injected - plain).norm() / plain.norm()))
        assert one.strength == pytest.approx(sum(expected) / 3, rel=1e-4)
        for parameter in model.injector.parameters():
            parameter.mul_(2)
    twice = fusion_weights(model, canvases).injection["up2"]
    assert (twice.strength, twice.norm) == pytest.approx((2 * one.strength, 2 * one.norm), rel=1e-4)


def test_injection_without_convolutions_or_none_at_all(make_tiny: Callable[..., SketchFusion],
                                                       pictures: list[Image.Image]) -> None:
    bare, none = make_tiny("injection.convolutions=false"), make_tiny("injection.blocks=[]")
    canvas = make_canvas(pictures[:1], bare.canvas_size, (0, 0, 0))
    found = fusion_weights(bare, [canvas]).injection
    assert {block.norm for block in found.values()} == {None}
    assert all(block.strength is not None and block.strength > 0 for block in found.values())
    assert fusion_weights(none, [canvas]).injection == {}


def test_recording_changes_nothing() -> None:
    class Adding:
        into_skips, blocks = True, frozenset({"up1"})

        def for_rows(self, rows: torch.Tensor) -> Inject:
            return lambda name, hidden: hidden + torch.tensor([3.0, 0.0])[rows].view(-1, 1, 1, 1)

    recorded = RecordedInjection(Adding())
    hidden = torch.ones(2, 1, 2, 2)
    found = recorded.for_rows(torch.tensor([0, 1]))("up1", hidden)
    assert recorded.into_skips
    assert found.flatten(1).tolist() == [[4.0] * 4, [1.0] * 4]
    assert torch.cat(recorded.strengths["up1"]).tolist() == [3.0, 0.0]
