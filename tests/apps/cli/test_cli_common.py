"""What the commands share."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
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
