"""Whether the server runs, what it counts, and the API in words."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sketchfusion import __version__
from sketchfusion.apps.web.naming import model_names, namer
from sketchfusion.apps.web.schemas import Health
from sketchfusion.apps.web.service import Serving
from sketchfusion.apps.web.settings import API

router = APIRouter(tags=["about"])


@router.get("/health")
async def health(service: Serving) -> Health:
    """That the server runs."""
    loaded = service.models.last()
    if loaded is None:
        return Health(version=__version__, model="", fingerprint="")
    name = loaded.model.name
    return Health(version=__version__, model=namer(model_names(name, ()))(name), fingerprint=loaded.fingerprint)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: Serving) -> Response:
    """Counts and times, as Prometheus reads them."""
    return Response(generate_latest(service.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The API on one page."""
    return HTMLResponse(page_of(request.app))


def page_of(app: FastAPI) -> str:
    """A plain page: every address, what it does and what may be asked."""
    parts = []
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
                         f"<p>{escape(operation.get('description', ''))}</p>")
            queries = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
            if queries:
                rows = "".join(f"<li><code>{escape(each['name'])}</code>{' (needed)' if each['required'] else ''}"
                               f"{default_of(each['schema'])}{described(each)}</li>" for each in queries)
                parts.append(f"<ul>{rows}</ul>")
    return ('<!doctype html><html lang="en"><meta charset="utf-8"><title>SketchFusion: HTTP API</title>'
            f'<h1>SketchFusion: HTTP API</h1>'
            f'<p>As <a href="{API}/openapi.json">OpenAPI</a>.</p>{"".join(parts)}</html>')


def default_of(schema: dict[str, object]) -> str:
    """What holds unless it is given."""
    return f": {escape(str(schema['default']))} unless given" if "default" in schema else ""


def described(parameter: dict[str, str]) -> str:
    """What the document says of a parameter."""
    return f". {escape(parameter['description'])}" if "description" in parameter else ""
