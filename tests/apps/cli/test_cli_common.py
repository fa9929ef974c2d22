"""What the commands share."""

from __future__ import annotations

import io
import json
import math
import os
from typing import Any

import pytest
import typer
from rich.console import Console

from sketchfusion.apps.cli import common, main
from sketchfusion.errors import ConfigError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 120 columns would show."""
    stream = io.StringIO()
    monkeypatch.setattr(common, "console", Console(file=stream, force_terminal=True, width=120, color_system=None))
    return stream


def test_the_bar_shows_count_rate_and_time_left(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with common.progress_bar("Indexing") as on_progress:
        for done in range(5):
            on_progress(done, 10)
    shown = terminal.getvalue()
    assert "Indexing" in shown
    assert "4/10" in shown
    assert "0:00:" in shown or "-:--:--" in shown


@pytest.mark.parametrize(("speed", "text"), [(None, "-/s"), (2.5, "2.5/s"), (0.25, "4.0 s each")])
def test_rate(speed: float | None, text: str) -> None:
    class Task:
        finished_speed = None

    task: Any = Task()
    task.speed = speed
    assert common.RateColumn().render(task).plain == text


def test_nothing_moves_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with common.progress_bar("Indexing") as on_progress:
        on_progress(1, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "")


def test_markup_in_messages_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    error = common.fail("no [bold]file[/bold] \x1b[2J here", "ConfigError", ConfigError.exit_code, as_json=True)
    captured = capsys.readouterr()
    assert captured.err == "Error: no [bold]file[/bold] \\x1b[2J here\n"
    assert '"exit_code": 2' in captured.out
    assert error.exit_code == 2


def test_open_model_loads_a_preset() -> None:
    model = common.open_model("tiny", device="cpu")
    assert (model.name, model.overrides) == ("tiny", ())
    with pytest.raises(ConfigError):
        common.open_model("no-such-preset", device="cpu")


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "app", lambda: None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is put back afterwards
    del os.environ["OMP_WAIT_POLICY"]
    main.run()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    main.run()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def leave(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | None:
    """The exit code of ``sketchfusion ARGUMENTS``."""
    monkeypatch.setattr("sys.argv", ["sketchfusion", *arguments])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    with pytest.raises(SystemExit) as stopped:
        main.run()
    code = stopped.value.code
    assert not isinstance(code, str)
    return code


@pytest.mark.parametrize(("arguments", "message"), [
    (["search", "x.png", "--gallery", "G", "--top", "0"], "Invalid value for '--top': "),
    (["search"], "Missing argument 'SKETCH'"),
    (["search", "x.png"], "Missing option '--gallery'"),
    (["search", "--no-such"], "No such option: --no-such"),
    (["no-such"], "No such command 'no-such'"),
    (["--no-such"], "No such option: --no-such"),
    (["search", "x.png", "--gallery", "G", "--min-score", "nan"],
     "Invalid value for '--min-score': expected a number from -1 to 1, got nan"),
    (["segment", "x.png", "photos", "--threshold", "2"], "expected a number from -1 to 1, got 2"),
    (["train", "x.yaml", "--max-minutes", "soon"], "expected a number, 0 or more, got soon"),
])
def test_wrong_options_are_told_as_json_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                            arguments: list[str], message: str) -> None:
    assert leave(monkeypatch, *arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Usage: " in told.err
    assert leave(monkeypatch, *arguments, "--json") == 2
    told = capsys.readouterr()
    error = json.loads(told.out)["error"]
    assert list(error) == ["type", "message", "exit_code"]
    assert (error["type"], error["exit_code"]) == ("UsageError", 2)
    assert message in error["message"]
    assert told.err == f"Error: {error['message']}\n"


def test_what_json_leaves_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert not leave(monkeypatch, "list", "--json")
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert leave(monkeypatch, "info", "no-such-preset", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "ConfigError"
    assert not leave(monkeypatch, "search", "--json", "--help")
    assert "Usage: " in capsys.readouterr().out
    monkeypatch.setenv("_SKETCHFUSION_COMPLETE", "source_bash")
    assert not leave(monkeypatch, "--json")
    assert "complete" in capsys.readouterr().out
    monkeypatch.delenv("_SKETCHFUSION_COMPLETE")

    def stop(**options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", stop)
    assert leave(monkeypatch, "list", "--json") == 130


def test_numbers_of_options() -> None:
    assert [common.number(0)("inf"), common.number(0, 0.9)("0.9"), common.number(-1, 1)("-1")] == [math.inf, 0.9, -1]
    for text in ("nan", "NaN", "-inf", "0.91", "", "1,0"):
        with pytest.raises(typer.BadParameter, match=r"expected a number from 0 to 0\.9, got"):
            common.number(0, 0.9)(text)
