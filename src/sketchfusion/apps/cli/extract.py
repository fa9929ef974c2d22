"""``sketchfusion extract``: dense features or descriptors of pictures into one safetensors or npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sketchfusion.apps.cli import common
from sketchfusion.config import DEFAULT_PRESET

What = Literal["descriptors", "features"]


@common.handle_errors
def extract(
    pictures: Annotated[list[str], typer.Argument(
        help="Photos, sketches (pictures, SVG, ndjson) or folders. An ndjson file stands for its first drawing; "
             "FILE.ndjson#12 is its 12th line.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .safetensors or .npz.")],
    what: Annotated[What, typer.Option(help="One vector per picture, or the dense map too.")] = "descriptors",
    kind: Annotated[Literal["photo", "sketch"], typer.Option(help="What the pictures are.")] = "photo",
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Write features of pictures to a file: `descriptors` (N, D), and for `features` also `feature_maps` (N, D, H, W).

    A picture that cannot be read is named and left out; the file lists the paths of its rows in order.
    """
    from sketchfusion.index.extraction import check_out, explain, extract_to_file
    from sketchfusion.index.scan import Failure

    check_out(out)
    model = common.open_model(preset or DEFAULT_PRESET, settings or (), device, dtype)
    with common.progress_bar("Extracting") as advance:
        report = extract_to_file(model, pictures, out, dense=what == "features", kind=kind, batch_size=batch_size,
                                 advance=advance)
    if as_json:
        common.print_json(report)
        return
    for failure in report["failures"]:
        common.note(f"left out: {explain(Failure(**failure))}")
    typer.echo(f"{len(report['paths']):,} pictures -> {out}")
