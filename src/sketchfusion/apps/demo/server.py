"""The API of ``apps.web`` in a thread of this process, for a demo that is given a gallery and no address."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from sketchfusion.apps.demo.client import ServerError
from sketchfusion.apps.web.app import create_app
from sketchfusion.apps.web.settings import Settings
from sketchfusion.index.gallery import Gallery

HOST = "127.0.0.1"
START_S, STOP_S = 60.0, 10.0


class ApiServer:
    """Serves one gallery on a free port that only this machine can reach, from when it is made until ``close``.

    Args:
        gallery: folder of the gallery.
        device, dtype: where its model runs.
    Raises:
        GalleryError: there is no such gallery.
        ConfigError, WeightsUnavailable, DeviceError: its model cannot be loaded.
        ServerError: it does not start.
    """

    def __init__(self, gallery: Path, *, device: str = "auto", dtype: str = "auto") -> None:
        Gallery.open(gallery)  # the server itself would go on without it
        self.nothing = tempfile.TemporaryDirectory(prefix="sketchfusion-demo-")  # no photos, no other galleries
        home = Path(self.nothing.name)
        app = create_app(Settings(galleries=(gallery,), home=home, photos=home, host=HOST, port=0, device=device,
                                  dtype=dtype))
        try:
            self.address = self.start(app)
        except BaseException:
            app.state.service.close()
            self.nothing.cleanup()
            raise

    def start(self, app: FastAPI) -> str:
        """Load the model, listen, and give the address once requests are answered."""
        app.state.service.warm()
        self.listener = socket.create_server((HOST, 0))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False,
                                                    timeout_graceful_shutdown=round(STOP_S), lifespan="on"))
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), name="api", daemon=True)
        self.thread.start()
        end = time.monotonic() + START_S
        while not self.server.started:
            if not self.thread.is_alive() or time.monotonic() > end:
                self.server.should_exit = True
                self.listener.close()
                raise ServerError("the server of the demo does not start; try `sketchfusion serve --gallery FOLDER`, "
                                  "which says why")
            time.sleep(0.02)
        return f"http://{HOST}:{self.listener.getsockname()[1]}"

    def close(self) -> None:
        """Let running requests end, and stop."""
        self.server.should_exit = True
        self.thread.join(2 * STOP_S)
        self.listener.close()
        self.nothing.cleanup()
