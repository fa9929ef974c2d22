"""The paper's tables: numbers as printed, every protocol and measure known, and what is wrong refused."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import pytest
import yaml

from sketchfusion.data.sets import SETS
from sketchfusion.engine.ablations import VARIANTS
from sketchfusion.engine.methods import METHODS, check_method
from sketchfusion.engine.protocols import PROTOCOLS, find_protocol
from sketchfusion.engine.tables import FILE, FINETUNING, Table, find_table, paper_tables, parse_tables
from sketchfusion.errors import ConfigError

TABLES = paper_tables().tables
# method -> numbers of its row, copied from the paper a second time
PRINTED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "1": {"B-SD+CLIP": (.588, .592, .537, .589, .179, .311), "B-Finetuning": (.120, .172, .011, .010, .003, .006),
          "CCGAN": (None, None, .297, .426, None, None), "Proposed": (.761, .763, .695, .753, .242, .399)},
    "2": {"Gen-VAE": (22.60, 49.00), "SD-PL": (31.94, 65.81), "Proposed": (33.01, 67.92)},
    "3": {"SketchXAI": (None, 86.10), "B-SD+CLIP": (65.47, 67.78), "Proposed": (84.96, 87.02)},
    "4": {"Self-Sup.": (58.00, 84.93), "B-SD+CLIP": (44.90, 62.02), "Proposed": (70.31, 89.86)},
    "5": {"Sketch-a-Segmenter": (46.45, 60.28), "B-SD+CLIP": (41.87, 51.91), "Proposed": (60.12, 74.91)},
    "6": {"SD v1.4": (68.91, 57.63, .728, 78.82), "w/o aggregation network": (54.65, 47.52, .587, 66.71),
          "w/o 1D convolutions": (55.97, 47.24, .602, 71.75), "Proposed": (70.31, 60.12, .761, 87.02)},
}
# sum of all numbers of a table, against a slip in any of them
SUMS = {"1": 29.195, "2": 694.17, "3": 1133.23, "4": 1029.92, "5": 869.64, "6": 2035.342}


@pytest.fixture
def raw() -> Any:
    """The file's plain values, to change."""
    text = resources.files("sketchfusion.engine").joinpath(FILE).read_text(encoding="utf-8")
    return copy.deepcopy(yaml.safe_load(text))


def test_all_of_the_paper_is_there() -> None:
    assert list(TABLES) == ["1", "2", "3", "4", "5", "6", "fig5", "ablations"]
    assert {name: len([row for row in table.rows if row.paper]) for name, table in TABLES.items()} == {
        "1": 15, "2": 10, "3": 10, "4": 10, "5": 10, "6": 11, "fig5": 0, "ablations": 4}
    assert "there are no numbers" in TABLES["fig5"].note


@pytest.mark.parametrize(("table", "title"), [(table, title) for table, rows in PRINTED.items() for title in rows])
def test_numbers_are_those_that_the_paper_prints(table: str, title: str) -> None:
    row, = [row for row in TABLES[table].rows if row.title == title]
    assert row.paper == PRINTED[table][title]


@pytest.mark.parametrize("name", SUMS)
def test_no_number_has_slipped(name: str) -> None:
    every = [number for row in TABLES[name].rows for number in row.paper if number is not None]
    assert sum(every) == pytest.approx(SUMS[name], abs=5e-4)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_is_consistent(table: Table) -> None:
    for column in table.columns:
        assert column.measure in [measure.name for measure in PROTOCOLS[column.protocol].measures]
        assert PROTOCOLS[column.protocol].data in paper_tables().folders
    paper = [column.paper for column in table.columns]
    assert paper == sorted(paper, reverse=True) or table.name == "4"  # the paper's columns come first
    for row in table.rows:
        assert not row.method or row.method in METHODS
        assert not row.variant or row.model or row.variant in (*VARIANTS, FINETUNING)
        assert len(table.paper_numbers(row)) == len(table.columns)
    assert paper_tables().folders.keys() <= SETS.keys()
    assert not any("own" in find_protocol(group.protocol).source.split(",")[0]
                   and find_protocol(group.protocol).published
                   for group in table.groups)


