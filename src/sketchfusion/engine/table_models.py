"""Who competes in a table: the preset by each method, folders of trained models, trained variants by their seeds."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sketchfusion.engine.ablations import REFERENCE, Variant
from sketchfusion.engine.config import load_recipe
from sketchfusion.engine.fusion_recipe import FusionRecipe
from sketchfusion.engine.methods import FUSED
from sketchfusion.engine.table_data import Skip
from sketchfusion.engine.tables import FINETUNING, Table, TableRow
from sketchfusion.engine.train_fusion import FOLDER
from sketchfusion.errors import ConfigError

CONFIG = "config.json"  # of a saved model
ENCODED = "encoded"  # below the folder of models: what all variants share


@dataclass(frozen=True)
class Model:
    """One model to open.

    Attributes:
        place: preset, folder or configuration file.
        overrides: of its settings.
        seed: what is put behind the name of its file; empty where there is one model alone.
    """

    place: str
    overrides: tuple[str, ...] = ()
    seed: str = ""


@dataclass(frozen=True)
class Contender:
    """A row that is judged.

    Attributes:
        row: of the table.
        name: of its files: method, variant or title.
        method: of ``engine.methods``.
        models: one, or one for each seed.
    """

    row: TableRow
    name: str
    method: str
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Job:
    """One training that is to be run. ``recipe.output`` is its folder."""

    variant: Variant
    seed: int
    recipe: FusionRecipe


def named_models(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """``TITLE=FOLDER FOLDER ...`` -> folders of the seeds of each. Raises ConfigError: no saved model there."""
    models = {}
    for text in texts:
        title, _, places = text.partition("=")
        folders = tuple(model_folder(Path(place).expanduser()) for place in places.split())
        if not title.strip() or not folders:
            raise ConfigError(f"cannot read {text!r}; expected a title and the folders of its seeds, such as "
                              "'B-Finetuning=runs/a/fusion runs/b/fusion'")
        models[title.strip()] = folders
    return models


def model_folder(folder: Path) -> Path:
    """The folder itself, or ``fusion`` in it as training leaves it. Raises ConfigError: neither holds a model."""
    for place in (folder, folder / FOLDER):
        if (place / CONFIG).is_file():
            return place
    raise ConfigError(f"{folder} holds no trained model; expected a folder of `sketchfusion train`, with {CONFIG} in "
                      f"it or in {folder / FOLDER}")


def chosen(table: Table, methods: Sequence[str]) -> Table:
    """The table with some of its rows of ours; all for no methods. Rows of other works stay.

    Args:
        methods: titles, methods or variants.
    Raises:
        ConfigError: one of them is no row of the table.
    """
    known = {name.casefold() for row in table.rows if not row.is_quoted for name in names_of(row)}
    strange = [name for name in methods if name.casefold() not in known]
    if strange:
        every = ", ".join(dict.fromkeys(row.method or row.variant for row in table.rows if not row.is_quoted))
        raise ConfigError(f"table {table.name} has no row {strange[0]!r} of ours; expected some of {every}")
    return table.model_copy(update={"rows": tuple(
        row for row in table.rows if row.is_quoted or not methods or is_chosen(row, methods))})


def names_of(row: TableRow) -> tuple[str, ...]:
    """By which a row may be chosen."""
    return row.title, row.method or row.variant


def is_chosen(row: TableRow, methods: Sequence[str]) -> bool:
    """Whether one of the names is the row's."""
    return bool({name.casefold() for name in methods} & {name.casefold() for name in names_of(row)})


def with_given(table: Table, given: Mapping[str, tuple[Path, ...]]) -> tuple[Table, dict[str, tuple[Path, ...]]]:
    """The table with a row for each model that was given, and the folders of these rows.

    A model of the title of a trained row takes that row. One of the title of a method without training, or of another
    work, gets a row of its own behind it, since what was trained is not what the paper has there.
    """
    rows, folders = list(table.rows), {}
    for title, places in given.items():
        same = next((number for number, row in enumerate(rows) if row.title == title), None)
        if same is not None and (rows[same].variant or rows[same].method == FUSED):
            folders[title] = places
            continue
        name = title if same is None else f"{title}, trained"
        rows.insert(len(rows) if same is None else same + 1, TableRow(title=name, method=FUSED))
        folders[name] = places
    return table.model_copy(update={"rows": tuple(rows)}), folders


def contenders(table: Table, preset: str, overrides: Sequence[str], given: Mapping[str, Sequence[Path]],
               models: Path | None, seeds: Sequence[int] = (), *, data: str = "DATA",
               ) -> tuple[list[Contender], list[Skip]]:
    """The rows that can be judged, and those that have not been trained, in as few reasons as will do.

    Args:
        table: as ``with_given``, then ``chosen`` give it.
        preset: of the methods, and of the reference where no ``models`` are there.
        overrides: settings of every model.
        given: title of a row -> folders of its seeds, as ``with_given`` has them.
        models: holds ``VARIANT-SEED/fusion``.
        seeds: of the variants; none: all that are there.
        data: folder of all data, as the commands that train name it.
    """
    found: list[Contender] = []
    untrained: dict[tuple[str, tuple[int, ...]], list[TableRow]] = {}
    for row in table.rows:
        if row.is_quoted:
            continue
        if row.title in given:
            found.append(Contender(row, row.title, FUSED, of_folders(given[row.title], overrides)))
        elif row.method:
            found.append(Contender(row, row.method, row.method, (Model(preset, tuple(overrides)),)))
        else:
            entered, lacking = variant_models(row.as_variant(), preset, overrides, models, seeds)
            if entered:
                found.append(Contender(row, row.variant, FUSED, entered))
            if lacking or not entered:
                kind = FINETUNING if row.variant == FINETUNING else ""  # has a command of its own
                untrained.setdefault((kind, lacking), []).append(row)
    return found, [untrained_skip(table, rows, lacking, models, data) for (_, lacking), rows in untrained.items()]


