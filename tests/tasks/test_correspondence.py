"""Points of a picture found in another, and points of the ink to begin with."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from sketchfusion.canvas import Canvas, blank_canvas
from sketchfusion.errors import ConfigError, ImageError
from sketchfusion.features import Features
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.tasks.correspondence import (
    find_in_maps,
    ink_points,
    match_points,
    point_features,
    point_features_of,
)


def line_sketch(*points: tuple[int, int], size: tuple[int, int] = (40, 30), color: object = (0, 0, 0)) -> Image.Image:
    """A line one pixel wide on white; size = (width, height)."""
    paper = Image.new("RGB", size, (255, 255, 255))
    ImageDraw.Draw(paper).line(points, fill=color)  # type: ignore[arg-type]
    return paper


def test_ink_points_are_ends_then_the_middle() -> None:
    found = ink_points(line_sketch((5, 10), (25, 10)), 3)
    assert sorted(found[:2].tolist()) == [[5.5, 10.5], [25.5, 10.5]]
    assert found[2].tolist() == [15.5, 10.5]


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 0, 0), (255, 240, 0), (0, 0, 255), (90, 90, 90)])
def test_ink_points_lie_on_the_ink_far_from_each_other_and_are_always_the_same(color: tuple[int, ...]) -> None:
    sketch = line_sketch((5, 5), (35, 5), (35, 25), (5, 25), (5, 5), color=color)
    found = ink_points(sketch, 8)
    assert found.dtype == torch.float32
    assert torch.equal(found, ink_points(sketch, 8))
    assert all(sketch.getpixel((int(x), int(y))) == color for x, y in found.tolist())
    assert torch.equal(found % 1, torch.full((8, 2), 0.5))
    assert torch.pdist(found).min() >= 8  # the outline is 100 pixels long


def test_fewer_pixels_of_ink_than_points_are_all_taken_once() -> None:
    found = ink_points(line_sketch((5, 10), (7, 10)), 50)
    assert sorted(found.tolist()) == [[5.5, 10.5], [6.5, 10.5], [7.5, 10.5]]


def test_ink_points_need_a_count() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        ink_points(line_sketch((5, 10), (7, 10)), 0)


def test_points_are_found_inside_each_photo(tiny_model: SketchFusion, sketch_file: Path,
                                            pictures: list[Image.Image]) -> None:
    """Chosen points of a sketch of 120 x 90 pixels, in photos of all shapes."""
    matches = match_points(tiny_model, sketch_file, pictures, num_points=5, batch_size=3)
    assert len(matches) == len(pictures)
    chosen = ink_points(Image.open(sketch_file), 5)
    for match, photo in zip(matches, pictures, strict=True):
        assert torch.equal(match.query_px, chosen)
        assert match.found_px.shape == (5, 2)
        assert (match.found_px >= 0).all()
        assert (match.found_px <= torch.tensor([photo.width, photo.height])).all()
        assert match.scores.shape == (5,)
        assert match.scores.abs().max() <= 1
        for value in (match.query_px, match.found_px, match.scores):
            assert value.dtype == torch.float32
            assert not value.requires_grad
    assert not torch.equal(matches[0].found_px, matches[2].found_px)


def test_maps_that_are_known_give_the_same_and_pass_nothing(tiny_model: SketchFusion, sketch_file: Path,
                                                            pictures: list[Image.Image],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.tensor([[20.0, 70.0], [60.0, 20.0], [55.0, 44.0]])
    expected = match_points(tiny_model, sketch_file, pictures, points)
    rows = point_features(tiny_model, sketch_file, "sketch", points)
    assert rows.shape == (1, 3, tiny_model.descriptor_size)
    canvas = tiny_model.read(sketch_file, "sketch")
    assert torch.equal(point_features_of(tiny_model.features_of(canvas).feature_map, canvas, points), rows)
    maps = tiny_model.features(pictures).feature_map
    canvas = blank_canvas([(picture.height, picture.width) for picture in pictures], tiny_model.canvas_size)
    monkeypatch.setattr(SketchFusion, "forward", lambda *_: pytest.fail("the networks were used"))
    for (found_px, scores), match in zip(find_in_maps(tiny_model, rows, maps * 7, canvas), expected, strict=True):
        assert torch.allclose(found_px, match.found_px, atol=1e-2)
        assert torch.allclose(scores, match.scores, atol=1e-4)


def test_features_of_points_outside_are_refused(tiny_model: SketchFusion, pictures: list[Image.Image]) -> None:
    with pytest.raises(ConfigError, match=r"the point \(97, 3\) lies outside the photo"):
        point_features(tiny_model, pictures[0], "photo", torch.tensor([[97.0, 3.0]]))


def test_a_photo_alone_has_the_points_that_it_has_in_a_batch(tiny_model: SketchFusion, sketch_file: Path,
                                                             pictures: list[Image.Image]) -> None:
    points = torch.tensor([[20.0, 70.0], [60.0, 20.0], [55.0, 44.0]])
    together = match_points(tiny_model, sketch_file, pictures, points, batch_size=7)
    for photo, match in zip(pictures, together, strict=True):
        alone, = match_points(tiny_model, sketch_file, photo, points)
        assert torch.allclose(alone.found_px, match.found_px, atol=1e-2)
        assert torch.allclose(alone.scores, match.scores, atol=1e-4)


def test_the_sketch_is_encoded_once(make_tiny: Callable[..., SketchFusion], monkeypatch: pytest.MonkeyPatch,
                                    sketch_file: Path, pictures: list[Image.Image]) -> None:
    model = make_tiny()
    sizes: list[int] = []
    real = model.features_of

    def note(canvas: Canvas) -> Features:
        sizes.append(len(canvas))
        return real(canvas)

    monkeypatch.setattr(model, "features_of", note)
    match_points(model, sketch_file, iter(pictures), batch_size=3)
    assert sizes == [1, 3, 3, 1]


def gradient_picture(width: int, height: int) -> Image.Image:
    """Red says how far right a pixel lies, green how far down, both as a share of the picture."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.round((np.arange(width) + 0.5) / width * 255)[None]
    pixels[..., 1] = np.round((np.arange(height) + 0.5) / height * 255)[:, None]
    return Image.fromarray(pixels)


