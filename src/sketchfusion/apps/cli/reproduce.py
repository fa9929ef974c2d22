"""``sketchfusion reproduce``: a table of the paper, with our numbers beside the paper's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sketchfusion.apps.cli import common, training
from sketchfusion.apps.cli.evaluate import check_folder, split_names
from sketchfusion.apps.cli.table import show
from sketchfusion.apps.cli.train import encoding_bar
from sketchfusion.config import DEFAULT_PRESET
from sketchfusion.errors import ConfigError, SketchFusionError

if TYPE_CHECKING:
    from sketchfusion.engine.reproduce import Reproduced, Status
    from sketchfusion.engine.table_data import Skip
    from sketchfusion.engine.table_models import Job
    from sketchfusion.engine.tables import Table

OUT = Path("runs/reproduce")


@common.handle_errors
def reproduce(
    table: Annotated[str, typer.Option(
        metavar="1|2|3|4|5|6|fig5|ablations", help="Table of the paper; fig5 is the timestep, ablations all of ours.")],
    data: Annotated[Path, typer.Option(metavar="PATH", help="Folder that holds a folder for each data set.")],
    preset: Annotated[str, typer.Option(
        metavar="NAME|FOLDER|CONFIG", help="Preset name, folder of a trained model, or configuration file, whose "
                                           "fusion and backbones are judged.")] = DEFAULT_PRESET,
    out: Annotated[Path, typer.Option(
        metavar="PATH", help="Folder for every result, query by query, and for the table itself.")] = OUT,
    data_at: Annotated[list[str] | None, typer.Option(
        "--data-at", metavar="SET=FOLDER", help="Where a data set lies otherwise; may be repeated.")] = None,
    methods: Annotated[str | None, typer.Option(
        metavar="fused,B-CLIP,...", help="These rows only: methods, variants or titles.")] = None,
    model: Annotated[list[str] | None, typer.Option(
        "--model", metavar="TITLE=FOLDER...", help="A row of trained models, such as 'B-Finetuning=runs/a runs/b': the "
                                                   "folders of its seeds; may be repeated.")] = None,
    models: Annotated[Path | None, typer.Option(
        metavar="PATH", help="Folder of trained variants, VARIANT-SEED/fusion each.")] = None,
    train: Annotated[Path | None, typer.Option(
        metavar="RECIPE", help="Train the variants of the table that --models lacks, by this recipe, and go on with "
                               "those that were interrupted.")] = None,
    shards: Annotated[Path | None, typer.Option(
        metavar="PATH", help="What they learn from: a folder of `pretrain pack`.")] = None,
    seeds: Annotated[str | None, typer.Option(
        metavar="0,1,...", help="Of the variants: to train (0 if not given) and to judge (all if not given).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each training; the recipe's own if not given.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Judge anew what is in --out already.")] = False,
    baseline_set: Annotated[list[str] | None, typer.Option(
        "--baseline-set", metavar="METHOD.KEY=VALUE", help="As of `evaluate`, for a method: B-DINO.source=FOLDER; may "
                                                           "be repeated.")] = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 32,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: common.AsJson = False,
) -> None:
    """Judge everything in a table of the paper that can be judged here, and show it beside the paper's numbers.

    A data set or weights that are missing or broken are skipped by name, with what would get them; a set of another
    size than the published one is named below the table. Further columns are on open data. Every result is kept in
    --out, so that the same command goes on where it was stopped.
    """
    from sketchfusion.engine import table_models
    from sketchfusion.engine.reproduce import reproduce
    from sketchfusion.engine.table_data import named_folders, read_table
    from sketchfusion.engine.tables import find_table

    if as_markdown and as_json:
        raise ConfigError("--markdown and --json exclude one another; the folder --out gets both")
    names, numbers = split_names(methods), seed_numbers(seeds)
    wanted, given = table_models.with_given(find_table(table), table_models.named_models(model or ()))
    wanted = table_models.chosen(wanted, names)
    own = baseline_settings(baseline_set or ())
    check_folder(out / wanted.name, out)
    check_models(models, train)
    found, skips = read_table(wanted, data.expanduser(), named_folders(data_at or ()))
    if train is not None:
        models = models or out / "models"
        skips += train_variants(wanted, names, train, shards, models, numbers or (0,), steps, device)
    entered, untrained = table_models.contenders(wanted, preset, settings or (), given, models, numbers,
                                                   data=str(data))
    with cell_bar() as on_status, going_on():
        shown = reproduce(
            wanted, entered, found, [*skips, *untrained], out,
            open_model=lambda place, overrides: common.open_model(place, list(overrides), device, dtype),
            baseline_settings=own, batch_size=batch_size, again=again, on_status=on_status)
    publish(shown, out, names, as_markdown=as_markdown, as_json=as_json)


def check_models(models: Path | None, train: Path | None) -> None:
    """Raise ConfigError where the folder of trained variants is not there, unless they are to be trained into it."""
    if models is not None and train is None and not models.is_dir():
        raise ConfigError(f"there is no folder {models}, which --models names; expected one that holds "
                          f"{models / 'VARIANT-SEED/fusion'}, or --train RECIPE --shards FOLDER to train what it lacks")


def seed_numbers(seeds: str | None) -> tuple[int, ...]:
    """The numbers between commas. Raises ConfigError: one is none, or there twice."""
    parts = seeds.split(",") if seeds is not None else []
    if not all(part.strip().isdecimal() for part in parts) or len({int(part) for part in parts}) != len(parts):
        raise ConfigError("--seeds takes different whole numbers with commas between them, such as 0,1,2, got "
                          f"{seeds!r}")
    return tuple(int(part) for part in parts)


def baseline_settings(texts: Sequence[str]) -> dict[str, list[str]]:
    """``METHOD.KEY=VALUE`` -> ``KEY=VALUE`` of each method. Raises ConfigError: the method has no such setting."""
    from sketchfusion.engine.baselines import BASELINES, own_encoder

    found: dict[str, list[str]] = {}
    for text in texts:
        method, _, setting = text.partition(".")
        if method not in BASELINES:
            raise ConfigError(f"cannot read --baseline-set {text!r}; expected a baseline, a full stop and its setting, "
                              "such as B-DINO.source=FOLDER")
        found.setdefault(method, []).append(setting)
    for method, own in found.items():
        own_encoder(method, own)
    return found


def train_variants(table: Table, names: Sequence[str], recipe: Path, shards: Path | None, models: Path,
                   seeds: Sequence[int], steps: int | None, device: str) -> list[Skip]:
    """Train what is not there; those that could not be trained.

    Raises:
        ConfigError, DataError: the recipe or the shards are wrong.
        KeyboardInterrupt: stopped; a checkpoint was written.
    """
    from sketchfusion.data.packed.corpus import read_manifest
    from sketchfusion.engine.table_data import Skip
    from sketchfusion.engine.table_models import missing_jobs

    if not table.variants:
        raise ConfigError(f"table {table.name} has no variants to train; leave out --train, or take --table 6, fig5 or "
                          "ablations")
    if shards is None:
        raise ConfigError("no training data are named; give --shards FOLDER as `sketchfusion pretrain pack` wrote it")
    read_manifest(shards)
    overrides = [] if steps is None else [f"training.steps={steps}"]
    skips = []
    jobs = missing_jobs(table, names, recipe, shards, models, seeds, overrides)
    for number, job in enumerate(jobs, start=1):
        common.note(f"Training {job.variant.name}, seed {job.seed} ({number} of {len(jobs)})")
        try:
            train_one(job, device)
        except SketchFusionError as error:
            common.note(f"{job.variant.name}, seed {job.seed} could not be trained: {error}")
            skips.append(Skip("failed", job.variant.title, (), f"training seed {job.seed}: {error}"))
    return skips


def train_one(job: Job, device: str) -> None:
    """Run one training, from its last checkpoint if it has one. Errors as ``train_fusion``'s."""
    from sketchfusion.engine.runtime import open_run
    from sketchfusion.engine.train_fusion import train_fusion

    with training.status_bar(job.recipe.title) as on_status, encoding_bar() as on_progress, going_on():
        train_fusion(job.recipe, open_run(job.recipe, device=device, on_status=on_status), on_progress)


