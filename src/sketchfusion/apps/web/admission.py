"""How much is done at once: lanes of work with a bounded queue before each, and one thread for the model."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sketchfusion.apps.web.errors import ApiError, busy
from sketchfusion.apps.web.settings import Limits

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


async def in_time(future: Future[T], seconds: float) -> T:
    """What the work gives.

    Raises:
        ApiError: 504, it takes too long (it goes on, for others who wait for the same); 503, the server stops.
    """
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), seconds)
    except TimeoutError:
        if not future.done():
            raise ApiError(504, "timeout", f"this took longer than {seconds:g} s; try again, or ask for less",
                           {"Retry-After": "5"}) from None
        raise
    except (CancelledError, asyncio.CancelledError):
        if future.cancelled():
            raise stopping() from None
        raise


def stopping() -> ApiError:
    """503: the server is being stopped."""
    return ApiError(503, "stopping", "the server is being stopped; start it again with `sketchfusion serve`",
                    {"Retry-After": "5"})


class Lane:
    """Threads that do one kind of work, and a bounded queue before them.

    Args:
        name: what waits here, for messages and metrics.
        threads: that work.
        limits: of the queue and of the wait.
    """

    def __init__(self, name: str, threads: int, limits: Limits) -> None:
        self.name, self.threads, self.limits = name, threads, limits
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix=f"lane-{name}")
        self.pending = 0
        self.lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Do it. Raises ApiError: 503 where too much waits already, 504 where it takes too long."""
        future = self.submit(work)
        try:
            return await in_time(future, self.limits.request_seconds)
        except ApiError:
            future.cancel()  # where it has not begun, nobody will need it any more
            raise

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Put it in the queue. Raises ApiError 503."""
        with self.lock:
            if self.pending >= self.threads + self.limits.waiting:
                raise busy(self.name)
            self.pending += 1
        try:
            future = self.pool.submit(work)
        except RuntimeError:
            self.done()
            raise stopping() from None
        future.add_done_callback(self.done)
        return future

    def done(self, future: object = None) -> None:
        """Count one less."""
        with self.lock:
            self.pending -= 1

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self.pool.shutdown(wait=True, cancel_futures=True)


@dataclass(eq=False)
class Call(Generic[I, R]):
    """One call that waits for the model; those of one group are done together."""

    work: Callable[[Sequence[I]], Sequence[R]]
    item: I
    group: Hashable
    future: Future[R]


class ModelThread:
    """The one thread that runs models, so that they never compete for cores and memory.

    What a person waits for goes before what an indexing job wants; sketches that wait are described in one
    forward pass.

    Args:
        limits: of the queue, of the wait and of a batch.
        on_batch: told the size of every batch.
    """

    def __init__(self, limits: Limits, on_batch: Callable[[int], object] = lambda size: None) -> None:
        self.limits, self.on_batch = limits, on_batch
        self.urgent: deque[Call[Any, Any]] = deque()
        self.patient: deque[Call[Any, Any]] = deque()
        self.wake = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self.loop, name="model", daemon=True)
        self.thread.start()

    def submit(self, work: Callable[[Sequence[I]], Sequence[R]], item: I, group: Hashable = None, *,
               urgent: bool = True) -> Future[R]:
        """Queue ``work``; it is called with this item and others of the group, and gives a result for each.

        Args:
            group: calls of an equal group are done by the work of the first of them; None: alone.
            urgent: whether a person waits for it.
        Raises:
            ApiError: 503, too much waits already, or the server is being stopped.
        """
        call: Call[I, R] = Call(work, item, object() if group is None else group, Future())
        with self.wake:
            if self.closed:
                raise stopping()
            if urgent and len(self.urgent) >= self.limits.waiting:
                raise busy("the model")
            (self.urgent if urgent else self.patient).append(call)
            self.wake.notify()
        return call.future

    async def run(self, work: Callable[[], T]) -> T:
        """Do something alone, for a person who waits. Raises ApiError: see ``Lane.run``."""
        future: Future[T] = self.submit(lambda items: [work()], None)
        return await in_time(future, self.limits.request_seconds)

    def loop(self) -> None:
        """Do what is asked for until ``close``."""
        while calls := self.take():
            running = [call for call in calls if call.future.set_running_or_notify_cancel()]
            if running:
                self.on_batch(len(running))
                self.do(running)

    def take(self) -> list[Call[Any, Any]]:
        """The next calls that can be done together; none once the thread is to end."""
        with self.wake:
            self.wake.wait_for(lambda: self.urgent or self.patient or self.closed)
            if self.closed:
                return []
            queue = self.urgent or self.patient
            first = queue.popleft()
            alike = [call for call in queue if call.group == first.group][:self.limits.batch - 1]
            for call in alike:
                queue.remove(call)
            return [first, *alike]

    def do(self, calls: Sequence[Call[Any, Any]]) -> None:
        """Run them and hand out what they give, or their error."""
        try:
            results = calls[0].work([call.item for call in calls])
            for call, result in zip(calls, results, strict=True):
                call.future.set_result(result)
        except BaseException as error:
            for call in calls:
                if not call.future.done():
                    call.future.set_exception(error)

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        with self.wake:
            self.closed = True
            waiting = [*self.urgent, *self.patient]
            self.urgent.clear()
            self.patient.clear()
            self.wake.notify_all()
        for call in waiting:
            call.future.cancel()
            call.future.set_running_or_notify_cancel()
        self.thread.join()
