"""The recipe of a fusion: which tasks are learned, what a batch is made of, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchfusion.config import load_preset, validate
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import SLOTS, TASKS, FusionRecipe, PairsConfig, TasksConfig
from sketchfusion.errors import ConfigError

RECIPES = Path(__file__).resolve().parents[2] / "configs" / "train"
BASE: dict[str, Any] = {"output": "out", "model": "tiny", "data": {}}


def weighted(**weights: float) -> TasksConfig:
    """The tasks that are named, and no other."""
    return TasksConfig.model_validate({name: {"weight": weights.get(name, 0.0)} for name in TASKS})


def recipe(**changes: Any) -> FusionRecipe:
    return validate(FusionRecipe, BASE | changes, origin="recipe here")


def test_all_tasks_are_learned_unless_told_otherwise() -> None:
    assert recipe().tasks.weights == dict.fromkeys(TASKS, 1.0)
    assert recipe().tasks.balance == "fixed"


def test_a_task_of_weight_zero_is_not_among_the_weights_and_the_others_keep_their_order() -> None:
    assert list(weighted(segmentation=0.5, category=2.0).weights.items()) == [("category", 2.0), ("segmentation", 0.5)]


@pytest.mark.parametrize(("tasks", "expected"), [
    (TASKS, (8, 4, 4)),
    (("category",), (0, 16, 0)), (("fine_grained",), (16, 0, 0)), (("recognition",), (0, 0, 16)),
    (("correspondence",), (16, 0, 0)), (("segmentation",), (16, 0, 0)),
    (("category", "fine_grained"), (11, 5, 0)), (("category", "recognition"), (0, 8, 8)),
    (("recognition", "segmentation"), (11, 0, 5)), (("fine_grained", "correspondence", "segmentation"), (16, 0, 0)),
    (("category", "correspondence", "recognition"), (8, 4, 4)),
])
def test_slots_go_to_the_kinds_that_the_tasks_need(tasks: tuple[str, ...], expected: tuple[int, int, int]) -> None:
    """Of 16; the shares are 0.5, 0.25 and 0.25."""
    found = PairsConfig().slots(weighted(**dict.fromkeys(tasks, 1.0)), 16)
    assert tuple(found[kind] for kind in ("instance", "category", "sketch")) == expected


positive = st.floats(0.05, 5.0)


@given(shares=st.tuples(positive, positive, positive), total=st.integers(300, 400),
       tasks=st.sets(st.sampled_from(TASKS), min_size=1))
def test_slots_add_up_and_are_in_proportion(shares: tuple[float, float, float], total: int, tasks: set[str]) -> None:
    config = PairsConfig(instance=shares[0], category=shares[1], sketch=shares[2])
    found = config.slots(weighted(**dict.fromkeys(tasks, 1.0)), total)
    assert sum(found.values()) == total
    wanted = {kind: getattr(config, kind) for kind, needed_by in SLOTS.items() if tasks & set(needed_by)}
    for kind, count in found.items():
        assert abs(count - total * wanted.get(kind, 0.0) / sum(wanted.values())) < 1


def test_every_task_has_a_kind_of_slot() -> None:
    assert sorted(name for needed_by in SLOTS.values() for name in needed_by) == sorted(TASKS)


@pytest.mark.parametrize(("pairs", "total", "words"), [
    ({"sketch": 0.0}, 16, "shares above 0"), ({"instance": 0.98, "category": 0.01, "sketch": 0.01}, 8, "no room for")])
def test_a_kind_that_is_needed_and_gets_no_slot_is_refused(pairs: dict[str, float], total: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PairsConfig.model_validate(pairs).slots(TasksConfig(), total)


def test_a_kind_that_is_not_needed_may_have_no_share() -> None:
    assert PairsConfig(sketch=0.0).slots(weighted(category=1.0), 6) == {"instance": 0, "category": 6, "sketch": 0}


@pytest.mark.parametrize(("changes", "words"), [
    ({"tasks": {name: {"weight": 0} for name in TASKS}}, "all tasks have the weight 0"),
    ({"tasks": {"category": {"weight": -1}}}, r"tasks\.category\.weight"),
    ({"tasks": {"category": {"wait": 1}}}, r"tasks\.category\.wait is not a setting, did you mean weight"),
    ({"tasks": {"recognition": {"smoothing": 1.5}}}, r"tasks\.recognition\.smoothing"),
    ({"tasks": {"recognition": {"kinds": []}}}, r"tasks\.recognition\.kinds"),
    ({"tasks": {"recognition": {"kinds": ["photo"]}}}, r"tasks\.recognition\.kinds"),
    ({"tasks": {"balance": "equal"}}, r"tasks\.balance"),
    ({"pairs": {"siblings": 1}}, r"pairs\.siblings"),
    ({"pairs": {"instance_share": 0.5}}, r"pairs\.instance_share is not a setting"),
    ({"data": {"views": {"photo": {"whole": 0.5}}}}, r"set data\.views\.photo\.whole to 1\.0"),
    ({"views": 0}, "views"),
])
def test_a_recipe_that_does_not_fit_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(**changes)


def test_a_photo_is_shown_whole_where_nothing_is_said() -> None:
    assert recipe().view("photo").whole == 1.0


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_recipes_in_the_repository_are_valid(file: Path) -> None:
    found = load_recipe(FusionRecipe, file)
    slots = found.pairs.slots(found.tasks, found.training.batch_size)
    assert sum(slots.values()) == found.training.batch_size


def test_finetuning_differs_from_the_frozen_baseline_in_what_learns_and_how_fast_alone() -> None:
    """The taps and patches that scripts/compare_fusions.sh calls B-SD+CLIP, without injection."""
    fine, frozen = (load_recipe(FusionRecipe, RECIPES / f"{name}.yaml", ["data.shards=somewhere"])
                    for name in ("finetuning", "mini_64"))
    config, plain = (load_preset(each.model, each.settings).extractor for each in (fine, frozen))
    assert (config.finetune, plain.finetune) == (True, False)
    assert (config.injection.blocks, config.aggregation.taps) == ((), (*plain.aggregation.taps, "patches"))
    assert fine.training.lr < frozen.training.lr
    same = {"title": "", "output": "", "settings": (), "training": frozen.training}
    assert fine.model_copy(update=same) == frozen.model_copy(update=same)
    assert fine.training.model_copy(update={"lr": frozen.training.lr}) == frozen.training
