"""A reproduced table on the terminal: as many data sets side by side as fit, the others below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.engine.reproduce import Reproduced
    from sketchfusion.engine.table_text import Strip

GAP = 2  # blanks between columns
ENDLESS = 500  # columns of a file


def show(found: Reproduced) -> None:
    """Print the table and everything that is to be said of it."""
    from sketchfusion.engine.table_text import heading, remarks, row_titles, strips

    output = common.output if common.output.is_terminal else Console(width=ENDLESS)
    titles = row_titles(found)
    output.print(escape(common.plain(heading(found))), highlight=False, soft_wrap=True)
    for part in fitting(strips(found), output.width - longest(["method", *titles])):
        output.print()
        output.print(as_rich(titles, part), highlight=False)
    output.print()
    for text in remarks(found):
        output.print(escape(common.plain(text)), highlight=False, soft_wrap=True)


def fitting(strips: Sequence[Strip], room: int) -> Iterator[list[Strip]]:
    """The columns, in parts as wide as there is room; those of one data set stay together."""
    part: list[Strip] = []
    for _, group in groupby(strips, key=lambda strip: strip.data):
        new = list(group)
        if part and sum(map(width_of, [*part, *new])) > room:
            yield part
            part = []
        part = [*part, *new]
    if part:
        yield part


def width_of(strip: Strip) -> int:
    """Of a column, with the gap before it."""
    return GAP + longest([strip.data, strip.measure, strip.whose, *(cell.text for cell in strip.cells)])


def longest(texts: Sequence[str]) -> int:
    """Letters of the longest."""
    return max(len(text) for text in texts)


def as_rich(titles: Sequence[str], strips: Sequence[Strip]) -> Table:
    """The table for a terminal; the best of ours is bold."""
    table = Table("\n\nmethod", box=None, padding=(0, GAP, 0, 0), header_style="")
    above = ("", "")
    for strip in strips:
        data = strip.data if strip.data != above[0] else ""
        measure = strip.measure if (strip.data, strip.measure) != above else ""
        table.add_column(escape(f"{data}\n{measure}\n{strip.whose}"), justify="right", no_wrap=True)
        above = (strip.data, strip.measure)
    for number, title in enumerate(titles):
        cells = (strip.cells[number] for strip in strips)
        table.add_row(escape(title), *(f"[bold]{escape(cell.text)}[/]" if cell.best else escape(cell.text)
                                       for cell in cells))
    return table
