"""``sketchfusion analyse``: what features look like, which frequencies they hold, what a fusion learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.pictures import Pictures
from sketchfusion.config import DEFAULT_PRESET

if TYPE_CHECKING:
    from PIL import Image

    from sketchfusion.analysis.pca import JointPca
    from sketchfusion.analysis.spectrum import Spectra
    from sketchfusion.analysis.weights import FusionWeights
    from sketchfusion.canvas import Canvas, Kind
    from sketchfusion.fusion.extractor import SketchFusion

KINDS: tuple[Kind, Kind] = ("photo", "sketch")
TAP = "up2"  # analysis.sources.DEFAULT_TAP, without loading it for --help
PLACES = 4  # of decimals in reports

app = typer.Typer(no_args_is_help=True, help="The paper's pilot study: look at features and at what a fusion learned.")

Tap = Annotated[str, typer.Option(help="Block of the UNet whose plain output is shown, such as up2.")]
Sketches = Annotated[list[str] | None, typer.Option(
    "--sketch", metavar="SKETCH", help="A sketch, or a folder of them; may be repeated.")]
Limit = Annotated[int | None, typer.Option(
    min=1, help="At most so many pictures of each kind, evenly spread over the sorted files.")]


@app.command()
@common.handle_errors
def pca(
    photos: Annotated[list[str], typer.Argument(metavar="PICTURE", help="Photos, or folders of them.")],
    out: Annotated[Path, typer.Option(metavar="FILE.PNG", help="Picture to write (.png, .jpg or .webp).")],
    sketch: Sketches = None,
    tap: Tap = TAP,
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Show the first three principal components of features as colours, computed over all pictures together.

    A column each for the patch encoder, a block of the UNet and the fused features; the same colour means the same
    in all rows of a column.
    """
    from sketchfusion.analysis.pca import pca_of_sources
    from sketchfusion.drawing import check_drawing_path, save_drawing

    check_drawing_path(out)
    batches = [Pictures(photos, "photo"), *([Pictures(sketch, "sketch")] if sketch else [])]
    model = open_with_tap(preset, settings, device, dtype, tap)
    shown, canvases = [], []
    with common.progress_bar("Looking") as advance:
        for batch, kind in zip(batches, KINDS, strict=False):
            for canvas in model.canvases(batch.read(readers(model)[kind], advance), kind, batch_size):
                canvases.append(canvas)
                shown += [(kind, pixels) for pixels in canvas.pixels]
    found = pca_of_sources(model, canvases, tap)
    save_drawing(drawn_pca(shown, found), out)
    report_pca(batches, found, model, out, as_json=as_json)


def open_with_tap(preset: str | None, settings: list[str] | None, device: str, dtype: str, tap: str) -> SketchFusion:
    """The model. Raises ConfigError: it does not read the tap."""
    from sketchfusion.analysis.sources import check_tap

    model = common.open_model(preset or DEFAULT_PRESET, settings or (), device, dtype)
    check_tap(model, tap)
    return model


def readers(model: SketchFusion, *, square: bool = False) -> dict[Kind, Callable[[str], Image.Image]]:
    """How a picture of each kind is read from its path; with ``square`` photos are cut to their middle."""
    from sketchfusion.analysis.spectrum import centre_square
    from sketchfusion.images import decode, open_image
    from sketchfusion.sketches import read_sketch

    def photo(path: str) -> Image.Image:
        image = decode(open_image(path), canvas_side=2 * model.canvas_size if square else model.canvas_size)
        return centre_square(image) if square else image

    return {"photo": photo, "sketch": read_sketch}


def drawn_pca(shown: Sequence[tuple[str, Any]], found: dict[str, JointPca]) -> Image.Image:
    """The picture: photos and sketches in turn."""
    from PIL import Image

    from sketchfusion.analysis.pca_figure import ShownPicture, pca_figure

    rows = [ShownPicture(kind, Image.fromarray(pixels.permute(1, 2, 0).numpy()), row)
            for row, (kind, pixels) in enumerate(shown)]
    by_kind = [[row for row in rows if row.label == kind] for kind in KINDS]
    return pca_figure([row for row in chain(*zip_longest(*by_kind)) if row is not None], found)


