"""The map-style data set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.data.world import CATEGORIES, DrawnWorld, make_sample
from sketchfusion.errors import DataError


def test_length_and_order():
    world = DrawnWorld(["pear", "cat"], instances_per_category=3, sketches_per_photo=2, size=32)
    assert len(world) == 12
    samples = list(world)
    assert [sample.category for sample in samples] == ["pear"] * 6 + ["cat"] * 6
    assert [sample.instance for sample in samples] == [0, 0, 1, 1, 2, 2] * 2
    assert [sample.variant for sample in samples] == [0, 1] * 6
    assert {sample.class_index for sample in samples[:6]} == {0}
    assert samples[0].instance_id == "pear_00000"


def test_a_sample_is_what_make_sample_gives():
    world = DrawnWorld(["wine glass"], instances_per_category=2, seed=3, size=48, abstraction=0.5)
    sample, same = world[-1], make_sample("wine glass", 1, seed=3, size=48, abstraction=0.5)
    assert sample.instance_id == same.instance_id == "wine_glass_00001"
    assert np.array_equal(sample.photo, same.photo)
    assert np.array_equal(sample.sketch, same.sketch)


def test_all_categories_by_default():
    world = DrawnWorld()
    assert world.categories == tuple(CATEGORIES)
    assert len(world) == 20 * len(CATEGORIES)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(-100, 100))
def test_any_index_is_located_or_refused(instances, sketches, index):
    world = DrawnWorld(["apple", "bus", "key"], instances_per_category=instances, sketches_per_photo=sketches)
    if -len(world) <= index < len(world):
        category, instance, variant = world.locate(index)
        at = (world.categories.index(category) * instances + instance) * sketches + variant
        assert at == index % len(world)
    else:
        with pytest.raises(IndexError,
                match=f"index {index} is out of range for a drawn world of {len(world)} samples"):
            world.locate(index)


def test_it_works_with_a_torch_data_loader():
    data = pytest.importorskip("torch.utils.data")
    world = DrawnWorld(["star"], instances_per_category=3, size=32)
    loader = data.DataLoader(world, batch_size=2, collate_fn=list, shuffle=False)
    assert [len(batch) for batch in loader] == [2, 1]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"categories": ["cat", "cat"]},
    r"categories must be different names, at least one, got \['cat', 'cat'\]"),
    ({"categories": []}, r"at least one, got \[\]; leave them out for all"),
    ({"categories": ["girafe"]}, r"Did you mean 'giraffe'\?"),
    ({"instances_per_category": 0}, r"instances_per_category must be a whole number of at least 1, got 0"),
    ({"sketches_per_photo": 0}, r"sketches_per_photo must be a whole number of at least 1, got 0"),
    ({"size": 1000}, r"from 32 to 512, got 1000"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        DrawnWorld(**arguments)
