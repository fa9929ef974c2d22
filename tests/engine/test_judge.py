"""Figures of retrieval from descriptors and labels, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sketchfusion.engine.judge import instance_truth, judge_categories, judge_instances


def unit(count: int, seed: int, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, size, generator=generator), dim=1)


def slow_ranking(scores: Tensor) -> list[int]:
    values = scores.tolist()
    return sorted(range(len(values)), key=lambda index: -values[index])


labels = st.lists(st.integers(0, 3), min_size=1, max_size=9)


@settings(deadline=None, max_examples=50)
@given(sketch_labels=labels, photo_labels=labels, seed=st.integers(0, 1000), k=st.integers(1, 12))
def test_category_figures_equal_a_slow_loop(sketch_labels: list[int], photo_labels: list[int], seed: int,
                                            k: int) -> None:
    sketches, photos = unit(len(sketch_labels), seed), unit(len(photo_labels), seed + 1)
    found = judge_categories(sketches, photos, torch.tensor(sketch_labels), torch.tensor(photo_labels), k=k)
    assert found.keys() == {"mAP@all", f"P@{k}"}
    for row, label in enumerate(sketch_labels):
        hits = [photo_labels[column] == label for column in slow_ranking((sketches @ photos.T)[row])]
        if not any(hits):
            assert math.isnan(found["mAP@all"][row])
            assert math.isnan(found[f"P@{k}"][row])
            continue
        precisions = [sum(hits[:place + 1]) / (place + 1) for place in range(len(hits)) if hits[place]]
        assert float(found["mAP@all"][row]) == pytest.approx(sum(precisions) / sum(hits))
        assert float(found[f"P@{k}"][row]) == pytest.approx(sum(hits[:k]) / min(k, len(hits)))


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 14), queries=st.integers(1, 5), seed=st.integers(0, 1000))
def test_instance_figures_equal_a_slow_loop(count: int, queries: int, seed: int) -> None:
    sketches, photos = unit(queries, seed), unit(count, seed + 1)
    truth = torch.randint(count, (queries,), generator=torch.Generator().manual_seed(seed))
    found = judge_instances(sketches, photos, truth)
    assert found.keys() == {"Acc@1", "Acc@5", "Acc@10"}
    for k in (1, 5, 10):
        slow = [float(int(truth[row]) in slow_ranking((sketches @ photos.T)[row])[:k])
                for row in range(queries)]
        assert found[f"Acc@{k}"].tolist() == slow


def test_equal_scores_stay_in_the_order_of_the_gallery() -> None:
    photos = torch.eye(12)
    found = judge_instances(photos[[0, 7]], photos, torch.tensor([0, 6]))
    assert found["Acc@1"].tolist() == [1, 0]
    assert found["Acc@5"].tolist() == [1, 0]  # photo 6 ties with ten others and is seventh among them
    assert found["Acc@10"].tolist() == [1, 1]


@given(sketch_instances=labels, photo_instances=labels)
def test_the_truth_is_the_first_photo_of_the_same_thing(sketch_instances: list[int],
                                                        photo_instances: list[int]) -> None:
    expected = [(row, photo_instances.index(name)) for row, name in enumerate(sketch_instances)
                if name in photo_instances]
    rows, truth = instance_truth(torch.tensor(sketch_instances), torch.tensor(photo_instances))
    assert list(zip(rows.tolist(), truth.tolist(), strict=True)) == expected