def untrained_skip(table: Table, rows: Sequence[TableRow], lacking: Sequence[int], models: Path | None,
                   data: str) -> Skip:
    """What is to be said of rows that lack the same seeds; none: all of them."""
    names = ", ".join(dict.fromkeys(row.as_variant().trained_as for row in rows))
    what = f"seed {', '.join(map(str, lacking))} of {names}" if lacking else names
    where = f"not in {models}" if models else "nowhere, as no --models are named"
    command = training_command(table, rows, models, lacking or (0,), data)
    return Skip("not trained", ", ".join(row.title for row in rows), (), f"{what}: {where}; to train: {command}")


def of_folders(folders: Sequence[Path], overrides: Sequence[str]) -> tuple[Model, ...]:
    """A model for each folder, numbered where there are several."""
    return tuple(Model(str(folder), tuple(overrides), f"-{number}" if len(folders) > 1 else "")
                 for number, folder in enumerate(folders))


def variant_models(variant: Variant, preset: str, overrides: Sequence[str], models: Path | None,
                   seeds: Sequence[int]) -> tuple[tuple[Model, ...], tuple[int, ...]]:
    """The trained fusions of a variant, and those of the seeds that are not there."""
    settings = (*(() if variant.retrained else variant.settings), *overrides)
    name = variant.trained_as
    if models is None and name == REFERENCE:
        return (Model(preset, settings),), ()
    there = trained_seeds(models, name) if models else {}
    found = tuple(Model(str(folder), settings, f"-{seed}") for seed, folder in there.items()
                  if not seeds or seed in seeds)
    return found, tuple(seed for seed in seeds if seed not in there)


def trained_seeds(models: Path, name: str) -> dict[int, Path]:
    """Seed -> folder of a finished fusion, by seed."""
    pattern = re.compile(re.escape(name) + r"-(\d+)")
    found = {int(match[1]): folder / FOLDER for folder in models.iterdir() if (match := pattern.fullmatch(folder.name))
             and (folder / FOLDER / CONFIG).is_file()} if models.is_dir() else {}
    return dict(sorted(found.items()))


def training_command(table: Table, rows: Sequence[TableRow], models: Path | None, seeds: Sequence[int],
                     data: str) -> str:
    """What trains the variants of some rows."""
    place, source = shlex.quote(str(models or "MODELS")), shlex.quote(data)
    if rows[0].variant == FINETUNING:
        return (f"sketchfusion train configs/train/finetuning.yaml --data SHARDS --out {place}/{FINETUNING}-{seeds[0]} "
                f"--set seed={seeds[0]}")
    several, names = ",".join(map(str, seeds)), ",".join(dict.fromkeys(row.variant for row in rows))
    return (f"sketchfusion reproduce --table {table.name} --data {source} --models {place} --train RECIPE "
            f"--shards SHARDS --seeds {several} --methods {names}")


def missing_jobs(table: Table, methods: Sequence[str], recipe: Path, shards: Path, models: Path, seeds: Sequence[int],
                 overrides: Sequence[str] = ()) -> list[Job]:
    """The trainings that a table's variants lack, seed by seed, each once.

    Variants with backbones of their own are trained where ``methods`` names them, since these weights may be
    gigabytes. What the encoders give is kept once for all variants that share them.

    Args:
        overrides: ``a.b=c`` of the recipe, on top of everything else.
    Raises:
        ConfigError: see ``load_recipe``.
    """
    rows = [row for row in table.rows if row.variant and row.variant != FINETUNING
            and (not row.model or is_chosen(row, methods))]
    variants = {variant.trained_as: variant for row in rows if (variant := row.as_variant()).retrained}
    if any(not row.as_variant().retrained for row in rows):
        variants.setdefault(REFERENCE, Variant(REFERENCE, "reference", "reference"))
    return [Job(variant, seed, variant_recipe(variant, seed, recipe, shards, models, overrides)) for seed in seeds
            for name, variant in variants.items() if seed not in trained_seeds(models, name)]


def variant_recipe(variant: Variant, seed: int, file: Path, shards: Path, models: Path,
                   overrides: Sequence[str]) -> FusionRecipe:
    """The recipe of one training. Raises ConfigError: see ``load_recipe``."""
    base = load_recipe(FusionRecipe, file, overrides)
    return load_recipe(FusionRecipe, file, [
        *overrides, f"title={json.dumps(f'{variant.name}, seed {seed}')}", f"seed={seed}",
        f"settings={json.dumps([*base.settings, *variant.settings])}",
        *(f"{key}={json.dumps(str(place))}" for key, place in (
            ("data.shards", shards), ("output", models / f"{variant.name}-{seed}"), ("cache", models / ENCODED))),
        *variant.training])
