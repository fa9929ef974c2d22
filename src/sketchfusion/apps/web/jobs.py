"""Indexing as a job: one at a time in its own thread, with progress; it can be stopped, and the work done stays."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sketchfusion.apps.web.errors import UNFORESEEN, ApiError, busy, printable
from sketchfusion.apps.web.naming import last_names, top_names
from sketchfusion.apps.web.settings import Limits
from sketchfusion.errors import SketchFusionError
from sketchfusion.index.scan import is_under
from sketchfusion.index.update import OnProgress, Summary

State = Literal["queued", "running", "done", "failed", "cancelled"]
log = logging.getLogger(__name__)


class Stopped(Exception):
    """The job is to end."""


@dataclass(eq=False)
class Job:
    """One update of a gallery.

    Attributes:
        id: random; ``Jobs.known`` tells it to whoever may ask the server.
        gallery: id of the gallery.
        name: of the gallery, which may not exist yet.
        root: below which photos lie; names of files are told from there.
        roots: what the gallery was indexed from before, told by their names where they lie elsewhere.
        done, total: files looked into so far, and in all.
        summary: once it is done.
        message: what went wrong, or what to know.
    """

    id: str
    gallery: str
    root: Path
    state: State = "queued"
    done: int = 0
    total: int = 0
    summary: Summary | None = None
    message: str = ""
    roots: tuple[str, ...] = ()
    name: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Stopped once the job is to end."""
        if self.stop.is_set():
            raise Stopped

    def progress(self, done: int, total: int) -> None:
        """Remember how far it is. Raises Stopped."""
        self.done, self.total = done, total
        self.check()

    def name_of(self, path: str) -> str:
        """A file as the page may show it: from the root on."""
        try:
            return printable(Path(path).relative_to(self.root).as_posix())
        except ValueError:
            return printable(Path(path).name)

    @property
    def names(self) -> dict[str, str]:
        """For ``namer``: files are named as ``name_of`` names them, folders elsewhere by their last part."""
        below = top_names(self.root, "the folder of photos")
        return {**last_names([root for root in self.roots if not (below and is_under(root, str(self.root)))]), **below}


Work = Callable[[Job, OnProgress], Summary]


class Jobs:
    """The queue of jobs and those that are remembered."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.queue: queue.SimpleQueue[tuple[Job, Work] | None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.loop, name="jobs", daemon=True)
        self.thread.start()

    def add(self, gallery: str, root: Path, work: Work, *, name: str = "") -> Job:
        """Queue a job. Raises ApiError: 503, too many wait; 409, one for this gallery does already."""
        with self.lock:
            open_jobs = [job for job in self.jobs.values() if job.state in ("queued", "running")]
            if any(job.gallery == gallery for job in open_jobs):
                raise ApiError(409, "job_open", "this gallery is being indexed already; wait for that, or cancel it")
            if len(open_jobs) > self.limits.jobs_waiting:
                raise busy("indexing", seconds=30)
            job = Job(secrets.token_hex(10), gallery, root, name=printable(name))
            self.jobs[job.id] = job
            finished = [each for each in self.jobs.values() if each.state not in ("queued", "running")]
            for old in finished[:max(0, len(self.jobs) - self.limits.jobs_kept)]:
                del self.jobs[old.id]
        self.queue.put((job, work))
        return job

    def known(self) -> list[Job]:
        """Those that wait or run, and those that are remembered; the oldest first."""
        with self.lock:
            return list(self.jobs.values())

    def get(self, job_id: str) -> Job:
        """The job. Raises ApiError 404."""
        job = self.jobs.get(job_id)
        if job is None:
            raise ApiError(404, "unknown_job", f"there is no job {printable(job_id)[:40]!r}, or not any more; "
                           "GET /api/v1/jobs lists those there are, GET /api/v1/galleries what the galleries hold now")
        return job

    def cancel(self, job_id: str) -> Job:
        """Let the job end soon; what it indexed stays. Raises ApiError 404."""
        job = self.get(job_id)
        job.stop.set()
        with self.lock:
            if job.state == "queued":
                end_cancelled(job)
        return job

    def loop(self) -> None:
        """Do jobs until ``close``."""
        while (entry := self.queue.get()) is not None:
            job, work = entry
            with self.lock:
                if job.stop.is_set():
                    end_cancelled(job)
                    continue
                job.state = "running"
            self.run(job, work)

    def run(self, job: Job, work: Work) -> None:
        """Do one job, whatever becomes of it."""
        try:
            job.summary = work(job, job.progress)
            job.done = job.total
            job.state = "done"
        except (Stopped, CancelledError):
            end_cancelled(job)
        except (SketchFusionError, ApiError) as error:
            job.message, job.state = str(getattr(error, "detail", error)), "failed"
        except Exception:
            log.exception("a job failed")
            job.message, job.state = UNFORESEEN, "failed"

    def close(self) -> None:
        """Cancel all and wait for the one that runs."""
        for job in list(self.jobs.values()):
            job.stop.set()
        self.queue.put(None)
        self.thread.join()


def end_cancelled(job: Job) -> None:
    """Mark it."""
    job.message, job.state = "cancelled; what was indexed until then is kept. Index again to go on", "cancelled"
