"""What training a fusion needs on a GPU and on disk, worked out from shapes: no GPU, no weights, nothing is computed.

    python benchmarks/training_memory.py --shards shards --out benchmarks/results/training_memory.json

Every tensor that a step makes is followed from its birth to its death. Two batch sizes give the line

    bytes = fixed + step + per_picture * pictures

where ``fixed`` are weights, gradients and AdamW's moments, ``step`` what a step takes whatever its size. Not counted:
the CUDA context, the workspaces of its libraries and gaps between tensors; a tenth of the card is left to them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from training_bench import CLASSES, ROOT, Bench, at_hand, boxes, build, dense_of, loss_of

from sketchfusion.data.packed.corpus import read_manifest
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.encoded import CHUNK as ENCODED_TOGETHER
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.judge_tasks import CHUNK as JUDGED_TOGETHER
from sketchfusion.engine.judge_tasks import masks_of
from sketchfusion.tasks.correlation import correlate, features_at
from sketchfusion.tasks.correspondence import NUM_POINTS

RECIPES = ("sd21_24gb", "sd21_80gb")
CARDS = {"24 GB": 24e9, "80 GB": 80e9}
USABLE = 0.9
NORMS = ("group_norm", "layer_norm")
# number format of the UNet, whether blocks are computed again on the way back
LINES = ((torch.float32, False), (torch.float32, True), (torch.bfloat16, False), (torch.bfloat16, True))


class LiveBytes(TorchDispatchMode):
    """While active, follows every storage that an operation makes; views and what is ``known`` are not counted.

    Attributes:
        now, peak: bytes.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = list(known)
        self._references: dict[int, Any] = {tensor.untyped_storage()._cdata: None for tensor in self._known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._meet(value.untyped_storage())
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._references:
            return
        self._references[key] = weakref.ref(storage, lambda _: self._part(key, size))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _part(self, key: int, size: int) -> None:
        del self._references[key]
        self.now -= size


@contextmanager
def single_precision_norms() -> Iterator[None]:
    """Under autocast, group and layer normalisation in float32: so CUDA's does, and the CPU's does not."""

    def in_single(norm: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Any, **kwargs: Any) -> Tensor:
            if not torch.is_autocast_enabled("cpu"):
                return norm(*args, **kwargs)
            with torch.autocast("cpu", enabled=False):
                return norm(*tree_map_only(Tensor, Tensor.float, args), **tree_map_only(Tensor, Tensor.float, kwargs))

        return call

    with ExitStack() as patches:
        for name in NORMS:
            patches.enter_context(patch.object(F, name, in_single(getattr(F, name))))
        yield


@dataclass(frozen=True)
class StepBytes:
    """Beside what is fixed.

    Attributes:
        kept: part -> what autograd keeps between the way forth and the way back.
        peak: the most at any time of the step.
    """

    kept: dict[str, int]
    peak: int


def measure_step(bench: Bench, pairs: int) -> StepBytes:
    """One way forth and back of a batch of so many pairs."""
    model = bench.model
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bench.recipe.training.precision == "bfloat16")
    with bench.mode:
        for value in model.parameters():
            value.grad = torch.zeros_like(value) if value.requires_grad else None
        gradients = [value.grad for value in model.parameters() if value.grad is not None]
        with LiveBytes([*model.parameters(), *model.buffers(), *gradients]) as live, single_precision_norms():
            with watching(model.aggregator, live) as kept, autocast:
                loss = loss_of(bench, pairs)
            kept["descriptors and losses"] = live.now - sum(kept.values())
            loss.backward()
    return StepBytes(kept, live.peak)


@contextmanager
def watching(aggregator: nn.Module, live: LiveBytes) -> Iterator[dict[str, int]]:
    """Bytes that are there anew after the aggregation's calls, and of those what was there anew before them."""
    kept = {"UNet and injection": 0, "aggregation": 0}

    def note(part: str) -> None:
        kept[part] += live.now - sum(kept.values())

    handles = [aggregator.register_forward_pre_hook(lambda *_: note("UNet and injection")),
               aggregator.register_forward_hook(lambda *_: note("aggregation"))]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def measure_peak(bench: Bench, work: Callable[[], Any]) -> int:
    """Most bytes at any time of work without gradients, beside the weights."""
    with bench.mode, LiveBytes([*bench.model.parameters(), *bench.model.buffers()]) as live:
        work()
    return live.peak


