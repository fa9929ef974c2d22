"""``sketchfusion index``: bring a gallery up to date with folders of photos."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sketchfusion.apps.cli import common

if TYPE_CHECKING:
    from sketchfusion.fusion.extractor import SketchFusion
    from sketchfusion.index.update import Summary


@common.handle_errors
def index(
    photos: Annotated[list[Path] | None, typer.Argument(
        metavar="[PHOTOS]", help="Folders (with all below) and picture files; none: all that were indexed before.",
        show_default=False)] = None,
    gallery: Annotated[Path, typer.Option(help="Folder of the gallery; made if it does not exist.")] = ...,  # type: ignore[assignment]
    preset: common.Preset = None,
    overrides: common.Settings = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    batch_size: common.BatchSize = 16,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that read photos; default: the cores.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Describe everything anew, also with another model; the "
                                          "present gallery stays in use until the new one is complete.")] = False,
    dense_rank: Annotated[int | None, typer.Option(
        min=0, help="How much is kept of each photo's dense map, which shows why it was found: its rank, 0 for none; "
                    "of a new gallery or with --rebuild. Default: as before, 16 for a new one.")] = None,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="Accept that a folder is gone or lost all its "
                                              "photos; otherwise its disk is taken to be not mounted.")] = False,
    as_json: common.AsJson = False,
) -> None:
    """Index photos, so that they are found by sketches.

    Only new and changed photos pass the model; photos that are gone leave the gallery. Stopped at any moment, it goes
    on from there when it is run again. Hidden and system folders are skipped. Files that cannot be read do not stop
    it: they are listed at the end, and the exit code is still 0.
    """
    from sketchfusion.index.folder import check_place, writing
    from sketchfusion.index.gallery import Gallery
    from sketchfusion.index.record import DENSE_RANK, check_dense_rank, has_record
    from sketchfusion.index.scan import absolute, check_roots
    from sketchfusion.index.update import UpdateOptions

    folder = Path(absolute(gallery))
    exists = has_record(folder)
    # All that can be known to be wrong is said before the model is loaded, which may take a minute.
    if exists:
        present = Gallery.open(folder, outdated=rebuild)
        present.chosen_rank(dense_rank, rebuild=rebuild)
        present.check_photos(photos or [], allow_empty=allow_empty)
        with writing(folder):
            pass
    else:
        check_roots(photos or [])
        check_place(folder)
        check_dense_rank(dense_rank or 0)
    describer = load_model(folder if exists else None, preset, overrides, device, dtype)
    new_rank = DENSE_RANK if dense_rank is None else dense_rank
    opened = (Gallery.open(folder, outdated=rebuild) if exists
              else Gallery.create(folder, describer, dense_rank=new_rank))
    options = UpdateOptions(batch_size=batch_size, workers=workers, allow_empty=allow_empty)
    try:
        with common.progress_bar("Indexing") as on_progress:
            summary = opened.update(photos or [], describer, options=options, rebuild=rebuild, dense_rank=dense_rank,
                                    on_progress=on_progress)
    except KeyboardInterrupt:
        common.note("What was done is kept. Run the same command again to go on from there.")
        raise
    report(folder, summary, as_json=as_json)


def load_model(gallery: Path | None, preset: str | None, overrides: list[str] | None, device: str,
               dtype: str) -> SketchFusion:
    """The model asked for; otherwise the one that made the gallery; otherwise the default."""
    from sketchfusion.index.record import read_record

    if gallery is not None and preset is None:
        record = read_record(gallery, outdated=True)  # whoever may not use an older one was stopped before
        chosen = record.overrides if overrides is None else tuple(overrides)
        return common.open_model(record.model, chosen, device, dtype)
    if preset is None:
        from sketchfusion.config import DEFAULT_PRESET

        preset = DEFAULT_PRESET
    return common.open_model(preset, tuple(overrides or ()), device, dtype)


def report(folder: Path, summary: Summary, *, as_json: bool) -> None:
    """Print what was done and what was left out."""
    if as_json:
        common.print_json({"gallery": str(folder), **asdict(summary)})
        return
    for line in summary_lines(folder, asdict(summary)):
        typer.echo(common.one_line(line))


def summary_lines(folder: Path, counts: dict[str, Any]) -> list[str]:
    """The summary in words."""
    lines = [f"{counts['photos']:,} photos in {folder} after {counts['seconds']:.1f} s: "
             f"{counts['added']:,} added, {counts['changed']:,} changed, {counts['unchanged']:,} unchanged, "
             f"{counts['removed']:,} removed."]
    if counts["reused"]:
        lines.append(f"Moved, copied or repeated photos, which need not pass the model: {counts['reused']:,}.")
    if counts["not_pictures"]:
        kinds = ", ".join(f"{suffix} {number:,}" for suffix, number in counts["not_pictures"].items())
        lines.append(f"Files that are not pictures: {sum(counts['not_pictures'].values()):,} ({kinds}).")
    if counts["failures"]:
        lines.append(f"Could not be indexed: {len(counts['failures']):,}.")
        lines += [f"  {failure['path']}: {failure['reason']}" for failure in counts["failures"]]
    return lines + [f"Note: {text}" for text in counts["notes"]]
