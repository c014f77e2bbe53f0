"""Work in small pieces: what else is due comes in between, also where many pieces become ready at once."""

import asyncio
import time
from collections.abc import Iterator

from bot.turns import in_turns, my_turn


async def test_pieces_that_are_ready_at_once_are_done_in_rounds_of_the_loop_of_their_own() -> None:
    rounds = 0
    done_in: list[int] = []

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    async def work() -> None:
        await my_turn()
        done_in.append(rounds)

    counting = asyncio.create_task(count_rounds())
    await asyncio.gather(*(work() for _ in range(20)))
    counting.cancel()
    assert len(set(done_in)) == 20


async def test_whoever_is_cancelled_in_the_line_holds_nobody_up() -> None:
    waiting = [asyncio.create_task(my_turn()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[2].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting, return_exceptions=True)
        await my_turn()


async def test_long_work_leaves_the_loop_half_of_the_time() -> None:
    woken = 0

    async def wake() -> None:
        nonlocal woken
        while True:
            await asyncio.sleep(0.001)
            woken += 1

    waking = asyncio.create_task(wake())
    items = [n async for n in in_turns(_slow(40))]
    waking.cancel()
    assert items == list(range(40))
    assert woken >= 5


def _slow(count: int) -> Iterator[int]:
    for n in range(count):
        end_s = time.perf_counter() + 0.001
        while time.perf_counter() < end_s:
            pass
        yield n
