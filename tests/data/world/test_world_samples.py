"""Samples: shapes, determinism, and annotation that fits the pictures."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sketchfusion.data.world import CATEGORIES, make_sample, rasterize
from sketchfusion.data.world.dice import Dice
from sketchfusion.data.world.draw import draw_sketch
from sketchfusion.data.world.render import render_photo
from sketchfusion.data.world.scene import MAX_HIDDEN, make_scene
from sketchfusion.errors import DataError

NAMES = list(CATEGORIES)
DIGESTS = """
import hashlib, sys
from sketchfusion.data.world import make_sample
for name, instance in (("cup", 3), ("giraffe", 0), ("airplane", 12)):
    sample = make_sample(name, instance, seed=7, size=64, variant=1)
    print(hashlib.sha256(b"".join([sample.photo.tobytes(), sample.sketch.tobytes(), sample.parts.tobytes(),
                                   *(s.tobytes() for s in sample.strokes)])).hexdigest())
"""


def digest(sample):
    strokes = [stroke.tobytes() for stroke in sample.strokes]
    return hashlib.sha256(
        b"".join([sample.photo.tobytes(), sample.sketch.tobytes(), sample.parts.tobytes(),
        *strokes])).hexdigest()


def grown(mask, pixels):
    image = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * pixels + 1))
    return np.asarray(image) > 0


def check_sample(sample, size):
    count = len(sample.keypoint_names)
    assert sample.photo.shape == sample.sketch.shape == (size, size, 3)
    assert sample.photo.dtype == sample.sketch.dtype == sample.parts.dtype == np.uint8
    assert sample.mask.shape == sample.parts.shape == (size, size)
    assert sample.mask.dtype == bool
    assert np.array_equal(sample.mask, sample.parts > 0)
    assert sample.parts.max() <= len(sample.part_names)
    for points, visible in ((sample.photo_keypoints_px, sample.photo_visible),
                            (sample.sketch_keypoints_px, sample.sketch_visible)):
        assert points.shape == (count, 2)
        assert points.dtype == np.float32
        assert visible.shape == (count,)
        assert visible.dtype == bool
        assert ((points[visible] >= 0) & (points[visible] < size)).all()
    assert sample.strokes
    for stroke in sample.strokes:
        assert stroke.dtype == np.float32
        assert stroke.ndim == 2
        assert stroke.shape[1] == 2
        assert len(stroke) >= 2
        assert stroke.min() >= 0
        assert stroke.max() <= size
    near = grown(sample.mask, 2 + round(0.03 * size))
    for x, y in sample.photo_keypoints_px[sample.photo_visible]:
        assert near[int(y), int(x)]
    low = np.concatenate(sample.strokes).min(axis=0) - 0.08 * size
    high = np.concatenate(sample.strokes).max(axis=0) + 0.08 * size
    for point in sample.sketch_keypoints_px[sample.sketch_visible]:
        assert (low <= point).all()
        assert (point <= high).all()


@pytest.mark.parametrize("name", NAMES)
def test_sample_of_every_category(name):
    sample = make_sample(name, 1, seed=2, size=96)
    check_sample(sample, 96)
    assert sample.class_index == NAMES.index(name)
    assert sample.mask.mean() > 0.01
    assert np.std(sample.photo) > 4
    assert 0.005 < (sample.sketch < 128).mean() < 0.4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(NAMES), st.integers(0, 10**6), st.integers(-3, 10**9),
    st.sampled_from([32, 33, 64, 101, 160]),
       st.one_of(st.none(), st.floats(0, 1)), st.integers(0, 50))
def test_any_sample_is_well_formed(name, instance, seed, size, abstraction, variant):
    check_sample(make_sample(name, instance, seed=seed, size=size, abstraction=abstraction, variant=variant),
        size)


def test_the_largest_size():
    check_sample(make_sample("windmill", 0, size=512), 512)


def test_a_subprocess_makes_the_same_bytes_in_another_order():
    wanted = [("airplane", 12), ("giraffe", 0), ("cup", 3)]
    here = [digest(make_sample(name, instance, seed=7, size=64, variant=1)) for name, instance in wanted]
    result = subprocess.run([sys.executable, "-c", DIGESTS], capture_output=True, text=True, check=True)
    assert result.stdout.split() == here[::-1]


def test_instances_variants_and_seeds_differ():
    base = make_sample("teapot", 4, size=64)
    assert not np.array_equal(base.photo, make_sample("teapot", 5, size=64).photo)
    assert not np.array_equal(base.photo, make_sample("teapot", 4, size=64, seed=1).photo)
    other = make_sample("teapot", 4, size=64, variant=1)
    assert np.array_equal(base.photo, other.photo)
    assert not np.array_equal(base.sketch, other.sketch)


def test_a_scene_is_the_same_at_every_size():
    small, large = (make_sample("castle", 2, size=size, abstraction=0.4) for size in (64, 256))
    there = large.photo_keypoints_px[:, 0] != -1
    np.testing.assert_allclose(small.photo_keypoints_px[there] * 4, large.photo_keypoints_px[there],
        atol=0.05)
    assert len(small.strokes) == len(large.strokes)
    for one, other in zip(small.strokes, large.strokes, strict=True):
        np.testing.assert_allclose(one * 4, other, atol=0.05)


def test_things_in_front_hide_points_and_pixels():
    lost_points = lost_pixels = 0
    scenes = [make_scene(CATEGORIES[name], instance, 1) for name in NAMES[::4] for instance in range(4)]
    crowded = [scene for scene in scenes if scene.in_front]
    assert 0 < len(crowded) < len(scenes)
    for scene in crowded:
        hidden, free = render_photo(scene, 64), render_photo(replace(scene, in_front=()), 64)
        assert not (hidden.visible & ~free.visible).any()
        assert not ((hidden.parts > 0) & (free.parts == 0)).any()
        np.testing.assert_array_equal(hidden.keypoints_px, free.keypoints_px)
        share = 1 - (hidden.parts > 0).sum() / (free.parts > 0).sum()
        assert share < MAX_HIDDEN + 0.1
        lost_points += int((free.visible & ~hidden.visible).sum())
        lost_pixels += share > 0
    assert lost_points > 0
    assert lost_pixels > len(crowded) / 2


def test_absent_parts_have_no_keypoints():
    cups = [make_sample("cup", instance, size=32) for instance in range(25)]
    row = CATEGORIES["cup"].keypoints.index("handle middle")
    without = [cup for cup in cups if (cup.photo_keypoints_px[row] == -1).all()]
    assert 0 < len(without) < len(cups)
    for cup in without:
        assert not cup.photo_visible[row]
        assert not cup.sketch_visible[row]


@pytest.mark.parametrize("name", ["bicycle", "owl", "house", "scissors"])
def test_careful_drawing_agrees_with_the_photo(name):
    """Between the key points of the photo and of a careful drawing lies close to an affine map."""
    sample = make_sample(name, 3, abstraction=0.0)
    both = (sample.photo_keypoints_px[:, 0] >= 0) & sample.sketch_visible
    photo = np.concatenate([sample.photo_keypoints_px[both], np.ones((both.sum(), 1))], axis=1)
    sketch = sample.sketch_keypoints_px[both]
    affine = np.linalg.lstsq(photo, sketch, rcond=None)[0]
    assert np.abs(photo @ affine - sketch).max() < 0.04 * 128


def test_abstraction_leaves_things_out():
    def ink(level):
        drawings = [draw_sketch(make_scene(CATEGORIES[name], 0, 0), 64, abstraction=level) for name in NAMES]
        visible = sum(int(drawing.visible.sum()) for drawing in drawings)
        return visible, sum(len(stroke) for drawing in drawings for stroke in drawing.strokes)

    careful, doodle = ink(0.0), ink(1.0)
    assert doodle[0] < careful[0]
    assert doodle[1] < 0.9 * careful[1]


def test_abstraction_is_drawn_by_lot_unless_given():
    levels = [make_sample("key", 0, size=32, variant=variant).abstraction for variant in range(8)]
    assert len(set(levels)) == 8
    assert make_sample("key", 0, size=32, abstraction=0.25).abstraction == 0.25


def test_line_width():
    strokes = [np.array([(8.0, 32.0), (56.0, 32.0)], dtype=np.float32)]
    for width in (1, 3, 6):
        column = rasterize(strokes, 64, line_width=width)[:, 32, 0]
        assert (255 - column.astype(float)).sum() / (255 - 24) == pytest.approx(width, abs=0.8)
    assert (rasterize([], 40) == 255).all()
    assert make_sample("cat", 0, size=64, line_width=4).sketch.mean() < make_sample("cat", 0,
        size=64).sketch.mean()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"category": "teapott"},
    r"unknown category 'teapott' of the drawn world. Did you mean 'teapot'\? Known: airplane"),
    ({"size": 16}, r"size must be a whole number of pixels from 32 to 512, got 16; make a size in this"),
    ({"size": 64.0}, r"from 32 to 512, got 64.0"),
    ({"instance": -1}, r"instance must be a whole number of at least 0, got -1"),
    ({"variant": -2}, r"variant must be a whole number of at least 0, got -2"),
    ({"abstraction": 1.5}, r"abstraction must lie in \[0, 1\] .* got 1.5; leave it out"),
    ({"abstraction": float("nan")}, r"abstraction must lie in \[0, 1\]"),
    ({"line_width": 0}, r"line_width must be more than 0 px, got 0; leave it out"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        make_sample(**{"category": "teapot", "instance": 0, "size": 32, **arguments})


def test_scene_dice_are_named():
    scene = make_scene(CATEGORIES["cat"], 5, 9)
    assert scene.dice("x").between(0, 1) == Dice(9, "cat", 5, "x").between(0, 1)
