"""``sketchfusion match``: where the points of a sketch lie in photos, and the reverse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.pictures import Photos, Pictures, Sketch, check_photo, name_of, short_name
from sketchfusion.config import DEFAULT_PRESET

if TYPE_CHECKING:
    from PIL import Image

    from sketchfusion.figures.point_lines import MatchedPhoto
    from sketchfusion.tasks.correspondence import Matches


@common.handle_errors
def match(
    sketch: Sketch,
    photos: Photos,
    point: Annotated[list[str] | None, typer.Option(
        metavar="X,Y", help="A point in pixels of the sketch, from its top left corner (with --reverse of the photo); "
                            "may be repeated.")] = None,
    points: Annotated[int, typer.Option(min=1, help="Without --point: so many, spread over the sketch's lines.")] = 12,
    reverse: Annotated[bool, typer.Option(
        "--reverse", help="The points lie on the photo, a single one, and are looked up in the sketch.")] = False,
    picture: Annotated[Path | None, typer.Option(
        metavar="LINES.PNG", help="Also draw the pairs with lines between their points (.png, .jpg or .webp).")] = None,
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Find points of a sketch in photos: each point, its place, and how alike they are, a cosine.

    A photo that cannot be read is named and left out; the exit code is 3 if none could be.
    """
    import torch

    from sketchfusion.drawing import check_drawing_path
    from sketchfusion.sketches import read_sketch
    from sketchfusion.tasks.correspondence import match_points

    if picture is not None:
        check_drawing_path(picture)
    given = [parse_point(text) for text in point or ()]
    batch = Pictures(photos, "photo")
    if reverse:
        check_reverse(batch, given)
    image = read_sketch(common.read_argument(sketch))
    model = common.open_model(preset or DEFAULT_PRESET, settings or (), device, dtype)
    with common.progress_bar("Matching") as advance:
        readable = batch.read(lambda path: check_photo(path, model.canvas_size), advance)
        found = match_points(model, image, readable, torch.tensor(given) if given else None, num_points=points,
                             reverse=reverse, batch_size=batch_size)
    if picture is not None:
        draw_lines(picture, image, name_of(sketch), matched_photos(batch.kept, found, reverse))
    report(sketch, batch, found, reverse, as_json=as_json)


def parse_point(text: str) -> tuple[float, float]:
    """``(12.0, 30.5)`` for ``"12,30.5"``. Raises ConfigError: it is none."""
    from sketchfusion.errors import ConfigError

    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ConfigError(f"--point takes X,Y in pixels, such as --point 120,80.5, got {text!r}")
    return x, y


def check_reverse(batch: Pictures, points: Sequence[Any]) -> None:
    """Raise ConfigError where there is not one photo with points on it."""
    from sketchfusion.errors import ConfigError

    if len(batch.paths) != 1:
        raise ConfigError(f"with --reverse the points lie on one photo, but {len(batch.paths)} were given; "
                          "run it for each")
    if not points:
        raise ConfigError("with --reverse the points cannot be chosen, since a photo has no lines; "
                          "give --point X,Y in pixels of the photo, as often as you like")


def report(sketch: str, batch: Pictures, found: Sequence[Matches], reverse: bool, *, as_json: bool) -> None:
    """Print the points."""
    if as_json:
        common.print_json({"sketch": name_of(sketch), "reverse": reverse, "results": [
            {"photo": path, "points": [{"query": query, "found": place, "score": score}
                                       for query, place, score in rows(matches)]}
            for path, matches in zip(batch.kept, found, strict=True)], "failures": batch.failures_as_json()})
        return
    batch.report_failures()
    first, second = ("photo", "sketch") if reverse else ("sketch", "photo")
    for number, (path, matches) in enumerate(zip(batch.kept, found, strict=True)):
        typer.echo(("\n" if number else "") + common.one_line(path))
        typer.echo(f"{'':>4}{first:>16}{second:>16}{'score':>9}")
        for index, (query, place, score) in enumerate(rows(matches), start=1):
            typer.echo(f"{index:>4}{spot(query):>16}{spot(place):>16}{score:>9.3f}")


def rows(matches: Matches) -> Iterator[tuple[list[float], list[float], float]]:
    """Each point, its place and its score as plain, rounded numbers."""
    columns = matches.query_px.tolist(), matches.found_px.tolist(), matches.scores.tolist()
    for query, place, score in zip(*columns, strict=True):
        yield [round(value, 2) for value in query], [round(value, 2) for value in place], round(score, 6)


def spot(point: Sequence[float]) -> str:
    """A point as it is printed."""
    return f"{point[0]:.1f}, {point[1]:.1f}"


def matched_photos(paths: Sequence[str], found: Sequence[Matches], reverse: bool) -> Iterator[MatchedPhoto]:
    """The rows of the picture; each photo is read when it is drawn."""
    from sketchfusion.figures.point_lines import MatchedPhoto
    from sketchfusion.images import as_image

    for path, matches in zip(paths, found, strict=True):
        query, place = matches.query_px.tolist(), matches.found_px.tolist()
        sketch_px, photo_px = (place, query) if reverse else (query, place)
        yield MatchedPhoto(as_image(Path(path)), short_name(path), f"mean score {matches.scores.mean():.3f}",
                           sketch_px, photo_px)


def draw_lines(path: Path, sketch: Image.Image, name: str, photos: Iterator[MatchedPhoto]) -> None:
    """Draw and save the pairs."""
    from sketchfusion.drawing import save_drawing
    from sketchfusion.figures.point_lines import point_lines

    save_drawing(point_lines(sketch, short_name(name), photos), path)
    common.note(f"Picture: {path}")
