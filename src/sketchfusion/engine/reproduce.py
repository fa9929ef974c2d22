"""``sketchfusion reproduce``: a table of the paper, judged again, with a file for each result, so that it can go on.

A result that is there already is used where model, method, protocol and files are still the same.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from sketchfusion.config import digest
from sketchfusion.engine.baselines import OPTION
from sketchfusion.engine.evaluate import Evaluation, Run, common_root, evaluate, subject_of
from sketchfusion.engine.methods import FUSED, check_method, needs_model, prepared
from sketchfusion.engine.protocol_data import size_note
from sketchfusion.engine.protocols import Protocol
from sketchfusion.engine.results import Result
from sketchfusion.engine.table_data import Skip, Tested, class_note, merged
from sketchfusion.engine.table_models import Contender, Model
from sketchfusion.engine.tables import Table, TableRow
from sketchfusion.errors import (
    BlankPicture,
    ConfigError,
    DataError,
    ImageError,
    SketchFusionError,
    WeightsUnavailable,
)
from sketchfusion.fusion.extractor import SketchFusion
from sketchfusion.metrics.bootstrap import FEWEST

SAFE = re.compile(r"[^A-Za-z0-9+._-]+")  # what a file's name had better not hold
MARK = "reproduce"  # key of a result's settings that holds what it was made for
LEVEL = 0.975  # of Student's t, for 95 % on both sides
Open = Callable[[str, Sequence[str]], SketchFusion]


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        doing: what is judged now.
        cell, cells: its number, from 1, and how many there are.
        done, total: pictures, of all cells.
    """

    doing: str
    cell: int
    cells: int
    done: float
    total: float


@dataclass(frozen=True)
class Number:
    """One number of ours, as a share.

    Attributes:
        mean: over the queries, then over the seeds.
        low, high: 95 %: bootstrap over the queries of one model, Student's t over several seeds.
        queries: that have a value.
        seeds: how many models.
        enough: whether the interval says something: there are several seeds, or enough independent queries.
    """

    mean: float
    low: float
    high: float
    queries: int
    seeds: int
    enough: bool = True


@dataclass(frozen=True)
class Evidence:
    """Where a number comes from, one result.

    Attributes:
        file: its place below the folder of all results.
        protocol: by which it was judged, with its split, as the result says it.
        fingerprint: of the model.
        data: checksum of the files that were used.
    """

    file: str
    protocol: str
    fingerprint: str
    data: str


@dataclass(frozen=True)
class RowFound:
    """One row of a table that was judged.

    Attributes:
        row: as the table has it.
        paper: the paper's number of each column, as printed.
        ours: our number of each column.
        evidence: protocol -> its results, one for each seed.
        notes: of the evaluations.
    """

    row: TableRow
    paper: tuple[float | None, ...]
    ours: tuple[Number | None, ...]
    evidence: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduced:
    """A table with the paper's numbers and ours.

    Attributes:
        table: what was asked for.
        rows: in its order.
        skips: what has no number of ours, and why.
        notes: what a reader has to know.
        computed, resumed: how many results were made now, and how many were there.
    """

    table: Table
    rows: tuple[RowFound, ...]
    skips: tuple[Skip, ...]
    notes: tuple[str, ...]
    computed: int
    resumed: int


@dataclass
class Bench:
    """What the cells of one run share: open models, files, and how far it is.

    Attributes:
        out: folder of the table's results.
        open_model: (place, overrides) -> extractor.
        baseline_settings: method -> ``key=value`` of its own encoder.
        again: whether results that are there are made anew.
        cells, total: how many cells there are, and pictures in those that are judged; ``cell`` and ``done`` of these
            are done.
        refused: row or protocol -> why it was skipped and would be again.
    """

    out: Path
    open_model: Open
    baseline_settings: Mapping[str, Sequence[str]]
    batch_size: int
    again: bool
    on_status: Callable[[Status], None] | None
    cells: int
    total: float
    done: float = 0.0
    cell: int = 0
    computed: int = 0
    resumed: int = 0
    opened: tuple[Model | None, SketchFusion | None] = (None, None)
    refused: dict[str, Skip] = field(default_factory=dict)

    def model(self, method: str, model: Model) -> SketchFusion | None:
        """The extractor; the last one is kept, since rows of one preset follow one another."""
        if not needs_model(method):
            return None
        bare = Model(model.place, model.overrides)
        if self.opened[0] != bare:
            self.opened = (None, None)  # so that two are never in memory
            self.opened = (bare, self.open_model(model.place, model.overrides))
        return self.opened[1]

    def tell(self, doing: str, done: float = 0.0) -> None:
        """Say what is done now."""
        if self.on_status:
            self.on_status(Status(doing, self.cell, self.cells, self.done + done, self.total))


