"""Evidence: a file for each evaluation, that says what was measured on what with what, query by query.

Two such files over the same queries can be compared in pairs, which shows far smaller differences than their intervals.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor

from sketchfusion.config import Section
from sketchfusion.errors import DataError
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.bootstrap import FEWEST, PairedDifference, paired_bootstrap
from sketchfusion.metrics.retrieval import bootstrap_interval

FORMAT = 2  # 1 drew every query by itself
DIGITS = 6  # of the values; a mean that is further than that from theirs was changed
LIBRARIES = ("sketchfusion", "torch", "numpy", "pillow", "diffusers", "transformers")
BLOCK = 1 << 20  # bytes read at once
NAMED = 3  # things that an error names


class Measure(Section):
    """One measure of an evaluation.

    Attributes:
        definition: what a value is, with what it is divided by.
        queries: which of the result's lists of queries the values belong to.
        values: one per query, in that order; None where it has none.
        mean: of the values that are there.
        low, high: 95 % of the bootstrap over the queries, or over their groups where they have some.
        higher_is_better: False for errors.
    """

    definition: str
    queries: str
    values: tuple[FiniteFloat | None, ...]
    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    higher_is_better: bool = True

    @property
    def tensor(self) -> Tensor:
        """(Q,) float64, NaN where there is no value."""
        return torch.tensor([math.nan if value is None else value for value in self.values], dtype=torch.float64)


class Result(Section):
    """One evaluation.

    Attributes:
        task: such as "category retrieval".
        protocol: name of the procedure: what is a query, what is searched, what counts as right.
        model, fingerprint, overrides, settings: what was evaluated.
        data: checksum of the files that were used; see ``data_checksum``.
        seeds: of all chance in the evaluation; empty without any.
        versions: of the libraries.
        date: ISO 8601, UTC.
        queries: name -> ids of queries, in the order of the values.
        groups: name of queries -> number for each of them, equal where they belong together, such as sketches of one
            photo; without, every query stands for itself.
        measures: by name.
    """

    format: int = FORMAT
    task: str
    protocol: str
    model: str
    fingerprint: str
    overrides: tuple[str, ...] = ()
    settings: dict[str, Any]
    data: str
    seeds: tuple[int, ...] = ()
    versions: dict[str, str]
    date: str
    queries: dict[str, tuple[str, ...]]
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    measures: dict[str, Measure]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, ids in self.queries.items():
            if len(set(ids)) != len(ids):
                raise ValueError(f"the queries {name!r} hold an id twice")
        for name, numbers in self.groups.items():
            expected = len(self.queries.get(name, ()))
            if len(numbers) != expected:
                raise ValueError(f"there are groups of {len(numbers)} for {expected} queries {name!r}")
        for name, measure in self.measures.items():
            expected = len(self.queries.get(measure.queries, ()))
            if len(measure.values) != expected:
                raise ValueError(f"{name} has {len(measure.values)} values for {expected} queries {measure.queries!r}")
            mean = float(measure.tensor.nanmean())
            if not abs(mean - measure.mean) <= 10.0 ** -DIGITS:
                raise ValueError(f"the mean of {name} is {measure.mean}, but that of its values {mean:.{DIGITS}f}")
        return self

    def independent(self, name: str) -> int:
        """How many groups of queries, or single ones, have a value of a measure."""
        measure = self.measures[name]
        together = self.groups.get(measure.queries, range(len(measure.values)))
        return len({group for group, value in zip(together, measure.values, strict=True) if value is not None})

    @property
    def thin_evidence(self) -> tuple[str, ...]:
        """A sentence on the measures whose values come of too few independent queries for an interval."""
        few: dict[int, list[str]] = {}
        for name in self.measures:
            if (count := self.independent(name)) < FEWEST:
                few.setdefault(count, []).append(name)
        return tuple(f"{', '.join(names)}: of {count} independent {'value' if count == 1 else 'values'} only; an "
                     f"interval from fewer than {FEWEST} says nothing" for count, names in few.items())

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write the file whole, so that a reader or a kill at any moment meets no part of it; its folder is made.

        Raises:
            DataError: it cannot be written.
        """
        target = Path(file)
        record = self.model_dump(mode="json")
        lines = [f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in record.items()]
        try:
            return write_whole(target, "{\n" + ",\n".join(lines) + "\n}\n")
        except OSError as error:
            raise DataError(f"cannot write the result {target}: {error.strerror}; check permissions and room") from None

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> Self:
        """The result in a file.

        Raises:
            DataError: there is no such file, it is no result or one of another format, or it is damaged.
        """
        path = Path(file)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"there is no result {path}; check the path") from None
        except OSError as error:
            raise DataError(f"cannot read the result {path}: {error.strerror}; check the path") from None
        except ValueError as error:
            raise DataError(f"{path} is damaged or no result: {error}; run its evaluation again") from None
        found = record.get("format") if isinstance(record, dict) else None
        if found != FORMAT:
            raise DataError(f"{path} is no result of format {FORMAT}, its format is {found!r}; run its evaluation "
                            "again with this version of sketchfusion")
        try:
            return cls.model_validate(record)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}"
                                 for item in error.errors()[:NAMED])
            raise DataError(f"{path} is damaged: {problems}; run its evaluation again") from None


