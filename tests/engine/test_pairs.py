"""Pairs of sketches and photos: who may meet whom, how often, and that a step's number decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchfusion.engine.pairs import Groups, Labels, PairSampler, families, numpy_generator, photo_rows
from sketchfusion.errors import DataError

Rows = npt.NDArray[np.int64]


def side(classes: list[int], instances: list[int], weights: list[float] | None = None,
         samples: list[int] | None = None) -> Labels:
    return Labels(np.array(classes), np.array(instances), np.array(samples or [-1] * len(classes)),
                  np.array(weights or [1.0] * len(classes), dtype=np.float64))


# Instances 10..15 of class 0, 20..22 of class 1, 30 of class 2; some drawn twice; class 3 and instance 90 on one side.
PHOTO_INSTANCES = [10, 11, 12, 13, 14, 15, 20, 21, 22, 30, 40, 41]
SKETCH_INSTANCES = [90, 15, 14, 13, 12, 11, 10, 10, 22, 21, 21, 20, 30, 30]
PHOTOS = side([instance // 10 - 1 for instance in PHOTO_INSTANCES], PHOTO_INSTANCES)
SKETCHES = side([0 if instance == 90 else instance // 10 - 1 for instance in SKETCH_INSTANCES], SKETCH_INSTANCES)


def sampler(sketches: Labels = SKETCHES, photos: Labels = PHOTOS, *, seed: int = 0, balance: float = 0.0,
            siblings: int = 3) -> PairSampler:
    return PairSampler(sketches, photos, seed=seed, balance=balance, siblings=siblings)


@settings(max_examples=30)
@given(number=st.integers(0, 10_000), count=st.integers(0, 20))
def test_a_pair_by_class_shares_the_class(number: int, count: int) -> None:
    sketches, photos = sampler().by_class(number, count)
    assert len(sketches) == len(photos) == count
    assert SKETCHES.classes[sketches].tolist() == PHOTOS.classes[photos].tolist()


@settings(max_examples=30)
@given(number=st.integers(0, 10_000), count=st.integers(0, 20))
def test_a_pair_by_instance_shares_the_instance(number: int, count: int) -> None:
    sketches, photos = sampler().by_instance(number, count)
    assert len(sketches) == len(photos) == count
    assert SKETCHES.instances[sketches].tolist() == PHOTOS.instances[photos].tolist()


def test_every_picture_that_has_a_partner_is_seen_and_no_other() -> None:
    seen = {name: set() for name in ("class sketches", "class photos", "instance sketches", "instance photos")}
    for number in range(40):
        for kind, (sketches, photos) in (("class", sampler().by_class(number, 20)),
                                         ("instance", sampler().by_instance(number, 20))):
            seen[f"{kind} sketches"] |= set(sketches.tolist())
            seen[f"{kind} photos"] |= set(photos.tolist())
    assert seen["class sketches"] == set(range(14))
    assert seen["class photos"] == set(range(10))  # 40 and 41 are of a class that nobody drew
    assert seen["instance sketches"] == set(range(1, 14))  # 90 has no photo
    assert seen["instance photos"] == set(range(10))


@pytest.mark.parametrize("number", range(6))
def test_siblings_stand_beside_each_other_and_differ(number: int) -> None:
    """Of three: those of class 0 and of class 1; class 2 has one instance, which comes alone."""
    _, photos = sampler().by_instance(number, 24)
    instances, place = PHOTOS.instances[photos].tolist(), 0
    while place < 22:
        size = 1 if instances[place] == 30 else 3
        together = instances[place:place + size]
        assert len(set(together)) == size
        assert len({instance // 10 for instance in together}) == 1
        place += size


# Instance 10 has the photos of samples 7 and 2, and one of none; instance 11 that of sample 4; instance 20 of none.
SAMPLE_PHOTOS = side([0, 0, 0, 0, 1], [10, 10, 11, 10, 20], samples=[7, 2, 4, -1, -1])
SAMPLE_SKETCHES = side([0] * 6 + [1], [10, 10, 10, 11, 10, 11, 20], samples=[2, 7, 2, 4, -1, 4, -1])


@pytest.mark.parametrize("unseen", [[0], [0, 2], [3, 77]])
def test_nothing_is_learned_of_unseen_classes(unseen: list[int]) -> None:
    pairs = PairSampler(SKETCHES, PHOTOS, seed=0, balance=0.5, siblings=3, unseen=np.array(unseen))
    seen: set[int] = set()
    for number in range(40):
        for sketches, photos in (pairs.by_class(number, 20), pairs.by_instance(number, 20)):
            seen |= set(SKETCHES.classes[sketches].tolist()) | set(PHOTOS.classes[photos].tolist())
    assert seen == {0, 1, 2} - set(unseen)  # nobody drew class 3


@settings(max_examples=60)
@given(number=st.integers(0, 10_000), count=st.integers(0, 30), siblings=st.integers(2, 4), balance=st.floats(0, 1))
def test_a_sketch_of_a_sample_is_paired_with_exactly_its_photo(number: int, count: int, siblings: int,
                                                               balance: float) -> None:
    pairs = sampler(SAMPLE_SKETCHES, SAMPLE_PHOTOS, siblings=siblings, balance=balance)
    sketches, photos = pairs.by_instance(number, count)
    assert SAMPLE_SKETCHES.instances[sketches].tolist() == SAMPLE_PHOTOS.instances[photos].tolist()
    for sketch, photo in zip(sketches.tolist(), photos.tolist(), strict=True):
        assert SAMPLE_SKETCHES.samples[sketch] in (-1, SAMPLE_PHOTOS.samples[photo])


def test_a_sketch_of_no_sample_meets_every_photo_of_its_thing() -> None:
    pairs = sampler(SAMPLE_SKETCHES, SAMPLE_PHOTOS, siblings=2)
    met = set()
    for number in range(40):
        sketches, photos = pairs.by_instance(number, 16)
        met |= set(photos[sketches == 4].tolist())
    assert met == {0, 1, 3}


@pytest.mark.parametrize("missing", [9, 1])  # above and among the photos' own numbers
def test_a_sketch_whose_photo_is_not_there_meets_others_of_its_thing(missing: int) -> None:
    sketches = side([0, 0], [10, 11], samples=[missing, 4])
    _, photos = sampler(sketches, SAMPLE_PHOTOS, siblings=2).by_instance(0, 40)
    assert set(photos.tolist()) == {0, 1, 2, 3}


@given(names=st.lists(st.integers(0, 30), unique=True, max_size=8), gaps=st.integers(0, 3))
def test_the_row_of_each_samples_photo_equals_a_slow_loop(names: list[int], gaps: int) -> None:
    samples = [-1] * gaps + names
    found = photo_rows(np.array(samples, dtype=np.int64))
    assert found.tolist() == [samples.index(name) if name in names else -1 for name in range(len(found) - 1)] + [-1]
    assert len(found) == max(names, default=-1) + 2


@settings(max_examples=30)
@given(number=st.integers(0, 10_000), count=st.integers(0, 20), wanted=st.sets(st.sampled_from([0, 1, 2]), min_size=1))
def test_sketches_alone_are_of_the_classes_asked_for(number: int, count: int, wanted: set[int]) -> None:
    rows = sampler().sketches_alone(number, count, np.array(sorted(wanted)))
    assert len(rows) == count
    assert set(SKETCHES.classes[rows].tolist()) <= wanted


def test_sketches_alone_are_of_all_classes_equally_often_and_of_every_sketch() -> None:
    rows = sampler(balance=0.0).sketches_alone(0, 9_000, np.array([0, 1, 2]))
    assert np.bincount(SKETCHES.classes[rows]) / 9_000 == pytest.approx([1 / 3] * 3, abs=0.02)
    assert set(rows.tolist()) == set(range(14))  # of 90 too, which has no photo


def test_families_are_the_classes_and_what_is_too_small_is_pooled() -> None:
    instances, classes = np.array([5, 6, 7, 8, 9, 4, 3]), np.array([1, 0, 1, 1, 2, 0, 3])
    assert [group.tolist() for group in families(instances, classes, 3)] == [[5, 7, 8], [6, 4, 9, 3]]
    assert [group.tolist() for group in families(instances, classes, 1)] == [[6, 4], [5, 7, 8], [9], [3]]
    assert [group.tolist() for group in families(instances, classes, 9)] == [[6, 4, 5, 7, 8, 9, 3]]


@settings(max_examples=60)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=12), siblings=st.integers(1, 5))
def test_families_hold_every_instance_once(labels: list[int], siblings: int) -> None:
    found = families(np.arange(len(labels)), np.array(labels), siblings)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(labels)))
    whole = [set(group.tolist()) for group in found]
    for label in set(labels):
        members = {place for place, other in enumerate(labels) if other == label}
        assert (members in whole) or len(members) < siblings


@pytest.mark.parametrize("kind", ["by_class", "by_instance", "sketches_alone"])
def test_a_steps_pairs_depend_on_the_seed_and_its_number_alone(kind: str) -> None:
    more = (np.array([0, 1]),) if kind == "sketches_alone" else ()

    def pairs(number: int, **options: int) -> list[int]:
        return flat(getattr(sampler(**options), kind)(number, 16, *more))

    used = sampler()
    for number in range(5):
        getattr(used, kind)(number, 16, *more)
    assert flat(getattr(used, kind)(2, 16, *more)) == pairs(2)
    assert pairs(2) != pairs(3)
    assert pairs(2) != pairs(2, seed=1)


def flat(found: Rows | tuple[Rows, Rows]) -> list[int]:
    return np.concatenate([np.atleast_1d(part) for part in found]).tolist()


def test_generators_differ_by_every_part_of_the_key() -> None:
    keys = [(0, "class pairs", 1), (0, "class pairs", 2), (1, "class pairs", 1), (0, "instance pairs", 1)]
    assert len({numpy_generator(*key).random() for key in keys}) == len(keys)
    assert numpy_generator(*keys[0]).random() == numpy_generator(*keys[0]).random()


@pytest.mark.parametrize("kind", ["by_class", "by_instance"])
def test_a_picture_of_half_the_weight_is_seen_half_as_often(kind: str) -> None:
    sketches = side([0, 0, 0], [1, 1, 1], [1.0, 0.5, 1.0])
    pairs = getattr(sampler(sketches, side([0], [1]), siblings=2), kind)
    rows = np.concatenate([pairs(number, 200)[0] for number in range(100)])
    shares = np.bincount(rows, minlength=3) / 20_000
    assert shares == pytest.approx([0.4, 0.2, 0.4], abs=0.02)


@pytest.mark.parametrize(("balance", "expected"), [(0.0, [6 / 9, 2 / 9, 1 / 9]), (1.0, [1 / 3, 1 / 3, 1 / 3])])
def test_balance_goes_from_as_often_as_there_are_pairs_to_equally_often(balance: float, expected: list[float]) -> None:
    """Pairs of a class are as many as the rarer side has: 6 of 8, 2 of 9 and 1 of 1."""
    sketches = side([0] * 6 + [1] * 9 + [2], [*range(6), *range(10, 19), 20])
    photos = side([0] * 8 + [1] * 2 + [2], [*range(8), 10, 11, 20])
    rows, _ = sampler(sketches, photos, balance=balance).by_class(0, 20_000)
    assert np.bincount(sketches.classes[rows]) / 20_000 == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("balance", "expected"), [(0.0, [6 / 8, 2 / 8]), (1.0, [1 / 2, 1 / 2])])
def test_balance_tells_how_often_a_class_gives_siblings(balance: float, expected: list[float]) -> None:
    labels = side([0] * 6 + [1] * 2, list(range(8)))
    rows, _ = sampler(labels, labels, balance=balance, siblings=2).by_instance(0, 10_000)
    assert np.bincount(labels.classes[rows]) / 10_000 == pytest.approx(expected, abs=0.02)


names = st.lists(st.integers(-3, 6), min_size=1, max_size=15)


@given(labels=names, asked=names)
def test_counts_equal_a_slow_loop(labels: list[int], asked: list[int]) -> None:
    groups = Groups(np.array(labels), np.ones(len(labels)))
    assert groups.counts(np.array(asked)).tolist() == [labels.count(name) for name in asked]


class OneNumber:
    """In place of a generator: the same number for everyone."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, count: int) -> npt.NDArray[np.float64]:
        return np.full(count, self.value)


