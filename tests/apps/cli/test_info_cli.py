"""``sketchfusion list`` and ``sketchfusion info``: what they say of every preset."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sketchfusion.apps.cli.main import app
from sketchfusion.config import DEFAULT_PRESET, load_preset, preset_names

PARTS = ["VAE encoder", "UNet", "patch encoder", "injection", "aggregation"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@cache
def told(*arguments: str) -> Any:
    """What ``info ... --json`` says; counting a large preset takes a second."""
    result = run("info", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def mini_state() -> str:
    """``mini`` is there as soon as its weights are in the package, and they are not in a checkout without them."""
    return "ready" if resources.files("sketchfusion").joinpath("weights", "mini").is_dir() else "missing"


def test_list_as_json() -> None:
    result = run("list", "--json")
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == preset_names()
    assert [name for name, row in rows.items() if row["default"]] == [DEFAULT_PRESET]
    assert {name: row["weights"] for name, row in rows.items()} == {
        name: {"tiny": "ready", "mini": mini_state()}.get(name, "missing") for name in preset_names()}
    assert rows["tiny"]["canvas"] == 64
    assert rows["sd21-clip-l14"]["title"] == load_preset("sd21-clip-l14").title


def test_list_as_table() -> None:
    result = run("list")
    assert result.exit_code == 0
    (row,) = [line for line in result.stdout.splitlines() if "(default)" in line]
    assert row.split()[0] == DEFAULT_PRESET
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if " px " in line}
    assert sorted(lines) == preset_names()
    assert lines["tiny"].rstrip().endswith("ready")
    assert lines["mini"].rstrip().endswith(mini_state())


@pytest.mark.thorough
@pytest.mark.parametrize("name", preset_names())
def test_info_of_every_preset(name: str) -> None:
    summary, preset = told(name), load_preset(name)
    assert summary["name"] == name
    assert summary["title"] == preset.title
    assert summary["settings"] == preset.extractor.model_dump(mode="json")
    assert [licence["what"] for licence in summary["licences"]] == [licence.what for licence in preset.licences]
    assert summary["sources"]["diffusion model"] == list(preset.extractor.diffusion.source)
    assert list(summary["cost"]) == (PARTS if preset.architectures else [])
    for part in summary["cost"].values():
        assert part["gflop"] > 0
        assert part["float32_bytes"] == 4 * part["parameters"] > 0


def test_the_paper_sizes() -> None:
    cost = told("sd21-clip-l14")["cost"]
    assert cost["injection"]["parameters"] == 6_888_000
    assert cost["aggregation"]["parameters"] == 5_850_883


@pytest.mark.parametrize("name", ["tiny", "sd21-clip-l14"])
def test_the_table_adds_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = told(name)
    monkeypatch.setattr("sketchfusion.apps.cli.info.summarise", lambda preset: summary)
    result = run("info", name)
    assert result.exit_code == 0
    parts = told(name)["cost"]
    for part, facts in parts.items():
        (line,) = [line for line in result.stdout.splitlines() if line.strip().startswith(part + " ")]
        assert f"{facts['parameters'] / 1e6:,.2f} M" in line
    (line,) = [line for line in result.stdout.splitlines() if line.strip().startswith("together")]
    parameters = sum(facts["parameters"] for facts in parts.values())
    assert line.split() == ["together", f"{parameters / 1e6:,.2f}", "M", f"{parameters * 4 / 1e6:,.1f}", "MB",
                            f"{parameters * 2 / 1e6:,.1f}", "MB",
                            f"{sum(facts['gflop'] for facts in parts.values()):,.2f}"]
    for place in load_preset(name).extractor.diffusion.source:
        assert place in result.stdout


def test_settings_change_what_is_told() -> None:
    changed = told("tiny", "--set", "aggregation.out_channels=128", "--set", "diffusion.timesteps=[5, 195]")
    assert changed["settings"]["aggregation"]["out_channels"] == 128
    assert changed["settings"]["diffusion"]["timesteps"] == [5, 195]
    before, after = told("tiny")["cost"], changed["cost"]
    assert after["aggregation"]["parameters"] > before["aggregation"]["parameters"]
    assert after["UNet"]["gflop"] == pytest.approx(2 * before["UNet"]["gflop"], rel=0.05)
    assert after["patch encoder"] == before["patch encoder"]


def test_brackets_are_shown_as_they_are() -> None:
    result = run("info", "tiny", "--set", "diffusion.prompt='[bold] cat'")
    assert "prompt=[bold] cat" in result.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (["sd12-clip-l14"], "unknown preset 'sd12-clip-l14'"), (["tiny", "--set", "canvas.colour=1"], "canvas.colour"),
    (["nowhere.yaml"], "there is no configuration file nowhere.yaml")])
def test_what_is_unknown(arguments: list[str], message: str) -> None:
    result = run("info", *arguments, "--json")
    assert result.exit_code == 2
    assert message in result.stderr
    assert json.loads(result.stdout)["error"]["type"] == "ConfigError"