def encode_peak(bench: Bench) -> int:
    """Encoding a chunk of pictures, before training; ``diffusion.max_batch`` of them pass the VAE together."""
    side = bench.model.canvas_size
    return measure_peak(bench, lambda: bench.model.encode(torch.zeros(ENCODED_TOGETHER, 3, side, side),
                                                          [""] * ENCODED_TOGETHER, always_patches=True))


def judge_peak(bench: Bench) -> int:
    """Judging a chunk of held-out pairs, in single precision: both maps and the masks made of them."""
    model, count, side = bench.model, JUDGED_TOGETHER, bench.model.canvas_size

    def judge() -> None:
        both = model.fuse(at_hand(bench, count)), model.fuse(at_hand(bench, count))
        correlate(features_at(both[0].feature_map, torch.zeros(count, NUM_POINTS, 2), side), both[1].feature_map)
        masks_of(model, both, (boxes(count, side), boxes(count, side)), dense_of(count, side), None)

    return measure_peak(bench, judge)


@dataclass(frozen=True)
class Line:
    """bytes = start + per_picture * pictures; start is what is fixed and what a step takes whatever its size."""

    start: float
    per_picture: float

    def at(self, pictures: int) -> float:
        """Bytes."""
        return self.start + self.per_picture * pictures

    def fits(self, card: float) -> int:
        """Pictures, an even number, since they come in pairs."""
        return max(math.floor((USABLE * card - self.start) / self.per_picture / 2) * 2, 0)

    @classmethod
    def through(cls, values: Mapping[int, float]) -> Line:
        """Through two points, pictures -> bytes."""
        (few, low), (many, high) = sorted(values.items())
        slope = (high - low) / (many - few)
        return cls(low - slope * few, slope)


def measure_line(recipe: FusionRecipe, pairs: Sequence[int], *,
                 frozen: torch.dtype = torch.float32) -> tuple[Line, dict[str, Line]]:
    """(most bytes at any time, part -> bytes that autograd keeps), by pictures; every side passes the UNet at once."""
    at_once = recipe.model_copy(update={"settings": (*recipe.settings, f"diffusion.max_batch={2 * max(pairs)}")})
    bench = build(at_once, frozen=frozen)
    fixed = sum(bench.fixed.values())
    steps = {2 * count: measure_step(bench, count) for count in pairs}
    parts = next(iter(steps.values())).kept
    return (Line.through({pictures: fixed + step.peak for pictures, step in steps.items()}),
            {part: Line.through({pictures: step.kept[part] for pictures, step in steps.items()}) for part in parts})


