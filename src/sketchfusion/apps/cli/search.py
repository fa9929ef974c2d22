"""``sketchfusion search`` and ``sketchfusion similar``: find photos in a gallery."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from PIL import Image

    from sketchfusion.index.gallery import Gallery
    from sketchfusion.index.search import SearchOptions, SearchResult


class Order(StrEnum):
    """What the results are sorted by."""

    score = "score"
    date = "date"


GalleryFolder = Annotated[Path, typer.Option(help="Folder of the gallery.")]
Top = Annotated[int, typer.Option(min=1, help="At most so many photos.")]
MinScore = Annotated[float | None, typer.Option(
    parser=common.number(-1, 1), metavar="X", help="Leave out photos below this score, a cosine.")]
Folder = Annotated[Path | None, typer.Option(help="Only photos in this folder and below.")]
After = Annotated[datetime | None, typer.Option(
    formats=["%Y-%m-%d"], help="Only photos of this day or later (EXIF date taken, otherwise the file's last change).")]
Before = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only photos of this day or earlier.")]
Sort = Annotated[Order, typer.Option(help="score: best first; date: the same photos, newest first.")]
Sheet = Annotated[Path | None, typer.Option(
    metavar="OUT.PNG", help="Also draw the query and what was found as one picture (.png, .jpg or .webp).")]


@common.handle_errors
def search(
    sketch: Annotated[str, typer.Argument(
        metavar="SKETCH", help="Picture, SVG or Quick, Draw! ndjson (drawings.ndjson#12 is its 12th line); "
                               "'-' reads it from the standard input.")],
    gallery: GalleryFolder,
    top: Top = 20,
    min_score: MinScore = None,
    folder: Folder = None,
    after: After = None,
    before: Before = None,
    sort: Sort = Order.score,
    sheet: Sheet = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Find photos by a sketch: score and path of each, best first.

    The exit code is 0 also when nothing is found.
    """
    from sketchfusion.drawing import check_drawing_path
    from sketchfusion.index.gallery import Gallery
    from sketchfusion.sketches import read_sketch

    options = make_options(top, min_score, folder, after, before, sort)
    opened = Gallery.open(gallery)
    if sheet is not None:
        check_drawing_path(sheet)
    picture = read_sketch(common.read_argument(sketch))
    describer = common.open_model(opened.record.model, opened.record.overrides, device, dtype)
    result = opened.search(picture, describer, options)
    name = sketch if len(sketch) < 500 and not sketch.lstrip().startswith(("{", "[", "<")) else "sketch"
    if sheet is not None:
        draw_sheet(sheet, picture, name, opened, result)
    report(name, opened, result, options, as_json=as_json)


@common.handle_errors
def similar(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photo, in the gallery or not.")],
    gallery: GalleryFolder,
    top: Top = 20,
    min_score: MinScore = None,
    folder: Folder = None,
    after: After = None,
    before: Before = None,
    sort: Sort = Order.score,
    sheet: Sheet = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Find photos that look like a photo; itself and exact copies of it are left out.

    The exit code is 0 also when nothing is found.
    """
    from sketchfusion.drawing import check_drawing_path
    from sketchfusion.images import as_image
    from sketchfusion.index.gallery import Gallery

    options = make_options(top, min_score, folder, after, before, sort)
    opened = Gallery.open(gallery)
    if sheet is not None:
        check_drawing_path(sheet)
    describer = None
    if not opened.knows(photo):
        describer = common.open_model(opened.record.model, opened.record.overrides, device, dtype)
    result = opened.similar(photo, describer, options)
    if sheet is not None:
        draw_sheet(sheet, as_image(photo), str(photo), opened, result)
    report(str(photo), opened, result, options, as_json=as_json)


def make_options(top: int, min_score: float | None, folder: Path | None, after: datetime | None,
                 before: datetime | None, sort: Order) -> SearchOptions:
    """The options as the library takes them. Raises ConfigError: they contradict one another."""
    from sketchfusion.index.search import SearchOptions

    return SearchOptions(top=top, min_score=min_score, folder=folder, after=after.date() if after else None,
                         before=before.date() if before else None, sort=sort.value)


def report(query: str, gallery: Gallery, result: SearchResult, options: SearchOptions, *, as_json: bool) -> None:
    """Print what was found, and say so where it is nothing."""
    if as_json:
        common.print_json({"query": query, "gallery": str(gallery.folder), "results": [
            {"rank": rank, "path": hit.path, "score": round(hit.score, 6), "date": hit.date.isoformat(),
             "folder": hit.folder, "width": hit.width, "height": hit.height}
            for rank, hit in enumerate(result.hits, start=1)]})
    else:
        for hit in result.hits:
            typer.echo(f"{hit.score:.4f}  {common.one_line(hit.path)}")
    if result.hits:
        return
    if result.best is not None:
        common.note(f"Nothing scored {options.min_score} or more; the best was {result.best:.4f}.")
    elif gallery.store.count() == 0:
        common.note("The gallery has no photos; run `sketchfusion index`.")
    else:
        common.note(nothing_found(gallery, options))


def nothing_found(gallery: Gallery, options: SearchOptions) -> str:
    """Why nothing was found in a gallery that has photos."""
    if options.folder is not None and not gallery.knows_folder(options.folder):
        return f"The gallery knows no photo in {common.one_line(str(options.folder))}."
    limits = ["in this folder"] * (options.folder is not None)
    limits += ["between these dates"] * (options.after is not None or options.before is not None)
    return f"Nothing was found {' and '.join(limits)}." if limits else "The gallery has no other photo."


def draw_sheet(path: Path, query: Image.Image, name: str, gallery: Gallery, result: SearchResult) -> None:
    """Draw and save the contact sheet."""
    from sketchfusion.drawing import save_drawing
    from sketchfusion.index.contact_sheet import contact_sheet

    thumbnails = gallery.thumbnails([hit.path for hit in result.hits])
    save_drawing(contact_sheet(query, Path(name).name, result.hits, thumbnails), path)
    common.note(f"Contact sheet: {path}")
