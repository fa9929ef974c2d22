"""Samples: exact masks under the affine map, exact correspondence, sane strokes, abstraction and determinism."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchfusion.data.composites import CompositeSample, CutOutItem, SampleOptions, make_sample, trace
from sketchfusion.data.composites.composite import compose_photo, plain_ground
from sketchfusion.data.composites.seeding import generator
from sketchfusion.data.composites.warp import apply_affine
from sketchfusion.errors import DataError

STAR = [(60, 4), (75, 45), (116, 48), (84, 72), (96, 112), (60, 90), (24, 112), (36, 72), (4, 48), (45, 45)]
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_composite_sample import digest
print(digest())
"""


def star_item() -> CutOutItem:
    """A star with inner lines, 120 x 116 pixels."""
    large = Image.new("L", (480, 464), 0)
    ImageDraw.Draw(large).polygon([(4 * x, 4 * y) for x, y in STAR], fill=255)
    alpha = large.resize((120, 116), Image.Resampling.BOX)
    colour = Image.new("RGB", (120, 116), (190, 60, 40))
    draw = ImageDraw.Draw(colour)
    for x in range(30, 100, 12):
        draw.rectangle((x, 50, x + 4, 80), fill=(240, 220, 100))
    draw.ellipse((50, 20, 70, 40), fill=(20, 20, 60))
    rgba = colour.convert("RGBA")
    rgba.putalpha(alpha)
    return CutOutItem("star/1.png", "star", rgba, trace(np.asarray(colour), np.asarray(alpha)))


def sample(seed: int = 0, level: float | None = None, **options: float) -> CompositeSample:
    item = star_item()
    return make_sample(item, ("test", seed), SampleOptions(**{"warp": 0.05, **options}),  # type: ignore[arg-type]
                       occluder=item.picture if seed % 2 else None, abstraction=level)


def digest() -> str:
    """One number for all that a sample holds."""
    import hashlib
    made = sample(3)
    parts = [made.photo, made.mask, made.sketch, made.sketch_keypoints_px, made.photo_keypoints_px, made.visible]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_is_exact_under_the_affine_map(seed: int) -> None:
    rng = generator("mask", seed)
    made = compose_photo(star_item().picture, plain_ground(128, rng), rng)
    fine = Image.new("L", (128 * 8, 128 * 8), 0)
    corners = apply_affine(made.affine, np.array(STAR, dtype=float) + 0.125)
    ImageDraw.Draw(fine).polygon([(float(8 * x), float(8 * y)) for x, y in corners], fill=255)
    truth = np.asarray(fine.resize((128, 128), Image.Resampling.BOX)) > 127
    assert (made.mask & truth).sum() / (made.mask | truth).sum() > 0.97
    assert made.visible_share == 1


def test_a_second_object_hides_some_and_the_mask_says_so() -> None:
    hidden = 0
    for seed in range(12):
        rng = generator("hide", seed)
        made = compose_photo(star_item().picture, plain_ground(96, rng), rng, occluder=star_item().picture)
        assert not (made.mask & made.covered).any()
        assert 0.55 <= made.visible_share <= 1
        hidden += made.visible_share < 1
    assert hidden > 6


def test_the_correspondence_equals_a_slow_computation() -> None:
    made = sample(2)
    warp, fit = made.correspondence.warp, made.correspondence.fit
    for stroke in made.strokes[:3]:
        for meant, intended in list(zip(stroke.photo_px, stroke.intended_px, strict=True))[::7]:
            moved = [float(warp.affine[k] @ [*meant, 1.0]) for k in (0, 1)]
            for centre, weight in zip(warp.controls, warp.weights, strict=True):
                squared = float(((meant - centre) ** 2).sum())
                bend = squared * np.log(squared) if squared else 0.0
                moved = [moved[k] + float(weight[k]) * bend for k in (0, 1)]
            expected = [float(fit[k] @ [*moved, 1.0]) for k in (0, 1)]
            np.testing.assert_allclose(intended, expected, atol=1e-8)
            np.testing.assert_allclose(made.sketch_to_photo(intended[None])[0], meant, atol=1e-5)


