"""The paper's tables as data: ``paper_tables.yaml``, read and checked.

Every column names a protocol and one of its measures, so that a number of ours can stand beside the paper's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Self

import yaml
from pydantic import model_validator

from sketchfusion.config import Section, validate
from sketchfusion.data.sets import SETS, find_set
from sketchfusion.engine.ablations import ROWS, VARIANTS, Group, Variant
from sketchfusion.engine.methods import METHODS
from sketchfusion.engine.protocols import find_protocol
from sketchfusion.errors import ConfigError

FILE = "paper_tables.yaml"
FINETUNING = "finetuning"  # a variant that has a recipe of its own, configs/train/finetuning.yaml


@dataclass(frozen=True)
class Column:
    """One measure of one protocol.

    Attributes:
        title: of the data.
        protocol, measure: names of both.
        paper: whether the paper has this column.
        percent: whether its numbers are per cent, or shares of one.
    """

    title: str
    protocol: str
    measure: str
    paper: bool
    percent: bool

    @property
    def scale(self) -> float:
        """What a share is multiplied by."""
        return 100.0 if self.percent else 1.0

    @property
    def places(self) -> int:
        """Decimals that are shown, as many as the paper's."""
        return 2 if self.percent else 3


class ColumnGroup(Section):
    """Columns of one protocol.

    Attributes:
        title: of the data.
        paper: whether these are columns of the paper.
        percent: see ``Column``.
        note: what a reader has to know.
    """

    title: str
    protocol: str
    measures: tuple[str, ...]
    paper: bool = False
    percent: bool = True
    note: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = [measure.name for measure in find_protocol(self.protocol).measures]
        strange = [name for name in self.measures if name not in known]
        if strange:
            raise ValueError(f"{self.protocol} has no measure {strange[0]!r}, expected some of {', '.join(known)}")
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        """One for each measure."""
        return tuple(Column(self.title, self.protocol, name, self.paper, self.percent) for name in self.measures)


class TableRow(Section):
    """One method of the paper, or of ours.

    Attributes:
        title: as the paper has it.
        method: of ``engine.methods``, applied to the preset.
        variant: of ``engine.ablations``, or with ``model`` one of the table's own; its trained fusions are judged.
        model, settings: preset and overrides that such a variant is trained with.
        paper: one number for each of the paper's columns, as printed; empty: the paper has not this row.
        note: what a reader has to know.
    """

    title: str
    method: str = ""
    variant: str = ""
    model: str = ""
    settings: tuple[str, ...] = ()
    paper: tuple[float | None, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.method and self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}, expected one of {', '.join(METHODS)}")
        if self.variant and not self.model and self.variant not in (*VARIANTS, FINETUNING):
            raise ValueError(f"unknown variant {self.variant!r}, expected one of {', '.join(VARIANTS)}")
        if bool(self.method) and bool(self.variant):
            raise ValueError(f"{self.title} has both a method and a variant, expected one of them")
        return self

    @property
    def is_quoted(self) -> bool:
        """Whether it is another work's, which is not run here."""
        return not (self.method or self.variant)

    def as_variant(self) -> Variant:
        """How its fusions are trained and read."""
        if self.model:
            return Variant(self.variant, self.title, "table 6", self.settings, (f"model={self.model}",))
        if self.variant == FINETUNING:
            return Variant(FINETUNING, self.title, "reference")
        return VARIANTS[self.variant]


class Table(Section):
    """One table of the paper.

    Attributes:
        name: what it is called on the command line.
        title: what it compares.
        source: where the paper has it.
        groups: of columns, the paper's first.
        rows: in the paper's order, then those that ``variants`` adds.
        variants: groups of ``engine.ablations`` whose rows belong to it.
        note: what a reader has to know.
    """

    name: str
    title: str
    source: str
    groups: tuple[ColumnGroup, ...]
    rows: tuple[TableRow, ...]
    variants: tuple[Group, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        width = sum(column.paper for column in self.columns)
        for row in self.rows:
            if row.paper and len(row.paper) != width:
                raise ValueError(f"the row {row.title} has {len(row.paper)} numbers for the paper's {width} columns")
        titles = [row.title for row in self.rows]
        if len(set(titles)) != len(titles):
            raise ValueError("two rows have the same title")
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        """All, group by group."""
        return tuple(column for group in self.groups for column in group.columns)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Each once, in the order of the columns."""
        return tuple(dict.fromkeys(group.protocol for group in self.groups))

    def paper_numbers(self, row: TableRow) -> tuple[float | None, ...]:
        """One for each column; None where the paper has none."""
        numbers: Iterator[float | None] = iter(row.paper)
        return tuple(next(numbers, None) if column.paper else None for column in self.columns)


@dataclass(frozen=True)
class PaperTables:
    """What the file holds.

    Attributes:
        tables: by name.
        folders: data set -> names of the folder that it is usually in; "." is the folder of all data itself.
    """

    tables: Mapping[str, Table]
    folders: Mapping[str, tuple[str, ...]]


@cache
def paper_tables() -> PaperTables:
    """All tables of the package. Raises ConfigError: the file is wrong."""
    text = resources.files("sketchfusion.engine").joinpath(FILE).read_text(encoding="utf-8")
    return parse_tables(yaml.safe_load(text))


def parse_tables(raw: Mapping[str, Any]) -> PaperTables:
    """The tables of plain values, as the file has them.

    Raises:
        ConfigError: an unknown protocol, measure, method, variant or data set, a data set without a folder's name, or a
            row with too many or too few numbers.
    """
    folders = {find_set(name).name: tuple(places) for name, places in raw["folders"].items()}
    tables = {name: with_variants(validate(Table, {"name": name, **table}, origin=f"{FILE}, table {name}"))
              for name, table in raw["tables"].items()}
    used = {find_protocol(name).data for table in tables.values() for name in table.protocols}
    if used - folders.keys():
        raise ConfigError(f"{FILE} names no folder of {', '.join(sorted(used - folders.keys()))}; expected one of each "
                          f"data set of {', '.join(SETS)} that a table uses")
    return PaperTables(tables, folders)


def with_variants(table: Table) -> Table:
    """The table with a row for each variant of its groups that has none yet."""
    known = {row.variant for row in table.rows}
    added = tuple(TableRow(title=row.title, variant=row.name) for row in ROWS
                  if row.group in table.variants and row.name not in known)
    return table.model_copy(update={"rows": (*table.rows, *added)})


def find_table(name: str) -> Table:
    """A table by its name. Raises ConfigError: there is none."""
    tables = paper_tables().tables
    if name not in tables:
        raise ConfigError(f"there is no table {name!r}; expected one of {', '.join(tables)}")
    return tables[name]
