"""``sketchfusion data check``: is a data set complete and sound, and where is it to be had?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sketchfusion.apps.cli import common
from sketchfusion.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sketchfusion.data.sets import Report

SHOWN = 20  # problems that are printed; all are in the JSON


@common.handle_errors
def check(
    name: Annotated[str | None, typer.Argument(help="Data set; `--list` shows them.")] = None,
    path: Annotated[Path | None, typer.Argument(help="Its folder.")] = None,
    deep: Annotated[bool, typer.Option(
        "--deep", help="Decode every picture, mask and drawing too; minutes to hours.")] = False,
    list_sets: Annotated[bool, typer.Option(
        "--list", help="Show all data sets: what they are, their layout, source and licence.")] = False,
    as_json: common.AsJson = False,
) -> None:
    """Tell what is missing, wrong, unknown or there twice in a data set, and where to get it.

    Exit code 6 when something is missing or wrong.
    """
    from sketchfusion.data import sets

    if list_sets:
        show_sets(as_json=as_json)
        return
    if name is None or path is None:
        raise ConfigError("name a data set and its folder, as in `sketchfusion data check sketchy DATA/sketchy`; "
                          "`sketchfusion data check --list` shows the data sets")
    with common.progress_bar("Checking") as on_progress:
        report = sets.check(name, path, deep=deep, on_progress=on_progress)
    if as_json:
        common.print_json(report.as_dict())
    else:
        show_report(report)
    if not report.ok:
        raise typer.Exit(DataError.exit_code)


def show_sets(*, as_json: bool) -> None:
    """Print the table of data sets."""
    from sketchfusion.data.sets import SETS

    rows = [{"name": row.name, "title": row.title, "layout": row.layout, "source": row.source, "licence": row.licence,
             "published": {what: list(numbers) for what, numbers in row.published.items()}} for row in SETS.values()]
    if as_json:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']}: {row['title']}")
        for what in ("layout", "source", "licence"):
            typer.echo(f"  {what}: {row[what]}")


def show_report(report: Report) -> None:
    """Print what was found."""
    total = ", ".join(f"{count.found:,} {count.what}" for count in report.counts)
    typer.echo(common.one_line(f"{report.name} in {report.folder}: {total or 'nothing found'}"))
    for problem in report.problems[:SHOWN]:
        typer.echo(common.one_line(f"  {problem.kind}: {problem.text}"))
    if len(report.problems) > SHOWN:
        typer.echo(f"  and {len(report.problems) - SHOWN:,} more; --json has all")
    if report.doubled_files:
        typer.echo(f"  doubled: {report.doubled_files:,} files have the content of another, such as")
        group = report.doubled[0]
        more = f" and {len(group) - SHOWN:,} more" if len(group) > SHOWN else ""
        typer.echo(common.one_line(f"    {' = '.join(group[:SHOWN])}{more}"))
    for note in report.notes:
        typer.echo(common.one_line(f"  note: {note}"))
    if report.ok:
        typer.echo("Nothing is missing or wrong" + ("." if report.deep else "; --deep decodes every file too."))
    else:
        typer.echo(f"Expected {report.layout}\nFrom {report.source}")
    typer.echo(f"Licence: {report.licence}")