@dataclass(frozen=True)
class Figure:
    """What an evaluation found of one measure.

    Attributes:
        values: (Q,), NaN where a query has none.
        definition: what a value is, with what it is divided by.
        queries: which list of queries the values belong to.
        higher_is_better: False for errors.
    """

    values: Tensor
    definition: str
    queries: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Subject:
    """What was evaluated; attributes as ``Result``'s, ``name`` is its ``model``."""

    name: str
    fingerprint: str
    overrides: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: SketchFusion) -> Self:
        """A model itself."""
        return cls(model.name, model.fingerprint, model.overrides, model.config.model_dump(mode="json"))


def make_result(model: SketchFusion | Subject, figures: Mapping[str, Figure], queries: Mapping[str, Sequence[str]], *,
                task: str, protocol: str, data: str, seeds: Sequence[int] = (),
                groups: Mapping[str, Sequence[str]] | None = None) -> Result:
    """The record of an evaluation of a model, made now.

    Args:
        model: what was evaluated: a model itself, or as a result shall name it.
        figures: measure -> what was found.
        queries: name -> ids, which stay the same from one evaluation to the next, such as paths below the data folder.
        task, protocol, data, seeds: see ``Result``.
        groups: name of queries -> what each has in common with others, such as its photo.
    Raises:
        DataError: values and queries do not fit one another, or a measure has no value at all.
    """
    subject = model if isinstance(model, Subject) else Subject.of(model)
    numbered = {name: tuple(numbers_of(labels)) for name, labels in (groups or {}).items()}
    try:
        return Result(
            task=task, protocol=protocol, model=subject.name, fingerprint=subject.fingerprint,
            overrides=subject.overrides, settings=dict(subject.settings), data=data, seeds=tuple(seeds),
            versions=library_versions(), date=datetime.now(UTC).isoformat(timespec="seconds"),
            queries={name: tuple(ids) for name, ids in queries.items()},
            groups=numbered,
            measures={name: _measure(figure, numbered.get(figure.queries)) for name, figure in figures.items()})
    except ValidationError as error:
        raise DataError(f"this is no result: {error.errors()[0]['msg']}; give every value its query") from None


