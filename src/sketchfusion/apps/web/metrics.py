"""Counts and times for Prometheus, kept apart from those of other applications in the process."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchfusion.apps.web.settings import API


class Metrics:
    """What the server tells of itself at ``/metrics``; ``registry`` holds it all."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("sketchfusion_requests", "Requests answered", ("method", "route", "status"),
                                registry=self.registry)
        self.seconds = Histogram("sketchfusion_request_seconds", "From request to end of answer", ("route",),
                                 registry=self.registry)
        self.batches = Histogram("sketchfusion_model_batch", "Calls that passed the model together",
                                 buckets=(1, 2, 4, 8, 16, 32), registry=self.registry)
        self.sketches = Gauge("sketchfusion_sketches", "Sketches kept", registry=self.registry)
        self.sketch_bytes = Gauge("sketchfusion_sketch_bytes", "Memory of the sketches kept", registry=self.registry)
        self.waiting = Gauge("sketchfusion_waiting", "Calls that wait or run", ("lane",), registry=self.registry)


class Measured:
    """Counts each request under the route that answered it, not under its path, which clients choose.

    Outermost, so that refusals count too. The status is ``left`` where the client left before it was answered.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), "left"

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", "other").removeprefix(API)  # some versions of FastAPI have it
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - started)
