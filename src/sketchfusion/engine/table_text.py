"""A reproduced table as text: cells for any kind of table, Markdown, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sketchfusion.engine.reproduce import Number, Reproduced, RowFound
from sketchfusion.engine.tables import Column
from sketchfusion.metrics.bootstrap import FEWEST

NOTHING = "-"
PLACES = 6  # of decimals in JSON


@dataclass(frozen=True)
class Cell:
    """One cell; ``best`` where it is the best of ours in its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Strip:
    """A column of cells: the paper's numbers, or ours.

    Attributes:
        data, measure: what is above it.
        whose: "paper" or "ours".
        cells: one for each row.
    """

    data: str
    measure: str
    whose: str
    cells: tuple[Cell, ...]


def strips(found: Reproduced) -> list[Strip]:
    """The columns of the table, ours right of the paper's; where the paper has no number at all, ours alone."""
    result = []
    for number, column in enumerate(found.table.columns):
        paper = [row.paper[number] for row in found.rows]
        if any(value is not None for value in paper):
            cells = tuple(Cell(NOTHING if value is None else in_paper(value, column)) for value in paper)
            result.append(Strip(column.title, column.measure, "paper", cells))
        numbers = [row.ours[number] for row in found.rows]
        best = max((item.mean for item in numbers if item is not None), default=None)
        result.append(Strip(column.title, column.measure, "ours", tuple(
            Cell(NOTHING) if item is None else Cell(of_ours(item, column), item.mean == best) for item in numbers)))
    return result


def in_paper(value: float, column: Column) -> str:
    """As printed: shares without the zero before the point."""
    text = f"{value:.{column.places}f}"
    return text if column.percent else text.removeprefix("0")


def of_ours(number: Number, column: Column) -> str:
    """Mean and half of the interval, if that says something, in the paper's unit."""
    half = (number.high - number.low) / 2
    mean, width = (f"{column.scale * value:.{column.places}f}" for value in (number.mean, half))
    shown = [mean, width] if number.enough else [mean]
    return " ± ".join(text if column.percent else text.removeprefix("0") for text in shown)


def row_titles(found: Reproduced) -> list[str]:
    """Title of each row, with the number of its seeds where there are several."""
    return [row.row.title + (f" ({seeds} seeds)" if (seeds := seeds_of(row)) > 1 else "") for row in found.rows]


def seeds_of(row: RowFound) -> int:
    """How many models a row has."""
    return max((number.seeds for number in row.ours if number is not None), default=0)


def heading(found: Reproduced) -> str:
    """What the table is."""
    return f"{found.table.source}: {found.table.title}"


def remarks(found: Reproduced) -> list[str]:
    """Everything that stands below the table, a paragraph each."""
    intervals = ("± is half of the 95 % interval: bootstrap over the queries of one model, Student's t over several "
                 f"seeds; none stands where there are fewer than {FEWEST} independent queries")
    skipped = [f"Skipped, {skip.kind}: {skip.name}{where(skip.protocols)}. {skip.reason}" for skip in found.skips]
    return [*skipped, intervals, *found.notes]


def where(protocols: Sequence[str]) -> str:
    """Protocols in brackets."""
    return f" ({', '.join(protocols)})" if protocols else ""


def markdown(found: Reproduced) -> str:
    """The table and what is to be said of it, for a file."""
    columns = strips(found)
    head = ["method", *(f"{strip.data} {strip.measure}, {strip.whose}" for strip in columns)]
    lines = [f"**{heading(found)}**", "", as_row(head), as_row(["---", *["---:"] * len(columns)])]
    for number, title in enumerate(row_titles(found)):
        cells = (strip.cells[number] for strip in columns)
        lines.append(as_row([title, *(f"**{cell.text}**" if cell.best else cell.text for cell in cells)]))
    return "\n".join([*lines, "", *(f"* {one_line(text)}" for text in remarks(found)), ""])


def as_row(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def one_line(text: str) -> str:
    """Without line breaks."""
    return " ".join(text.split())


def as_plain(found: Reproduced) -> dict[str, Any]:
    """Plain values for JSON: numbers of ours in the unit of their column, as the paper's are, each with its evidence.

    The files of results are named by their places below the folder of all results.
    """
    columns = [{"data": column.title, "protocol": column.protocol, "measure": column.measure,
                "in_paper": column.paper, "unit": "percent" if column.percent else "share"}
               for column in found.table.columns]
    return {"table": found.table.name, "title": found.table.title, "source": found.table.source, "columns": columns,
            "rows": [plain_row(row, found.table.columns) for row in found.rows],
            "skipped": [asdict(skip) for skip in found.skips], "notes": list(found.notes),
            "computed": found.computed, "resumed": found.resumed}


def plain_row(row: RowFound, columns: Sequence[Column]) -> dict[str, Any]:
    """One row."""
    ours = [None if number is None else {
        **{key: round(column.scale * getattr(number, key), PLACES) for key in ("mean", "low", "high")},
        "queries": number.queries, "seeds": number.seeds,
        "evidence": [asdict(item) for item in row.evidence.get(column.protocol, ())],
    } for number, column in zip(row.ours, columns, strict=True)]
    files = [item.file for items in row.evidence.values() for item in items]
    return {"title": row.row.title, "quoted": row.row.is_quoted, "paper": list(row.paper), "ours": ours,
            "results": files, "notes": list(row.notes)}
