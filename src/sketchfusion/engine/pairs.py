"""Which sketches and photos a step pairs: by class, and by instance in groups of one class.

A step's pairs depend on the seed and its number alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sketchfusion.errors import DataError

Rows = npt.NDArray[np.int64]
NONE: Rows = np.empty(0, np.int64)


def numpy_generator(*key: object) -> np.random.Generator:
    """A generator that depends on the key alone."""
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@dataclass(frozen=True)
class Labels:
    """What is known of the pictures of one side.

    Attributes:
        classes, instances: (N,).
        samples: (N,), what a photo and the sketches of exactly this photo share; -1: none.
        weights: (N,) positive, how likely a picture is to be picked among those of its class or instance.
    """

    classes: Rows
    instances: Rows
    samples: Rows
    weights: npt.NDArray[np.float64]


class Groups:
    """Pictures sorted by a label, to pick one of a given label by lot."""

    def __init__(self, labels: Rows, weights: npt.NDArray[np.float64]) -> None:
        self._order = np.argsort(labels, kind="stable")
        self.names, starts = np.unique(labels[self._order], return_index=True)
        self._ends = np.concatenate([[0.0], np.cumsum(weights[self._order])])
        self._starts = np.append(starts, len(labels))

    def counts(self, names: Rows) -> Rows:
        """(K,) how many pictures have each label; 0 for a label that none has."""
        place = np.searchsorted(self.names, names).clip(max=len(self.names) - 1)
        return np.where(self.names[place] == names, np.diff(self._starts)[place], 0)

    def pick(self, names: Rows, rng: np.random.Generator) -> Rows:
        """(K,) labels that exist -> (K,) rows, each by lot."""
        place = np.searchsorted(self.names, names)
        low, high = self._starts[place], self._starts[place + 1]
        drawn = self._ends[low] + rng.random(len(names)) * (self._ends[high] - self._ends[low])
        return self._order[(np.searchsorted(self._ends, drawn, side="right") - 1).clip(low, high - 1)]


class PairSampler:
    """Pairs of a sketch and a photo, as rows of the two sides."""

    def __init__(self, sketches: Labels, photos: Labels, *, seed: int, balance: float, siblings: int,
                 unseen: Rows = NONE) -> None:
        """
        Args:
            unseen: classes of which no picture is picked.
            balance: 0: a class is picked as often as it has pairs; 1: all classes equally often.
            siblings: instances that are picked together; classes with fewer are pooled.
        """
        self._seed, self._siblings = seed, siblings
        self._by_class = Groups(sketches.classes, sketches.weights), Groups(photos.classes, photos.weights)
        self._by_instance = Groups(sketches.instances, sketches.weights), Groups(photos.instances, photos.weights)
        self.classes = np.setdiff1d(np.intersect1d(sketches.classes, photos.classes), unseen)
        drawn, shown = (side.instances[~np.isin(side.classes, unseen)] for side in (sketches, photos))
        self.instances = np.intersect1d(drawn, shown)
        smaller = np.minimum(*(groups.counts(self.classes) for groups in self._by_class)).astype(np.float64)
        self._samples = np.where(np.isin(sketches.samples, photos.samples), sketches.samples, -1)
        self._photo_of = photo_rows(photos.samples)
        self._sketches = Groups(sketches.classes, sketches.weights)
        self._class_odds = smaller ** (1 - balance) / (smaller ** (1 - balance)).sum()
        class_of = dict(zip(photos.instances.tolist(), photos.classes.tolist(), strict=True))
        self._families = families(self.instances, np.array([class_of[name] for name in self.instances.tolist()]),
                                  siblings)
        sizes = np.array([len(family) for family in self._families], dtype=np.float64) ** (1 - balance)
        self._family_odds = sizes / max(sizes.sum(), 1e-9)

    def check(self, *, by_class: bool, by_instance: bool) -> None:
        """Raise DataError where pairs of a kind are wanted and there are none."""
        for wanted, names, what in ((by_class, self.classes, "class"), (by_instance, self.instances, "thing")):
            if wanted and not len(names):
                raise DataError(f"the training data hold no {what} of which there are both sketches and photos; pack "
                                "the drawn world or composites too (`pretrain pack --extra world=FOLDER`)")

    def by_class(self, number: int, count: int) -> tuple[Rows, Rows]:
        """(count,) sketches and photos of step ``number``: each pair of one class."""
        rng = numpy_generator(self._seed, "class pairs", number)
        picked = rng.choice(self.classes, size=count, p=self._class_odds)
        sketches, photos = self._by_class
        return sketches.pick(picked, rng), photos.pick(picked, rng)

    def by_instance(self, number: int, count: int) -> tuple[Rows, Rows]:
        """(count,) sketches and photos of step ``number``: each pair of one thing, siblings beside each other.

        A sketch of a sample gets exactly the photo that it was drawn of.
        """
        rng = numpy_generator(self._seed, "instance pairs", number)
        picked: list[Rows] = []
        missing = count
        while missing > 0:
            family = self._families[int(rng.choice(len(self._families), p=self._family_odds))]
            picked.append(rng.choice(family, size=min(self._siblings, len(family)), replace=False))
            missing -= len(picked[-1])
        names = np.concatenate(picked)[:count] if picked else np.empty(0, np.int64)
        sketches, photos = self._by_instance
        drawn, shown = sketches.pick(names, rng), photos.pick(names, rng)
        samples = self._samples[drawn]
        return drawn, np.where(samples >= 0, self._photo_of[samples], shown)

    def sketches_alone(self, number: int, count: int, names: Rows) -> Rows:
        """(count,) sketches of step ``number``, each of one of the classes ``names``, all classes equally often."""
        rng = numpy_generator(self._seed, "sketches alone", number)
        return self._sketches.pick(rng.choice(names, size=count), rng)


def photo_rows(samples: Rows) -> Rows:
    """(largest sample + 2,) row of each sample's photo; the last stands for "no sample"."""
    rows = np.full(int(samples.max(initial=-1)) + 2, -1, np.int64)
    known = np.flatnonzero(samples >= 0)
    rows[samples[known]] = known
    return rows


def families(instances: Rows, classes: Rows, siblings: int) -> list[Rows]:
    """The instances of each class; those of classes with fewer than ``siblings`` together in one last family."""
    order = np.argsort(classes, kind="stable")
    _, starts = np.unique(classes[order], return_index=True)
    groups = np.split(instances[order], starts[1:])
    large = [group for group in groups if len(group) >= siblings]
    small = [group for group in groups if len(group) < siblings]
    return [*large, np.concatenate(small)] if small else large
