"""``sketchfusion classify``: what sketches show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sketchfusion.apps.cli import common
from sketchfusion.apps.cli.pictures import Pictures, name_of, short_name
from sketchfusion.config import DEFAULT_PRESET

if TYPE_CHECKING:
    from PIL import Image

    from sketchfusion.tasks.recognition import Guess

BAR_WIDTH = 24  # letters
EIGHTHS = " ▏▎▍▌▋▊▉"


@common.handle_errors
def classify(
    sketches: Annotated[list[str], typer.Argument(
        metavar="SKETCH", help="Pictures, SVG, Quick, Draw! ndjson (drawings.ndjson#12 is its 12th line) or folders "
                                  "of them; '-' reads one from the standard input.")],
    top: Annotated[int, typer.Option(min=1, help="At most so many guesses for each.")] = 5,
    labels: Annotated[str | None, typer.Option(
        metavar="CAT,DOG,...", help="Choose among these names, in plain English, by the text encoder that belongs "
                                    "to the model's patch encoder; otherwise among the classes it learned.")] = None,
    picture: Annotated[Path | None, typer.Option(
        metavar="BARS.PNG", help="Also draw sketches and guesses as one picture (.png, .jpg or .webp).")] = None,
    preset: common.Preset = None,
    settings: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 8,
    as_json: common.AsJson = False,
) -> None:
    """Tell what sketches show: names and their probabilities, the best first.

    A sketch that cannot be read is named and left out; the exit code is 3 if none could be.
    """
    from sketchfusion.drawing import check_drawing_path
    from sketchfusion.sketches import read_sketch
    from sketchfusion.tasks.recognition import classify

    if picture is not None:
        check_drawing_path(picture)
    names = split_labels(labels)
    batch = Pictures(sketches, "sketch")
    images: list[Image.Image] = []

    def read(path: str) -> Image.Image:
        image = read_sketch(common.read_argument(path))
        if picture is not None:
            images.append(small(image))
        return image

    model = common.open_model(preset or DEFAULT_PRESET, settings or (), device, dtype)
    with common.progress_bar("Recognising") as advance:
        found = classify(model, batch.read(read, advance), top=top, labels=names, batch_size=batch_size)
    if picture is not None:
        draw_bars(picture, images, batch.kept, found)
    report(batch, found, as_json=as_json)


def split_labels(labels: str | None) -> list[str] | None:
    """The names between commas. Raises ConfigError: there is none, or one is empty."""
    from sketchfusion.errors import ConfigError

    if labels is None:
        return None
    names = [name.strip() for name in labels.split(",")]
    if not all(names):
        raise ConfigError(f"--labels takes names with commas between them, such as cat,dog, got {labels!r}")
    return names


def report(batch: Pictures, found: Sequence[Sequence[Guess]], *, as_json: bool) -> None:
    """Print the guesses."""
    if as_json:
        common.print_json({"results": [
            {"sketch": name_of(path), "guesses": [{"name": guess.name, "probability": round(guess.probability, 6)}
                                         for guess in guesses]}
            for path, guesses in zip(batch.kept, found, strict=True)], "failures": batch.failures_as_json()})
        return
    batch.report_failures()
    width = max((len(common.one_line(guess.name)) for guesses in found for guess in guesses), default=0)
    for number, (path, guesses) in enumerate(zip(batch.kept, found, strict=True)):
        typer.echo(("\n" if number else "") + common.one_line(name_of(path)))
        for guess in guesses:
            typer.echo(f"  {common.one_line(guess.name):<{width}}  {text_bar(guess.probability)}  "
                       f"{100 * guess.probability:5.1f} %")


def text_bar(share: float) -> str:
    """A bar of ``BAR_WIDTH`` letters, filled to a share in [0, 1] by eighths of a letter where they can be shown."""
    if not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf"):
        return ("#" * round(share * BAR_WIDTH)).ljust(BAR_WIDTH)
    whole, part = divmod(round(share * BAR_WIDTH * len(EIGHTHS)), len(EIGHTHS))
    return ("█" * whole + (EIGHTHS[part] if part else "")).ljust(BAR_WIDTH)


def small(image: Image.Image) -> Image.Image:
    """A copy no larger than it is drawn."""
    from sketchfusion.figures.class_bars import CELL

    copy = image.copy()
    copy.thumbnail((2 * CELL, 2 * CELL))
    return copy


def draw_bars(path: Path, images: Sequence[Image.Image], names: Sequence[str],
              found: Sequence[Sequence[Guess]]) -> None:
    """Draw and save sketches and guesses."""
    from sketchfusion.drawing import save_drawing
    from sketchfusion.figures.class_bars import GuessedSketch, class_bars

    rows = [GuessedSketch(image, short_name(name_of(name)), [(guess.name, guess.probability) for guess in guesses])
            for image, name, guesses in zip(images, names, found, strict=True)]
    save_drawing(class_bars(rows), path)
    common.note(f"Picture: {path}")
