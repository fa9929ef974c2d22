"""Sketch-based segmentation with a model: masks, scores, thresholds, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sketchfusion.canvas import Canvas, blank_canvas, make_canvas
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.refinement import refine
from sketchfusion.tasks.segmentation import (
    Segmentation,
    segment,
    segment_maps,
    similarity_map,
    sketch_descriptor,
    sketch_descriptor_of,
    to_picture,
)


def test_the_score_is_the_mean_inside_the_mask() -> None:
    found = Segmentation.of(torch.tensor([[0.9, 0.5], [0.2, 0.7]]), 0.4)
    assert found.mask.tolist() == [[True, False], [False, True]]
    assert found.score == pytest.approx(0.8)
    assert Segmentation.of(torch.zeros(2, 2), 0.4).score == 0


def by_hand(model: SketchFusion, sketch: Image.Image, photo: Image.Image, threshold: float) -> Tensor:
    """The probability before refinement, step by step."""
    drawn = model.features([sketch], kind="sketch").feature_map
    canvas = make_canvas([sketch], model.canvas_size, model.padding("sketch"))
    cells = content_mask(canvas.content, model.canvas_size, (drawn.shape[2], drawn.shape[3]))[0]
    descriptor = F.normalize(drawn[0][:, cells].amax(1), dim=0)
    feature_map = F.normalize(model.features([photo]).feature_map[0], dim=0)
    similarity = torch.einsum("d,dhw->hw", descriptor, feature_map)
    onto = make_canvas([photo], model.canvas_size, model.padding("photo"))
    return torch.sigmoid((to_picture(similarity, onto, 0) - threshold) / model.heads.segmentation.softness.detach())


@pytest.fixture(scope="module")
def sketch(draw_picture: Callable[[tuple[int, int], int], Image.Image]) -> Image.Image:
    """Not square, so that its canvas has padding."""
    return draw_picture((90, 50), 99)


def middle(model: SketchFusion, sketch: Image.Image, photo: Image.Image) -> float:
    """A threshold that half of the cells are above, whatever an untrained model gives."""
    maps = similarity_map(sketch_descriptor(model, sketch), model.features([photo]).feature_map)
    return float(maps.median())


def test_masks_are_as_large_as_the_photos_and_what_the_steps_give(
        tiny_model: SketchFusion, sketch: Image.Image, pictures: list[Image.Image]) -> None:
    threshold = middle(tiny_model, sketch, pictures[0])
    found = list(segment(tiny_model, sketch, pictures, threshold=threshold, refined=False, batch_size=3))
    assert len(found) == len(pictures)
    for photo, result in zip(pictures, found, strict=True):
        assert result.mask.shape == result.probability.shape == (photo.height, photo.width)
        assert result.mask.dtype == torch.bool
        assert result.probability.dtype == torch.float32
        assert 0 <= result.probability.min() <= result.probability.max() <= 1
        assert torch.equal(result.mask, result.probability > 0.5)
        assert result.threshold == threshold
        expected = by_hand(tiny_model, sketch, photo, threshold)
        torch.testing.assert_close(result.probability, expected, rtol=0, atol=2e-3)
    assert 0.1 < found[0].mask.float().mean() < 0.9


@pytest.mark.parametrize("refined", [True, False])
def test_maps_that_are_known_give_the_same_and_pass_nothing(
        tiny_model: SketchFusion, sketch: Image.Image, pictures: list[Image.Image], refined: bool,
        monkeypatch: pytest.MonkeyPatch) -> None:
    threshold = middle(tiny_model, sketch, pictures[0])
    expected = list(segment(tiny_model, sketch, pictures[:3], threshold=threshold, refined=refined))
    descriptor = sketch_descriptor(tiny_model, sketch)
    maps = tiny_model.features(pictures[:3]).feature_map
    canvas = blank_canvas([(picture.height, picture.width) for picture in pictures[:3]], tiny_model.canvas_size)
    monkeypatch.setattr(SketchFusion, "forward", lambda *_: pytest.fail("the networks were used"))
    found = segment_maps(tiny_model, descriptor, maps * 7, canvas, threshold=threshold,
                         photos=pictures[:3] if refined else None)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.probability, other.probability, rtol=0, atol=2e-3)
        assert one.threshold == other.threshold
    own, = segment_maps(tiny_model, descriptor, maps[:1], canvas)
    assert own.threshold == pytest.approx(tiny_model.heads.segmentation.threshold.item())
    with pytest.raises(ConfigError, match=r"must lie in \[-1, 1\], got 2"):
        list(segment_maps(tiny_model, descriptor, maps, canvas, threshold=2))


def test_a_descriptor_of_a_known_map(tiny_model: SketchFusion, sketch: Image.Image) -> None:
    canvas = tiny_model.read(sketch, "sketch")
    found = sketch_descriptor_of(tiny_model.features_of(canvas).feature_map, canvas)
    assert torch.equal(found, sketch_descriptor(tiny_model, sketch))


def test_refinement_is_of_the_same_probability_with_the_photo_itself(
        tiny_model: SketchFusion, sketch: Image.Image, pictures: list[Image.Image]) -> None:
    threshold = middle(tiny_model, sketch, pictures[3])
    plain, = segment(tiny_model, sketch, pictures[3], threshold=threshold, refined=False)
    found, = segment(tiny_model, sketch, pictures[3], threshold=threshold)
    expected = refine(plain.probability, np.array(pictures[3]))
    assert torch.equal(found.probability, expected)
    assert torch.equal(found.mask, expected > 0.5)
    assert (expected - plain.probability).abs().max() > 0.01


def test_a_photo_gives_the_same_alone_and_in_a_batch(
        tiny_model: SketchFusion, sketch: Image.Image, pictures: list[Image.Image]) -> None:
    threshold = middle(tiny_model, sketch, pictures[0])
    together = list(segment(tiny_model, sketch, pictures[:4], threshold=threshold, refined=False))
    for photo, expected in zip(pictures[:4], together, strict=True):
        alone, = segment(tiny_model, sketch, [photo], threshold=threshold, refined=False)
        torch.testing.assert_close(alone.probability, expected.probability, rtol=0, atol=2e-3)


def test_the_threshold_is_the_models_own_unless_one_is_given(
        make_tiny: Callable[..., SketchFusion], sketch: Image.Image, pictures: list[Image.Image]) -> None:
    model = make_tiny("heads.segmentation.threshold=0.9", "heads.segmentation.softness=0.2")
    own, = segment(model, sketch, pictures[0], refined=False)
    assert own.threshold == pytest.approx(0.9)
    torch.testing.assert_close(own.probability, by_hand(model, sketch, pictures[0], 0.9), rtol=0, atol=1e-4)
    lower, = segment(model, sketch, pictures[0], threshold=-0.2, refined=False)
    assert (lower.probability > own.probability).all()
    assert lower.threshold == -0.2


def test_the_sketch_is_max_pooled_whatever_the_descriptors_of_retrieval_are(
        make_tiny: Callable[..., SketchFusion], tiny_model: SketchFusion, sketch: Image.Image) -> None:
    other = make_tiny("descriptor.pooling=mean")
    assert not torch.allclose(other.describe([sketch], kind="sketch"), tiny_model.describe([sketch], kind="sketch"))
    torch.testing.assert_close(sketch_descriptor(other, sketch), tiny_model.describe([sketch], kind="sketch"))


def test_files_of_any_kind_and_turned_photos_are_read(
        tiny_model: SketchFusion, photo_folder: Path, tmp_path: Path, sketch_file: Path) -> None:
    turned, svg = tmp_path / "turned.jpg", tmp_path / "sketch.svg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photo_folder / "photo0.jpg").save(turned, exif=exif)  # 96 x 64 pixels, to be shown as 64 x 96
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="12" '
                   'fill="none" stroke="black"/></svg>')
    for drawing in (sketch_file, svg):
        flat, upright = segment(tiny_model, drawing, [photo_folder / "photo0.jpg", turned])
        assert flat.mask.shape == (64, 96)
        assert upright.mask.shape == (96, 64)


def test_photos_are_read_as_they_are_needed_and_the_sketch_once(
        tiny_model: SketchFusion, sketch: Image.Image, pictures: list[Image.Image],
        monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    batches: list[int] = []
    whole = SketchFusion.features_of

    def counted(model: SketchFusion, canvas: Canvas) -> object:
        batches.append(len(canvas))
        return whole(model, canvas)

    def photos() -> Iterator[Image.Image]:
        for index, picture in enumerate(pictures[:5]):
            taken.append(index)
            yield picture

    monkeypatch.setattr(SketchFusion, "features_of", counted)
    found = segment(tiny_model, sketch, photos(), batch_size=2)
    assert (taken, batches) == ([], [1])
    next(found)
    assert (taken, batches) == ([0, 1], [1, 2])
    assert len(list(found)) == 4
    assert batches == [1, 2, 2, 1]


@pytest.mark.parametrize("threshold", [1.01, -2.0, math.nan])
def test_a_threshold_that_no_cosine_has_is_refused_at_once(tiny_model: SketchFusion, sketch: Image.Image,
                                                           threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"must lie in \[-1, 1\], got .*leave it out"):
        segment(tiny_model, sketch, [sketch], threshold=threshold)


def test_other_wrong_arguments_are_named(tiny_model: SketchFusion, sketch: Image.Image) -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        segment(tiny_model, sketch, [sketch], batch_size=0)
    with pytest.raises(ImageError, match="blank sketch"):
        segment(tiny_model, Image.new("RGB", (40, 40), "white"), [sketch])
    with pytest.raises(ImageError, match="no picture was given"):
        list(segment(tiny_model, sketch, []))