def test_photo_points_of_the_outline_lie_on_the_outline_of_the_mask() -> None:
    made = sample(4)
    edge = made.mask ^ (np.roll(made.mask, 1, 0) & np.roll(made.mask, -1, 0) & np.roll(made.mask, 1, 1)
                        & np.roll(made.mask, -1, 1) & made.mask)
    rows, columns = np.nonzero(edge)
    points = np.concatenate([stroke.photo_px for stroke in made.strokes if stroke.outline])
    points = points[((points > 1) & (points < 127)).all(axis=1)]
    distance = np.hypot(points[:, :1] - columns - 0.5, points[:, 1:] - rows - 0.5).min(axis=1)
    assert np.quantile(distance, 0.95) < 2.0


def test_drawn_points_lead_back_to_the_points_meant() -> None:
    for seed in range(4):
        made = sample(seed)
        np.testing.assert_allclose(made.drawn_to_photo(made.sketch_keypoints_px), made.photo_keypoints_px, atol=1e-3)
        assert made.visible.shape == (16,)
        there = made.photo_keypoints_px[made.visible]
        assert ((there >= 0) & (there < 128)).all()


def test_the_hand_errs_more_the_more_abstract_it_is() -> None:
    off = []
    for level in (0.0, 1.0):
        strokes = [stroke for seed in range(6) for stroke in sample(2 * seed, level).strokes]
        off.append(np.concatenate([np.hypot(*(stroke.drawn_px - stroke.intended_px).T) for stroke in strokes]).mean())
    assert 0.2 < off[0] < 2.5 < off[1] < 14


def test_fewer_points_and_strokes_with_more_abstraction() -> None:
    points = []
    for level in LEVELS:
        made = [sample(seed, level) for seed in range(6)]
        points.append(np.mean([sum(len(stroke.drawn_px) for stroke in each.strokes) for each in made]))
    assert all(more > fewer for more, fewer in pairwise(points)), points
    assert points[0] > 2.5 * points[-1]


@pytest.mark.parametrize("level", LEVELS)
def test_strokes_stay_on_the_paper_and_leave_ink(level: float) -> None:
    made = sample(5, level, size=96)
    for stroke in made.strokes:
        assert stroke.drawn_px.min() >= 0
        assert stroke.drawn_px.max() <= 96
        assert stroke.drawn_px.shape == stroke.intended_px.shape == stroke.photo_px.shape
        assert stroke.width_px.shape == (len(stroke.drawn_px),)
        assert len(stroke.drawn_px) >= 2
    assert made.sketch.shape == made.photo.shape == (96, 96, 3)
    assert made.sketch.dtype == made.photo.dtype == np.uint8
    assert 0.005 < (made.sketch[..., 0] < 128).mean() < 0.35
    drawn = made.strokes[0].drawn_px.mean(axis=0)
    assert np.isfinite(drawn).all()


def test_the_outline_is_drawn_first() -> None:
    kinds = [stroke.outline for stroke in sample(0, 0.2).strokes]
    assert kinds == sorted(kinds, reverse=True)
    assert not all(kinds)


def test_the_photo_does_not_depend_on_the_level() -> None:
    careful, doodle = sample(1, 0.0), sample(1, 1.0)
    np.testing.assert_array_equal(careful.photo, doodle.photo)
    points = careful.photo_keypoints_px
    np.testing.assert_array_equal(careful.photo_to_sketch(points), doodle.photo_to_sketch(points))
    assert (careful.sketch != doodle.sketch).any()


def test_another_process_makes_the_same_sample() -> None:
    here = str(__file__).rsplit("/", 1)[0]
    done = subprocess.run([sys.executable, "-c", PROGRAM, here], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()


@pytest.mark.parametrize("wrong", [{"size": 8}, {"abstraction": (1.5,)}, {"warp": 0.5}, {"plain": 2}, {"keypoints": 0}])
def test_options_out_of_range_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        SampleOptions(**wrong)  # type: ignore[arg-type]


def test_a_level_out_of_range_and_an_empty_trace_are_errors() -> None:
    with pytest.raises(DataError, match="abstraction must be"):
        sample(0, 1.2)
    item = star_item()
    empty = CutOutItem("x", "x", item.picture, type(item.trace)((), 10, 10))
    with pytest.raises(DataError, match="no strokes"):
        make_sample(empty, ("x",), SampleOptions())
