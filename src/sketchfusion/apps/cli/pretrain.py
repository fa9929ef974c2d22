"""``sketchfusion pretrain``: train the backbones themselves: pack the data, then autoencoder, CLIP, diffusion model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.engine.loop import Metrics, Run, Status

DATA_VARIABLE = "SKETCHFUSION_DATA"

app = typer.Typer(no_args_is_help=True, help="Train the backbones themselves, on a GPU or a CPU.")

Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="Recipe, such as configs/pretrain/vae.yaml.")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="A.B=C", help="Override one setting of the recipe; may be repeated.")]
Shards = Annotated[Path | None, typer.Option("--data", help="Folder that `pretrain pack` wrote.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of log, pictures, checkpoints and finished weights.")]
Resume = Annotated[bool, typer.Option("--resume/--restart", help="Go on from the last checkpoint, or begin anew.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; several GPUs: accelerate launch.")]
Minutes = Annotated[float | None, typer.Option(
    "--max-minutes", min=0, help="Be finished after so many minutes, all included; 0: no limit.")]


@app.command()
@common.handle_errors
def pack(
    out: Annotated[Path, typer.Option(help="Folder for the packed data.")],
    data: Annotated[Path | None, typer.Option(help=f"Folder of the data sets; default: ${DATA_VARIABLE}.")] = None,
    size: Annotated[int, typer.Option(min=8, help="Longer side of the stored pictures, in pixels.")] = 128,
    quality: Annotated[int, typer.Option(min=1, max=100, help="WebP quality of the photos.")] = 72,
    held_out: Annotated[float, typer.Option(min=0, max=0.9, help="Share of each class kept from training.")] = 0.1,
    only: Annotated[list[str] | None, typer.Option(help="Only this data set; may be repeated.")] = None,
    extra: Annotated[list[str] | None, typer.Option(
        metavar="KIND=FOLDER", help="Pictures of your own, one folder per class: KIND is photo, sketch, emoji or "
        "icon; or what `data make-composites` or `data make-world` wrote: composites or world.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Pack the openly licensed data sets into a few small files, with a manifest."""
    from sketchfusion.data.packed.packing import PackOptions
    from sketchfusion.data.packed.packing import pack as write
    from sketchfusion.errors import ConfigError

    place = data or os.environ.get(DATA_VARIABLE)
    if not place:
        raise ConfigError(f"there is no data folder; give --data, or set {DATA_VARIABLE}")
    options = PackOptions(size=size, quality=quality, held_out=held_out, only=tuple(only or ()))
    with common.progress_bar("Packing") as on_progress:
        manifest = write(Path(place), out, options, extra=tuple(extra or ()), on_progress=on_progress)
    if as_json:
        common.print_json(manifest)
        return
    for shard in manifest["shards"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in shard["kinds"].items())
        typer.echo(common.one_line(f"{shard['source']:<16} {kinds}; {shard['held_out']:,} held out; "
                                   f"{shard['classes']:,} classes; {shard['num_bytes'] / 2**20:.1f} MiB"))
    typer.echo(common.one_line(f"{manifest['num_bytes'] / 2**20:.1f} MiB and {len(manifest['classes']):,} names "
                               f"in {out}"))


@app.command()
@common.handle_errors
def vae(config: Config, overrides: Settings = None, data: Shards = None, out: Out = None, resume: Resume = True,
        device: Device = "auto", max_minutes: Minutes = None, as_json: common.AsJson = False) -> None:
    """Train the autoencoder."""
    from sketchfusion.pretrain.config import VaeRecipe
    from sketchfusion.pretrain.vae import train_vae

    recipe = read_recipe(VaeRecipe, config, overrides, data, out, max_minutes)
    train(train_vae, recipe, device, resume, as_json)


@app.command()
@common.handle_errors
def clip(config: Config, overrides: Settings = None, data: Shards = None, out: Out = None, resume: Resume = True,
         device: Device = "auto", max_minutes: Minutes = None, as_json: common.AsJson = False) -> None:
    """Train the text and the vision tower."""
    from sketchfusion.pretrain.clip import train_clip
    from sketchfusion.pretrain.config import ClipRecipe

    recipe = read_recipe(ClipRecipe, config, overrides, data, out, max_minutes)
    train(train_clip, recipe, device, resume, as_json)


@app.command()
@common.handle_errors
def diffusion(config: Config, overrides: Settings = None, data: Shards = None, out: Out = None, resume: Resume = True,
              device: Device = "auto", max_minutes: Minutes = None, as_json: common.AsJson = False) -> None:
    """Train the UNet over a finished autoencoder (--set vae=FOLDER) and CLIP (--set clip=FOLDER)."""
    from sketchfusion.pretrain.config import DiffusionRecipe
    from sketchfusion.pretrain.diffusion import train_diffusion

    recipe = read_recipe(DiffusionRecipe, config, overrides, data, out, max_minutes)
    train(train_diffusion, recipe, device, resume, as_json)


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


def train(recipe_function: Callable[[Any, Run], Metrics], recipe: Any, device: str, resume: bool,
          as_json: bool) -> None:
    """Run one recipe and print its figures."""
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
    if as_json:
        common.print_json({"output": str(run.output), "metrics": metrics})
        return
    for name, value in metrics.items():
        typer.echo(f"{name:<24} {value:.4g}")
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


if __name__ == "__main__":
    app()
