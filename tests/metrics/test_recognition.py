"""Top-k accuracy against a slow loop, ties by hand, and torchmetrics."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy

from sketchfusion.errors import ConfigError, DataError
from sketchfusion.metrics.recognition import top_k_accuracy

rows_of_logits = st.integers(1, 6).flatmap(lambda classes: st.lists(st.tuples(
    st.lists(st.sampled_from([-1.0, 0.0, -0.0, 0.5, 2.0, -math.inf]), min_size=classes, max_size=classes),
    st.integers(0, classes - 1)), min_size=1, max_size=5))


@settings(deadline=None)
@given(rows=rows_of_logits, k=st.integers(1, 8))
def test_it_equals_a_slow_loop_with_many_ties(rows: list[tuple[list[float], int]], k: int) -> None:
    expected = [float(target in sorted(range(len(logits)), key=lambda name: (-logits[name], name))[:k])
                for logits, target in rows]
    found = top_k_accuracy(torch.tensor([logits for logits, _ in rows]), torch.tensor([row[1] for row in rows]), k)
    assert found.dtype == torch.float64
    assert found.tolist() == expected


def test_of_equal_logits_the_lower_class_comes_first() -> None:
    logits, targets = torch.tensor([[1.0, 3.0, 3.0, 3.0]]).expand(4, -1), torch.arange(4)
    assert top_k_accuracy(logits, targets, 1).tolist() == [0, 1, 0, 0]
    assert top_k_accuracy(logits, targets, 2).tolist() == [0, 1, 1, 0]
    assert top_k_accuracy(logits, targets, 4).tolist() == [1, 1, 1, 1]


def test_more_than_all_classes_are_all_right() -> None:
    assert top_k_accuracy(torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 1]), 10).tolist() == [1.0] * 5


def test_agreement_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(60, 9, generator=generator), torch.randint(9, (60,), generator=generator)
    for k in (1, 3, 5):
        theirs = multiclass_accuracy(logits, targets, num_classes=9, top_k=k, average="micro")
        torch.testing.assert_close(top_k_accuracy(logits, targets, k).mean().float(), theirs)


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_that_is_no_class_is_refused(target: int) -> None:
    with pytest.raises(DataError, match=f"target of picture 1 is {target}, but the logits are of 3 classes; expected 0 "
                                        "to 2: compare the class names"):
        top_k_accuracy(torch.zeros(2, 3), torch.tensor([0, target]), 1)


def test_what_does_not_fit_is_refused() -> None:
    logits, targets = torch.zeros(2, 3), torch.tensor([0, 1])
    for bad in (logits[0], logits.long(), logits[:1]):
        with pytest.raises(DataError, match=r"expected \(N, K\) floats and \(N,\) classes"):
            top_k_accuracy(bad, targets, 1)
    for kind in (torch.float32, torch.bool):
        with pytest.raises(DataError, match="targets must be whole numbers"):
            top_k_accuracy(logits, targets.to(kind), 1)
    for k in (0, -2, 1.5):
        with pytest.raises(ConfigError, match=f"k must be a whole number of at least 1, got {k}"):
            top_k_accuracy(logits, targets, k)  # type: ignore[arg-type]
    logits[1, 2] = math.nan
    with pytest.raises(DataError, match="logit of picture 1 and class 2 is not a number"):
        top_k_accuracy(logits, targets, 1)
