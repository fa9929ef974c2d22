"""Bodies of requests: no larger than allowed, not slower than the server waits, and not too many at once."""

from __future__ import annotations

import asyncio
import math

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion.apps.web.errors import ApiError, printable
from sketchfusion.apps.web.settings import API, KIB, MIB, Limits

SKETCHES = f"{API}/sketches"  # takes pictures; all other addresses take a few words


class BodyLimit:
    """Refuses a body that is too large, as soon as that is known, one that does not come, and one too many.

    Attributes:
        held: bytes of the bodies of all requests that are being answered.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits, self.held = app, limits, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = most_bytes(scope, self.limits)
        if told_length(Headers(scope=scope)) > most:
            raise too_large(most, self.limits)
        taken, complete = 0, False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.request_seconds

        async def receive_some() -> Message:
            nonlocal taken, complete
            if complete:  # what follows is the news that the client has left, which may take as long as it likes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - loop.time())
            except TimeoutError:
                raise ApiError(408, "slow_body", "the whole request did not come within "
                               f"{self.limits.request_seconds:g} s; send it again, or less", {"Connection": "close"}
                               ) from None
            length = len(message.get("body", b""))
            taken += length
            self.held += length
            complete = not message.get("more_body", False)
            if taken > most:
                raise too_large(most, self.limits)
            if self.held > self.limits.bodies_bytes and taken > self.limits.small_body_bytes:
                raise ApiError(503, "busy", "too many large sketches are sent at the same time; try again in a moment",
                               {"Retry-After": "1", "Connection": "close"})
            return message

        try:
            await self.app(scope, receive_some, send)
        finally:
            self.held -= taken


def told_length(headers: Headers) -> float:
    """Bytes that the client says it sends; 0 where it does not say. Raises ApiError 400: that is no number."""
    told = headers.get("content-length", "0").strip()
    if not (told.isascii() and told.isdigit()):
        raise ApiError(400, "bad_request", f"Content-Length must be a number of bytes, got {printable(told)[:40]!r}",
                       {"Connection": "close"})
    return int(told) if len(told) < 20 else math.inf


def most_bytes(scope: Scope, limits: Limits) -> int:
    """How large the body of this request may be."""
    if (scope["method"], scope["path"]) == ("POST", SKETCHES):
        return limits.body_bytes
    return min(limits.body_bytes, limits.small_body_bytes)


def too_large(most: int, limits: Limits) -> ApiError:
    """413."""
    help_text = ("scale the picture down or simplify the drawing" if most == limits.body_bytes else
                 f"ask for less at once. Only POST {SKETCHES} takes more, up to {size(limits.body_bytes)}")
    return ApiError(413, "too_large", f"the request is larger than the {size(most)} allowed; {help_text}",
                    {"Connection": "close"})


def size(number: int) -> str:
    """Bytes in words."""
    return f"{number / MIB:g} MiB" if number >= MIB else f"{number / KIB:g} KiB"