def write_whole(file: Path, text: str) -> Path:
    """Write a file so that a reader or a kill at any moment meets the old one or the new one; its folder is made.

    Raises:
        OSError: it cannot be written.
    """
    partial = file.with_name(f".{file.name}.partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text, encoding="utf-8")
    return partial.replace(file)


def numbers_of(labels: Sequence[str]) -> list[int]:
    """The number of each label, in the order in which they first come."""
    order: dict[str, int] = {}
    return [order.setdefault(label, len(order)) for label in labels]


def _measure(figure: Figure, groups: Sequence[int] | None) -> Measure:
    rounded = [round(value, DIGITS) for value in figure.values.double().tolist()]
    values = torch.tensor(rounded, dtype=torch.float64)
    low, high = bootstrap_interval(values, groups=None if groups is None else torch.tensor(groups))
    return Measure(definition=figure.definition, queries=figure.queries, mean=float(values.nanmean()), low=low,
                   high=high, values=tuple(None if math.isnan(value) else value for value in rounded),
                   higher_is_better=figure.higher_is_better)


def library_versions() -> dict[str, str]:
    """Library -> version, of those that are installed, and of Python."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def data_checksum(root: str | os.PathLike[str], files: Iterable[str | os.PathLike[str]]) -> str:
    """Hash over the paths below ``root`` and the contents of files, whatever their order; what else is there is not
    part of it.

    Raises:
        DataError: a file lies elsewhere or cannot be read.
    """
    folder, state = Path(root), hashlib.blake2b(digest_size=16)
    for file in sorted({Path(file) for file in files}, key=lambda file: file.as_posix()):
        if not file.is_relative_to(folder):
            raise DataError(f"{file} does not lie in {folder}; expected files below the data folder")
        name = os.fsencode(file.relative_to(folder).as_posix())
        state.update(len(name).to_bytes(8, "big") + name + _content_hash(file))
    return state.hexdigest()


def _content_hash(file: Path) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    try:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                state.update(block)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check the data folder") from None
    return state.digest()


@dataclass(frozen=True)
class MeasureDifference:
    """One measure of two results.

    Attributes:
        name: of the measure.
        found: means, difference and its interval.
        higher_is_better: False for errors.
    """

    name: str
    found: PairedDifference
    higher_is_better: bool

    @property
    def verdict(self) -> str:
        """What the interval says of the second: "better", "worse", or "no difference shown" where it holds zero; and
        "too few to say" where it rests on fewer than ``FEWEST`` independent groups of queries.
        """
        if self.found.groups < FEWEST:
            return "too few to say"
        if self.found.low <= 0 <= self.found.high:
            return "no difference shown"
        return "better" if (self.found.low > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class Comparison:
    """Two results over the same queries.

    Attributes:
        measures: those that both have, in the order of the first.
        left_out: names of those that one of them has alone.
    """

    measures: tuple[MeasureDifference, ...]
    left_out: tuple[str, ...]


def compare(first: Result, second: Result, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """How the second result differs from the first, measure by measure, with 95 % intervals; see ``paired_bootstrap``.

    Raises:
        DataError: task, protocol, data or queries differ, a measure is defined otherwise, or they have none in common.
    """
    for name, what in (("task", "tasks"), ("protocol", "protocols"), ("data", "data")):
        given = getattr(first, name), getattr(second, name)
        if given[0] != given[1]:
            raise DataError(f"the results are of different {what}, {given[0]!r} and {given[1]!r}; evaluate both models "
                            "in the same way on the same files")
    common = [name for name in first.measures if name in second.measures]
    if not common:
        raise DataError(f"the results have no measure in common: {', '.join(first.measures)} and "
                        f"{', '.join(second.measures)}; evaluate both models in the same way")
    return Comparison(tuple(_difference(name, first, second, draws, seed) for name in common),
                      tuple(name for name in (*first.measures, *second.measures) if name not in common))


def _difference(name: str, first: Result, second: Result, draws: int, seed: int) -> MeasureDifference:
    one, other = first.measures[name], second.measures[name]
    if (one.definition, one.higher_is_better) != (other.definition, other.higher_is_better):
        raise DataError(f"{name} is defined as {one.definition!r} in the first result and as {other.definition!r} in "
                        "the second; evaluate both models with the same version")
    order = _rows(name, first.queries[one.queries], second.queries[other.queries])
    numbers = first.groups.get(one.queries)
    found = paired_bootstrap(one.tensor, other.tensor[order], draws=draws, seed=seed,
                             groups=None if numbers is None else torch.tensor(numbers))
    return MeasureDifference(name, found, one.higher_is_better)


def _rows(name: str, first: Sequence[str], second: Sequence[str]) -> Tensor:
    """(Q,) row in the second list of each query of the first."""
    lone = sorted(set(first) ^ set(second))
    if lone:
        raise DataError(f"{len(lone):,} queries of {name} are in one of the results only, such as "
                        f"{', '.join(lone[:NAMED])}; {len(set(first) & set(second)):,} are in both: expected the same "
                        "queries, evaluate both models on the same files")
    row = {query: number for number, query in enumerate(second)}
    return torch.tensor([row[query] for query in first])
