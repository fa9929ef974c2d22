"""``sketchfusion gallery``: look at a gallery, check it, and take its descriptors elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sketchfusion.apps.cli import common

app = typer.Typer(no_args_is_help=True, help="Look at a gallery, check it, export its descriptors.")

Folder = Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder of the gallery.")]


@app.command()
@common.handle_errors
def info(gallery: Folder, as_json: common.AsJson = False) -> None:
    """Show what a gallery holds and which model made it."""
    from sketchfusion.index.gallery import Gallery

    facts = Gallery.open(gallery).info()
    if as_json:
        common.print_json(facts)
        return
    rows = {
        "gallery": facts["gallery"],
        "photos": f"{facts['photos']:,}",
        "folders": "\n".join(facts["roots"]) or "(files named one by one)",
        "model": " ".join((facts["model"], *facts["overrides"])),
        "fingerprint": facts["fingerprint"],
        "descriptor": f"{facts['descriptor_size']} numbers",
        "dense maps": f"rank {facts['dense_rank']}" if facts["dense_rank"] else "none",
        "search": facts["search"],
        "on disk": f"{facts['num_bytes'] / 1e6:,.1f} MB",
        "created": facts["created"],
    }
    for name, text in rows.items():
        typer.echo(f"{name + ':':<14}" + common.plain(text).replace("\n", "\n" + " " * 14))
    if facts["unfinished_rebuild"]:
        common.note("A rebuild was begun and not finished; `sketchfusion index --rebuild` finishes it.")


@app.command()
@common.handle_errors
def verify(gallery: Folder,
           deep: Annotated[bool, typer.Option("--deep", help="Also read every file and compare its content.")] = False,
           as_json: common.AsJson = False) -> None:
    """Check every row against its file. The exit code is 5 if anything is wrong."""
    from sketchfusion.errors import GalleryError
    from sketchfusion.index.gallery import Gallery
    from sketchfusion.index.verify import verify as find_problems

    opened = Gallery.open(gallery)
    with common.progress_bar("Verifying") as on_progress:
        problems = find_problems(opened, deep=deep, on_progress=on_progress)
    count = opened.store.count()
    if as_json:
        common.print_json({"gallery": str(opened.folder), "photos": count, "deep": deep,
                           "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            typer.echo(common.one_line(f"{problem.path}: {problem.problem}"))
        common.note(f"{count:,} photos checked, {len(problems):,} problems.")
    if problems:
        raise typer.Exit(GalleryError.exit_code)


@app.command()
@common.handle_errors
def export(gallery: Folder,
           out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .parquet or .npz.")],
           as_json: common.AsJson = False) -> None:
    """Write paths, descriptors and file facts as Parquet or NPZ, without pickle."""
    from sketchfusion.index.export import export as write
    from sketchfusion.index.gallery import Gallery

    opened = Gallery.open(gallery)
    count = write(opened, out)
    if as_json:
        common.print_json({"gallery": str(opened.folder), "out": str(out.absolute()), "photos": count})
    else:
        common.note(f"{count:,} photos written to {out}.")
