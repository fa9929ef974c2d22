"""Connections: so many at most, and none is kept for a client that does not say what it wants."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sketchfusion.apps.web.errors import body_of
from sketchfusion.apps.web.security import HEADERS
from sketchfusion.apps.web.settings import Limits

UNREADABLE = body_of("bad_request", "this is no HTTP/1.1 request that can be read; the server speaks plain HTTP, so "
                     "its address begins with http://")


class Connection(H11Protocol):
    """One client's connection.

    Where there are as many as may be, a new one takes the place of the one on which nothing has been asked for longest,
    so that silent clients do not shut out those that ask.

    Attributes:
        limits: of the server.
        silence: runs while no request is being answered.
    """

    limits = Limits()
    silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep it if there is room."""
        if len(self.connections) >= self.limits.connections and not self.make_room():
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self.watch()

    def make_room(self) -> bool:
        """End the connection that has been silent longest; False where all have a request that is being answered."""
        silent = [(each.silence.when(), each) for each in self.connections
                  if isinstance(each, Connection) and each.silence]
        if not silent:
            return False
        _, longest = min(silent, key=lambda pair: pair[0])
        self.connections.discard(longest)
        longest.transport.abort()
        return True

    def watch(self) -> None:
        """Let the time run for the next request to come, unless one is being answered."""
        silent = self.cycle is None or self.cycle.response_complete
        if silent and self.silence is None:
            self.silence = self.loop.call_later(self.limits.head_seconds, self.timeout_keep_alive_handler)
        elif not silent:
            self.end_watch()

    def end_watch(self) -> None:
        """Stop the time."""
        if self.silence is not None:
            self.silence.cancel()
            self.silence = None

    def handle_events(self) -> None:
        """Begin to answer what has come."""
        super().handle_events()
        self.watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.end_watch()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Tell the client in the form of all errors, unless it has an answer already, and hang up."""
        state = self.conn.our_state
        if state is h11.IDLE or (state is h11.SEND_RESPONSE and self.scope["method"] != "HEAD"):
            body = json.dumps(UNREADABLE).encode()
            headers = {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body)),
                       "Connection": "close"}
            for event in (h11.Response(status_code=400, reason=b"Bad Request", headers=list(headers.items())),
                          h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()
        else:
            self.transport.abort()
        if self.cycle is not None:
            self.cycle.disconnected = True  # what works for the client is not to answer a second time

    def _should_upgrade(self) -> bool:
        """The server has no web sockets; what asks for one is answered as a plain request."""
        return False


def most_connections(limits: Limits) -> int:
    """How many are kept, with half of the files that the process may open left for all else."""
    try:
        import resource
    except ImportError:  # Windows
        return limits.connections
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limits.connections if files == resource.RLIM_INFINITY else min(limits.connections, files // 2)


class Server(uvicorn.Server):
    """As the base class, but put away in good order also where it is told twice to stop."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; a second Ctrl-C ends the wait for requests that still run, but not without the application knowing."""
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()


def server_of(app: ASGIApp, limits: Limits, *, grace: int) -> uvicorn.Server:
    """The server of an application.

    Args:
        app: see ``create_app``.
        limits: of the connections.
        grace: seconds for requests that run when it is stopped.
    """
    most = most_connections(limits)
    kept = {"limits": replace(limits, connections=most)}
    return Server(uvicorn.Config(
        app, http=type("Kept", (Connection,), kept), log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=grace, lifespan="on",
        backlog=max(16, most // 4)))  # asyncio takes in so many at once, before one of them can be refused
