"""``python -m sketchfusion.apps.demo GALLERY``: the demo until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sketchfusion.apps.cli import common
from sketchfusion.apps.demo import launch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@common.handle_errors
def main(
    gallery: Annotated[Path | None, typer.Argument(help="Folder of a gallery.", show_default=False)] = None,
    address: Annotated[str | None, typer.Option(
        help="In place of a gallery: address of `sketchfusion serve`.", show_default=False)] = None,
    token: Annotated[str | None, typer.Option(
        envvar="SKETCHFUSION_TOKEN", help="What that server wants to see.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(
        min=1, max=65535, help="Of the demo's page; default: any that is free.", show_default=False)] = None,
    device: common.Device = "auto",
) -> None:
    """A small demo with Gradio: draw, find, see why. `sketchfusion serve` has the whole page."""
    common.note("Starting ...")
    demo = launch(gallery, address=address, token=token, port=port, inline=False, device=device)
    typer.echo(f"The demo is at {demo.address}")
    common.note("Ctrl-C stops it.")
    demo.wait()


if __name__ == "__main__":
    app(prog_name="python -m sketchfusion.apps.demo")