def test_every_table_has_open_data_and_every_baseline_its_row() -> None:
    for table in TABLES.values():
        assert any(not column.paper for column in table.columns)
    for name in ("1", "2", "3"):
        assert {row.method for row in TABLES[name].rows} - {""} == set(METHODS)
        for protocol in TABLES[name].protocols:
            check_method("HOG", find_protocol(protocol).task)


def test_our_own_split_stands_in_no_column_of_the_paper() -> None:
    for name in ("3", "6"):
        theirs = {column.protocol for column in TABLES[name].columns if column.paper}
        assert "quickdraw-recognition" in {column.protocol for column in TABLES[name].columns} - theirs
        group, = [group for group in TABLES[name].groups if group.protocol == "quickdraw-recognition-sketchrnn"]
        assert (group.paper, find_protocol(group.protocol).published) == (True, {"sketches": 345 * 2500})


def test_groups_of_ablations_become_rows() -> None:
    variants = [row.variant for row in TABLES["ablations"].rows]
    assert sorted(variants) == sorted(VARIANTS)
    assert "no-convolutions" in [row.variant for row in TABLES["6"].rows]
    assert [row.variant for row in TABLES["fig5"].rows][:2] == ["fused", "t-1"]


def test_backbones_of_table_6_are_trained_with_their_own_model() -> None:
    row, = [row for row in TABLES["6"].rows if row.title == "CLIP ViT-B/32"]
    variant = row.as_variant()
    assert variant.training == ("model=sd21-clip-l14",)
    assert variant.settings == ("encoder.source=openai/clip-vit-base-patch32",)


def test_paper_numbers_stand_in_the_papers_columns() -> None:
    table = TABLES["4"]
    row, = [row for row in table.rows if row.title == "WarpC"]
    assert table.paper_numbers(row) == (56.78, 79.70, *[None] * 6)
    hog, = [row for row in TABLES["1"].rows if row.title == "HOG"]
    assert set(TABLES["1"].paper_numbers(hog)) == {None}


@pytest.mark.parametrize(("change", "words"), [
    (lambda raw: raw["groups"][0].update(protocol="sketchy-22"), "there is no protocol 'sketchy-22'"),
    (lambda raw: raw["groups"][0].update(measures=["mAP@20"]), "sketchy-21 has no measure 'mAP@20'"),
    (lambda raw: raw["rows"][0].update(method="B-CLAP"), "unknown method 'B-CLAP'"),
    (lambda raw: raw["rows"][5].update(variant="finetuned"), "unknown variant 'finetuned'"),
    (lambda raw: raw["rows"][0].update(variant="fused"), "both a method and a variant"),
    (lambda raw: raw["rows"][0].update(paper=[0.1]), "1 numbers for the paper's 6 columns"),
    (lambda raw: raw["rows"][0].update(title="B-DINO"), "two rows have the same title"),
    (lambda raw: raw["rows"][0].update(papers=[0.1]), "papers"),
])
def test_what_is_wrong_in_the_file_is_an_error(raw: Any, change: Any, words: str) -> None:
    change(raw["tables"]["1"])
    with pytest.raises(ConfigError, match=words):
        parse_tables(raw)


def test_a_data_set_needs_a_folder(raw: Any) -> None:
    del raw["folders"]["pacs"]
    with pytest.raises(ConfigError, match="names no folder of pacs"):
        parse_tables(raw)
    raw["folders"]["pax"] = ["pax"]
    with pytest.raises(ConfigError, match="there is no data set 'pax'"):
        parse_tables(raw)


def test_an_unknown_table() -> None:
    with pytest.raises(ConfigError, match="there is no table '7'; expected one of 1, 2"):
        find_table("7")
