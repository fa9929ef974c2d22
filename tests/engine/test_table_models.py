"""Who competes in a table: rows that are chosen, models that are given, variants that are trained or to be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sketchfusion.engine.ablations import VARIANTS
from sketchfusion.engine.table_models import (
    Model,
    chosen,
    contenders,
    missing_jobs,
    named_models,
    trained_seeds,
    with_given,
)
from sketchfusion.engine.tables import find_table
from sketchfusion.errors import ConfigError


def saved(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    raw = {"model": "tiny", "output": "run", "settings": ["diffusion.max_batch=128"], "data": {"mix": {"photo": 1.0}},
           "training": {"steps": 9, "batch_size": 8}}
    (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "fusion.yaml"


def test_methods_of_the_preset() -> None:
    found, skips = contenders(find_table("1"), "tiny", ["diffusion.seed=3"], {}, None)
    methods = [item.method for item in found]
    assert methods == ["B-CLIP", "B-DINO", "B-DINOv2", "B-SD", "B-SD+CLIP", "HOG", "chance", "fused"]
    assert {item.models for item in found} == {(Model("tiny", ("diffusion.seed=3",)),)}
    skip, = skips
    assert (skip.kind, skip.name) == ("not trained", "B-Finetuning")
    assert "sketchfusion train configs/train/finetuning.yaml --data SHARDS --out MODELS/finetuning-0" in skip.reason


def test_rows_are_chosen_by_method_variant_or_title() -> None:
    rows = [row.title for row in chosen(find_table("3"), ["b-clip", "Proposed", "finetuning"]).rows]
    assert rows == ["B-CLIP", "B-Finetuning", "SketchMate", "SketchGNN", "SketchXAI", "Proposed"]
    with pytest.raises(ConfigError, match="table 3 has no row 'SketchMate' of ours; expected some of B-CLIP, B-DINO"):
        chosen(find_table("3"), ["SketchMate"])


def test_a_given_model_takes_its_row_or_gets_one(tmp_path: Path) -> None:
    saved(tmp_path / "a", tmp_path / "b" / "fusion")
    given = named_models([f"B-Finetuning={tmp_path / 'a'} {tmp_path / 'b'}", f"B-SD={tmp_path / 'a'}",
                          f"my own={tmp_path / 'a'}", f"Proposed={tmp_path / 'a'}"])
    table, folders = with_given(find_table("2"), given)
    titles = [row.title for row in table.rows]
    assert titles[titles.index("B-SD") + 1] == "B-SD, trained"  # what was trained is not the paper's baseline
    assert titles[-1] == "my own"
    found, skips = contenders(table, "tiny", [], folders, None)
    models = {item.row.title: item.models for item in found}
    assert models["B-Finetuning"] == (Model(str(tmp_path / "a"), (), "-0"),
                                      Model(str(tmp_path / "b" / "fusion"), (), "-1"))
    assert models["B-SD"] == (Model("tiny"),)
    assert models["B-SD, trained"] == models["my own"] == models["Proposed"] == (Model(str(tmp_path / "a")),)
    assert not skips
    assert next(row for row in table.rows if row.title == "B-SD, trained").paper == ()


@pytest.mark.parametrize("text", ["B-SD", "B-SD=", "=runs/a", "B-SD=nowhere"])
def test_a_model_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot read|holds no trained model; expected a folder of"):
        named_models([text])


def test_variants_are_found_by_seed(tmp_path: Path) -> None:
    saved(tmp_path / "fused-0" / "fusion", tmp_path / "fused-2" / "fusion", tmp_path / "t-1-0" / "fusion")
    (tmp_path / "fused-1").mkdir()  # begun, not finished
    assert list(trained_seeds(tmp_path, "fused")) == [0, 2]
    found, skips = contenders(find_table("fig5"), "tiny", [], {}, tmp_path)
    seeds = {item.name: [model.seed for model in item.models] for item in found}
    assert seeds == {"fused": ["-0", "-2"], "t-1": ["-0"]}
    assert [skip.name for skip in skips] == ["t = 50, t = 400, t = 700, t = 50, 195, 400 together"]
    assert f"--models {tmp_path} --train RECIPE --shards SHARDS --seeds 0 --methods t-50,t-400" in skips[0].reason
    found, skips = contenders(find_table("fig5"), "tiny", [], {}, tmp_path, [1, 2])
    assert [model.seed for model in found[0].models] == ["-2"]
    assert skips[0].reason.startswith(f"seed 1 of fused: not in {tmp_path}; to train: ")
    assert "--data /my/data" in contenders(find_table("fig5"), "tiny", [], {}, tmp_path, data="/my/data")[1][0].reason


def test_a_variant_that_is_not_trained_anew_reads_the_references_fusion(tmp_path: Path) -> None:
    table = chosen(find_table("ablations"), ["samples-4", "fused"])
    found, _ = contenders(table, "tiny", ["diffusion.max_batch=4"], {}, None)
    assert {item.name: item.models for item in found} == {
        "fused": (Model("tiny", ("diffusion.max_batch=4",)),),
        "samples-4": (Model("tiny", ("diffusion.num_noise_samples=4", "diffusion.max_batch=4")),)}
    saved(tmp_path / "fused-3" / "fusion")
    found, skips = contenders(table, "tiny", [], {}, tmp_path)
    assert {item.models for item in found if item.name == "samples-4"} == {
        (Model(str(tmp_path / "fused-3" / "fusion"), ("diffusion.num_noise_samples=4",), "-3"),)}
    assert not skips


def test_what_is_to_be_trained(tmp_path: Path, recipe: Path) -> None:
    models = tmp_path / "models"
    saved(models / "no-aggregation-0" / "fusion")
    table = find_table("6")
    jobs = missing_jobs(table, [], recipe, Path("shards"), models, [0, 1], ["training.steps=2"])
    names = ["equal-weights", "no-convolutions", "fused"]
    assert [(job.variant.name, job.seed) for job in jobs] == [
        *((name, 0) for name in names), *((name, 1) for name in ["no-aggregation", *names])]
    found = {(job.variant.name, job.seed): job.recipe for job in jobs}
    one = found["no-convolutions", 1]
    assert one.settings == ("diffusion.max_batch=128", *VARIANTS["no-convolutions"].settings)
    assert (one.seed, one.training.steps, one.data.shards) == (1, 2, "shards")
    assert one.output == str(models / "no-convolutions-1")
    assert {item.cache for item in found.values()} == {str(models / "encoded")}  # encoders run once for all


def test_backbones_of_their_own_are_trained_where_they_are_named(tmp_path: Path, recipe: Path) -> None:
    job, = missing_jobs(chosen(find_table("6"), ["dinov2-s14"]), ["dinov2-s14"], recipe, Path("s"), tmp_path, [0])
    assert job.recipe.model == "sd21-dinov2-b14"
    assert "encoder.source=facebook/dinov2-small" in job.recipe.settings


def test_tasks_alone_change_the_training(tmp_path: Path, recipe: Path) -> None:
    table = chosen(find_table("ablations"), ["only-category", "samples-4"])
    jobs = missing_jobs(table, ["only-category", "samples-4"], recipe, Path("s"), tmp_path, [0])
    assert [job.variant.name for job in jobs] == ["only-category", "fused"]  # the latter for samples-4
    assert set(jobs[0].recipe.tasks.weights) == {"category"}