def report_pca(batches: Sequence[Pictures], found: dict[str, JointPca], model: SketchFusion, out: Path, *,
               as_json: bool) -> None:
    """Print how much the components tell."""
    rows = {name: {"grid": list(pca.maps.shape[2:]), "explained": [round(value, PLACES) for value in
                                                                  pca.explained.tolist()]}
            for name, pca in found.items()}
    if as_json:
        common.print_json({"model": model.name, "fingerprint": model.fingerprint, "picture": str(out),
                           "pictures": [path for batch in batches for path in batch.kept], "sources": rows,
                           "failures": [item for batch in batches for item in batch.failures_as_json()]})
        return
    for batch in batches:
        batch.report_failures()
    typer.echo(f"{'features':<10}  {'cells':>9}  share of the variance: 1st, 2nd, 3rd component")
    for name, row in rows.items():
        shares = "  ".join(f"{100 * value:>5.1f} %" for value in row["explained"])
        typer.echo(f"{name:<10}  {' x '.join(map(str, row['grid'])):>9}  {shares}")
    common.note(f"Picture: {out}")


@app.command()
@common.handle_errors
def spectrum(
    photos: Annotated[list[str], typer.Option(metavar="PHOTO", help="Photos or a folder of them; may be repeated.")],
    sketches: Annotated[list[str], typer.Option(
        metavar="SKETCH", help="Sketches or a folder of them; may be repeated.")],
    out: Annotated[Path | None, typer.Option(
        metavar="FILE.PNG", help="Also draw spectra and profiles (.png, .jpg or .webp).")] = None,
    limit: Limit = None,
    tap: Tap = TAP,
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Measure which spatial frequencies features hold: the patch encoder's, a block's of the UNet, and the fused.

    The low share is the energy up to half the highest frequency that all three can hold, over that up to the whole of
    it, the mean left out; "beyond" are finer ones. "In common" is the mean cosine between the maps of two pictures:
    what does not depend on the picture. Of photos the largest square in the middle is taken, sketches lie on paper.
    """
    from sketchfusion.analysis.spectrum import spectra_of_sources
    from sketchfusion.drawing import check_drawing_path, save_drawing

    if out is not None:
        check_drawing_path(out)
    batches = {"photo": Pictures(photos, "photo"), "sketch": Pictures(sketches, "sketch")}
    model = open_with_tap(preset, settings, device, dtype, tap)
    by_kind: dict[Kind, dict[str, Spectra]] = {}
    for kind in KINDS:
        batch = batches[kind]
        batch.paths = spread(batch.paths, limit)
        with common.progress_bar(f"Looking at {kind}{'es' if kind == 'sketch' else 's'}") as advance:
            images = batch.read(readers(model, square=True)[kind], advance)
            by_kind[kind] = spectra_of_sources(model, model.canvases(images, kind, batch_size), tap)
    found = {name: {kind: spectra[name] for kind, spectra in by_kind.items()} for name in by_kind["photo"]}
    if out is not None:
        from sketchfusion.analysis.spectrum_figure import spectrum_figure

        save_drawing(spectrum_figure(found), out)
    report_spectrum(list(batches.values()), found, model, out, as_json=as_json)


def spread(paths: list[str], limit: int | None) -> list[str]:
    """At most ``limit`` of the paths, evenly spread."""
    if limit is None or len(paths) <= limit:
        return paths
    return [paths[number * len(paths) // limit] for number in range(limit)]


def report_spectrum(batches: Sequence[Pictures], found: dict[str, dict[Kind, Spectra]], model: SketchFusion,
                    out: Path | None, *, as_json: bool) -> None:
    """Print low against high."""
    from sketchfusion.analysis.spectrum import summarise

    rows = {name: {kind: summarise(spectra) for kind, spectra in by_kind.items()} for name, by_kind in found.items()}
    any_source = next(iter(found.values()))["photo"]
    nyquist = any_source.cells / 2
    if as_json:
        sources = {name: {"grid": found[name]["photo"].grid, **by_kind} for name, by_kind in rows.items()}
        common.print_json({"model": model.name, "fingerprint": model.fingerprint,
                           "picture": None if out is None else str(out), "unit": "cycles per picture",
                           "low_up_to": nyquist / 2, "high_up_to": nyquist, "sources": sources,
                           "failures": [item for batch in batches for item in batch.failures_as_json()]})
        return
    for batch in batches:
        batch.report_failures()
    typer.echo(f"low: up to {nyquist / 2:g}, high: {nyquist / 2:g} to {nyquist:g} cycles per picture\n")
    typer.echo(f"{'features':<10}  {'cells':>9}  {'of':<6}  {'pictures':>8}  {'low share':>9}  {'95 % interval':>16}  "
               f"{'low / high':>10}  {'beyond':>7}  {'in common':>9}")
    for name, by_kind in rows.items():
        grid = found[name]["photo"].grid
        for kind, row in by_kind.items():
            share, shared = row["low_share"], row["common"]
            between = f"{100 * share['low']:.1f} to {100 * share['high']:.1f} %"
            typer.echo(f"{name:<10}  {f'{grid} x {grid}':>9}  {kind:<6}  {row['pictures']:>8,}  "
                       f"{100 * share['mean']:>7.1f} %  {between:>16}  {row['ratio']['mean']:>10.2f}  "
                       f"{100 * row['beyond']['mean']:>5.1f} %  {'-' if shared is None else f'{shared:.3f}':>9}")
    if out is not None:
        common.note(f"Picture: {out}")


@app.command()
@common.handle_errors
def weights(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Preset names or folders of trained models.")],
    photo: Annotated[list[str] | None, typer.Option(
        "--photo", metavar="PHOTO", help="Measure the injection's strength on these photos or folders; may be "
                                         "repeated.")] = None,
    sketch: Sketches = None,
    limit: Limit = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Compare what fusions learned: branch weights, and the injection at each block.

    Of the injection the norm of its weights is told and, with pictures, its strength: the norm of what is added over
    that of the block's own output.
    """
    from sketchfusion.analysis.weights import fusion_weights

    batches = {kind: Pictures(given, kind) for kind, given in zip(KINDS, (photo, sketch), strict=True) if given}
    for batch in batches.values():
        batch.paths = spread(batch.paths, limit)
    found, fingerprints = [], []
    for name in models:
        model = common.open_model(name, settings or (), device, dtype)
        found.append(fusion_weights(model, canvases_of(model, batches, batch_size)))
        fingerprints.append(model.fingerprint)
    report_weights(models, fingerprints, found, list(batches.values()), as_json=as_json)


def canvases_of(model: SketchFusion, batches: dict[Kind, Pictures], batch_size: int) -> list[Canvas]:
    """All pictures on the model's canvas."""
    canvases: list[Canvas] = []
    for kind, batch in batches.items():
        batch.kept = []
        batch.paths = [path for path in batch.paths if path not in {failure.path for failure in batch.failures}]
        canvases += model.canvases(batch.read(readers(model)[kind], lambda done, total: None), kind, batch_size)
    return canvases


def report_weights(models: Sequence[str], fingerprints: Sequence[str], found: Sequence[FusionWeights],
                   batches: Sequence[Pictures], *, as_json: bool) -> None:
    """Print a column for each model."""
    if as_json:
        common.print_json({
            "models": [{"model": name, "fingerprint": fingerprint, **weights_as_plain(weights)}
                       for name, fingerprint, weights in zip(models, fingerprints, found, strict=True)],
            "pictures": [path for batch in batches for path in batch.kept],
            "failures": [item for batch in batches for item in batch.failures_as_json()]})
        return
    for batch in batches:
        batch.report_failures()
    for number, (name, fingerprint) in enumerate(zip(models, fingerprints, strict=True), start=1):
        typer.echo(common.one_line(f"{number}  {name} ({fingerprint})"))
    columns = [weight_rows(weights) for weights in found]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    width = max(map(len, labels))
    typer.echo("\n" + f"{'':<{width}}" + "".join(f"  {number:>8}" for number in range(1, len(models) + 1)))
    for label in labels:
        cells = [column.get(label) for column in columns]
        typer.echo(f"{label:<{width}}" + "".join(f"  {'-' if cell is None else f'{cell:.4f}':>8}" for cell in cells))


def weight_rows(weights: FusionWeights) -> dict[str, float | None]:
    """Label -> number of everything that is told of one model; what was not measured is missing."""
    several = len(weights.branch_weights) > 1
    rows: dict[str, float | None] = {
        f"branch weight {tap}{f' at t={step}' if several else ''}": value
        for step, taps in weights.branch_weights.items() for tap, value in taps.items()}
    rows |= {f"norm of C {block}": injection.norm for block, injection in weights.injection.items()}
    return rows | {f"strength {block}": injection.strength for block, injection in weights.injection.items()
                   if injection.strength is not None}


def weights_as_plain(weights: FusionWeights) -> dict[str, Any]:
    """As plain values for JSON."""
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, PLACES)

    return {"branch_weights": [{"timestep": step, "taps": {tap: rounded(value) for tap, value in taps.items()}}
                               for step, taps in weights.branch_weights.items()],
            "injection": {block: {"norm": rounded(injection.norm), "strength": rounded(injection.strength)}
                          for block, injection in weights.injection.items()}}
