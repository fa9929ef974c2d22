"""Starting the demo: the API in this process or at an address, and Gradio's page over it, for this machine only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion.apps.demo.client import Client
from sketchfusion.apps.demo.server import HOST, ApiServer
from sketchfusion.errors import ConfigError

# Gradio's page has scripts and styles in itself. What matters: nothing of it may be fetched from elsewhere.
POLICY = (b"default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; object-src 'none'; base-uri 'self'; "
          b"form-action 'self'")


class Demo:
    """A demo that runs, until ``close`` or the end of the process.

    Attributes:
        address: of Gradio's page.
    """

    def __init__(self, blocks: Any, server: ApiServer | None) -> None:
        self.blocks, self.server, self.address = blocks, server, str(blocks.local_url)

    def __repr__(self) -> str:
        return f"the demo at {self.address}; close() ends it"

    def wait(self) -> None:
        """Stay until Ctrl-C, then close."""
        try:
            self.blocks.block_thread()  # closes the page itself
        finally:
            self.close()

    def close(self) -> None:
        """Stop the page, and the API if it was started for it."""
        self.blocks.close(verbose=False)
        if self.server is not None:
            self.server.close()
            self.server = None


def launch(gallery: str | os.PathLike[str] | None = None, *, address: str | None = None, token: str | None = None,
           port: int | None = None, inline: bool | None = None, device: str = "auto") -> Demo:
    """Show the demo; in a notebook below the cell.

    Args:
        gallery: folder of a gallery; the API is started for it.
        address, token: of a server that runs (``sketchfusion serve``), in place of a gallery.
        port: of Gradio's page on this machine; None: any that is free from 7860 on.
        inline: show the page below the cell; None: in notebooks.
        device: where the gallery's model runs.
    Raises:
        ConfigError: Gradio is not installed, or not one of ``gallery`` and ``address`` was given; see ``ApiServer``.
        GalleryError, WeightsUnavailable, DeviceError, ServerError: see ``ApiServer`` and ``blocks.build``.
    """
    if (gallery is None) == (address is None):
        raise ConfigError("the demo needs the folder of a gallery or the address of a server, one of the two; for "
                          'example "my.gallery", or address http://127.0.0.1:7861')
    try:
        from sketchfusion.apps.demo.blocks import THEME, build
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ConfigError("the demo needs Gradio, which is not installed; pip install 'sketchfusion[demo]', or use "
                          "`sketchfusion serve --gallery FOLDER`, which does without") from None
    server = None if gallery is None else ApiServer(Path(gallery), device=device)
    try:
        blocks = build(Client(server.address if server is not None else str(address), token))
        blocks.launch(server_name=HOST, server_port=port, share=False, inline=inline, quiet=True, theme=THEME,
                      prevent_thread_lock=True, ssr_mode=False, footer_links=[], enable_monitoring=False,
                      mcp_server=False, pwa=False, app_kwargs={"middleware": middleware(), "docs_url": None,
                                                               "redoc_url": None})
    except OSError as error:
        close(server)
        reason = str(error).partition(". ")[0]  # what follows is about Gradio's own options
        raise ConfigError(f"the demo cannot listen at {HOST}: {reason}; give another port, or none") from None
    except BaseException:
        close(server)
        raise
    return Demo(blocks, server)


def close(server: ApiServer | None) -> None:
    """Stop the API if it was started."""
    if server is not None:
        server.close()


def middleware() -> list[Middleware]:
    """What every request to Gradio's page passes: called by this machine's name, and nothing fetched elsewhere."""
    return [Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]), Middleware(OnlyHere)]


class OnlyHere:
    """Puts a policy on every answer by which browsers load nothing from other servers, whatever Gradio asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY),
                                      (b"referrer-policy", b"no-referrer")]
            await send(message)

        await self.app(scope, receive, send_on)
