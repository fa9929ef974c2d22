"""Every category keeps its promises."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import sketchfusion.data.world as world
from sketchfusion.data.world import CATEGORIES
from sketchfusion.data.world.backdrop import PAINTERS
from sketchfusion.data.world.dice import Dice
from sketchfusion.data.world.recipe import Blueprint, Category, Paint
from sketchfusion.data.world.shapes import box
from sketchfusion.errors import ConfigError

INSTANCES = 25


@pytest.fixture(scope="module")
def blueprints():
    return {name: [category.build(Dice("recipes", name, k)) for k in range(INSTANCES)]
            for name, category in CATEGORIES.items()}


def test_there_are_at_least_forty_categories_in_order():
    assert len(CATEGORIES) >= 40
    assert list(CATEGORIES) == sorted(CATEGORIES)
    assert all(name == category.name for name, category in CATEGORIES.items())


@pytest.mark.parametrize("name", CATEGORIES)
def test_category_is_well_formed(name, blueprints):
    category = CATEGORIES[name]
    assert len(category.keypoints) >= 8
    assert len(set(category.keypoints)) == len(category.keypoints)
    assert len(set(category.parts)) == len(category.parts) < 256
    assert set(category.places) <= set(PAINTERS)
    for blueprint in blueprints[name]:
        points = np.concatenate([part.shape.points for part in blueprint.parts])
        assert np.isfinite(points).all()
        assert np.abs(points).max() < 2
        assert any(part.detail == 0 for part in blueprint.parts), "a doodle must keep something"
        named = [point for part in blueprint.parts for point in part.keypoints]
        assert len(set(named)) == len(named), "a key point is set twice"


@pytest.mark.parametrize("name", CATEGORIES)
def test_every_declared_name_is_used(name, blueprints):
    parts = {part.name for blueprint in blueprints[name] for part in blueprint.parts}
    points = {point for blueprint in blueprints[name] for part in blueprint.parts for point in part.keypoints}
    assert parts == set(CATEGORIES[name].parts)
    assert points == set(CATEGORIES[name].keypoints)


@pytest.mark.parametrize("name", CATEGORIES)
def test_keypoints_lie_on_their_part(name, blueprints):
    for blueprint in blueprints[name]:
        for part in blueprint.parts:
            low, high = part.shape.points.min(axis=0) - 0.12, part.shape.points.max(axis=0) + 0.12
            for point, at in part.keypoints.items():
                assert (low <= at).all(), (point, at)
                assert (at <= high).all(), (point, at)


@pytest.mark.parametrize("name", CATEGORIES)
def test_instances_differ(name, blueprints):
    first, second = blueprints[name][:2]
    assert not (len(first.parts) == len(second.parts) and all(
        np.array_equal(a.shape.points, b.shape.points) for a,
        b in zip(first.parts, second.parts, strict=True)))


def test_undeclared_names_are_refused():
    def recipe(dice):
        blueprint = Blueprint()
        blueprint.add("lid", box(0, 0, 1, 1), Paint((0, 0, 0)), at={"corner": (0, 0)})
        return blueprint

    with pytest.raises(ConfigError, match=r"'jar' uses undeclared names \['corner', 'lid'\]; add them"):
        Category("jar", ("body",), ("top",), ("table",), 5.0, recipe).build(Dice("jar"))


def test_the_drawn_world_needs_numpy_and_pillow_only():
    allowed = {"numpy", "PIL", "sketchfusion"}
    standard = {"__future__", "collections", "dataclasses", "difflib", "functools", "hashlib", "itertools",
        "json", "math",
                "operator", "os", "pathlib", "shutil", "tempfile", "typing"}
    for file in Path(world.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) else [])
            for name in names:
                assert name.split(".")[0] in allowed | standard, (file.name, name)
                assert not name.startswith("sketchfusion") or name.startswith(
                    ("sketchfusion.data.world", "sketchfusion.errors")), (file.name, name)
