"""``sketchfusion train``: the fusion of a model, from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sketchfusion.apps.cli import common, training


@common.handle_errors
def train(
    config: Annotated[Path, typer.Argument(help="Recipe: a YAML file.")],
    overrides: training.Settings = None, data: training.Shards = None, out: training.Out = None,
    resume: training.Resume = True, device: training.Device = "auto", max_minutes: training.Minutes = None,
    as_json: common.AsJson = False,
) -> None:
    """Train injection, aggregation and branch weights over frozen backbones."""
    from sketchfusion.engine.fusion_recipe import FusionRecipe
    from sketchfusion.engine.train_fusion import train_fusion

    recipe = training.read_recipe(FusionRecipe, config, overrides, data, out, max_minutes)
    with encoding_bar() as on_progress:
        training.run_recipe(lambda recipe, run: train_fusion(recipe, run, on_progress), recipe, device, resume, as_json)


@contextmanager
def encoding_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Says now and then how far encoding is, a line each: the bar of the training itself is there already."""
    last: dict[str, int] = {}

    def show(name: str, done: int, total: int) -> None:
        share = 10 * done // total
        if last.get(name) != share:
            last[name] = share
            common.note(f"{name}: {done:,} of {total:,}")

    yield show
