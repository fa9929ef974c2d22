"""``sketchfusion data``: make data sets, and check those of research."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sketchfusion.apps.cli.common import AsJson, handle_errors, note, print_json, progress_bar

app = typer.Typer(help="Make data sets, and check the research ones", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make drawn worlds and composites, and check whether a research data set is complete."""


@app.command("make-world")
@handle_errors
def make_world(
    out: Annotated[Path, typer.Argument(
        help="New or empty folder, or one with an earlier world: that is replaced.")],
    photos_per_class: Annotated[int, typer.Option(help="Photos per class.")] = 20,
    sketches_per_photo: Annotated[int, typer.Option(help="Drawings per photo.")] = 1,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels, 32 to 512.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 0,
    classes: Annotated[str, typer.Option(help="Class names, separated by commas; all if left out.")] = "",
    sheet: Annotated[Path | None, typer.Option(help="Also write a contact sheet (PNG) to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the drawn world: photo-like and freehand-like pictures of the same things, with exact labels."""
    from sketchfusion.data.world import contact_sheet, save_sheet, write_world

    names = [name.strip() for name in classes.split(",") if name.strip()] or None
    with progress_bar("Drawing the world") as progress:
        world = write_world(out, categories=names, photos_per_class=photos_per_class,
                            sketches_per_photo=sketches_per_photo, size=size, seed=seed, progress=progress)
    if sheet is not None:
        save_sheet(contact_sheet(names, seed=seed), sheet)
    if as_json:
        print_json({**asdict(world), "sheet": None if sheet is None else str(sheet)})
    else:
        note(f"{world.photos} photos and {world.sketches} sketches of {world.categories} classes "
             f"in {world.folder}")
