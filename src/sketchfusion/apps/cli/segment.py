"""``sketchfusion segment``: cut out of photos what a sketch shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.pictures import Photos, Pictures, Sketch, check_photo, name_of, short_name
from sketchfusion.config import DEFAULT_PRESET

if TYPE_CHECKING:
    from PIL import Image

    from sketchfusion.figures.mask_overlay import MaskedPhoto
    from sketchfusion.tasks.segmentation import Segmentation


@common.handle_errors
def segment(
    sketch: Sketch,
    photos: Photos,
    threshold: Annotated[float | None, typer.Option(
        parser=common.number(-1, 1), metavar="X",
        help="Foreground is where sketch and photo are at least this alike, a cosine; else the model's own.")] = None,
    refined: Annotated[bool, typer.Option(
        "--refine/--no-refine", help="Bring the mask in line with the edges in the photo.")] = True,
    masks: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="Write each mask here, NAME-mask.png of the photo's size; 255 is foreground.")] = None,
    picture: Annotated[Path | None, typer.Option(
        metavar="OVERLAY.PNG", help="Also draw photos and masks as one picture (.png, .jpg or .webp).")] = None,
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Cut out of photos what a sketch shows: share of foreground, score and box of each.

    The score is the mean probability of the foreground.

    A photo that cannot be read is named and left out; the exit code is 3 if none could be.
    """
    from sketchfusion.drawing import check_drawing_path, save_drawing
    from sketchfusion.sketches import read_sketch
    from sketchfusion.tasks.segmentation import segment

    if picture is not None:
        check_drawing_path(picture)
    if masks is not None:
        make_folder(masks)
    batch = Pictures(photos, "photo")
    image = read_sketch(common.read_argument(sketch))
    names = mask_names(batch.paths)
    rows: list[dict[str, Any]] = []
    drawn: list[MaskedPhoto] = []
    model = common.open_model(preset or DEFAULT_PRESET, settings or (), device, dtype)
    with common.progress_bar("Segmenting") as advance:
        readable = batch.read(lambda path: check_photo(path, model.canvas_size), advance)
        found = segment(model, image, readable, threshold=threshold, refined=refined, batch_size=batch_size)
        for segmentation, path in zip(found, batch.kept, strict=True):  # one by one: they come in full size
            file = None if masks is None else masks / names[path]
            if file is not None:
                save_drawing(mask_image(segmentation), file)
            rows.append(facts_of(path, segmentation, file))
            if picture is not None:
                drawn.append(masked_photo(rows[-1], segmentation))
    if picture is not None:
        draw_overlay(picture, image, name_of(sketch), drawn)
    report(sketch, batch, rows, as_json=as_json)


def make_folder(folder: Path) -> None:
    """Make the folder of the masks. Raises ConfigError: it cannot be made."""
    from sketchfusion.errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write masks into {folder}: {error.strerror}; name a folder that is there or can be "
                          "made") from None


def mask_names(paths: Sequence[str]) -> dict[str, str]:
    """Photo -> name of its mask: that of the photo with ``-mask.png``, numbered where it would be there already."""
    taken = {Path(path).name.lower() for path in paths}  # some file systems know no capitals
    names = {}
    for path in paths:
        stem, number = f"{Path(path).stem}-mask", 1
        name = f"{stem}.png"
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}.png"
        taken.add(name.lower())
        names[path] = name
    return names


def mask_image(segmentation: Segmentation) -> Image.Image:
    """Grey picture of the photo's own size, 255 for foreground and 0 for the rest."""
    from PIL import Image

    return Image.fromarray(segmentation.mask.byte().mul(255).numpy())


def facts_of(path: str, segmentation: Segmentation, file: Path | None) -> dict[str, Any]:
    """A row of the report as plain values."""
    box = mask_image(segmentation).getbbox()
    return {"photo": path, "mask": None if file is None else str(file),
            "foreground": round(segmentation.mask.float().mean().item(), 6), "score": round(segmentation.score, 6),
            "threshold": round(segmentation.threshold, 6), "box": None if box is None else list(box)}


def report(sketch: str, batch: Pictures, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        common.print_json({"sketch": name_of(sketch), "results": list(rows), "failures": batch.failures_as_json()})
        return
    batch.report_failures()
    typer.echo(f"{'foreground':>10}  {'score':>6}  {'left, top, right, bottom':<24}  photo")
    for row in rows:
        box = ", ".join(map(str, row["box"])) if row["box"] else "-"
        mask = f" -> {row['mask']}" if row["mask"] else ""
        typer.echo(f"{100 * row['foreground']:>8.1f} %  {row['score']:>6.3f}  {box:<24}  "
                   f"{common.one_line(row['photo'] + mask)}")


def masked_photo(row: dict[str, Any], segmentation: Segmentation) -> MaskedPhoto:
    """A row of the picture; photo and mask are no larger than it needs."""
    import numpy as np
    from PIL import Image

    from sketchfusion.figures.layout import SIDE
    from sketchfusion.figures.mask_overlay import MaskedPhoto
    from sketchfusion.images import decode, open_image

    photo = decode(open_image(row["photo"]), canvas_side=SIDE)
    photo.thumbnail((2 * SIDE, 2 * SIDE))
    mask = mask_image(segmentation).resize(photo.size, Image.Resampling.BOX)
    share = f"{100 * row['foreground']:.1f} % of the photo, score {row['score']:.3f}"
    facts = share if row["box"] else "nothing found"
    return MaskedPhoto(photo, short_name(row["photo"]), facts, np.asarray(mask) > 127)


def draw_overlay(path: Path, sketch: Image.Image, name: str, photos: Sequence[MaskedPhoto]) -> None:
    """Draw and save photos and masks."""
    from sketchfusion.drawing import save_drawing
    from sketchfusion.figures.mask_overlay import mask_overlay

    save_drawing(mask_overlay(sketch, short_name(name), photos), path)
    common.note(f"Picture: {path}")
