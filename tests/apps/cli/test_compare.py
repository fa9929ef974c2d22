"""``sketchfusion compare`` on two written results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import Result as Outcome
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app
from sketchfusion.engine.results import Figure, make_result
from sketchfusion.fusion.extractor import SketchFusion

QUERIES = 40


def run(*arguments: object) -> Outcome:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path, tiny_model: SketchFusion) -> list[Path]:
    """A and B: B is better by mAP@all, worse by the error, and the same by chance; B alone has P@100."""
    generator = torch.Generator().manual_seed(0)
    hard = torch.rand(QUERIES, generator=generator) / 2
    noise = 0.01 * torch.randn(2, QUERIES, generator=generator)
    written = []
    for number, name in enumerate(("a.json", "b.json")):
        figures = {"mAP@all": Figure(hard + number / 5 + noise[number], "AP over all relevant", "sketches"),
                   "error": Figure(hard + number / 5 + noise[number], "pixels", "sketches", higher_is_better=False),
                   "Acc@1": Figure(hard + noise[number], "share of queries", "sketches")}
        if number:
            figures["P@100"] = figures["Acc@1"]
        result = make_result(tiny_model, figures, {"sketches": [f"{row}.png" for row in range(QUERIES)]},
                             task="retrieval", protocol="pacs", data="abc")
        written.append(result.save(tmp_path / name))
    return written


def test_table(files: list[Path]) -> None:
    result = run(*files)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert rows["mAP@all"].endswith("  better")
    assert rows["error"].endswith("  worse")
    assert rows["Acc@1"].endswith("  no difference shown")
    assert rows["mAP@all"].split()[1] == str(QUERIES)
    assert rows["measure"].index("queries") + len("queries") == rows["mAP@all"].index(str(QUERIES)) + len(str(QUERIES))
    assert "Only in one of them, so left out: P@100" in result.stderr


def test_json_and_swapped(files: list[Path]) -> None:
    there, back = (json.loads(run(*given, "--json").stdout) for given in (files, files[::-1]))
    assert there["first"]["file"] == str(files[0])
    assert there["left_out"] == ["P@100"]
    found, swapped = there["measures"]["mAP@all"], back["measures"]["mAP@all"]
    assert found["verdict"] == "better"
    assert swapped["verdict"] == "worse"
    assert found["difference"] == pytest.approx(0.2, abs=0.02)
    assert (swapped["low"], swapped["high"]) == pytest.approx((-found["high"], -found["low"]), abs=2e-6)
    assert found["low"] < found["difference"] < found["high"]


def test_the_same_seed_gives_the_same(files: list[Path]) -> None:
    outputs = [run(*files, "--json", "--seed", seed, "--draws", 50).stdout for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]


def test_what_goes_wrong(files: list[Path]) -> None:
    files[1].write_text(files[1].read_text()[:100])
    result = run(*files, "--json")
    assert result.exit_code == 6
    assert "b.json is damaged" in json.loads(result.stdout)["error"]["message"]
