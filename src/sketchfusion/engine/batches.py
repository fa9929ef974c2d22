"""A step's pictures: which sketches and photos, in which view, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sketchfusion.data.packed.augment import Placement
from sketchfusion.data.packed.sampling import generator_for
from sketchfusion.engine.encoded import SIDES, EncodedSide
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.pairs import PairSampler


@dataclass(frozen=True)
class Batch:
    """Rows of the two sides. Pairs come first: row i of the photos belongs to row i of the sketches.

    Attributes:
        sketches, photos: (B,), (P,) rows; B - P sketches are alone.
        sketch_views, photo_views: as many; a pair is seen in the same view, so that a mirrored sketch meets the
            mirrored photo.
        num_instances: of the pairs, the first so many show the very same thing.
    """

    sketches: Tensor
    photos: Tensor
    sketch_views: Tensor
    photo_views: Tensor
    num_instances: int


class BatchSampler:
    """Number of a step -> its batch, by nothing but the seed and that number."""

    def __init__(self, sides: dict[str, EncodedSide], recipe: FusionRecipe, classes: Tensor,
                 unseen: Sequence[int] = ()) -> None:
        """
        Args:
            classes: ids of the classes that are to be recognised, none of them unseen.
            unseen: ids of the classes of which no picture is shown.
        Raises:
            DataError: the data hold no pairs of a kind that is needed.
        """
        self._recipe = recipe
        labels = {side: sides[side].labels(recipe.data.mix, side) for side in SIDES}
        self.pairs = PairSampler(labels["sketches"], labels["photos"], seed=recipe.seed, balance=recipe.data.balance,
                                 siblings=recipe.pairs.siblings, unseen=np.array(unseen, np.int64))
        self.slots = recipe.pairs.slots(recipe.tasks, recipe.training.batch_size)
        self.pairs.check(by_class=self.slots["category"] > 0, by_instance=self.slots["instance"] > 0)
        self._classes = np.intersect1d(classes.numpy(), labels["sketches"].classes)

    def batch(self, number: int) -> Batch:
        """The batch of step ``number``."""
        slots, recipe = self.slots, self._recipe
        near = self.pairs.by_instance(number, slots["instance"])
        alike = self.pairs.by_class(number, slots["category"])
        rows = [np.concatenate(both) for both in zip(near, alike, strict=True)]
        if slots["sketch"]:
            alone = self.pairs.sketches_alone(number, 2 * slots["sketch"], self._classes)
            rows[0] = np.concatenate([rows[0], alone])
        sketches, photos = (torch.from_numpy(part) for part in rows)
        generator = generator_for("cpu", recipe.seed, "views", number)
        views = torch.randint(recipe.views, (len(sketches),), generator=generator)
        return Batch(sketches, photos, views, views[:len(photos)], slots["instance"])


@dataclass(frozen=True)
class Dense:
    """What is known of each place of pairs of a sketch and exactly the photo that it was drawn of.

    Attributes:
        rows: (N,) which pairs of the batch these are.
        masks: (N, S, S) float in [0, 1], the photo's object.
        sketch_px, photo_px: (N, K, 2) canvas pixels of common key points.
        visible: (N, K) bool, on both canvases.
    """

    rows: Tensor
    masks: Tensor
    sketch_px: Tensor
    photo_px: Tensor
    visible: Tensor

    def to(self, device: torch.device) -> Dense:
        """The same on another device."""
        return Dense(*(value.to(device) for value in vars(self).values()))


def dense_labels(sketches: EncodedSide, photos: EncodedSide, batch: Batch) -> Dense:
    """Masks and key points of the pairs that have them, as they are shown in this batch's views."""
    count = len(batch.photos)
    samples = sketches.sample_ids[batch.sketches[:count]]
    rows = torch.nonzero((samples >= 0) & (samples == photos.sample_ids[batch.photos])).flatten()
    drawn, shown, views = batch.sketches[rows], batch.photos[rows], batch.photo_views[rows]
    side = photos.masks.shape[-1]
    on_sketch = Placement(sketches.theta[batch.sketch_views[rows], drawn])
    on_photo = Placement(photos.theta[views, shown])
    masks = on_photo.show(photos.masks[photos.mask_ids[shown]][:, None].float(), 0.0)[:, 0]
    points = sketches.keypoints[drawn]
    sketch_px, photo_px = on_sketch.move(points[..., :2], side), on_photo.move(points[..., 2:], side)
    inside = [(part >= 0).all(-1) & (part <= side).all(-1) for part in (sketch_px, photo_px)]  # NaN is neither
    return Dense(rows, masks, sketch_px, photo_px, inside[0] & inside[1])