@settings(max_examples=100)
@given(labels=names, weight_seed=st.integers(0, 100), drawn=st.floats(0, 1, exclude_max=True))
def test_what_is_picked_equals_a_slow_loop(labels: list[int], weight_seed: int, drawn: float) -> None:
    """Along the pictures of a label, in order, their weights are added up until the drawn share is passed."""
    weights = np.random.default_rng(weight_seed).uniform(0.1, 2.0, len(labels))
    asked = sorted(set(labels), reverse=True)
    found = Groups(np.array(labels), weights).pick(np.array(asked), OneNumber(drawn))  # type: ignore[arg-type]
    for name, row in zip(asked, found.tolist(), strict=True):
        assert labels[row] == name
        members = [place for place, label in enumerate(labels) if label == name]
        goal, passed = drawn * sum(weights[place] for place in members), 0.0
        for place in members:
            if place == row:
                assert passed - 1e-9 <= goal <= passed + weights[place] + 1e-9
            passed += weights[place]


@pytest.mark.parametrize(("sketches", "photos"), [
    (side([0, 1], [0, 1]), side([2, 3], [2, 3])),  # no class in common
    (side([0, 1], [0, 1]), side([0, 1], [2, 3])),  # no thing in common
    (side([], []), side([0], [0])),
])
def test_data_without_pairs_are_refused_with_what_to_do(sketches: Labels, photos: Labels) -> None:
    with pytest.raises(DataError, match=r"of which there are both sketches and photos; pack the drawn world or "
                                        r"composites too \(`pretrain pack --extra world=FOLDER`\)"):
        sampler(sketches, photos).check(by_class=True, by_instance=True)
