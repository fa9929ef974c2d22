"""The heads: values and limits, what learns, and that they are saved with the fusion but are no part of a feature."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from sketchfusion.config import HeadsConfig, SegmentationConfig
from sketchfusion.errors import ConfigError, WeightsUnavailable
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.fusion.heads import MAX_SCALE, CorrespondenceHead, Heads, RecognitionHead, SegmentationHead

NAMES = ("cat", "dog")

Make = Callable[..., SketchFusion]


def recognising(make_tiny: Make, *overrides: str) -> SketchFusion:
    """As if trained: every head is away from its start."""
    model = make_tiny(*overrides)
    model.learn_anew(5, class_names=NAMES)
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.add_(0.125)
    model.is_trained = True
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path, make_tiny: Make) -> Path:
    return recognising(make_tiny).save_pretrained(tmp_path / "saved")


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 4), size=st.integers(1, 9), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_logits_are_a_linear_map_of_standardised_descriptors(batch: int, size: int, classes: int,
                                                             seed: int) -> None:
    torch.manual_seed(seed)
    head = RecognitionHead(size, [f"class {index}" for index in range(classes)]).eval()
    torch.nn.init.uniform_(head.standardise.running_mean, -1, 1)
    torch.nn.init.uniform_(head.standardise.running_var, 0.5, 2)
    mean, variance = head.standardise.running_mean.tolist(), head.standardise.running_var.tolist()
    descriptors = F.normalize(torch.randn(batch, size), dim=1)
    weight, bias = head.linear.weight.tolist(), head.linear.bias.tolist()
    expected = [[bias[k] + sum(weight[k][d] * (row[d] * math.sqrt(size) - mean[d]) / math.sqrt(variance[d] + 1e-5)
                               for d in range(size)) for k in range(classes)] for row in descriptors.tolist()]
    found = head(descriptors)
    assert found.shape == (batch, classes)
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_what_all_descriptors_share_has_no_part_in_training() -> None:
    head = RecognitionHead(8, NAMES).train()
    descriptors = torch.rand(6, 8)
    torch.testing.assert_close(head(descriptors), head(descriptors + 3.0), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_logits_are_single_precision_whatever_the_head_is_kept_in(dtype: torch.dtype) -> None:
    assert RecognitionHead(4, NAMES).to(dtype)(F.normalize(torch.ones(3, 4), dim=1)).dtype == torch.float32


def test_the_classes_keep_their_order() -> None:
    assert RecognitionHead(4, ["owl", "ant", "cat"]).class_names == ("owl", "ant", "cat")


@pytest.mark.parametrize("names", [(), ("cat", "dog", "cat")])
def test_no_class_or_one_twice_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="needs different classes, at least one"):
        RecognitionHead(4, names)


def test_without_classes_there_is_no_recognition_head() -> None:
    assert Heads(HeadsConfig(), 4).recognition is None
    assert Heads(HeadsConfig(), 4).record() == {"class_names": []}


@pytest.mark.parametrize("names", [(), NAMES])
def test_heads_of_the_same_shape_are_made_from_the_record(names: tuple[str, ...]) -> None:
    heads = Heads(HeadsConfig(), 4, names)
    record = json.loads(json.dumps(heads.record()))
    again = Heads(HeadsConfig(), 4, record["class_names"])
    again.load_state_dict(heads.state_dict())
    assert again.record() == heads.record()


def test_the_scale_starts_at_that_of_clip_and_learns() -> None:
    head = CorrespondenceHead()
    assert head.scale.item() == pytest.approx(1 / 0.07)
    head.scale.backward()
    assert head.log_scale.grad is not None
    assert head.log_scale.grad.item() == pytest.approx(1 / 0.07, rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(value=st.floats(-20, 80))
def test_the_scale_is_positive_and_capped(value: float) -> None:
    head = CorrespondenceHead()
    with torch.no_grad():
        head.log_scale.fill_(value)
    assert head.scale.item() == pytest.approx(min(math.exp(value), 100.0), rel=1e-4)
    assert 0 < head.scale.item() <= MAX_SCALE


@settings(deadline=None, max_examples=30)
@given(softness=st.floats(1e-4, 10), moved=st.floats(-20, 20))
def test_the_softness_stays_positive_wherever_it_is_moved(softness: float, moved: float) -> None:
    head = SegmentationHead(SegmentationConfig(softness=softness))
    assert head.softness.item() == pytest.approx(softness, rel=1e-4)
    with torch.no_grad():
        head.log_softness += moved
    assert head.softness.item() > 0


@pytest.mark.parametrize("learned", [True, False])
def test_threshold_and_softness_are_learned_or_fixed(learned: bool) -> None:
    head = SegmentationHead(SegmentationConfig(threshold=0.3, learned=learned))
    assert {name for name, _ in head.named_parameters()} == ({"threshold", "log_softness"} if learned else set())
    assert head.state_dict().keys() == ({"threshold", "log_softness"} if learned else set())  # else it is a setting
    assert head.threshold.item() == pytest.approx(0.3)


def test_the_heads_have_settings_but_no_part_in_the_fingerprint(make_tiny: Make) -> None:
    plain, other = make_tiny(), make_tiny("heads.segmentation.threshold=0.3", "heads.correspondence.temperature=0.1")
    assert other.heads.segmentation.threshold.item() == pytest.approx(0.3)
    assert other.fingerprint == plain.fingerprint


def test_learning_anew_is_seeded(make_tiny: Make) -> None:
    model, other = make_tiny(), make_tiny()
    for each in (model, other):
        each.learn_anew(5, class_names=NAMES)
    assert all(torch.equal(value, other.learned()[name]) for name, value in model.learned().items())
    other.learn_anew(6, class_names=NAMES)
    name = "heads.recognition.linear.weight"
    assert not torch.equal(model.learned()[name], other.learned()[name])


def test_a_recognition_head_does_not_change_how_the_fusion_starts(make_tiny: Make) -> None:
    model = make_tiny()
    model.learn_anew(5)
    without = model.learned(heads=False)
    model.learn_anew(5, class_names=NAMES)
    assert all(torch.equal(value, without[name]) for name, value in model.learned(heads=False).items())


@pytest.mark.parametrize(("part", "changes"), [
    ("heads.recognition.linear.weight", False), ("heads.correspondence.log_scale", False),
    ("heads.segmentation.threshold", False), ("aggregator.mixing", True)])
def test_a_fingerprint_is_of_the_features_alone(part: str, changes: bool, make_tiny: Make,
                                                sketch_file: Path) -> None:
    model = recognising(make_tiny)
    fingerprint, descriptor = model.fingerprint, model.describe(sketch_file, kind="sketch")
    with torch.no_grad():
        parameter = model.get_parameter(part)
        parameter.add_(torch.arange(parameter.numel()).view_as(parameter) + 1)
    assert (model.fingerprint != fingerprint) == changes
    assert torch.equal(model.describe(sketch_file, kind="sketch"), descriptor) != changes


@pytest.mark.parametrize("learned", ["true", "false"])
def test_save_and_reload_is_exact(learned: str, tmp_path: Path, make_tiny: Make, pictures: list[Image.Image]) -> None:
    model = recognising(make_tiny, f"heads.segmentation.learned={learned}")
    again = SketchFusion.from_pretrained(model.save_pretrained(tmp_path / "saved"), device="cpu")
    assert again.heads.recognition is not None
    assert model.heads.recognition is not None
    assert again.heads.recognition.class_names == NAMES
    state = model.heads.state_dict()
    assert again.heads.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.heads.state_dict().items())
    assert {name for name, _ in again.heads.named_parameters()} == {name for name, _ in model.heads.named_parameters()}
    descriptors = model.describe(pictures)
    assert torch.equal(again.heads.recognition(descriptors), model.heads.recognition(descriptors))
    assert again.fingerprint == model.fingerprint


@pytest.mark.parametrize("lost", ["heads.recognition.linear.bias", "heads.correspondence.log_scale",
                                  "heads.segmentation.threshold"])
def test_a_file_that_lacks_a_heads_tensor_is_refused(lost: str, saved: Path) -> None:
    tensors = load_file(saved / "fusion.safetensors")
    del tensors[lost]
    save_file(tensors, saved / "fusion.safetensors")
    with pytest.raises(WeightsUnavailable, match=rf"does not fit its settings: missing \['{lost}'\]"):
        SketchFusion.from_pretrained(saved, device="cpu")


@pytest.mark.parametrize(("names", "says"), [
    ([], r"unknown \['heads.recognition.linear.bias', 'heads.recognition.linear.weight', 'heads.recognition.stand"),
    (["cat", "dog", "owl"], r"other shape \['heads.recognition.linear.bias', 'heads.recognition.linear.weight'\]"),
])
def test_weights_of_other_classes_than_the_record_names_are_refused(names: list[str], says: str, saved: Path) -> None:
    change_record(saved, lambda record: record["heads"].update(class_names=names))
    with pytest.raises(WeightsUnavailable, match=says):
        SketchFusion.from_pretrained(saved, device="cpu")


@pytest.mark.parametrize("change", [lambda record: record.update(format=1), lambda record: record.pop("heads")])
def test_a_record_of_the_format_before_the_heads_is_refused(change: Callable[[dict[str, Any]], Any],
                                                            saved: Path) -> None:
    change_record(saved, change)
    with pytest.raises(ConfigError, match=r"config\.json is not a saved SketchFusion of format 2"):
        SketchFusion.from_pretrained(saved, device="cpu")


def change_record(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = folder / "config.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
