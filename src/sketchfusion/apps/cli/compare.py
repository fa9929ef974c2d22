"""``sketchfusion compare``: two results over the same queries."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.engine.results import Comparison, MeasureDifference, Result

PLACES = 6  # of decimals in JSON


@common.handle_errors
def compare(
    first: Annotated[Path, typer.Argument(metavar="A.JSON", help="Result that the other is compared with.")],
    second: Annotated[Path, typer.Argument(metavar="B.JSON", help="Result of the same evaluation.")],
    draws: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: common.AsJson = False,
) -> None:
    """Tell whether result B is better than result A: a paired bootstrap over their queries.

    Both have to be of the same protocol, files and queries. The interval is that of the difference of the means, 95 %;
    "no difference shown" where it holds zero.
    """
    from sketchfusion.engine.results import Result, compare

    results = Result.load(first), Result.load(second)
    found = compare(*results, draws=draws, seed=seed)
    if as_json:
        common.print_json(as_plain(found, results, (first, second)))
    else:
        show(found, results, (first, second))


def as_plain(found: Comparison, results: tuple[Result, Result], files: tuple[Path, Path]) -> dict[str, Any]:
    """The comparison for JSON."""
    sides = [{"file": str(file), "model": result.model, "fingerprint": result.fingerprint, "date": result.date}
             for file, result in zip(files, results, strict=True)]
    measures = {item.name: {**{key: round(value, PLACES) for key, value in asdict(item.found).items()},
                            "verdict": item.verdict} for item in found.measures}
    return {"first": sides[0], "second": sides[1], "task": results[0].task, "protocol": results[0].protocol,
            "measures": measures, "left_out": list(found.left_out)}


def show(found: Comparison, results: tuple[Result, Result], files: tuple[Path, Path]) -> None:
    """Print the comparison as a table."""
    for letter, file, result in zip("AB", files, results, strict=True):
        typer.echo(common.one_line(f"{letter}  {file}: {result.model} ({result.fingerprint}), {result.date}"))
    typer.echo(common.one_line(f"{results[0].task}, {results[0].protocol}") + "\n")
    width = max(len("measure"), *(len(common.one_line(item.name)) for item in found.measures))
    typer.echo(f"{'measure':<{width}}  {'queries':>7}  {'A':>8}  {'B':>8}  {'B - A':>8}  {'95 % interval':>20}  B is")
    for item in found.measures:
        typer.echo(line(item, width))
    if found.left_out:
        common.note(f"Only in one of them, so left out: {', '.join(found.left_out)}")


def line(item: MeasureDifference, width: int) -> str:
    """A row of the table."""
    value = item.found
    interval = f"{value.low:+.4f} to {value.high:+.4f}"
    return (f"{common.one_line(item.name):<{width}}  {value.queries:>7,}  {value.first:>8.4f}  {value.second:>8.4f}  "
            f"{value.difference:>+8.4f}  {interval:>20}  {item.verdict}")
