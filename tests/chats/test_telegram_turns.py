"""Whatever alerts and answers fall due together, Telegram's limits are never met."""

import asyncio
import contextlib
import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import Retry
from bot.platforms.telegram.address import Address
from bot.platforms.telegram.turns import GROUP, LONGEST_WAIT_S, MOST_IN_WINDOW, ChatTurns, Window, limits
from tests.chats.telegram_limits import Limits

CHATS = (*(Address(n) for n in range(1, 60)), *[Address(-100_1), Address(-100_1, 7), Address(-100_2)] * 10)
WISHES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.3]), st.sampled_from(CHATS), st.booleans()), min_size=1, max_size=200
)


@given(WISHES)
@example([(0.0, Address(1), True)] * 4 + [(0.0, Address(2), True)] * 3 + [(0.0, Address(2), False)])
def test_no_schedule_of_alerts_and_answers_is_ever_refused(wishes: list[tuple[float, Address, bool]]) -> None:
    now = 0.0
    turns = ChatTurns(now_s=lambda: now)
    sends: list[tuple[float, int]] = []
    for later, chat, answer in wishes:
        now += later
        with contextlib.suppress(Retry):
            sends.append((now + turns.take(chat, answer=answer), chat.chat_id))
    server = Limits(lambda: now)
    for at_s, chat_id in sorted(sends):
        now = at_s
        server.take(chat_id)


def test_many_alerts_and_many_answers_at_once_stay_under_the_limit_together() -> None:
    now = 0.0
    turns = ChatTurns(now_s=lambda: now)
    sends = [(turns.take(Address(n)), n) for n in range(1, 101)]
    sends += [(turns.take(Address(n), answer=True), n) for n in range(101, 131)]
    server = Limits(lambda: now)
    for at_s, chat_id in sorted(sends):
        now = at_s
        server.take(chat_id)


def test_a_thousand_chats_are_told_at_the_pace_and_a_command_is_still_answered_at_once() -> None:
    turns = ChatTurns(now_s=lambda: 0.0)
    waits = [turns.take(Address(n)) for n in range(1, 1001)]
    assert waits[-1] == 999 / 25
    assert turns.take(Address(5000), answer=True) == 0


def test_a_chat_that_was_told_to_wait_is_not_tried_and_others_are() -> None:
    now = 0.0
    turns = ChatTurns(now_s=lambda: now)
    turns.close(Address(1), 30)
    for _ in range(2):
        with pytest.raises(Retry) as told:
            turns.take(Address(1))
        assert told.value.after_s == 30
    assert turns.take(Address(2)) == 0
    now = 30.0
    assert turns.take(Address(1)) == 0


def test_topics_share_the_pace_of_their_group() -> None:
    assert limits(Address(-100, 7)) == limits(Address(-100))
    assert limits(Address(-100)).rates[1] == GROUP
    assert 60 * GROUP.per_second + GROUP.burst <= 20
    assert len(limits(Address(100)).rates) == 1
    assert LONGEST_WAIT_S < 30, "the deliverer gives up on a send after that"


async def test_however_long_telegram_and_this_machine_take_no_second_of_telegrams_has_more_than_it_allows() -> None:
    """Twenty times as fast as a real second. Telegram counts a message at any time between request and answer."""
    second = 0.05
    window = Window(seconds=second)
    chance = random.Random(4)
    counted: list[float] = []

    async def send(n: int) -> None:
        async with window.place(answer=n % 9 == 0):
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.02]))
            counted.append(time.monotonic())
            if n % 50 == 0:
                time.sleep(0.03)  # noqa: ASYNC251 - this machine is busy with something else
            await asyncio.sleep(chance.choice([0.0, 0.002]))

    began = time.monotonic()
    await asyncio.gather(*(send(n) for n in range(300)))
    took = time.monotonic() - began
    counted.sort()
    assert max(sum(at <= one < at + second for one in counted) for at in counted) <= MOST_IN_WINDOW
    assert took < 3 * 300 / MOST_IN_WINDOW * second + 0.5, "and is not much slower than it could be"
