"""``sketchfusion pretrain``: train the backbones themselves: pack the data, then autoencoder, CLIP, diffusion model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sketchfusion.apps.cli import common, training

DATA_VARIABLE = "SKETCHFUSION_DATA"

app = typer.Typer(no_args_is_help=True, help="Train the backbones themselves, on a GPU or a CPU.")

Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="Recipe, such as configs/pretrain/vae.yaml.")]


@app.command()
@common.handle_errors
def pack(
    out: Annotated[Path, typer.Option(help="Folder for the packed data.")],
    data: Annotated[Path | None, typer.Option(help=f"Folder of the data sets; default: ${DATA_VARIABLE}.")] = None,
    size: Annotated[int, typer.Option(min=8, help="Longer side of the stored pictures, in pixels.")] = 128,
    quality: Annotated[int, typer.Option(min=1, max=100, help="WebP quality of the photos.")] = 72,
    held_out: Annotated[float, typer.Option(
        parser=common.number(0, 0.9), metavar="X", help="Share of each class kept from training.")] = 0.1,
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
def vae(
    config: Config, overrides: training.Settings = None, data: training.Shards = None, out: training.Out = None,
    resume: training.Resume = True, device: training.Device = "auto", max_minutes: training.Minutes = None,
    as_json: common.AsJson = False,
) -> None:
    """Train the autoencoder."""
    from sketchfusion.pretrain.config import VaeRecipe
    from sketchfusion.pretrain.vae import train_vae

    recipe = training.read_recipe(VaeRecipe, config, overrides, data, out, max_minutes)
    training.run_recipe(train_vae, recipe, device, resume, as_json)


@app.command()
@common.handle_errors
def clip(
    config: Config, overrides: training.Settings = None, data: training.Shards = None, out: training.Out = None,
    resume: training.Resume = True, device: training.Device = "auto", max_minutes: training.Minutes = None,
    as_json: common.AsJson = False,
) -> None:
    """Train the text and the vision tower."""
    from sketchfusion.pretrain.clip import train_clip
    from sketchfusion.pretrain.config import ClipRecipe

    recipe = training.read_recipe(ClipRecipe, config, overrides, data, out, max_minutes)
    training.run_recipe(train_clip, recipe, device, resume, as_json)


@app.command()
@common.handle_errors
def diffusion(
    config: Config, overrides: training.Settings = None, data: training.Shards = None, out: training.Out = None,
    resume: training.Resume = True, device: training.Device = "auto", max_minutes: training.Minutes = None,
    as_json: common.AsJson = False,
) -> None:
    """Train the UNet over a finished autoencoder (--set vae=FOLDER) and CLIP (--set clip=FOLDER)."""
    from sketchfusion.pretrain.config import DiffusionRecipe
    from sketchfusion.pretrain.diffusion import train_diffusion

    recipe = training.read_recipe(DiffusionRecipe, config, overrides, data, out, max_minutes)
    training.run_recipe(train_diffusion, recipe, device, resume, as_json)


if __name__ == "__main__":
    app()
