"""What still runs is ended in a bounded time (P2)."""

import asyncio
import time

import pytest

from bot.ending import cancelled


async def ends() -> None:
    await asyncio.sleep(60)


async def swallows(times: int) -> None:
    """As a library that takes a cancellation for its own time-out."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def fails() -> None:
    raise ValueError("broken")


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    tasks = [asyncio.create_task(ends()), asyncio.create_task(swallows(2))]
    await asyncio.sleep(0)
    await cancelled(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_never_ends_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = asyncio.create_task(swallows(5), name="stubborn")
    await asyncio.sleep(0)
    began_s = time.monotonic()
    await cancelled([stubborn], give_up_s=0.4)
    assert time.monotonic() - began_s < 2
    assert "stubborn does not end" in caplog.text
    await cancelled([stubborn])


async def test_what_a_task_raised_is_raised_once_all_have_ended() -> None:
    tasks = [asyncio.create_task(fails()), asyncio.create_task(ends())]
    await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="broken"):
        await cancelled(tasks)
    assert tasks[1].cancelled()


async def test_nothing_to_end_is_no_error() -> None:
    await cancelled([])
