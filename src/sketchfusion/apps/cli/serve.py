"""``sketchfusion serve``: the page on which one draws and finds."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sketchfusion.apps.cli import common
from sketchfusion.errors import ConfigError

if TYPE_CHECKING:
    from sketchfusion.apps.web.models import Loaded

GRACE_S = 10  # for requests that run when the server is stopped
LAST_S = 0.5  # to see whether all work has ended


@common.handle_errors
def serve(
    gallery: Annotated[list[Path] | None, typer.Option(help="Folder of a gallery; may be repeated. The first is shown "
                                                       "at first.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 7861,
    photos: Annotated[Path | None, typer.Option(
        help="Folder below which the page may index; default: the home folder.", show_default=False)] = None,
    galleries: Annotated[Path | None, typer.Option(
        help="Folder in which the page makes galleries; default: the user's data folder.", show_default=False)] = None,
    token: Annotated[str | None, typer.Option(
        envvar="SKETCHFUSION_TOKEN", help="What clients must show, at least 16 letters and digits; made where it is "
        "needed, which is on any address but this machine's own, and with --public-url.", show_default=False)] = None,
    public_url: Annotated[str | None, typer.Option(
        envvar="SKETCHFUSION_PUBLIC_URL", help="Address at which a proxy serves the page to others, such as "
        "https://photos.example.org.", show_default=False)] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = False,
    preset: common.Preset = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
) -> None:
    """Serve the page: draw, find, see why, cut out, match. Ctrl-C stops it.

    Nothing leaves this machine. With no gallery, the page makes one of a folder of photos.
    """
    from sketchfusion.apps.web.settings import Settings, default_home, is_loopback
    from sketchfusion.index.gallery import Gallery

    for folder in gallery or ():
        Gallery.open(folder)
    made = token or (None if is_loopback(host) and public_url is None else secrets.token_hex(16))
    settings = Settings(galleries=tuple(gallery or ()), home=galleries or default_home(), photos=photos or Path.home(),
                        host=host, port=port, token=made, public_url=public_url, model=preset, device=device,
                        dtype=dtype)
    if not settings.photos.is_dir():
        raise ConfigError(f"there is no folder {settings.photos}; give one with --photos")
    with listening(host, port) as listener:
        run(settings, listener, show=show)


def listening(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises ConfigError: it is taken or not this machine's."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}, port {port}: {error.strerror or error}; choose another --port "
                          "(0 takes any that is free) or --host") from None
    except UnicodeError:
        raise ConfigError(f"{host!r} cannot be the name of a host; give an address such as 127.0.0.1") from None


def run(settings: object, listener: socket.socket, *, show: bool) -> None:
    """Load the model, then serve until Ctrl-C or SIGTERM; jobs are cancelled then, and what they indexed stays."""
    from sketchfusion.apps.web.app import create_app
    from sketchfusion.apps.web.memory import return_large_pieces
    from sketchfusion.apps.web.protocol import server_of
    from sketchfusion.apps.web.settings import Settings

    assert isinstance(settings, Settings)
    return_large_pieces()
    app = create_app(settings)
    common.note("Loading the model ...")
    try:
        loaded = app.state.service.warm()
    except BaseException:
        app.state.service.close()
        raise
    for gallery in made_by_others(settings.galleries, app.state.service.models.loaded):
        common.note(f"Note: the model that made {gallery} is another one now, so it cannot be searched. Describe its "
                    "photos anew with `sketchfusion index --rebuild`.")
    address = address_of(settings.host, listener.getsockname()[1])
    opened = f"{settings.public_url}/" if settings.public_url else address
    whole = opened + (f"?token={settings.token}" if settings.token else "")
    typer.echo(f"SketchFusion ({loaded.model.name}) at {whole}")
    if settings.public_url:
        common.note(f"The proxy before it has to forward to {address}")
    common.note("Ctrl-C stops it.")
    sys.stdout.flush()
    server = server_of(app, settings.limits, grace=GRACE_S)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them once more when it has ended in good order
        signal.signal(number, lambda *_: None)
    if show:
        threading.Timer(0.5, webbrowser.open, (whole,)).start()
    server.run(sockets=[listener])
    common.note("Stopped.")
    if not app.state.service.close(LAST_S):
        abandon()


def abandon() -> None:
    """End the process although threads work on, and with it what draws SVG for them; Python would wait for both."""
    sys.stdout.flush()
    sys.stderr.flush()
    for children in Path("/proc/self/task").glob("*/children"):  # only Linux tells them
        for child in map(int, children.read_text().split()):
            with suppress(ProcessLookupError):
                if os.getsid(child) == os.getsid(0):  # a browser that was opened has a session of its own
                    os.kill(child, signal.SIGKILL)
    os._exit(0)


def made_by_others(galleries: Sequence[Path], models: Mapping[tuple[str, tuple[str, ...]], Loaded]) -> list[Path]:
    """Galleries whose model is loaded, and is another one now than the one that made them."""
    from sketchfusion.index.gallery import Gallery

    records = [(folder, Gallery.open(folder).record) for folder in galleries]
    return [folder for folder, record in records if (found := models.get((record.model, record.overrides)))
            and found.fingerprint != record.fingerprint]


def address_of(host: str, port: int) -> str:
    """What to type into a browser."""
    name = {"0.0.0.0": "localhost", "::": "localhost", "": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"
