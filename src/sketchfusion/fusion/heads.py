"""What is learned beside the features: a small head per task, saved with the fusion but no part of a feature.

Retrieval needs none. Recognition has a classifier (Eq. 2), correspondence the scale of its contrast (Sec. 6.3),
segmentation the threshold and softness of its sigmoid (Sec. 6.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sketchfusion.config import HeadsConfig, SegmentationConfig
from sketchfusion.errors import ConfigError

INITIAL_SCALE = 1 / 0.07  # of CLIP, and of the contrast at key points
MAX_SCALE = 100.0


class RecognitionHead(nn.Module):
    """A linear classifier on standardised descriptors.

    Descriptors are mostly what all pictures have in common; taking the mean off leaves what tells them apart, as the
    batch normalisation of a linear probe does.

    Attributes:
        class_names: what its K classes are called, in order.
    """

    def __init__(self, descriptor_size: int, class_names: Sequence[str]) -> None:
        """Raises ConfigError: no class, or one twice."""
        super().__init__()
        if not class_names or len(set(class_names)) != len(class_names):
            raise ConfigError(f"a recognition head needs different classes, at least one, got {list(class_names)[:10]}")
        self.class_names = tuple(class_names)
        self.standardise = nn.BatchNorm1d(descriptor_size, affine=False)
        self.linear = nn.Linear(descriptor_size, len(self.class_names))

    def forward(self, descriptors: Tensor) -> Tensor:
        """(B, D) unit vectors -> (B, K) logits."""
        scaled = descriptors.to(self.linear.weight.dtype) * math.sqrt(descriptors.shape[1])  # entries of about 1
        logits: Tensor = self.linear(self.standardise(scaled))
        return logits.float()


class CorrespondenceHead(nn.Module):
    """The scale of the cosines in the contrast between key points."""

    log_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))

    @property
    def scale(self) -> Tensor:
        """0-dim, positive, at most ``MAX_SCALE``."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)


class SegmentationHead(nn.Module):
    """Where the cosine of sketch and patch becomes foreground, and how sharply.

    Attributes:
        threshold: 0-dim, a cosine.
    """

    threshold: Tensor
    log_softness: Tensor

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        values = {"threshold": config.threshold, "log_softness": math.log(config.softness)}
        for name, value in values.items():
            start = torch.tensor(value)
            if config.learned:
                self.register_parameter(name, nn.Parameter(start))
            else:
                self.register_buffer(name, start, persistent=False)  # a setting, not something learned

    @property
    def softness(self) -> Tensor:
        """0-dim, positive."""
        return self.log_softness.exp()


class Heads(nn.Module):
    """The heads of one model; ``recognition`` is None until there are classes to tell apart."""

    recognition: RecognitionHead | None

    def __init__(self, config: HeadsConfig, descriptor_size: int, class_names: Sequence[str] = ()) -> None:
        """
        Args:
            class_names: of the recognition head; none: there is no such head.
        """
        super().__init__()
        self.correspondence = CorrespondenceHead()
        self.segmentation = SegmentationHead(config.segmentation)
        self.recognition = RecognitionHead(descriptor_size, class_names) if class_names else None

    def record(self) -> dict[str, Any]:
        """Plain data from which ``Heads`` of the same shape are made."""
        return {"class_names": [] if self.recognition is None else list(self.recognition.class_names)}
