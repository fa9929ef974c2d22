"""The command line: one verb a file, mounted here. A verb parses, calls the library once and prints."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from sketchfusion.apps.cli import (
    analyse,
    classify,
    common,
    compare,
    composites,
    data,
    data_check,
    evaluate,
    extract,
    gallery,
    index,
    info,
    match,
    pretrain,
    reproduce,
    search,
    segment,
    serve,
    train,
)

UsageError: Any = typer.BadParameter.__base__  # typer has its own, or click's, as its version is

app = typer.Typer(
    name="sketchfusion", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False,
    help="Find photos by drawing them: one feature space for freehand sketches and photos.",
    epilog="Exit codes: 0 done, 2 wrong option or setting, 3 unreadable picture, 4 missing weights, 5 gallery, "
           "6 data set, 7 device, 130 interrupted.")

app.command("index")(index.index)
app.command("search")(search.search)
app.command("similar")(search.similar)
app.command("classify")(classify.classify)
app.command("match")(match.match)
app.command("segment")(segment.segment)
app.command("serve")(serve.serve)
app.command("extract")(extract.extract)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.command("list")(info.list_presets)
app.command("info")(info.info)
app.add_typer(gallery.app, name="gallery")
data.app.command("make-composites")(composites.make_composites)
data.app.command("check")(data_check.check)
app.add_typer(data.app, name="data")
app.add_typer(pretrain.app, name="pretrain")
app.add_typer(analyse.app, name="analyse")


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    """Options that belong to no verb."""
    if version:
        from sketchfusion import __version__

        typer.echo(__version__)
        raise typer.Exit


def run() -> None:
    """What the ``sketchfusion`` command runs."""
    # PyTorch's threads shall sleep while they wait for each other. Left to spin, they take the core that the one they
    # wait for needs, and on busy cores a sketch takes seconds. It is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if "--json" in sys.argv[1:]:
            sys.exit(run_for_programs())
        app()
    except KeyboardInterrupt:  # outside of a verb, which deals with its own
        sys.exit(common.INTERRUPTED)


def run_for_programs() -> Any:
    """The exit code of the command; wrong options become JSON too, as the errors of the verbs do."""
    try:
        return app(standalone_mode=False)
    except UsageError as error:
        return common.fail(error.format_message(), "UsageError", error.exit_code, as_json=True).exit_code


if __name__ == "__main__":
    run()