@contextmanager
def going_on() -> Iterator[None]:
    """Say at Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        common.note("What was done is kept. Run the same command again to go on from there.")
        raise


@contextmanager
def cell_bar() -> Iterator[Callable[[Status], None]]:
    """A bar over all cells with what is judged now and the time left; where nobody looks on, a line for each cell."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    silent, last = not common.console.is_terminal, 0
    with Progress(*columns, console=common.console, transient=True, disable=silent) as progress:
        task = progress.add_task("Reading the data", total=None)

        def tell(status: Status) -> None:
            nonlocal last
            text = f"[{status.cell}/{status.cells}] {status.doing}"
            if silent and status.cell != last:
                common.note(text)
            last = status.cell
            progress.update(task, description=escape(text), completed=status.done, total=status.total)

        yield tell


def publish(found: Reproduced, out: Path, only: Sequence[str], *, as_markdown: bool, as_json: bool) -> None:
    """Write the table as Markdown and JSON into its folder, and print it; a part of its rows is no ``table``."""
    from sketchfusion.engine.results import write_whole
    from sketchfusion.engine.table_text import as_plain, markdown

    folder, plain, text = out / found.table.name, as_plain(found), markdown(found)
    name = "some_rows" if only else "table"
    write_whole(folder / f"{name}.md", text)
    write_whole(folder / f"{name}.json", json.dumps(plain, indent=2) + "\n")
    if as_json:
        common.print_json(plain)
    elif as_markdown:
        typer.echo(text)
    else:
        show(found)
    already = f", {found.resumed} of them resumed" if found.resumed else ""
    common.note(f"{found.computed + found.resumed} results{already}: {folder}")
