"""The loss against a slow loop, and guesses by a head and by names."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sketchfusion.backbones.patch_encoder import CLIP_MEAN, CLIP_STD
from sketchfusion.backbones.weights import resolve
from sketchfusion.canvas import even_ink, make_canvas
from sketchfusion.data.world import DrawnWorld
from sketchfusion.errors import ConfigError, ImageError, WeightsUnavailable
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.sketches import read_ndjson, render
from sketchfusion.tasks.recognition import (
    SENTENCES,
    Guess,
    as_spoken,
    classify,
    recognition_loss,
    sentences_about,
)

CLASSES = ("cat", "guitar", "lighthouse", "car", "fish", "tree", "umbrella", "cup", "airplane", "chair")
MUG = {"word": "cup", "drawing": [[[60, 64, 80, 140, 158, 160], [40, 180, 205, 206, 180, 38]],
                                  [[60, 110, 160, 110, 60], [40, 52, 38, 28, 40]],
                                  [[160, 200, 205, 190, 158], [70, 75, 110, 140, 145]]]}

Make = Callable[..., SketchFusion]


@pytest.fixture(scope="module")
def mini() -> SketchFusion:
    return SketchFusion.from_pretrained("mini", device="cpu")


@pytest.fixture
def sketches(tmp_path: Path, sketch_file: Path) -> list[Path | Image.Image]:
    """A picture file, a Quick, Draw! file and a picture in memory, of several shapes."""
    (tmp_path / "cup.ndjson").write_text(json.dumps(MUG))
    return [sketch_file, tmp_path / "cup.ndjson", render(read_ndjson(json.dumps(MUG))).crop((0, 0, 512, 300))]


def with_head(make_tiny: Make, *names: str) -> SketchFusion:
    model = make_tiny()
    model.learn_anew(3, class_names=names)
    return model.eval()


def shares(guesses: list[Guess]) -> dict[str, float]:
    return {guess.name: guess.probability for guess in guesses}


def slow_loss(logits: list[list[float]], targets: list[int], smoothing: float) -> float:
    """Eq. 2, one row at a time; the target has the rest of what is spread over all classes."""
    losses = []
    for row, target in zip(logits, targets, strict=True):
        if target < 0:
            continue
        total = sum(math.exp(value) for value in row)
        shares = [smoothing / len(row) + (1 - smoothing) * (index == target) for index in range(len(row))]
        losses.append(-sum(share * math.log(math.exp(value) / total) for share, value in zip(shares, row, strict=True)))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1000), classes=st.integers(1, 6), smoothing=st.sampled_from([0.0, 0.1, 0.6]), data=st.data())
def test_the_loss_is_the_mean_cross_entropy_of_the_rows_with_a_target(seed: int, classes: int, smoothing: float,
                                                                      data: st.DataObject) -> None:
    targets = data.draw(st.lists(st.integers(-1, classes - 1), min_size=1, max_size=5))
    logits = torch.randn(len(targets), classes, generator=torch.Generator().manual_seed(seed)) * 3
    found = recognition_loss(logits, torch.tensor(targets), smoothing)
    assert found.shape == ()
    assert float(found) == pytest.approx(slow_loss(logits.tolist(), targets, smoothing), abs=1e-5)


def test_a_row_without_a_target_pulls_at_nothing() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    recognition_loss(logits, torch.tensor([2, -1, 0])).backward()
    assert logits.grad is not None
    assert logits.grad[1].abs().max() == 0
    assert (logits.grad[[0, 2]].argmin(1) == torch.tensor([2, 0])).all()  # the true class is pushed up
    assert (logits.grad.sum(1).abs() < 1e-6).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_any_target_the_loss_is_zero_and_still_part_of_the_graph(smoothing: float) -> None:
    logits = torch.randn(2, 3).requires_grad_()
    loss = recognition_loss(logits, torch.tensor([-1, -1]), smoothing)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_half_precision_is_summed_in_single() -> None:
    logits = torch.full((1, 1000), 8.0, dtype=torch.bfloat16)
    found = recognition_loss(logits, torch.tensor([0]))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(math.log(1000), rel=1e-5)


def test_a_head_gives_its_classes_best_first(make_tiny: Make, sketches: list[Any]) -> None:
    model = with_head(make_tiny, "cat", "dog", "owl")
    head = model.heads.recognition
    assert head is not None
    descriptors = model.describe(sketches, kind="sketch")
    for guesses, logits in zip(classify(model, sketches, top=3), head(descriptors).tolist(), strict=True):
        total = sum(math.exp(value) for value in logits)
        expected = {name: math.exp(value) / total for name, value in zip(head.class_names, logits, strict=True)}
        assert shares(guesses) == pytest.approx(expected, abs=1e-5)
        assert [guess.name for guess in guesses] == sorted(expected, key=lambda name: -expected[name])


@pytest.mark.parametrize(("top", "given_"), [(1, 1), (2, 2), (5, 3)])
def test_no_more_guesses_than_asked_for_or_than_there_are_classes(top: int, given_: int, make_tiny: Make,
                                                                  sketch_file: Path) -> None:
    model = with_head(make_tiny, "cat", "dog", "owl")
    all_guesses = classify(model, sketch_file, top=3)[0]
    assert classify(model, sketch_file, top=top) == [all_guesses[:given_]]


@pytest.mark.parametrize("labels", [None, ["cat", "cup", "tree"]])
def test_guesses_do_not_depend_on_the_batch(labels: list[str] | None, mini: SketchFusion, sketches: list[Any]) -> None:
    if labels is None:
        mini = SketchFusion.from_pretrained("mini", device="cpu")
        mini.learn_anew(0, class_names=CLASSES)
        mini.eval()
    together = classify(mini, sketches, labels=labels)
    alone = [classify(mini, sketch, labels=labels, batch_size=1)[0] for sketch in sketches]
    for first, second in zip(together, alone, strict=True):
        assert [guess.name for guess in first] == [guess.name for guess in second]
        assert shares(first) == pytest.approx(shares(second), abs=1e-4)


def test_names_are_told_apart_on_things_that_the_towers_never_saw(mini: SketchFusion) -> None:
    """Drawn things of ten classes; chance is 1 in 10."""
    world = list(DrawnWorld(CLASSES, instances_per_category=4, seed=7, abstraction=0.3))
    found = classify(mini, [Image.fromarray(sample.sketch) for sample in world], labels=CLASSES, top=1, batch_size=40)
    right = [guesses[0].name == CLASSES[sample.class_index] for guesses, sample in zip(found, world, strict=True)]
    assert sum(right) / len(right) > 0.4


@torch.no_grad()
def test_naming_is_the_softmax_of_scaled_cosines(mini: SketchFusion, sketches: list[Any]) -> None:
    """With the stock towers and a loop over names and sentences."""
    folder = resolve(mini.config.encoder.source, what="CLIP")
    vision = transformers.CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).eval()
    text = transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    vectors = []
    for name in CLASSES:
        article = "an" if name in ("umbrella", "airplane") else "a"
        each = []
        for sentence in (f"a sketch of {article} {name}", f"a drawing of {article} {name}",
                         f"a doodle of {article} {name}", name):
            tokens = tokenizer([sentence], return_tensors="pt")
            each.append(F.normalize(text(**tokens).text_embeds[0], dim=0))
        vectors.append(F.normalize(torch.stack(each).mean(0), dim=0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    readable = [sketches[0], render(read_ndjson(sketches[1])), sketches[2]]
    canvas = even_ink(make_canvas(readable, mini.canvas_size, (255, 255, 255)))
    pictures = F.normalize(vision(pixel_values=(canvas.images_01 - mean) / std).image_embeds, dim=1)
    scale = math.exp(json.loads((folder / "clip.json").read_text())["logit_scale"])
    expected = (pictures @ torch.stack(vectors).T * scale).softmax(1)
    for guesses, row in zip(classify(mini, sketches, labels=CLASSES, top=10), expected, strict=True):
        assert shares(guesses) == pytest.approx(dict(zip(CLASSES, row.tolist(), strict=True)), abs=1e-4)


@settings(deadline=None, max_examples=5)
@given(labels=st.lists(st.sampled_from(CLASSES), min_size=1, max_size=6, unique=True), seed=st.integers(0, 99))
def test_probabilities_sum_to_one_and_the_order_of_labels_does_not_matter(labels: list[str], seed: int,
                                                                          mini: SketchFusion) -> None:
    drawing = render(read_ndjson(json.dumps(MUG)))
    shuffled = random.Random(seed).sample(labels, len(labels))
    first, second = (classify(mini, drawing, labels=names, top=len(labels))[0] for names in (labels, shuffled))
    assert sum(guess.probability for guess in first) == pytest.approx(1, abs=1e-5)
    assert [guess.probability for guess in first] == sorted((guess.probability for guess in first), reverse=True)
    assert shares(first) == pytest.approx(shares(second), abs=1e-5)


def test_a_guess_has_the_label_as_it_was_given(mini: SketchFusion, sketch_file: Path) -> None:
    as_given = classify(mini, sketch_file, labels=["Alarm_Clock", "Cat"])[0]
    plain = classify(mini, sketch_file, labels=["alarm clock", "cat"])[0]
    assert {guess.name for guess in as_given} == {"Alarm_Clock", "Cat"}
    assert [guess.probability for guess in as_given] == [guess.probability for guess in plain]


def test_a_clip_in_one_piece_names_too(encoder_folder: Callable[[str], Path], tmp_path: Path, make_tiny: Make,
                                       sketch_file: Path) -> None:
    """The towers are taken from the place where the patch encoder is; the model itself is left as it is."""
    folder = encoder_folder("clip-with-text")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    vocabulary = {token: index for index, token in enumerate("abcdefghijklmnopqrstuvwxyz")}
    vocabulary |= {f"{letter}</w>": 26 + index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    transformers.CLIPTokenizer(vocab={**vocabulary, "<|startoftext|>": 62, "<|endoftext|>": 63}, merges=[],
                               model_max_length=16).save_pretrained(tmp_path)
    model = make_tiny(f"encoder.source={tmp_path}")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    guesses = classify(model, sketch_file, labels=["cat", "dog"])[0]
    assert {guess.name for guess in guesses} == {"cat", "dog"}
    assert sum(guess.probability for guess in guesses) == pytest.approx(1, abs=1e-6)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "expected"), [("cat", "a cat"), ("Owl", "an owl"), ("t-shirt", "a t-shirt"),
                                                (" ice__cream ", "an ice cream")])
def test_sentences_are_plain_english(name: str, expected: str) -> None:
    sentences = sentences_about(name)
    assert sentences[:3] == [f"a sketch of {expected}", f"a drawing of {expected}", f"a doodle of {expected}"]
    assert sentences[3] == as_spoken(name) == expected.partition(" ")[2]
    assert len(sentences) == len(SENTENCES)


def test_no_head_and_no_labels_says_what_to_do(tiny_model: SketchFusion, sketch_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"'tiny' has no recognition head.*name labels.*sketchfusion train"):
        classify(tiny_model, sketch_file)


def test_labels_for_an_encoder_without_text_say_what_to_do(tiny_model: SketchFusion, sketch_file: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="without a text tower"):
        classify(tiny_model, sketch_file, labels=["cat", "dog"])


@pytest.mark.parametrize(("arguments", "says"), [
    ({"top": 0}, "top must be at least 1, got 0"),
    ({"labels": ["cat"], "top": -2}, "top must be at least 1, got -2"),
    ({"labels": ["cat"], "batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"labels": []}, "at least one name"),
    ({"labels": ["cat", " _ "]}, "no empty one"),
    ({"labels": "a photo"}, r"list of names such as \['cat', 'dog'\], got 'a photo'"),
    ({"labels": ["cat", 3]}, "list of names"),
    ({"labels": ["cat", "dog", "cat"]}, r"must differ.*\['cat', 'cat'\]"),
    ({"labels": ["hot dog", "owl", "Hot_Dog"]}, r"must differ.*\['hot dog', 'Hot_Dog'\]"),
])
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], says: str, tiny_model: SketchFusion,
                                             sketch_file: Path) -> None:
    """Before anything is loaded: this model's encoder has no text tower."""
    with pytest.raises(ConfigError, match=says):
        classify(tiny_model, sketch_file, **arguments)


@pytest.mark.parametrize("labels", [None, ["cat", "dog"]])
@pytest.mark.parametrize(("nonsense", "says"), [("a photo", "a photo"), ([], "no picture was given"),
                                                (Image.new("RGB", (40, 30), "white"), "blank")])
def test_what_is_no_sketch_is_refused_on_both_ways(labels: list[str] | None, nonsense: Any, says: str,
                                                   mini: SketchFusion, make_tiny: Make) -> None:
    model = with_head(make_tiny, "cat", "dog") if labels is None else mini
    with pytest.raises(ImageError, match=says):
        classify(model, nonsense, labels=labels)


def test_the_text_encoder_is_not_even_imported_without_labels() -> None:
    code = ("import sys, sketchfusion.tasks.recognition; "
            "print([name for name in ('transformers', 'sketchfusion.backbones.zero_shot') if name in sys.modules])")
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_a_guess_is_a_plain_value() -> None:
    assert Guess("cat", 0.5) == Guess(name="cat", probability=0.5)
    with pytest.raises(AttributeError):
        Guess("cat", 0.5).name = "dog"  # type: ignore[misc]
