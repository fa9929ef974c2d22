"""``sketchfusion reproduce`` from folders to tables: skipped by name, resumed, trained first, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result as Outcome
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from sketchfusion.apps.cli import common, table
from sketchfusion.apps.cli.main import app
from sketchfusion.data.packed.packing import PackOptions, pack
from sketchfusion.data.sets.classes import load_split
from sketchfusion.data.world import write_world
from sketchfusion.engine import reproduce as engine
from sketchfusion.engine.results import Result
from sketchfusion.engine.table_text import Cell, Strip
from sketchfusion.fusion.extractor import SketchFusion

Draw = Callable[[tuple[int, int], int], Image.Image]
OWN = ("fused", "B-CLIP", "HOG")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tiny_model: SketchFusion) -> list[str]:
    """Which models were asked for; ``tiny`` is opened once for all tests."""
    calls: list[str] = []

    def open_model(model: str, overrides: Any = (), device: str = "auto", dtype: str = "auto") -> SketchFusion:
        calls.append(model)
        if model == "tiny" and not overrides:
            return tiny_model
        return SketchFusion.from_pretrained(model, overrides=overrides, device="cpu")

    monkeypatch.setattr(common, "open_model", open_model)
    return calls


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, draw_picture: Draw) -> Path:
    """``world-test``, ``pacs``, ``sketchy`` with a pair of each unseen class, and ``quickdraw`` without a file."""
    root = tmp_path_factory.mktemp("data")
    write_world(root / "world-test", categories=["cup", "key"], photos_per_class=5, size=64)
    for seed, name in enumerate(("cat", "house")):
        for side in ("photo", "sketch"):
            (root / "pacs" / side / name).mkdir(parents=True)
            for index in range(2):
                draw_picture((40, 30), 10 * seed + index).save(root / "pacs" / side / name / f"{index}.png")
    (root / "pacs" / "instance_pairs.csv").write_text(
        "class,photo,sketch\ncat,photo/cat/0.png,sketch/cat/0.png\nhouse,photo/house/0.png,sketch/house/0.png\n")
    for seed, name in enumerate(load_split("sketchy-21")[1]):
        for side, file in (("photo", "n1_1.jpg"), ("sketch", "n1_1-1.png")):
            folder = root / "sketchy" / side / "tx_000000000000" / name
            folder.mkdir(parents=True)
            draw_picture((32, 32), 300 + seed).save(folder / file)
    (root / "quickdraw").mkdir()
    return root


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """``run("2", "--json", methods=(...))`` runs the command on the CPU."""

    def run(name: str, *arguments: object, data: Path = drawn, methods: tuple[str, ...] = OWN) -> Outcome:
        words = ["reproduce", "--table", name, "--data", data, "--preset", "tiny", "--out", tmp_path / "out",
                 "--device", "cpu", *(["--methods", ",".join(methods)] if methods else []), *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def lines_of(text: str) -> dict[str, list[str]]:
    """First word of a line -> its words."""
    return {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


def test_the_table_stands_beside_the_papers_and_is_kept(run: Callable[..., Outcome], tmp_path: Path) -> None:
    found = run("2")
    assert found.exit_code == 0, found.output
    result = Result.load(tmp_path / "out" / "2" / "sketchy-21-instances" / "fused.json")
    measure = result.measures["Acc@1"]
    lines = lines_of(found.stdout)
    half = 50 * (measure.high - measure.low)
    assert lines["Proposed"][1:6] == ["33.01", f"{100 * measure.mean:.2f}", "±", f"{half:.2f}", "67.92"]
    assert lines["LVM"][1:5] == ["28.68", "-", "62.34", "-"]
    assert "sketchy holds 21 photos, published are 2,100: these are not quite the paper's data" in found.stdout
    assert "[1/6] B-CLIP on sketchy-21-instances" in found.stderr
    assert "6 results: " in found.stderr
    assert (tmp_path / "out" / "2" / "some_rows.md").read_text().startswith("**paper, Table 2: ")
    assert json.loads((tmp_path / "out" / "2" / "some_rows.json").read_text())["computed"] == 6


def test_resumed_in_every_form(run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = json.loads(run("2", "--json").stdout)
    monkeypatch.setattr(engine, "evaluate", None)
    second = run("2", "--json")
    assert "6 results, 6 of them resumed" in second.stderr
    plain = json.loads(second.stdout)
    assert (plain["computed"], plain["resumed"]) == (0, 6)
    assert plain["rows"] == first["rows"]
    ours = next(row for row in plain["rows"] if row["title"] == "Proposed")
    assert ours["ours"][2]["queries"] == 2
    assert ours["results"][1] == "2/pacs-instances/fused.json"
    text = run("2", "--markdown").stdout
    assert "| Proposed | 33.01 |" in text
    assert text.rstrip("\n") == (tmp_path / "out" / "2" / "some_rows.md").read_text().rstrip("\n")


def test_missing_and_broken_data_and_weights_are_skipped_by_name(run: Callable[..., Outcome]) -> None:
    found = run("3", methods=("fused", "B-DINO"))
    assert found.exit_code == 6
    words = found.stderr
    assert "nothing of table 3 could be judged" in words
    assert "- tu-berlin (missing data): there is no folder" in words
    assert "- quickdraw-sketchrnn (missing data): " in words
    assert "- quickdraw (broken data): " in words
    assert "lacks 345 of 345 classes" in words
    shown = run("4", methods=("fused", "B-DINO"))
    assert shown.exit_code == 0, shown.output
    assert "Skipped, missing data: psc6k (psc6k-code, psc6k). there is no folder" in shown.stdout
    assert "Skipped, missing data: composites (composites-points). " in shown.stdout
    assert "sketchfusion data make-composites" in shown.stdout  # what would get it
    assert "Skipped, missing weights: B-DINO (world-points). no weights" in shown.stdout
    assert lines_of(shown.stdout)["Proposed"][1:5] == ["70.31", "-", "89.86", "-"]


def test_a_method_that_cannot_do_a_task(run: Callable[..., Outcome]) -> None:
    found = run("5", "--model", "HOG=", methods=())
    assert found.exit_code == 2
    assert "expected a title and the folders of its seeds" in found.stderr
    refused = run("5", methods=("HOG",))
    assert refused.exit_code == 2
    assert "table 5 has no row 'HOG' of ours; expected some of B-CLIP" in refused.stderr


def test_a_set_elsewhere(run: Callable[..., Outcome], drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "pacs", tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    found = run("2", "--data-at", f"pacs={tmp_path / 'mine'}", "--json", data=tmp_path / "empty", methods=("HOG",))
    assert found.exit_code == 0, found.output
    plain = json.loads(found.stdout)
    assert [skip["name"] for skip in plain["skipped"]] == ["sketchy"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, draw_picture: Draw) -> Path:
    """A drawn world, packed."""
    root = tmp_path_factory.mktemp("shards")
    write_world(root / "world", categories=["cup", "key"], photos_per_class=5, size=64)
    (root / "data" / "caltech101" / "cup").mkdir(parents=True)
    draw_picture((60, 40), 1).save(root / "data" / "caltech101" / "cup" / "image_0001.jpg")
    pack(root / "data", root / "shards", PackOptions(size=64, held_out=0.4), extra=(f"world={root / 'world'}",))
    return root / "shards"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    raw = {"model": "tiny", "output": str(tmp_path / "run"), "views": 1,
           "data": {"mix": {"photo": 1.0, "sketch": 1.0}}, "tasks": {"recognition": {"kinds": ["sketch"]}},
           "training": {"steps": 9, "batch_size": 4, "warmup": 1, "log_every": 1, "sample_every": 0,
                        "checkpoint_every": 0, "ema": 0.5}}
    (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path / "fusion.yaml"


def test_variants_are_trained_first_then_judged(run: Callable[..., Outcome], recipe: Path, shards: Path,
                                                tmp_path: Path, asked: list[str]) -> None:
    options = ("--train", recipe, "--shards", shards, "--seeds", "0,1", "--steps", "1", "--models", tmp_path / "m")
    found = run("6", *options, "--json", methods=("equal-weights", "dinov2-s14"))
    assert found.exit_code == 0, found.output
    assert "Training equal-weights, seed 0 (2 of 4)" in found.stderr  # DINOv2 is first, and both once more with seed 1
    plain = json.loads(found.stdout)
    row, = [row for row in plain["rows"] if row["title"] == "w/o learnable weights"]
    assert row["paper"][:4] == [68.75, 58.13, .726, 83.79]
    assert {item["seeds"] for item in row["ours"] if item is not None} == {2}
    assert sorted(path.name for path in (tmp_path / "m").iterdir() if path.name.startswith("equal")) == [
        "equal-weights-0", "equal-weights-1"]
    assert (tmp_path / "m" / "encoded").is_dir()  # shared by all of them
    assert asked[-1] == str(tmp_path / "m" / "equal-weights-1" / "fusion")
    assert not SketchFusion.from_pretrained(asked[-1], device="cpu").config.aggregation.learned_weights
    kinds = {(skip["kind"], skip["name"]) for skip in plain["skipped"]}
    assert {("failed", "DINOv2 ViT-S/14 for CLIP"), ("not trained", "DINOv2 ViT-S/14 for CLIP")} <= kinds
    again = run("6", *options, "--json", methods=("equal-weights",))
    assert "Training" not in again.stderr
    assert json.loads(again.stdout)["computed"] == 0


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("7",), 2, "there is no table '7'; expected one of 1, 2, 3"),
    (("2", "--json", "--markdown"), 2, "--markdown and --json exclude one another"),
    (("2", "--seeds", "0,x"), 2, "--seeds takes different whole numbers"),
    (("2", "--seeds", "1,1"), 2, "--seeds takes different whole numbers"),
    (("2", "--model", "mine=nowhere"), 2, "nowhere holds no trained model"),
    (("2", "--data-at", "pacs=nowhere"), 2, "there is no folder nowhere, which was named for the data set pacs"),
    (("2", "--baseline-set", "source=x"), 2, "cannot read --baseline-set 'source=x'"),
    (("2", "--baseline-set", "B-CLIP.layer=2"), 2, "B-CLIP has no encoder of its own"),
    (("2", "--set", "diffusion.sed=3"), 2, "did you mean seed"),
    (("2", "--train", "x.yaml", "--shards", "s"), 2, "table 2 has no variants to train"),
    (("6", "--train", "x.yaml"), 2, "give --shards FOLDER"),
    (("6", "--train", "x.yaml", "--shards", "nowhere"), 6, "pretrain pack"),
    (("6", "--models", "nowhere"), 2, "there is no folder nowhere, which --models names"),
    (("2", "--data", "nowhere"), 6, "there is no folder nowhere; expected one that holds a folder for each data set"),
])
def test_what_is_wrong_is_said(run: Callable[..., Outcome], arguments: tuple[str, ...], code: int, words: str) -> None:
    found = run(*arguments, methods=())
    assert (found.exit_code, words in found.output.replace("\n", " ")) == (code, True), found.output


def test_a_file_is_no_place_for_results(run: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    found = run("2")
    assert found.exit_code == 2
    assert f"cannot write to --out {tmp_path / 'out'}" in found.stderr.replace("\n", " ")
    assert "Not a directory" in found.stderr


def test_stopped(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "evaluate", stop)
    found = run("2", "--again")
    assert found.exit_code == 130
    assert "What was done is kept. Run the same command again to go on" in found.stderr


def test_a_narrow_terminal_gets_the_data_sets_one_below_the_other() -> None:
    strips = [Strip(data, measure, "ours", (Cell("33.07 ± 0.39", best=True), Cell("-")))
              for data in ("Sketchy", "PACS") for measure in ("mAP@all", "P@100")]
    assert [len(part) for part in table.fitting(strips, 200)] == [4]
    assert [[strip.data for strip in part] for part in table.fitting(strips, 40)] == [["Sketchy"] * 2, ["PACS"] * 2]
    assert [len(part) for part in table.fitting(strips, 1)] == [2, 2]
    console = Console(width=80, force_terminal=True, color_system="truecolor")
    with console.capture() as capture:
        console.print(table.as_rich(["B-SD", "LVM"], strips))
    assert "\x1b[1m33.07 ± 0.39\x1b[0m" in capture.get()
    assert capture.get().count("Sketchy") == 1