def place_features(canvas: Canvas) -> Features:
    """Stands in for an extractor that knows which part of the object every cell shows: read off red and green."""
    shares = F.interpolate(canvas.images_01[:, :2], 16, mode="bilinear") * math.pi  # of the pixels about each centre
    feature_map = torch.cat([shares.cos(), shares.sin()], dim=1)
    return Features(feature_map, F.normalize(feature_map.mean((2, 3)), dim=1))


@pytest.fixture
def knowing_model(make_tiny: Callable[..., SketchFusion], monkeypatch: pytest.MonkeyPatch) -> SketchFusion:
    """The padding of its photos looks like the middle of the object, as the padding's colour is nearly that."""
    model = make_tiny("heads.correspondence.temperature=0.002")
    monkeypatch.setattr(model, "features_of", place_features)
    return model


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("target", [(160, 80), (70, 180), (64, 64), (1200, 900)])
def test_points_travel_between_the_frames_of_both_pictures(knowing_model: SketchFusion, target: tuple[int, int],
                                                           reverse: bool) -> None:
    """What lies at a share of the width and height of one picture is found at the same share of the other."""
    shares = torch.tensor([[0.5, 0.5], [0.3, 0.6], [0.7, 0.25], [0.2, 0.8]])
    one, other = gradient_picture(120, 90), gradient_picture(*target)
    match, = match_points(knowing_model, other if reverse else one, one if reverse else other,
                          shares * torch.tensor([120, 90]), reverse=reverse)
    cell = max(target) / 16
    assert torch.allclose(match.query_px, shares * torch.tensor([120, 90]))
    assert (match.found_px - shares * torch.tensor(target)).abs().max() < 0.6 * cell
    assert match.scores.min() > 0.98


def test_photos_in_files_are_answered_in_pixels_of_their_full_size(knowing_model: SketchFusion,
                                                                   tmp_path: Path) -> None:
    """A large JPEG is decoded smaller, and turned by its EXIF; points belong to the upright original all the same."""
    upright = gradient_picture(900, 1200)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    shares = torch.tensor([[0.3, 0.7], [0.6, 0.3]])
    match, = match_points(knowing_model, gradient_picture(60, 60), tmp_path / "turned.jpg", shares * 60)
    assert (match.found_px - shares * torch.tensor([900, 1200])).abs().max() < 50


def test_a_photo_thinner_than_a_cell_holds_its_points(knowing_model: SketchFusion) -> None:
    match, = match_points(knowing_model, gradient_picture(60, 60), gradient_picture(300, 5),
                          torch.tensor([[0.0, 0.0], [60.0, 60.0]]))
    assert ((match.found_px >= 0) & (match.found_px <= torch.tensor([300, 5]))).all()


