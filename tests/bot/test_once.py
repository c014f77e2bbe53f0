"""Work that many ask for and that is done once."""

import asyncio

import pytest

from bot.once import Once


async def test_many_that_ask_together_get_one_answer_and_it_is_remembered() -> None:
    made, once = 0, Once[str, int](4)

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return made

    assert await asyncio.gather(*(once.get("a", make) for _ in range(50))) == [1] * 50
    assert await once.get("a", make) == 1
    once.forget("a")
    assert await once.get("a", make) == 2


async def test_what_failed_is_tried_anew_and_the_oldest_is_forgotten() -> None:
    made, once = 0, Once[int, int](2)

    async def fail() -> int:
        raise OSError("full")

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    with pytest.raises(OSError, match="full"):
        await once.get(0, fail)
    assert [await once.get(key, make) for key in (0, 1, 2, 1, 0)] == [1, 2, 3, 2, 4]


async def test_one_that_stops_waiting_takes_it_from_nobody() -> None:
    gate, once = asyncio.Event(), Once[str, str](2)

    async def make() -> str:
        await gate.wait()
        return "made"

    first, second = (asyncio.create_task(once.get("a", make)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == "made"