def reproduce(table: Table, entered: Sequence[Contender], data: Mapping[str, Tested], skips: Sequence[Skip],
              out: Path, *, open_model: Open, baseline_settings: Mapping[str, Sequence[str]] | None = None,
              batch_size: int = 32, again: bool = False,
              on_status: Callable[[Status], None] | None = None) -> Reproduced:
    """Judge every row of a table by every protocol whose data are there.

    Results are ``out/TABLE/PROTOCOL/NAME[-SEED].json``, written as soon as they are known.

    Args:
        table: with all rows that are shown.
        entered: rows to judge, see ``table_models.contenders``.
        data: protocol -> test split, see ``table_data.read_table``.
        skips: what is known to be lacking.
        baseline_settings: method -> ``key=value`` of its own encoder, see ``evaluate``.
    Raises:
        DataError, WeightsUnavailable, ConfigError: nothing of it could be judged; with every reason. ConfigError also
            where a preset or setting is wrong, DataError where a result cannot be written.
        KeyboardInterrupt: stopped; what was finished is kept.
    """
    sizes = {name: pictures_in(item) for name, item in data.items()}
    models = sum(len(item.models) for item in entered)
    bench = Bench(out / table.name, open_model, baseline_settings or {}, batch_size, again, on_status,
                  models * len(data), models * sum(sizes.values()))
    found: dict[str, RowFound] = {}
    every = list(skips)
    for contender in entered:
        results: dict[str, list[Result]] = {}
        evidence: dict[str, list[Evidence]] = {}
        for model in contender.models:
            for name, tested in data.items():
                bench.cell += 1
                computed = bench.computed
                outcome = judge(bench, contender, model, tested)
                if bench.computed > computed:
                    bench.done += sizes[name]
                else:
                    bench.total -= sizes[name]  # took no time, and says nothing of the time left
                if isinstance(outcome, Skip):
                    every = merged(every, outcome)
                else:
                    results.setdefault(name, []).append(outcome)
                    file = file_of(bench.out, contender, model, name).relative_to(out).as_posix()
                    evidence.setdefault(name, []).append(
                        Evidence(file, outcome.protocol, outcome.fingerprint, outcome.data))
        found[contender.row.title] = row_found(table, contender.row, results, evidence)
    if not bench.computed + bench.resumed:
        raise nothing_found(table, every)
    rows = tuple(found.get(row.title) or row_found(table, row, {}, {}) for row in table.rows)
    return Reproduced(table, rows, tuple(every), notes_of(table, rows, data), bench.computed, bench.resumed)


def judge(bench: Bench, contender: Contender, model: Model, tested: Tested) -> Result | Skip:
    """One row by one protocol: the result that is there, or a new one; or why there is none.

    Raises:
        ConfigError: a preset or setting is wrong.
        DataError: the result cannot be written.
    """
    title, name = contender.row.title, tested.protocol.name
    numbered = title + model.seed
    refused = bench.refused.get(numbered) or bench.refused.get(name)
    if refused:
        return replace(refused, protocols=(name,))
    bench.tell(f"{numbered} on {name}")
    try:
        check_method(contender.method, tested.protocol.task)
    except ConfigError as error:
        return Skip("not for this task", title, (name,), str(error))
    try:
        extractor = bench.model(contender.method, model)
        outcome = settled(bench, contender, model, tested, extractor)
    except WeightsUnavailable as error:
        told = str(error).replace(OPTION, f"--baseline-set {contender.method}.source=FOLDER")
        bench.refused[numbered] = Skip("missing weights", title, (name,), told)
        return bench.refused[numbered]
    except BlankPicture as error:  # to this method; another one may see something on it
        return Skip("failed", title, (name,), str(error))
    except ImageError as error:
        bench.refused[name] = Skip("broken data", tested.protocol.data, (name,), str(error))
        return bench.refused[name]
    except DataError as error:
        return Skip("broken data", tested.protocol.data, (name,), str(error))
    if isinstance(outcome, Evaluation):
        outcome.result.save(file_of(bench.out, contender, model, name))  # where it cannot be written, the run ends
        bench.computed += 1
        return outcome.result
    return outcome


def settled(bench: Bench, contender: Contender, model: Model, tested: Tested,
            extractor: SketchFusion | None) -> Result | Evaluation | Skip:
    """The result in the file, or a new evaluation; errors as ``evaluate``'s, but for settings."""
    settings = bench.baseline_settings.get(contender.method, ())
    file = file_of(bench.out, contender, model, tested.protocol.name)
    doing, size = f"{contender.row.title}{model.seed} on {tested.protocol.name}", pictures_in(tested)
    try:
        identity = identity_of(extractor, contender.method, settings, tested)
        earlier = None if bench.again else usable(file, identity)
        if earlier is not None:
            bench.resumed += 1
            return earlier
        found = evaluate(extractor, tested.protocol, tested.folder, method=contender.method, data=tested.data,
                         baseline_settings=settings, batch_size=bench.batch_size,
                         on_progress=lambda done, total: bench.tell(doing, size * done / max(total, 1)))
    except ConfigError as error:  # a head that lacks a class, a baseline of backbones that were trained too
        return Skip("failed", contender.row.title, (tested.protocol.name,), str(error))
    result = found.result.model_copy(update={"settings": {**found.result.settings, MARK: identity}})
    return replace(found, result=result)


