"""What the verbs that train share: their options, reading a recipe, running it with a bar, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.engine.loop import Metrics
    from sketchfusion.engine.run import Run, Status

Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="A.B=C", help="Override one setting of the recipe; may be repeated.")]
Shards = Annotated[Path | None, typer.Option("--data", help="Folder that `pretrain pack` wrote.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of log, pictures, checkpoints and finished weights.")]
Resume = Annotated[bool, typer.Option("--resume/--restart", help="Go on from the last checkpoint, or begin anew.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; several GPUs: accelerate launch.")]
Minutes = Annotated[float | None, typer.Option(
    "--max-minutes", parser=common.number(0), metavar="X",
    help="Be finished after so many minutes, all included; 0: no limit.")]


def read_recipe(kind: Any, file: Path, overrides: Sequence[str] | None, data: Path | None, out: Path | None,
                max_minutes: float | None) -> Any:
    """The recipe of a file, with the command's options on top.

    Raises:
        ConfigError: see ``pretrain.config.load_recipe``; or no data are named anywhere.
    """
    from sketchfusion.engine.config import load_recipe
    from sketchfusion.errors import ConfigError

    options = {"data.shards": data, "output": out, "training.max_minutes": max_minutes}
    settings = [f"{key}={value}" for key, value in options.items() if value is not None]
    recipe = load_recipe(kind, file, [*(overrides or ()), *settings])
    if not recipe.data.shards:
        raise ConfigError("no training data are named; give --data FOLDER as `sketchfusion pretrain pack` wrote it")
    return recipe


def run_recipe(recipe_function: Callable[[Any, Run], Metrics], recipe: Any, device: str, resume: bool,
          as_json: bool) -> None:
    """Run one recipe and print its figures."""
    from sketchfusion.engine.run import peak_memory_mb
    from sketchfusion.engine.runtime import open_run

    try:
        with status_bar(recipe.title or "Training") as on_status:
            run = open_run(recipe, device=device, resume=resume, on_status=on_status)
            metrics = recipe_function(recipe, run)
    except KeyboardInterrupt:
        common.note("What was learned is kept. Run the same command again to go on from there.")
        raise
    if not run.accelerator.is_main_process:
        return
    peak = peak_memory_mb(run)
    if as_json:
        common.print_json({"output": str(run.output), "metrics": metrics, "peak_memory_mb": peak})
        return
    for name, value in metrics.items():
        typer.echo(f"{name:<24} {value:.4g}")
    typer.echo(f"{'peak memory':<24} {peak:,.0f} MB")
    typer.echo(common.one_line(f"saved in {run.output}"))


@contextmanager
def status_bar(title: str) -> Iterator[Callable[[Status], None]]:
    """A bar with loss, pictures per second and time left; silent where nobody looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"),
               TimeRemainingColumn())
    with Progress(*columns, console=common.console, transient=True, disable=not common.console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0, figures="reading the data")

        def show(status: Status) -> None:
            spent = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=spent, total=spent + status.seconds_left, figures=(
                f"step {status.step:,}  loss {status.loss:.4f}  {status.images_per_second:,.0f} images/s"))

        yield show
