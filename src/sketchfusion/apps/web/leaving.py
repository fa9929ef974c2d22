"""A client that leaves: nobody works for it any more."""

from __future__ import annotations

import asyncio

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEFT: Message = {"type": "http.disconnect"}


class Leaving:
    """Cancels the work of a request whose client has gone, so that others need not wait behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with anyio.CancelScope() as request:
            line = Line(receive, request, has_body=has_body(Headers(scope=scope)))
            watch = asyncio.create_task(line.watch())
            try:
                await self.app(scope, line.receive, send)
            finally:
                watch.cancel()


class Line:
    """What comes from the client: its body goes on to the application, the news that it left ends the request."""

    def __init__(self, receive: Receive, request: anyio.CancelScope, *, has_body: bool) -> None:
        self.from_client, self.request, self.has_body = receive, request, has_body
        self.complete = asyncio.Event()
        self.first: list[Message] = []

    async def receive(self) -> Message:
        """The next piece of the body; after the last one nothing more comes."""
        if not self.has_body:
            await self.complete.wait()
            if self.first:
                return self.first.pop()
        if self.complete.is_set():
            await anyio.sleep_forever()  # until the request is cancelled
        return await self.take()

    async def take(self) -> Message:
        """One message of the client."""
        message = await self.from_client()
        if message["type"] == LEFT["type"]:
            self.request.cancel()
            await anyio.sleep_forever()
        if not message.get("more_body", False):
            self.complete.set()
        return message

    async def watch(self) -> None:
        """Wait until the client has sent all, then until it leaves."""
        if not self.has_body:
            self.first.append(await self.take())
        await self.complete.wait()
        while (await self.from_client())["type"] != LEFT["type"]:
            pass
        self.request.cancel()


def has_body(headers: Headers) -> bool:
    """Whether the client said that it sends one."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
