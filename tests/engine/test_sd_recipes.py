"""The recipes for Stable Diffusion 2.1: what they say is what was worked out, and it fits their cards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sketchfusion.config import load_preset
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.loop import recipe_digest

ROOT = Path(__file__).resolve().parents[2]
CARDS = {"sd21_24gb": 24e9, "sd21_80gb": 80e9}
WORK = ("training", "judging", "encoding")


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """What benchmarks/training_memory.py wrote."""
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "training_memory.json").read_text("utf-8"))
    return found


def text_of(name: str) -> str:
    return (ROOT / "configs" / "train" / f"{name}.yaml").read_text("utf-8")


def recipe_of(name: str) -> FusionRecipe:
    return load_recipe(FusionRecipe, ROOT / "configs" / "train" / f"{name}.yaml")


@pytest.mark.parametrize("name", CARDS)
def test_the_figures_are_of_the_recipe_as_it_is(name: str, figures: dict[str, Any]) -> None:
    recipe, row = recipe_of(name), figures["recipes"][name]
    config = load_preset(recipe.model, recipe.settings).extractor
    found = {**recipe.training.model_dump(include={"batch_size", "accumulate", "gradient_checkpointing"}),
             "max_batch": config.diffusion.max_batch}
    assert found == {key: row[key] for key in found}
    assert (recipe.model, config.canvas.size) == (figures["preset"], figures["canvas"])
    assert recipe.training.precision == figures["precision"]
    assert recipe.views == figures["cache"]["views"]


@pytest.mark.parametrize("name", CARDS)
def test_all_its_work_fits_its_card(name: str, figures: dict[str, Any]) -> None:
    needed = {work: figures["recipes"][name][work] for work in WORK}
    assert max(needed.values()) < figures["usable"] * CARDS[name], needed


@pytest.mark.parametrize("name", CARDS)
def test_its_comments_have_the_figures(name: str, figures: dict[str, Any]) -> None:
    text = text_of(name)
    said = {work.lower(): float(size) for work, size in re.findall(rf"({'|'.join(WORK)}) (\d+\.\d) GB", text, re.I)}
    assert said == {work: round(figures["recipes"][name][work] / 1e9, 1) for work in WORK}
    on_disk = [float(size) for size in re.findall(r"(\d+\.\d) GB on disk", text)]
    assert set(on_disk) <= {round(figures["cache"]["bytes"] / 1e9, 1)}


@pytest.mark.parametrize("name", CARDS)
def test_the_line_gives_what_was_measured_of_the_recipe(name: str, figures: dict[str, Any]) -> None:
    row = figures["recipes"][name]
    line, = (line for line in figures["lines"] if line["unet"] == "float32"
             and line["gradient_checkpointing"] == row["gradient_checkpointing"])
    total = line["start"] + line["per_picture"] * 2 * row["batch_size"]
    assert total == pytest.approx(row["training"], rel=0.01)


def test_a_further_pass_of_the_unet_costs_what_the_comment_says(figures: dict[str, Any]) -> None:
    """Without checkpoints, then with; two passes are made."""
    kept = {line["gradient_checkpointing"]: line["kept"]["UNet and injection"]["start"] / 2e9
            for line in figures["lines"] if line["unet"] == "float32"}
    assert f"0.2 GB, without checkpointing {kept[False]:.1f} GB" in text_of("sd21_24gb")
    assert f"{kept[True]:.1f}" == "0.2"


def test_both_take_the_same_steps_but_one_computes_twice() -> None:
    """So a run begun with one may go on with the other."""
    small, large = (recipe_of(name) for name in CARDS)
    assert (small.training.gradient_checkpointing, large.training.gradient_checkpointing) == (True, False)
    same = [recipe.model_dump(exclude={"training": {"gradient_checkpointing"}}) for recipe in (small, large)]
    assert same[0] == same[1]
    assert recipe_digest(small) == recipe_digest(large)


def test_the_contrasts_see_all_pairs_of_a_step() -> None:
    """The comment's 12,000 steps of 32 slots."""
    training = recipe_of("sd21_24gb").training
    assert training.accumulate == 1
    assert f"{training.steps:,} steps of {training.batch_size} slots are {training.steps * training.batch_size:,};" \
        in text_of("sd21_24gb")


@pytest.mark.parametrize("name", CARDS)
def test_all_pictures_of_a_side_pass_the_unet_at_once(name: str) -> None:
    recipe = recipe_of(name)
    slots = recipe.pairs.slots(recipe.tasks, recipe.training.batch_size)
    sketches = slots["instance"] + slots["category"] + 2 * slots["sketch"]
    assert load_preset(recipe.model, recipe.settings).extractor.diffusion.max_batch == sketches


def test_the_data_and_the_tasks_are_those_of_mini_but_for_the_grid() -> None:
    """The endpoint error is in cells, of which there are about twice as many per side."""
    mini, recipe = recipe_of("mini"), recipe_of("sd21_24gb")
    assert recipe.data.model_dump() == mini.data.model_dump()
    assert recipe.pairs == mini.pairs
    grids = [load_preset(name).extractor.aggregation.grid_size for name in (str(ROOT / mini.model), recipe.model)]
    weights = [own.tasks.correspondence.loss.endpoint_weight for own in (mini, recipe)]
    assert weights[0] * grids[0] == pytest.approx(weights[1] * grids[1], rel=0.1)


def test_the_optimizer_is_the_released_codes() -> None:
    training = recipe_of("sd21_24gb").training
    assert (training.lr, training.weight_decay, training.betas) == (1.25e-3, 1e-3, (0.9, 0.999))
    assert load_preset("sd21-clip-l14").extractor.aggregation.dropout == 0.5
