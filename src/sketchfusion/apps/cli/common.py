"""What the commands share: messages, progress, JSON, exit codes, and loading the model.

Exit codes: 0 done; 1 unforeseen; 2 wrong options or settings; 3 to 7 see ``sketchfusion.errors``; 130 stopped by
Ctrl-C. Results go to the standard output, everything else to the standard error.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sketchfusion.errors import SketchFusionError

if TYPE_CHECKING:
    from sketchfusion.fusion.extractor import SketchFusion

INTERRUPTED = 130
DEBUG = "SKETCHFUSION_DEBUG"

P = ParamSpec("P")
R = TypeVar("R")

console = Console(stderr=True)
output = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on the standard output.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures that pass the model together.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps ...")]
Dtype = Annotated[str, typer.Option(help="Number format: auto, float32, bfloat16 or float16.")]
Preset = Annotated[str | None, typer.Option(
    metavar="NAME|FOLDER|CONFIG", help="Preset name, folder of a trained model, or configuration file.")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="A.B=C", help="Override one setting of the model; may be repeated.")]


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """The command with errors turned into one message and an exit code, and into JSON where ``--json`` was given."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = bool(kwargs.get("as_json"))
        try:
            return command(*args, **kwargs)
        except SketchFusionError as error:
            raise fail(str(error), type(error).__name__, error.exit_code, as_json=as_json) from None
        except KeyboardInterrupt:
            raise fail("stopped", "KeyboardInterrupt", INTERRUPTED, as_json=as_json) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get(DEBUG) == "1":
                raise
            message = (f"something unforeseen happened: {type(error).__name__}: {error}. Run it again with {DEBUG}=1 "
                       "in the environment to see where, and please report that on the project's issue tracker")
            raise fail(message, type(error).__name__, 1, as_json=as_json) from None

    return wrapped


def number(low: float, high: float = math.inf) -> Callable[[str], float]:
    """What reads an option that takes a number from ``low`` to ``high``; its error names what was given, also NaN."""
    expected = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number, {low:g} or more"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise typer.BadParameter(f"expected {expected}, got {text}")
        return value

    return read


def fail(message: str, kind: str, exit_code: int, *, as_json: bool) -> typer.Exit:
    """Print the error; what to raise."""
    console.print(f"[bold red]Error:[/] {escape(plain(message))}", highlight=False, soft_wrap=True)
    if as_json:
        print_json({"error": {"type": kind, "message": message, "exit_code": exit_code}})
    return typer.Exit(exit_code)


def print_json(value: Any) -> None:
    """Print plain values as JSON on the standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=True))


def note(message: str) -> None:
    """Tell the user something on the standard error."""
    console.print(escape(plain(message)), highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """The text with control characters escaped, so that no file name can steer the terminal or break a line."""
    return "".join(letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
                   for letter in text)


def one_line(text: str) -> str:
    """As ``plain``, with line breaks escaped too."""
    return plain(text).replace("\n", "\\n")


class RateColumn(ProgressColumn):
    """Photos per second, or seconds per photo where it is slow."""

    def render(self, task: Task) -> Text:
        """The rate so far."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("-/s", style="progress.data.speed")
        rate = f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"
        return Text(rate, style="progress.data.speed")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with count, rate and time left; call what it gives with (done, total). Silent where nobody looks on."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def open_model(model: str, overrides: Sequence[str] = (), device: str = "auto", dtype: str = "auto") -> SketchFusion:
    """The extractor of a preset, folder or configuration file.

    Raises:
        ConfigError, WeightsUnavailable, DeviceError: it is unknown, not to be had, or does not run here.
    """
    with console.status("Loading the model ...") if console.is_terminal else quiet():
        from sketchfusion.fusion.checkpoint import UntrainedWarning
        from sketchfusion.fusion.extractor import SketchFusion

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UntrainedWarning)
            loaded = SketchFusion.from_pretrained(model, overrides=overrides, device=device, dtype=dtype)
    for warning in caught:
        note(f"Note: {warning.message}")
    return loaded


@contextmanager
def quiet() -> Iterator[None]:
    """Show nothing."""
    yield


def read_argument(text: str) -> str | bytes:
    """The argument, or the standard input where it is ``-``."""
    return sys.stdin.buffer.read() if text == "-" else text
