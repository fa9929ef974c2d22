"""What keeping latents and patch features is worth in training: pictures per second with and without.

    python benchmarks/training_cache.py --out benchmarks/results/training_cache.json

Both kinds of step take turns in one process, on one batch size. One finds its pictures encoded, as training does; the
other runs the VAE's encoder and the patch encoder first. Pictures and weights are random numbers: speed does not depend
on them. Reading the pictures and augmenting them is in neither.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measuring import Spent, machine, median, timed
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training_bench import ROOT, Bench, build, loss_of

from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.loop import make_optimizer
from sketchfusion.features import Encoded

PAPER, COUNTED = "sd21-clip-l14", 8  # preset whose operations are counted too; pictures that are counted
RECIPE = ROOT / "configs" / "train" / "mini_64.yaml"


class Pictures:
    """Random pictures, encoded beforehand or on demand."""

    def __init__(self, bench: Bench, count: int) -> None:
        side, generator = bench.model.canvas_size, torch.Generator().manual_seed(0)
        self._images = torch.rand(count, 3, side, side, generator=generator)
        self._kept = self._encode(bench, count)

    def kept(self, bench: Bench, count: int) -> Encoded:
        """So many, as the cache has them."""
        assert self._kept.patch_features is not None
        return Encoded(self._kept.latents[:count].half().float(), self._kept.patch_features[:count].half().float(),
                       self._kept.keys[:count])

    def encoded_now(self, bench: Bench, count: int) -> Encoded:
        """So many, from their pixels."""
        return self._encode(bench, count)

    @torch.no_grad()
    def _encode(self, bench: Bench, count: int) -> Encoded:
        return bench.model.encode(self._images[:count], [""] * count, always_patches=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of both kinds of step, and what follows."""
    recipe = load_recipe(FusionRecipe, RECIPE, [f"model={options.preset}"])
    bench, device = build(recipe, shapes_only=False), torch.device("cpu")
    pictures = Pictures(bench, 2 * options.pairs)
    learner = nn.ModuleList([bench.model.injector, bench.model.aggregator, bench.model.heads])
    optimizer = make_optimizer(learner, recipe.training)

    def step(give: Callable[[Bench, int], Encoded]) -> None:
        loss_of(bench, options.pairs, give).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    kinds = {"cached": pictures.kept, "encoded in each step": pictures.encoded_now}
    seconds: dict[str, list[Spent]] = {kind: [] for kind in kinds}
    before = os.getloadavg()[0]
    for give in kinds.values():  # warm-up
        step(give)
    for _ in range(options.repeats):
        for kind, give in kinds.items():
            seconds[kind] += timed(partial(step, give), device)
    middle = {kind: median(values) for kind, values in seconds.items()}
    slow, fast = middle["encoded in each step"], middle["cached"]
    gflop = {preset: operations(preset) for preset in dict.fromkeys((options.preset, PAPER))}
    return {"command": command(options), "machine": machine(device), "preset": options.preset,
            "pairs": options.pairs, "gflop_per_picture": gflop,
            "load_before": before, "load_after": os.getloadavg()[0],
            "seconds": {kind: [spent.wall for spent in values] for kind, values in seconds.items()},
            "cpu_seconds": {kind: [spent.cpu for spent in values] for kind, values in seconds.items()},
            "images_per_s": {kind: 2 * options.pairs / spent.wall for kind, spent in middle.items()},
            "times_faster": slow.wall / fast.wall, "times_less_cpu": slow.cpu / fast.cpu}


def operations(preset: str) -> dict[str, float]:
    """GFLOP per picture, counted on shapes: of a step without encoding, and of encoding."""
    bench = build(load_recipe(FusionRecipe, RECIPE, [f"model={preset}"]))
    shape = (COUNTED, 3, bench.model.canvas_size, bench.model.canvas_size)

    def encode() -> None:
        with torch.no_grad():
            bench.model.encode(torch.zeros(shape), [""] * COUNTED, always_patches=True)

    counts = {}
    for name, work in (("step", lambda: loss_of(bench, COUNTED // 2).backward()), ("encoding", encode)):
        with bench.mode, FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            work()
        counts[name] = counter.get_total_flops() / COUNTED / 1e9
    return counts


def show(result: dict[str, Any], console: Console) -> None:
    """The table."""
    table = Table(title=f"{result['preset']}, {2 * result['pairs']} pictures per step, "
                        f"{result['machine']['threads']} threads, load {result['load_before']:.1f}")
    for column in ("latents and patch features", "images/s", "times faster", "times less CPU"):
        table.add_column(column, justify="left" if column.startswith("latents") else "right")
    for kind, speed in result["images_per_s"].items():
        ratios = [f"{result[name]:.2f}" if kind == "cached" else "1" for name in ("times_faster", "times_less_cpu")]
        table.add_row(kind, f"{speed:.1f}", *ratios)
    console.print(table)
    for preset, counts in result["gflop_per_picture"].items():
        console.print(f"{preset}: {counts['step']:.1f} GFLOP per picture of a step, {counts['encoding']:.1f} to encode "
                      f"it: {1 + counts['encoding'] / counts['step']:.2f} times less with the cache")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ``None`` reads it from the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--preset", default="mini", help="a preset that names its architectures")
    parser.add_argument("--pairs", type=int, default=16, help="of a step, two pictures each")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each kind")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(arguments)


def command(options: argparse.Namespace) -> str:
    """The command line that gives this run again."""
    parts = [f"--{name} {value}" for name, value in vars(options).items() if name != "out"]
    return " ".join(["python benchmarks/training_cache.py", *parts])


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
