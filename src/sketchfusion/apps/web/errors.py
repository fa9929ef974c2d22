"""Every error that leaves the server has one shape: ``{"error": {"code": ..., "message": ...}}``.

Only where a browser goes to an address to show what is there, its user reads the message on a small page instead.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

from sketchfusion.errors import (
    ConfigError,
    DeviceError,
    GalleryError,
    ImageError,
    SketchFusionError,
    WeightsUnavailable,
)

log = logging.getLogger(__name__)
STATUS: dict[type[SketchFusionError], tuple[int, str]] = {
    ImageError: (422, "unreadable_picture"), ConfigError: (422, "invalid"), GalleryError: (409, "gallery"),
    WeightsUnavailable: (409, "no_weights"), DeviceError: (409, "no_device"),
}
CODES = {404: "not_found", 405: "method_not_allowed", 400: "bad_request", 413: "too_large", 415: "unknown_type"}
UNFORESEEN = ("something unforeseen happened while this was answered. Try again; if it happens again, look at the "
              "terminal in which `sketchfusion serve` runs, and report it on the project's issue tracker")
PAGE = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><title>SketchFusion</title>{}'
        '<p><a href="/">Go to the page</a></p></html>')
VARY = {"Vary": "Sec-Fetch-Dest, Accept"}
ACCEPTED = re.compile(r"([^;,\s]+)(?:[^,]*?;\s*q=([01](?:\.[0-9]*)?))?[^,]*")  # a type and how much it is wanted


class ApiError(HTTPException):
    """An answer that is an error; may be raised anywhere below a route."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code


def busy(what: str, *, seconds: int = 1) -> ApiError:
    """503: too much waits already."""
    return ApiError(503, "busy", f"too many requests wait for {what}; try again in a moment",
                    {"Retry-After": str(seconds)})


def body_of(code: str, message: str) -> dict[str, Any]:
    """The JSON of an error."""
    return {"error": {"code": code, "message": message}}


def answer(error: ApiError, scope: Scope) -> Response:
    """The response of an error: a page to a browser that would show it, JSON to all others."""
    headers = {**VARY, **(error.headers or {})}
    if wants_page(Headers(scope=scope)):
        text = PAGE.format(f"<h1>That did not work</h1><p>{escape(str(error.detail))}</p>")
        return HTMLResponse(text, error.status_code, headers)
    return JSONResponse(body_of(error.code, str(error.detail)), error.status_code, headers)


def wants_page(headers: Headers) -> bool:
    """Whether a browser goes to the address itself, or, where none says what it is for, HTML is wanted before JSON."""
    if "sec-fetch-dest" in headers:
        return headers["sec-fetch-dest"] == "document"
    wanted = {kind: float(much or 1) for kind, much in ACCEPTED.findall(headers.get("accept", "").lower())}
    as_json = next((wanted[kind] for kind in ("application/json", "application/*", "*/*") if kind in wanted), 0.0)
    return wanted.get("text/html", 0.0) > as_json


def translate(error: SketchFusionError) -> ApiError:
    """An error of the library as the API tells it."""
    for kind, (status, code) in STATUS.items():
        if isinstance(error, kind):
            return ApiError(status, code, str(error))
    return ApiError(409, "failed", str(error))


def one_problem(problem: Mapping[str, Any]) -> str:
    """One thing wrong with a request, in words: where, what and what was given."""
    where = ".".join(str(part)[:80] for part in problem.get("loc", ())[1:]) or "the request"
    given = problem.get("input")
    short = isinstance(given, (int, float)) or (isinstance(given, str) and len(given) < 80)
    told = f", got {given!r}" if short and len(repr(given)) < 80 else ""
    return f"{where}: {problem.get('msg', 'not valid')}{told}"


def invalid(error: RequestValidationError) -> ApiError:
    """422: parameters or JSON that do not fit."""
    problems = "; ".join(one_problem(problem) for problem in error.errors()[:5])
    return ApiError(422, "invalid", f"the request does not fit: {printable(problems)}. See /api/v1/docs for what "
                    "is expected")


def unforeseen(request: str, error: Exception) -> ApiError:
    """500, for what must not happen; the terminal gets the traceback, the client does not."""
    log.error("%s failed", ascii(request), exc_info=error)
    return ApiError(500, "unforeseen", UNFORESEEN)


def printable(text: str) -> str:
    """Text that can be written as UTF-8, whatever a client sent."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def add_handlers(app: FastAPI) -> None:
    """Make every error of the application look alike."""

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        if isinstance(error, ApiError):
            return answer(error, request.scope)
        code = CODES.get(error.status_code, "failed")
        message = {404: f"there is nothing at {printable(request.url.path)}; see /api/v1/docs for what there is",
                   405: f"{request.method} is not possible at {printable(request.url.path)}; see /api/v1/docs for "
                        "what is",
                   }.get(error.status_code, str(error.detail))
        return answer(ApiError(error.status_code, code, message, error.headers), request.scope)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(invalid(error), request.scope)

    @app.exception_handler(SketchFusionError)
    async def on_own(request: Request, error: SketchFusionError) -> Response:
        told = translate(error)
        message = app.state.service.galleries.named(str(told.detail))
        return answer(ApiError(told.status_code, told.code, message), request.scope)
