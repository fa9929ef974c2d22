"""Which items a step sees: endless epochs, each a shuffle that depends on the seed and its number alone.

Nothing is carried from step to step, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sketchfusion.data.packed.augment import ViewConfig
from sketchfusion.data.packed.corpus import Corpus
from sketchfusion.errors import ConfigError


def generator_for(device: torch.device | str, *key: object) -> Generator:
    """A generator that depends on the key alone, such as (seed, "batch", step)."""
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=8).digest()
    return Generator(device).manual_seed(int.from_bytes(digest, "big") >> 1)


class EpochSampler:
    """Positions in an endless sequence of epochs -> items.

    Every item comes at least once in an epoch; with ``balance`` above 0 items of rare classes come more often.
    """

    def __init__(self, class_ids: Tensor, *, key: tuple[object, ...], balance: float = 0.0) -> None:
        """
        Args:
            class_ids: (N,) of the items; N >= 1.
            key: what the shuffles depend on, such as (seed, kind).
            balance: 0: each item once per epoch; 1: each class equally often.
        """
        ids = class_ids.cpu()
        _, inverse, counts = ids.unique(return_inverse=True, return_counts=True)
        repeats = (counts.max() / counts[inverse].double()) ** balance
        self.length = int(repeats.sum().ceil())
        self._ends = repeats.cumsum(0) * (self.length / repeats.sum())
        self._key, self._device = key, class_ids.device
        self._epochs: dict[int, Tensor] = {}

    def take(self, start: int, count: int) -> Tensor:
        """(count,) items at the positions from ``start``."""
        taken = []
        while count:
            epoch, offset = divmod(start, self.length)
            part = self._epoch(epoch)[offset:offset + count]
            taken.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(taken) if len(taken) > 1 else taken[0]

    def _epoch(self, number: int) -> Tensor:
        if number not in self._epochs:
            generator = generator_for("cpu", *self._key, "epoch", number)
            # Where repeats are not whole, other items get the odd one in each epoch; the total stays the same.
            marks = (self._ends + torch.rand((), generator=generator).double()).floor().long()
            marks[-1] = self.length
            times = marks.diff(prepend=torch.zeros(1, dtype=torch.long))
            items = torch.repeat_interleave(torch.arange(len(times)), times)
            order = items[torch.randperm(len(items), generator=generator)]
            self._epochs = {key: value for key, value in self._epochs.items() if key == number - 1}
            self._epochs[number] = order.to(self._device)
        return self._epochs[number]


@dataclass(frozen=True)
class Batch:
    """Pictures of one step, kind after kind.

    Attributes:
        images_01: (B, 3, S, S).
        class_ids: (B,) long.
        kinds: (kind, number of its rows), in order.
    """

    images_01: Tensor
    class_ids: Tensor
    kinds: tuple[tuple[str, int], ...]


def shares(mix: Mapping[str, float], batch_size: int) -> dict[str, int]:
    """How many of each kind a batch holds: by largest remainder, so that they add up.

    Raises:
        ConfigError: no positive share, or a kind would get none.
    """
    total = sum(mix.values())
    if not mix or total <= 0 or min(mix.values()) <= 0:
        raise ConfigError(f"data.mix must hold shares above 0, got {dict(mix)}")
    exact = {kind: share / total * batch_size for kind, share in mix.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    for kind in sorted(exact, key=lambda kind: counts[kind] - exact[kind])[:batch_size - sum(counts.values())]:
        counts[kind] += 1
    empty = [kind for kind, count in counts.items() if not count]
    if empty:
        raise ConfigError(f"a batch of {batch_size} has no room for {', '.join(empty)} with data.mix {dict(mix)}; "
                          "take a larger batch or leave them out")
    return counts


class Feeder:
    """The batches of a run: batch number -> pictures, by nothing but the seed and that number."""

    def __init__(self, corpus: Corpus, mix: Mapping[str, float], batch_size: int, *, seed: int,
                 views: Mapping[str, ViewConfig], balance: float = 0.0, rank: int = 0, world: int = 1) -> None:
        """
        Args:
            corpus: the training part, on the device of the run.
            mix: shares of the kinds in a batch.
            views: augmentation by kind.
            rank, world: which of how many processes this is; each gets batches of its own.
        Raises:
            ConfigError: a kind of ``mix`` is not in the corpus, or gets no place in a batch.
        """
        self.counts = shares(mix, batch_size)
        missing = [kind for kind in self.counts if kind not in corpus.sets]
        if missing:
            raise ConfigError(f"the training data hold no {', '.join(missing)}; leave them out of data.mix")
        self._corpus, self._seed, self._views, self._rank, self._world = corpus, seed, views, rank, world
        self._samplers = {kind: EpochSampler(corpus.sets[kind].class_ids, key=(seed, kind), balance=balance)
                          for kind in self.counts}

    def rows(self, number: int) -> dict[str, Tensor]:
        """The items of batch ``number``, by kind."""
        place = number * self._world + self._rank
        return {kind: self._samplers[kind].take(place * count, count) for kind, count in self.counts.items()}

    def batch(self, number: int) -> Batch:
        """Batch ``number``."""
        images, ids = [], []
        rows = self.rows(number)
        for kind, chosen in rows.items():
            items = self._corpus.sets[kind]
            generator = generator_for(items.class_ids.device, self._seed, kind, "view", number, self._rank)
            images.append(items.render(chosen, self._views[kind], generator))
            ids.append(items.class_ids[chosen])
        return Batch(torch.cat(images), torch.cat(ids), tuple((kind, len(chosen)) for kind, chosen in rows.items()))
