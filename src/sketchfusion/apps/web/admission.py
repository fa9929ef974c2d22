"""How much is done at once: lanes of work with a bounded queue before each, and one thread for the model."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
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
    # Not asyncio.wrap_future: it ties the future to itself, and what the work gives stays in memory until Python looks
    # for such knots, which it seldom does.
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: tell(loop, done))
    try:
        await asyncio.wait_for(done.wait(), seconds)
    except TimeoutError:
        if not future.done():
            raise ApiError(504, "timeout", f"this took longer than {seconds:g} s; try again, or ask for less",
                           {"Retry-After": "5"}) from None
    if future.cancelled():
        raise stopping()
    return future.result()


def tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    """Set the event from any thread; nothing where nobody can wait for it any more."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(done.set)


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
        except (ApiError, asyncio.CancelledError):
            future.cancel()  # where it has not begun, nobody will need it any more
            raise

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Put it in the queue. Raises ApiError 503."""
        with self.lock:
            if self.pending >= self.threads + self.limits.waiting:
                raise busy(self.name)
            self.pending += 1
        box = [work]  # the pool keeps what was cancelled until a thread is free: the box, but nothing in it
        try:
            future = self.pool.submit(lambda: box.pop()())
        except RuntimeError:
            self.done(box)
            raise stopping() from None
        future.add_done_callback(lambda _: self.done(box))
        return future

    def done(self, box: list[Callable[[], T]]) -> None:
        """Count one less, and let go of the work."""
        box.clear()
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


class Together:
    """One thread that does calls which wait at the same time together, where they are of one group.

    What a person waits for goes before what an indexing job wants.

    Args:
        name: what waits here, for messages.
        waiting, batch: calls that may wait, and those that are done together, at most.
        seconds: longest wait of ``run`` and ``result``.
        on_batch: told the size of every batch.
    """

    def __init__(self, name: str, *, waiting: int, batch: int, seconds: float,
                 on_batch: Callable[[int], object] = lambda size: None) -> None:
        self.name, self.waiting, self.batch, self.seconds, self.on_batch = name, waiting, batch, seconds, on_batch
        self.askers: Counter[Future[Any]] = Counter()
        self.urgent: deque[Call[Any, Any]] = deque()
        self.patient: deque[Call[Any, Any]] = deque()
        self.wake = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self.loop, name=name, daemon=True)
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
            if urgent and len(self.urgent) >= self.waiting:
                raise busy(self.name)
            (self.urgent if urgent else self.patient).append(call)
            self.wake.notify()
        return call.future

    @property
    def pending(self) -> int:
        """Calls that wait."""
        return len(self.urgent) + len(self.patient)

    def drop(self, future: Future[Any]) -> None:
        """Take a call out of its queue, unless it runs already."""
        if future.cancel():
            with self.wake:
                for queue in (self.urgent, self.patient):
                    for call in [call for call in queue if call.future is future]:
                        queue.remove(call)

    async def run(self, work: Callable[[], T]) -> T:
        """Do something alone, for a person who waits. Raises ApiError: see ``Lane.run``."""
        return await self.result(self.submit(lambda items: [work()], None))

    async def result(self, future: Future[T]) -> T:
        """What a call gives, for which several may wait; it is dropped once all of them have gone.

        Raises:
            ApiError: see ``in_time``; after a timeout the call goes on, since who tries again needs it.
        """
        self.askers[future] += 1
        try:
            return await in_time(future, self.seconds)
        except asyncio.CancelledError:
            if self.askers[future] == 1:
                self.drop(future)
            raise
        finally:
            self.askers[future] -= 1
            if not self.askers[future]:
                del self.askers[future]

    def loop(self) -> None:
        """Do what is asked for until ``close``."""
        while calls := self.take():
            self.do([call for call in calls if call.future.set_running_or_notify_cancel()])
            del calls  # and with them what they gave, which may be large

    def take(self) -> list[Call[Any, Any]]:
        """The next calls that can be done together; none once the thread is to end."""
        with self.wake:
            self.wake.wait_for(lambda: self.urgent or self.patient or self.closed)
            if self.closed:
                return []
            queue = self.urgent or self.patient
            first = queue.popleft()
            alike = [call for call in queue if call.group == first.group][:self.batch - 1]
            for call in alike:
                queue.remove(call)
            return [first, *alike]

    def do(self, calls: Sequence[Call[Any, Any]]) -> None:
        """Run them and hand out what they give, or their error."""
        if not calls:
            return
        self.on_batch(len(calls))
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


class ModelThread(Together):
    """The one thread that runs models, so that they never compete for cores and memory.

    Sketches that wait are described in one forward pass.

    Args:
        limits: of the queue, of the wait and of a batch.
        on_batch: told the size of every batch.
    """

    def __init__(self, limits: Limits, on_batch: Callable[[int], object] = lambda size: None) -> None:
        super().__init__("the model", waiting=limits.waiting, batch=limits.batch, seconds=limits.request_seconds,
                         on_batch=on_batch)