def pictures_in(tested: Tested) -> int:
    """How many there are in a test split."""
    return len(tested.data.photos) + len(tested.data.sketches)


def file_of(out: Path, contender: Contender, model: Model, protocol: str) -> Path:
    """Of a result. A name that a file cannot have gets a few letters of its hash, so that no two share a file."""
    name = SAFE.sub("_", contender.name).lstrip(".")
    if name != contender.name:
        name += f"_{digest(contender.name)[:6]}"
    return out / protocol / f"{name}{model.seed}.json"


def identity_of(extractor: SketchFusion | None, method: str, settings: Sequence[str], tested: Tested) -> dict[str, Any]:
    """What a result depends on: method, model, heads, files, and the protocol.

    Raises:
        WeightsUnavailable, ConfigError: see ``methods.prepared``.
    """
    run = Run(prepared(extractor, method, settings), tested.protocol, method, tested.folder, "test", (), tested.data,
              common_root(tested.data), 1, None)
    heads = [] if extractor is None or method != FUSED else [
        extractor.heads.record(), *((name, value.detach().float().cpu().flatten().tolist())
                                    for name, value in sorted(extractor.heads.state_dict().items()))]
    return {"method": method, "fingerprint": subject_of(run).fingerprint, "heads": digest(heads), "files": tested.files,
            "protocol": identity_of_protocol(tested.protocol)}


def identity_of_protocol(protocol: Protocol) -> str:
    """Hash of all that a protocol lays down, but for the words on whose it is."""
    measures = [[type(measure).__name__, measure.name, measure.definition] for measure in protocol.measures]
    return digest([{**asdict(protocol), "source": ""}, measures])


def usable(file: Path, identity: Mapping[str, Any]) -> Result | None:
    """The result in a file, if it is whole and what would be found now."""
    try:
        result = Result.load(file) if file.is_file() else None
    except DataError:
        return None  # damaged: it is made anew
    return result if result is not None and result.settings.get(MARK) == identity else None


def row_found(table: Table, row: TableRow, results: Mapping[str, Sequence[Result]],
              evidence: Mapping[str, Sequence[Evidence]]) -> RowFound:
    """The numbers of one row."""
    ours = tuple(number_of(results.get(column.protocol, ()), column.measure) for column in table.columns)
    notes = dict.fromkeys(f"{name}: {note}" for name, found in results.items() for result in found
                          for note in result.settings["evaluation"]["notes"])
    return RowFound(row, table.paper_numbers(row), ours, {name: tuple(items) for name, items in evidence.items()},
                    tuple(notes))


def number_of(results: Sequence[Result], measure: str) -> Number | None:
    """Mean and interval of one measure over the results of all seeds; None without any."""
    if not results:
        return None
    found = [result.measures[measure] for result in results]
    queries = sum(value is not None for value in found[0].values)
    if len(found) == 1:
        enough = results[0].independent(measure) >= FEWEST
        return Number(found[0].mean, found[0].low, found[0].high, queries, 1, enough)
    means = [item.mean for item in found]
    mean, count = statistics.mean(means), len(means)
    half = float(student.ppf(LEVEL, count - 1)) * statistics.stdev(means) / count ** 0.5
    return Number(mean, mean - half, mean + half, queries, count)


def notes_of(table: Table, rows: Sequence[RowFound], data: Mapping[str, Tested]) -> tuple[str, ...]:
    """What a reader of the table has to know, a sentence each."""
    notes = [table.note] if table.note else []
    for group in table.groups:
        if group.protocol in data:
            tested = data[group.protocol]
            notes.append(f"{group.protocol}: {tested.protocol.source}")
            more = (size_note(tested.protocol, tested.data), class_note(tested), group.note)
            notes += [f"{group.protocol}: {text}" for text in more if text]
    notes += [f"{item.row.title}: {item.row.note}" for item in rows if item.row.note]
    return tuple(dict.fromkeys(notes))


def nothing_found(table: Table, skips: Sequence[Skip]) -> SketchFusionError:
    """What to raise where no row could be judged at all."""
    kinds = {skip.kind for skip in skips}
    error = (WeightsUnavailable if "missing weights" in kinds else
             DataError if kinds & {"missing data", "broken data"} else ConfigError)
    reasons = "".join(f"\n- {skip.name} ({skip.kind}): {skip.reason}" for skip in skips)
    return error(f"nothing of table {table.name} could be judged; expected data and a model for one of its columns at "
                 f"least:{reasons}")
