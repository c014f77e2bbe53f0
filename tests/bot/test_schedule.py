"""Jobs: one run at a time, failures counted, clock jumps survived."""

import asyncio
import logging

import pytest

from bot.schedule import Schedule
from tests.bot.set_clock import MachineClock


async def until(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), 3)


async def test_a_job_runs_again_and_again() -> None:
    schedule, third, runs = Schedule(), asyncio.Event(), []

    async def job() -> None:
        runs.append(1)
        if len(runs) == 3:
            third.set()

    schedule.every(0.02, "job", job)
    schedule.start()
    await until(third)
    await schedule.stop()


async def test_a_slow_job_never_runs_beside_itself() -> None:
    schedule, done, beside, runs = Schedule(), asyncio.Event(), [0, 0], []

    async def job() -> None:
        beside[0] += 1
        beside[1] = max(beside)
        await asyncio.sleep(0.05)
        beside[0] -= 1
        runs.append(1)
        if len(runs) == 3:
            done.set()

    schedule.every(0.01, "job", job)
    schedule.start()
    await until(done)
    await schedule.stop()
    assert beside[1] == 1


async def test_a_job_that_raises_is_counted_and_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    schedule, again = Schedule(), asyncio.Event()

    async def job() -> None:
        if schedule.failed["job"]:
            again.set()
        raise RuntimeError("no luck")

    schedule.every(0.02, "job", job)
    schedule.start()
    with caplog.at_level(logging.ERROR, "bot.schedule"):
        await until(again)
        await schedule.stop()
    assert schedule.failed["job"] >= 1
    assert "no luck" in caplog.text


async def test_stopping_lets_a_run_finish() -> None:
    schedule, started, finished = Schedule(), asyncio.Event(), []

    async def job() -> None:
        started.set()
        await asyncio.sleep(0.05)
        finished.append(1)

    schedule.every(0.01, "job", job)
    schedule.start()
    await until(started)
    await schedule.stop()
    assert finished


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
async def test_after_the_clock_jumps_jobs_are_scheduled_anew(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MachineClock(monkeypatch)
    schedule = Schedule(wall_s=clock.time, look_every_s=0.01)
    runs: list[float] = []
    ran = asyncio.Event()

    async def job() -> None:
        runs.append(clock.set_s)
        if clock.set_s:
            ran.set()

    schedule.every(0.05, "job", job)
    schedule.start()
    await asyncio.sleep(0.12)
    assert schedule.clock_jumps == 0
    assert runs
    clock.set_s = jump_s
    await until(ran)
    await schedule.stop()
    assert schedule.clock_jumps == 1
    assert len(runs) < 20, "an hour's runs are made up for once"


async def test_a_run_that_comes_late_is_made_up_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MachineClock(monkeypatch)
    schedule = Schedule(wall_s=lambda: 0.0, monotonic_s=lambda: 0.0)  # nothing that would schedule it anew
    ran, runs = asyncio.Event(), []

    async def job() -> None:
        runs.append(clock.set_s)
        ran.set()

    schedule.every(50, "job", job)
    schedule.start()
    clock.set_s = 180.0  # as after a loop that was held up for so long
    schedule._scheduler.wakeup()
    await until(ran)
    await asyncio.sleep(0.05)
    await schedule.stop()
    assert runs == [180.0]


async def test_stopping_what_never_started_does_nothing() -> None:
    await Schedule().stop()
