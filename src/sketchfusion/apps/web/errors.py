"""Every error that leaves the server has one shape: ``{"error": {"code": ..., "message": ...}}``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

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


def answer(error: ApiError) -> Response:
    """The response of an error."""
    return JSONResponse(body_of(error.code, str(error.detail)), error.status_code, error.headers)


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
            return answer(error)
        code = CODES.get(error.status_code, "failed")
        message = {404: f"there is nothing at {printable(request.url.path)}; see /api/v1/docs for what there is",
                   405: f"{request.method} is not possible at {printable(request.url.path)}; see /api/v1/docs for "
                        "what is",
                   }.get(error.status_code, str(error.detail))
        return answer(ApiError(error.status_code, code, message, error.headers))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(invalid(error))

    @app.exception_handler(SketchFusionError)
    async def on_own(request: Request, error: SketchFusionError) -> Response:
        told = translate(error)
        return answer(ApiError(told.status_code, told.code, app.state.service.galleries.named(str(told.detail))))
