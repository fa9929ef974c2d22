"""The application: API below ``/api/v1``, the page at ``/``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion import __version__
from sketchfusion.apps.web.bodies import BodyLimit
from sketchfusion.apps.web.errors import add_handlers
from sketchfusion.apps.web.leaving import Leaving
from sketchfusion.apps.web.metrics import Measured
from sketchfusion.apps.web.models import Load
from sketchfusion.apps.web.routes import about, galleries, photos, search, sketches, why
from sketchfusion.apps.web.schemas import ErrorBody
from sketchfusion.apps.web.security import Guard
from sketchfusion.apps.web.service import Service
from sketchfusion.apps.web.settings import API, Settings
from sketchfusion.fusion.extractor import SketchFusion

STATIC = Path(__file__).parent / "static"
CHECK_BACK = {"Cache-Control": "no-cache"}  # asked about each time, so that an upgrade shows at once
RETRY = {"Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}}
ERROR = {"model": ErrorBody, "content": {"text/html": {"schema": {
    "type": "string", "description": "The same as a small page, where a browser opens the address itself."}}}}
ERRORS = {
    "4XX": {**ERROR, "description": "The request cannot be answered; the message says why and what to do."},
    "500": {**ERROR, "description": "Something unforeseen; the server's terminal says more."},
    "503": {**ERROR, "headers": RETRY, "description": "Busy or being stopped; try again later."},
    "504": {**ERROR, "headers": RETRY, "description": "It took too long; try again, or ask for less."}}
TOKEN = {"type": "http", "scheme": "bearer", "description": (
    "Wanted only by a server that was started with a token, as it is where others can reach it. Browsers may show a "
    "cookie instead, which opening /?token=TOKEN leaves.")}


class StaticFolder(StaticFiles):
    """Files of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As the base class has it, checked again at every use."""
        response = await super().get_response(path, scope)
        response.headers.update(CHECK_BACK)
        return response


class Documented(FastAPI):
    """An application that says in its document how the token is shown, and whether it is needed."""

    def openapi(self) -> dict[str, Any]:
        """As the base class has it, and ``TOKEN``."""
        document = super().openapi()
        document["components"]["securitySchemes"] = {"token": TOKEN}
        document["security"] = [{"token": []}] if self.state.service.settings.token else [{}, {"token": []}]
        return document


class Heads:
    """Answers HEAD as GET, without the body; once the headers are sent, nobody works for the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        with anyio.CancelScope() as rest:
            async def send_head(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body"})
                    rest.cancel()

            try:
                await self.app(asked, receive, send_head)
            finally:
                scope["route"] = asked.get("route")  # for ``Measured``


def create_app(settings: Settings, *, load: Load | None = None) -> FastAPI:
    """The application; ``app.state.service`` is what it works with, closed when the application shuts down.

    Args:
        settings: see there.
        load: see ``Models``; None: as the settings have it.
    """
    service = Service(settings, load or loader(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    app = Documented(title="SketchFusion", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
                     openapi_url=f"{API}/openapi.json", summary="Find photos by drawing them.", redirect_slashes=False)
    app.state.service = service
    api = APIRouter(prefix=API, responses=ERRORS)  # type: ignore[arg-type]
    for part in (about, sketches, galleries, search, photos, why):
        api.include_router(part.router)
    app.include_router(api)
    add_handlers(app)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=CHECK_BACK)

    app.mount("/static", StaticFolder(directory=STATIC))
    app.add_middleware(Leaving)
    app.add_middleware(BodyLimit, limits=settings.limits)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Heads)
    app.add_middleware(Measured, metrics=service.metrics)
    return app


def loader(settings: Settings) -> Load:
    """Loads models as the settings have it."""
    def load(model: str, overrides: tuple[str, ...]) -> SketchFusion:
        return SketchFusion.from_pretrained(model, overrides=overrides, device=settings.device, dtype=settings.dtype)
    return load
