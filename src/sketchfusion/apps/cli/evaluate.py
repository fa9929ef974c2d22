"""``sketchfusion evaluate``: judge a model on a data set by a named protocol."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sketchfusion.apps.cli import common
from sketchfusion.config import DEFAULT_PRESET
from sketchfusion.errors import ConfigError

if TYPE_CHECKING:
    from sketchfusion.engine.evaluate import Evaluation
    from sketchfusion.engine.protocols import Split

PLACES = 6  # of decimals in JSON


@common.handle_errors
def evaluate(
    protocol: Annotated[str | None, typer.Argument(help="What to do; `--list` shows all protocols.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="Folder of the data set.")] = None,
    model: Annotated[str | None, typer.Option(
        metavar="PRESET|FOLDER|CONFIG", help="Preset name, folder of a trained model, or configuration file.")] = None,
    method: Annotated[str, typer.Option(
        metavar="METHOD", help="fused; without training, of the same backbones B-CLIP, B-SD or B-SD+CLIP, of another "
                               "encoder B-DINO or B-DINOv2; HOG, which takes no model; or chance.")] = "fused",
    baseline_set: Annotated[list[str] | None, typer.Option(
        "--baseline-set", metavar="KEY=VALUE", help="Override a setting of that other encoder: source (the folder of "
                                                    "its weights), layer, size or final_norm; may be repeated.",
    )] = None,
    split: Annotated[str, typer.Option(
        metavar="test|validation", help="Choose a model by validation; touch the test once.")] = "test",
    classes: Annotated[str | None, typer.Option(
        metavar="CAT,DOG,...", help="These only: another protocol, not to be compared with the whole.")] = None,
    out: Annotated[Path | None, typer.Option(
        metavar="RESULT.JSON", help="Write the result here, query by query, for `sketchfusion compare`.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the noise; the model's own if not given.")] = None,
    list_protocols: Annotated[bool, typer.Option("--list", help="Show all protocols and leave.")] = False,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Judge a model, or a baseline of its backbones, on a research data set by a named protocol.

    Prints the mean of each measure with its 95 % interval (bootstrap over the queries, sketches of one photo
    together). Without --classes a data set that lacks a class, or a picture that is listed, is refused; where there
    are more or fewer pictures than were published a note says so.
    """
    if list_protocols:
        show_protocols(as_json=as_json)
        return
    if protocol is None or data is None:
        raise ConfigError("name a protocol and the folder of its data set, as in `sketchfusion evaluate sketchy-21 "
                          "--data DATA/sketchy`; `sketchfusion evaluate --list` shows the protocols")
    from sketchfusion.engine.baselines import own_encoder
    from sketchfusion.engine.evaluate import evaluate
    from sketchfusion.engine.methods import check_method, needs_model
    from sketchfusion.engine.protocol_data import check_split, read_split
    from sketchfusion.engine.protocols import find_protocol

    row, names, part = find_protocol(protocol), split_names(classes), cast("Split", split)
    check_method(method, row.task)
    own_encoder(method, baseline_set or ())
    check_split(split)
    check_out(out)
    found_data = read_split(row, data, part, names)  # before the model is loaded, which may take minutes
    overrides = [*(settings or ()), *([] if seed is None else [f"diffusion.seed={seed}"])]
    loaded = common.open_model(model or DEFAULT_PRESET, overrides, device, dtype) if needs_model(method) else None
    with common.progress_bar("Evaluating") as on_progress:
        found = evaluate(loaded, row, data, method=method, baseline_settings=baseline_set or (), split=part,
                         classes=names, data=found_data, batch_size=batch_size, on_progress=on_progress)
    if out is not None:
        found.result.save(out)
    if as_json:
        common.print_json(as_plain(found, out))
    else:
        show(found, out)


def split_names(classes: str | None) -> tuple[str, ...]:
    """The names between commas. Raises ConfigError: one is empty, or there twice."""
    names = tuple(name.strip() for name in classes.split(",")) if classes is not None else ()
    if not all(names) or len(set(names)) != len(names):
        raise ConfigError(f"--classes takes different names with commas between them, such as cat,dog, got {classes!r}")
    return names


def check_out(out: Path | None) -> None:
    """Raise ConfigError where the result cannot be a file, before hours are spent on it. Its folder is made."""
    if out is not None and out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file, such as {out / 'result.json'}")
    if out is not None:
        check_folder(out.parent, out)


def check_folder(folder: Path, out: Path) -> None:
    """Make a folder and try to write there. Raises ConfigError: this is no place for what ``--out`` names."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"0")
    except OSError as error:
        raise ConfigError(f"cannot write to --out {out}: {folder}: {error.strerror or error}; name a place that is "
                          "writable and has room") from None


def show_protocols(*, as_json: bool) -> None:
    """Print the table of protocols."""
    from sketchfusion.engine.protocols import GALLERIES, PROTOCOLS, SPLIT_RULES, particulars

    rows = [{"name": row.name, "task": row.task, "data": row.data,
             "measures": {item.name: item.definition for item in row.measures}, "split": SPLIT_RULES[row.split_rule],
             "gallery": GALLERIES[row.gallery], "source": row.source + particulars(row)} for row in PROTOCOLS.values()]
    if as_json:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['name']}: {row['task']} on {row['data']}")
        for name, definition in row["measures"].items():  # type: ignore[attr-defined]
            typer.echo(f"  {name}: {definition}")
        for what in ("split", "gallery", "source"):
            typer.echo(f"  {what}: {row[what]}")


def as_plain(found: Evaluation, out: Path | None) -> dict[str, Any]:
    """The evaluation for JSON, without the values of single queries."""
    result = found.result
    measures = {name: {**{key: round(getattr(item, key), PLACES) for key in ("mean", "low", "high")},
                       "queries": known(found, name), "definition": item.definition}
                for name, item in result.measures.items()}
    return {"protocol": result.protocol, "task": result.task, "model": result.model, "fingerprint": result.fingerprint,
            "split": found.split, "photos": found.photos, "sketches": found.sketches, "data": result.data,
            "seeds": list(result.seeds), "measures": measures, "notes": list(found.notes),
            "out": None if out is None else str(out)}


def known(found: Evaluation, name: str) -> int:
    """How many queries have a value."""
    return sum(value is not None for value in found.result.measures[name].values)


def show(found: Evaluation, out: Path | None) -> None:
    """Print the evaluation as a table, in per cent."""
    result = found.result
    typer.echo(common.one_line(f"{result.model} ({result.fingerprint}), {result.task}, {result.protocol}"))
    typer.echo(f"{found.sketches:,} sketches, {found.photos:,} photos\n")
    width = max(len("measure"), *(len(name) for name in result.measures))
    typer.echo(f"{'measure':<{width}}  {'values':>7}  {'mean':>7}  {'95 % interval':>17}")
    for name, item in result.measures.items():
        interval = f"{100 * item.low:.2f} to {100 * item.high:.2f}"
        typer.echo(f"{name:<{width}}  {known(found, name):>7,}  {100 * item.mean:>5.2f} %  {interval:>17}")
    for text in found.notes:
        common.note(f"Note: {text}")
    if out is not None:
        common.note(f"Result: {out}")