def with_training(recipe: FusionRecipe, **changes: Any) -> FusionRecipe:
    """The recipe with another ``training``."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def cache_facts(bench: Bench, shards: Path | None) -> dict[str, Any]:
    """What the encoded pictures take on disk."""
    facts: dict[str, Any] = {
        "bytes_per_picture": torch.float16.itemsize * (math.prod(bench.latent_shape) + math.prod(bench.patch_shape))}
    if shards is None:
        return facts
    wanted = bench.recipe.data.mix
    pictures: dict[str, int] = {}
    for shard in read_manifest(shards)["shards"]:
        for kind, count in shard["kinds"].items():
            if kind in wanted:
                pictures[kind] = pictures.get(kind, 0) + count
    total = sum(pictures.values())
    return facts | {"pictures": pictures, "views": bench.recipe.views,
                    "bytes": total * bench.recipe.views * facts["bytes_per_picture"]}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    recipes = {Path(file).stem: load_recipe(FusionRecipe, Path(file)) for file in options.recipe}
    first = next(iter(recipes.values()))
    bench = build(first)
    result: dict[str, Any] = {
        "command": command(options), "torch": torch.__version__, "diffusers": diffusers.__version__,
        "preset": bench.preset.name, "canvas": bench.model.canvas_size, "precision": first.training.precision,
        "classes": CLASSES, "usable": USABLE, "fixed": bench.fixed, "learned": bench.learned,
        "cache": cache_facts(bench, options.shards), "lines": [], "recipes": {}}
    for frozen, checkpointing in LINES:
        line, kept = measure_line(with_training(first, gradient_checkpointing=checkpointing), options.pairs,
                                  frozen=frozen)
        result["lines"].append({
            "unet": str(frozen).removeprefix("torch."), "gradient_checkpointing": checkpointing,
            "start": line.start, "per_picture": line.per_picture,
            "kept": {part: vars(own) for part, own in kept.items()},
            "fits": {name: line.fits(card) for name, card in CARDS.items()}})
    for name, recipe in recipes.items():
        result["recipes"][name] = recipe_facts(build(recipe))
    return result


def recipe_facts(bench: Bench) -> dict[str, Any]:
    """The most bytes of each part of a recipe's run."""
    training, fixed = bench.recipe.training, sum(bench.fixed.values())
    step = measure_step(bench, training.batch_size)
    return {"batch_size": training.batch_size, "accumulate": training.accumulate,
            "gradient_checkpointing": training.gradient_checkpointing,
            "max_batch": bench.model.config.diffusion.max_batch, "kept": step.kept, "training": fixed + step.peak,
            "encoding": sum(bench.frozen.values()) + sum(bench.learned.values()) + encode_peak(bench),
            "judging": fixed + judge_peak(bench)}


def show(result: Mapping[str, Any], console: Console) -> None:
    """The tables."""
    fixed = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in result["fixed"].items())
    console.print(f"Fixed, GB: {fixed}. One picture encoded: {result['cache']['bytes_per_picture'] / 1e6:.2f} MB.")
    table = Table(title=f"{result['preset']}, {result['precision']}: GB = start + per picture * pictures")
    parts = list(result["lines"][0]["kept"])
    for column in ("UNet", "checkpointing", "start", "per picture", *(f"kept: {part}" for part in parts), *CARDS):
        table.add_column(column, justify="left" if column == "UNet" else "right")
    for line in result["lines"]:
        table.add_row(line["unet"], "yes" if line["gradient_checkpointing"] else "no", f"{line['start'] / 1e9:.2f}",
                      f"{line['per_picture'] / 1e9:.3f}",
                      *(f"{line['kept'][part]['per_picture'] / 1e9:.3f}" for part in parts),
                      *(str(line["fits"][card]) for card in CARDS))
    console.print(table)
    table = Table(title="Recipes: most GB while")
    for column in ("", "pairs", "accumulate", "checkpointing", "encoding", "training", "judging"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in result["recipes"].items():
        table.add_row(name, str(row["batch_size"]), str(row["accumulate"]),
                      "yes" if row["gradient_checkpointing"] else "no",
                      *(f"{row[part] / 1e9:.1f}" for part in ("encoding", "training", "judging")))
    console.print(table)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ``None`` reads it from the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipe", nargs="+", default=[str(ROOT / "configs" / "train" / f"{name}.yaml")
                                                        for name in RECIPES])
    parser.add_argument("--pairs", type=int, nargs=2, default=[4, 8], help="the two batch sizes of the line")
    parser.add_argument("--shards", type=Path, help="packed data whose pictures are counted for the cache")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(arguments)


def command(options: argparse.Namespace) -> str:
    """The command line that gives these figures again."""
    usual = vars(parse([]))
    parts = [f"--{name} {' '.join(map(str, value if isinstance(value, list) else [value]))}"
             for name, value in vars(options).items() if value != usual[name] and name != "out"]
    return " ".join(["python benchmarks/training_memory.py", *parts])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0."""
    options = parse(arguments)
    result = measure(options)
    show(result, Console(width=120))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
