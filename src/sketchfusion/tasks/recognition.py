"""Sketch recognition (Sec. 6.2): what a sketch shows, by a head that was trained for it or by names given as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchfusion.errors import ConfigError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.fusion.heads import RecognitionHead
from sketchfusion.images import Picture

if TYPE_CHECKING:
    from sketchfusion.backbones.zero_shot import NamingModel

NONE_OF_THESE = -1
SENTENCES = ("a sketch of {a}", "a drawing of {a}", "a doodle of {a}", "{name}")
VOWELS = "aeiou"


@dataclass(frozen=True)
class Guess:
    """What a sketch may show, and the probability in [0, 1] among all that it was told apart from."""

    name: str
    probability: float


def recognition_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy over the sketches that show one of the classes.

    Args:
        logits: (B, K).
        targets: (B,) long, classes in [0, K); -1 for none of these.
        smoothing: in [0, 1), share of the target that is spread evenly over all classes.
    Returns:
        Scalar, mean over the rows with a target; 0 where there is none, with a gradient of 0.
    Source: Eq. 2.
    """
    total = F.cross_entropy(logits.float(), targets, ignore_index=NONE_OF_THESE, reduction="sum",
                            label_smoothing=smoothing)
    return total / (targets != NONE_OF_THESE).sum().clamp(min=1)


@torch.no_grad()
def classify(model: SketchFusion, sketches: Iterable[Picture] | Picture, *, top: int = 5,
             labels: Sequence[str] | None = None, batch_size: int = 8) -> list[list[Guess]]:
    """What each sketch shows: by the model's recognition head, or zero-shot among names of your own.

    With labels the features have no part: the checkpoint of the patch encoder is loaded whole for this call, and its
    text tower compares the sketch with sentences about each name. One call with many sketches loads it once.

    Args:
        sketches: as in ``SketchFusion.describe`` with ``kind="sketch"``; one or many.
        top: how many guesses to give, at most as many as there are classes.
        labels: different names in plain English; None: the classes of the head.
        batch_size: sketches that pass the networks together.
    Returns:
        For each sketch its guesses, the best first; over all classes the probabilities sum to 1.
    Raises:
        ConfigError: the model has no recognition head and no labels are given; labels or numbers that do not fit.
        WeightsUnavailable: the checkpoint of the patch encoder has no text tower, or its files are not all there.
        ImageError: a sketch cannot be read, is blank, or there is none.
    Source: Sec. 6.2 with labels=None; Radford et al., CLIP, 2021, Sec. 3.1.4 with labels.
    """
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    if labels is None:
        require_head(model)  # before the sketches pass the networks
        names, probabilities = head_probabilities(model, model.describe(sketches, kind="sketch", batch_size=batch_size))
    else:
        check_labels(labels)
        names, probabilities = labels, _by_text(model, sketches, labels, batch_size)
    return guesses(names, probabilities, top)


def guesses(names: Sequence[str], probabilities: Tensor, top: int) -> list[list[Guess]]:
    """The ``top`` likeliest of (B, K) probabilities, or all K, the best first; ``names`` are those of the columns."""
    best = probabilities.topk(min(top, len(names)), dim=1)
    return [[Guess(names[index], probability) for probability, index in zip(*row, strict=True)]
            for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


def head_probabilities(model: SketchFusion, descriptors: Tensor) -> tuple[Sequence[str], Tensor]:
    """K class names of the recognition head, and (B, K) probabilities on the CPU, of sketches with these descriptors.

    Raises:
        ConfigError: the model has no recognition head.
    """
    head = require_head(model)
    logits: Tensor = head(descriptors.to(model.device))
    return head.class_names, logits.softmax(1).cpu()


def require_head(model: SketchFusion) -> RecognitionHead:
    """The recognition head. Raises ConfigError: the model has none."""
    head = model.heads.recognition
    if head is None:
        raise ConfigError(f"model {model.name!r} has no recognition head: it was trained without one; name labels to "
                          "use the text encoder instead, or train one with `sketchfusion train`")
    return head


def text_probabilities(naming: NamingModel, images_01: Tensor, classes: Tensor) -> Tensor:
    """(B, K) probabilities on the CPU: which of K names, by their ``class_vectors``, each (B, 3, S, S) canvas shows."""
    scores: Tensor = naming.image_vectors(images_01) @ classes.T * naming.scale
    return scores.softmax(1).cpu()


def class_vectors(naming: NamingModel, names: Sequence[str]) -> Tensor:
    """(K, P) unit vectors of names: of each the mean of the vectors of several sentences about sketches of it."""
    vectors = naming.text_vectors([sentence for name in names for sentence in sentences_about(name)])
    return F.normalize(vectors.unflatten(0, (len(names), len(SENTENCES))).mean(1), dim=1)


def sentences_about(name: str) -> list[str]:
    """Sentences that go with a sketch of a thing, the bare name the last."""
    spoken = as_spoken(name)
    article = "an" if spoken[0] in VOWELS else "a"
    return [sentence.format(a=f"{article} {spoken}", name=spoken) for sentence in SENTENCES]


def as_spoken(name: str) -> str:
    """The name as the text tower reads it: lower case, single spaces, none of a folder's underscores."""
    return " ".join(name.replace("_", " ").lower().split())


def check_labels(labels: Sequence[str]) -> None:
    """Raises ConfigError: not several names, an empty one, or two that read the same."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise ConfigError(f"labels must be a list of names such as ['cat', 'dog'], got {labels!r}")
    spoken = [as_spoken(label) for label in labels]
    if not all(spoken) or not spoken:
        raise ConfigError(f"labels must hold at least one name and no empty one, got {list(labels)[:10]}")
    repeated = [label for label, own in zip(labels, spoken, strict=True) if spoken.count(own) > 1]
    if repeated:
        raise ConfigError(f"labels must differ, also without regard to case and underscores, got {repeated[:10]}; "
                          "give each name once")


def _by_text(model: SketchFusion, sketches: Iterable[Picture] | Picture, labels: Sequence[str],
             batch_size: int) -> Tensor:
    from sketchfusion.backbones.zero_shot import load_naming_model

    naming = load_naming_model(model.config.encoder.source, device=model.device)
    classes = class_vectors(naming, labels)
    return torch.cat([text_probabilities(naming, canvas.images_01, classes)
                      for canvas in model.canvases(sketches, "sketch", batch_size)])
