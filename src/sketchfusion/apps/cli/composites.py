"""``sketchfusion data make-composites``: photos with exact masks and traced sketches, from photos sorted by class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.data.composites import Prepared

PREPARED = "prepared"


@common.handle_errors
def make_composites(
    photos: Annotated[Path, typer.Argument(help="Folder of photos, one folder per class.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to; made if it does not exist.")],
    count: Annotated[int, typer.Option(min=1, help="Composites to write.")] = 1000,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of photos and sketches in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 0,
    abstraction: Annotated[list[float] | None, typer.Option(
        parser=common.number(0, 1), metavar="X", help="Level of the sketches, 0 (tracing) to 1 (doodle); may be "
        "repeated, for one sketch of each level per photo. Default: one of a random level.")] = None,
    backgrounds: Annotated[Path | None, typer.Option(
        help="Photos to paste on, in folders by class or all in one; default: those of PHOTOS without a plain "
        "ground.")] = None,
    part: Annotated[Literal["all", "train", "held-out"], typer.Option(
        help="Photos to use: all, or those that `pretrain pack` trains on, or those that it holds out.")] = "all",
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet to this PNG file.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Cut objects out of photos with a plain ground, paste them on other photos, and sketch them.

    Only clean cuts are kept. Stopped at any moment, the cutting goes on from there when it is run again.
    """
    from sketchfusion.data.composites.dataset import Composites
    from sketchfusion.data.composites.folder import verify, write_composites
    from sketchfusion.data.composites.prepare import prepare
    from sketchfusion.data.composites.sample import SampleOptions
    from sketchfusion.data.composites.sheet import composite_sheet, save_sheet
    from sketchfusion.data.packed.packing import held_out_photos

    options = SampleOptions(size=size, abstraction=tuple(abstraction or ()))
    with common.progress_bar("Cutting out") as on_progress:
        prepared = prepare(photos, out / PREPARED, on_progress=on_progress)
    held_out = held_out_photos(photos) if part != "all" else set()
    dataset = Composites(out / PREPARED, count=count, seed=seed, options=options, backgrounds=backgrounds,
                         keep=lambda *photo: part == "all" or (photo in held_out) == (part == "held-out"))
    with common.progress_bar("Composing") as on_progress:
        sketches = write_composites(out, dataset, abstraction=abstraction or (), on_progress=on_progress)
    if sheet is not None:
        save_sheet(composite_sheet(dataset), sheet)
    report(out, prepared, count, sketches, problems=verify(out), as_json=as_json)


def report(out: Path, prepared: Prepared, count: int, sketches: int, *, problems: list[str], as_json: bool) -> None:
    """Print what was done, and what could not be."""
    if as_json:
        common.print_json({
            "folder": str(out), "composites": count, "sketches": sketches, "cutouts": prepared.cut,
            "photos": prepared.seen, "refused": prepared.refused, "failures": prepared.failures,
            "already_done": prepared.skipped, "problems": problems})
        return
    typer.echo(common.one_line(
        f"{count:,} composites with {sketches:,} sketches in {out}, from {prepared.count:,} cut-outs of "
        f"{sum(prepared.seen.values()):,} photos in {len(prepared.cut):,} of {len(prepared.seen):,} classes."))
    for reason, number in prepared.refused.items():
        typer.echo(f"  {number:,} not cut: {reason}")
    for failure in prepared.failures:
        typer.echo(common.one_line(f"  {failure['photo']}: {failure['reason']}"))
    for problem in problems:
        typer.echo(common.one_line(f"Problem: {problem}"))
