"""Scheduled jobs: the only file that knows APScheduler.

Its traps: a late run is skipped unless the grace time is None; after the clock steps back an hour
nothing fires for an hour, so a watchdog that compares wall and monotonic clocks rebuilds the jobs; an exception in a
job is only logged by APScheduler, so it is counted here for ``/status``.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = logging.getLogger(__name__)
Job = Callable[[], Awaitable[None]]
JUMP_S = 5.0
"""Wall and monotonic clocks apart by this much since the last look: somebody set the clock."""


class Schedule:
    """Runs jobs every so many seconds; one run of a job at a time, late runs made up for once."""

    def __init__(
        self,
        *,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
        look_every_s: float = 1.0,
    ) -> None:
        self.failed: Counter[str] = Counter()
        """Runs that raised, by job."""
        self.clock_jumps = 0
        self._wall_s, self._monotonic_s, self._look_every_s = wall_s, monotonic_s, look_every_s
        self._seconds: dict[str, float] = {}
        self._idle: dict[str, asyncio.Event] = {}
        self._watchdog: asyncio.Task[None] | None = None
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._scheduler.add_listener(self._on_error, EVENT_JOB_ERROR)
        # It warns whenever a run is made up for, which here is meant.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)

    def every(self, seconds: float, name: str, job: Job) -> None:
        """Add a job; its first run comes after the first interval."""
        idle = self._idle[name] = asyncio.Event()
        idle.set()

        async def run() -> None:
            idle.clear()
            try:
                await job()
            finally:
                idle.set()

        self._seconds[name] = seconds
        self._scheduler.add_job(run, "interval", seconds=seconds, id=name)

    def start(self) -> None:
        self._scheduler.start()
        self._watchdog = asyncio.create_task(self._watch_clocks(), name="clock watchdog")

    async def stop(self) -> None:
        """No new runs; those under way finish first, since APScheduler would cancel them."""
        if self._watchdog is None:
            return
        self._watchdog.cancel()
        self._scheduler.pause()
        for idle in self._idle.values():
            await idle.wait()
        self._scheduler.shutdown(wait=False)
        self._watchdog = None

    async def _watch_clocks(self) -> None:
        apart_s = self._wall_s() - self._monotonic_s()
        while True:
            await asyncio.sleep(self._look_every_s)
            now_apart_s = self._wall_s() - self._monotonic_s()
            if abs(now_apart_s - apart_s) > JUMP_S:
                self.clock_jumps += 1
                log.warning("the clock jumped by %.0f s; jobs are scheduled anew", now_apart_s - apart_s)
                for name, seconds in self._seconds.items():
                    self._scheduler.reschedule_job(name, trigger="interval", seconds=seconds)
            apart_s = now_apart_s

    def _on_error(self, event: JobExecutionEvent) -> None:
        self.failed[event.job_id] += 1
        log.error("the job %s failed: %s", event.job_id, event.exception)