def test_window_and_temperature_come_from_the_model(make_tiny: Callable[..., SketchFusion],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """At a temperature that makes all cells equal, the place is the middle of the window: the picture, or one cell."""
    points, sketch = torch.tensor([[45.0, 45.0]]), gradient_picture(64, 64)
    wide, narrow = (make_tiny("heads.correspondence.temperature=1e6", f"heads.correspondence.window={window}")
                    for window in (1.0, 0.01))
    for model, expected in ((wide, 32), (narrow, 46)):  # 46: the centre of cell 11
        monkeypatch.setattr(model, "features_of", place_features)
        match, = match_points(model, sketch, sketch, points)
        assert match.found_px.flatten().tolist() == pytest.approx([expected, expected], abs=0.01)


def test_reverse_finds_points_of_the_photo_in_the_sketch(tiny_model: SketchFusion, sketch_file: Path,
                                                         pictures: list[Image.Image]) -> None:
    points = torch.tensor([[10.0, 100.0], [49.0, 3.0]])  # the photo is 50 x 120, the sketch 120 x 90
    match, = match_points(tiny_model, sketch_file, pictures[2], points, reverse=True)
    assert torch.equal(match.query_px, points)
    assert ((match.found_px >= 0) & (match.found_px <= torch.tensor([120, 90]))).all()


@pytest.mark.parametrize("name", ["drawing.svg", "drawing.ndjson"])
def test_drawn_sketches_have_the_pixels_they_are_drawn_with(tiny_model: SketchFusion, pictures: list[Image.Image],
                                                            tmp_path: Path, name: str) -> None:
    content = {"drawing.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M 1 1 L 9 9" '
                              'stroke="black"/></svg>', "drawing.ndjson": '{"drawing": [[[0, 90], [0, 90]]]}'}
    (tmp_path / name).write_text(content[name])
    match, = match_points(tiny_model, tmp_path / name, pictures[0], num_points=4)
    assert len(match.query_px) == 4
    assert match.query_px.max() > 256  # of the 512 x 512 pixels of read_sketch


@pytest.mark.parametrize("point", [(130.0, 20.0), (20.0, 90.5), (-1.0, 5.0), (math.nan, 5.0)])
def test_points_outside_their_picture_are_refused(tiny_model: SketchFusion, sketch_file: Path,
                                                  pictures: list[Image.Image], point: tuple[float, float]) -> None:
    points = torch.tensor([(3.0, 3.0), point])
    expected = rf"\({point[0]:g}, {point[1]:g}\) lies outside the sketch, which is 120 pixels wide and 90 high"
    with pytest.raises(ConfigError, match=expected):
        match_points(tiny_model, sketch_file, pictures, points)


def test_the_edges_of_a_picture_are_inside(tiny_model: SketchFusion, sketch_file: Path,
                                           pictures: list[Image.Image]) -> None:
    match, = match_points(tiny_model, sketch_file, pictures[0], torch.tensor([[0, 0], [120, 90]]))
    assert match.found_px.isfinite().all()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"points_px": torch.zeros(2)}, r"must be \(N, 2\).*got \(2,\)"),
    ({"points_px": torch.zeros(0, 2)}, r"at least one, got \(0, 2\)"),
    ({"points_px": torch.zeros(3, 3)}, r"got \(3, 3\)"),
    ({"num_points": 0}, "number of points must be at least 1, got 0"),
    ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"reverse": True, "points_px": torch.ones(1, 2)}, "on one photo, but 7 were given"),
])
def test_arguments_that_do_not_fit_are_refused(tiny_model: SketchFusion, sketch_file: Path,
                                               pictures: list[Image.Image], arguments: dict[str, Any],
                                               message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        match_points(tiny_model, sketch_file, pictures, **arguments)


def test_reverse_needs_points(tiny_model: SketchFusion, sketch_file: Path, pictures: list[Image.Image]) -> None:
    with pytest.raises(ConfigError, match="a photo has no ink; give points_px"):
        match_points(tiny_model, sketch_file, pictures[0], reverse=True)


def test_no_photo_and_a_blank_sketch_are_refused(tiny_model: SketchFusion, sketch_file: Path,
                                                 pictures: list[Image.Image]) -> None:
    with pytest.raises(ImageError, match="no picture was given"):
        match_points(tiny_model, sketch_file, [])
    with pytest.raises(ImageError, match="blank sketch"):
        match_points(tiny_model, Image.new("RGB", (40, 40), "white"), pictures)
