"""What is minimised: one term per task, from one forward pass over the batch, and how they are added.

A task is a row of ``TERMS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from sketchfusion.engine.batches import Dense
from sketchfusion.engine.fusion_recipe import TASKS, TasksConfig
from sketchfusion.features import Features
from sketchfusion.fusion.descriptor import content_mask
from sketchfusion.fusion.heads import Heads
from sketchfusion.tasks.category_retrieval import category_loss
from sketchfusion.tasks.correspondence import correspondence_loss, correspondence_total
from sketchfusion.tasks.fine_grained_retrieval import fine_grained_loss
from sketchfusion.tasks.recognition import recognition_loss
from sketchfusion.tasks.segmentation import global_descriptor, segmentation_loss, similarity_map


@dataclass(frozen=True)
class Seen:
    """A batch after the forward pass, with its labels; rows as in ``batches.Batch``.

    Attributes:
        sketches, photos: features.
        sketch_content, photo_content: (B, 4), (P, 4) boxes of the pictures on the canvases that were shown.
        sketch_classes, photo_classes: (B,), (P,).
        instances: (P,).
        num_instances: the first so many pairs show the very same thing.
        targets: (B,) classes of the recognition head, -1 for none of them.
        dense: masks and key points of some pairs.
        canvas_size: side in pixels.
        temperature: of the soft-argmax.
    """

    sketches: Features
    photos: Features
    sketch_content: Tensor
    photo_content: Tensor
    sketch_classes: Tensor
    photo_classes: Tensor
    instances: Tensor
    num_instances: int
    targets: Tensor
    dense: Dense
    canvas_size: int
    temperature: float


def category_term(seen: Seen, heads: Heads, tasks: TasksConfig, generator: Generator) -> Tensor:
    """Over all pairs."""
    count = len(seen.photo_classes)
    return category_loss(seen.sketches.descriptor[:count], seen.photos.descriptor, seen.sketch_classes[:count],
                         seen.photo_classes, tasks.category.loss, generator)


def fine_grained_term(seen: Seen, heads: Heads, tasks: TasksConfig, generator: Generator) -> Tensor:
    """Over the pairs of the very same thing."""
    near = slice(seen.num_instances)
    return fine_grained_loss(seen.sketches.descriptor[near], seen.photos.descriptor[near], seen.instances[near],
                             seen.photo_classes[near], tasks.fine_grained.loss)


def recognition_term(seen: Seen, heads: Heads, tasks: TasksConfig, generator: Generator) -> Tensor:
    """Over all sketches of a class that is to be recognised, alone or in a pair."""
    assert heads.recognition is not None
    return recognition_loss(heads.recognition(seen.sketches.descriptor), seen.targets, tasks.recognition.smoothing)


def correspondence_term(seen: Seen, heads: Heads, tasks: TasksConfig, generator: Generator) -> Tensor:
    """Over the pairs with key points."""
    rows, dense, maps = seen.dense.rows, seen.dense, (seen.sketches.feature_map, seen.photos.feature_map)
    allowed = [content_mask(content[rows], seen.canvas_size, (part.shape[2], part.shape[3]))
               for content, part in zip((seen.sketch_content, seen.photo_content), maps, strict=True)]
    config = tasks.correspondence.loss
    terms = correspondence_loss(
        maps[0][rows], maps[1][rows], dense.sketch_px, dense.photo_px, dense.visible, canvas_size=seen.canvas_size,
        temperature=seen.temperature, scale=heads.correspondence.scale, config=config, sketch_allowed=allowed[0],
        photo_allowed=allowed[1], generator=generator)
    return correspondence_total(terms, config)


def segmentation_term(seen: Seen, heads: Heads, tasks: TasksConfig, generator: Generator) -> Tensor:
    """Over the pairs with masks, and of their photos over what is no padding; 0 where the batch holds none."""
    rows, head, masks = seen.dense.rows, heads.segmentation, seen.dense.masks
    if not len(rows):
        return seen.sketches.feature_map.sum() * 0
    maps = seen.sketches.feature_map[rows]
    own = content_mask(seen.sketch_content[rows], seen.canvas_size, (maps.shape[2], maps.shape[3]))
    similarity = similarity_map(global_descriptor(maps, own), seen.photos.feature_map[rows])
    allowed = content_mask(seen.photo_content[rows], seen.canvas_size, (masks.shape[1], masks.shape[2]))
    return segmentation_loss(similarity, masks, head.threshold, head.softness, allowed=allowed)


Term = Callable[[Seen, Heads, TasksConfig, Generator], Tensor]
TERMS: dict[str, Term] = {
    "category": category_term, "fine_grained": fine_grained_term, "recognition": recognition_term,
    "correspondence": correspondence_term, "segmentation": segmentation_term}
assert tuple(TERMS) == TASKS


class Objective(nn.Module):
    """The weighted sum of the learned tasks' terms; see ``TasksConfig.balance``."""

    def __init__(self, tasks: TasksConfig) -> None:
        super().__init__()
        self.tasks = tasks
        if tasks.balance == "uncertainty":
            self.log_variances = nn.ParameterDict({name: torch.zeros(()) for name in tasks.weights})

    def forward(self, seen: Seen, heads: Heads, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and each task's term before it is weighed."""
        terms = {name: TERMS[name](seen, heads, self.tasks, generator) for name in self.tasks.weights}
        return torch.stack([self._weighed(name, term) for name, term in terms.items()]).sum(), terms

    def _weighed(self, name: str, term: Tensor) -> Tensor:
        weighed = self.tasks.weights[name] * term
        if self.tasks.balance == "fixed":
            return weighed
        log_variance = self.log_variances[name]
        return weighed * torch.exp(-log_variance) + log_variance
