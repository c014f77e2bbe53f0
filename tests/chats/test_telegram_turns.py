"""Whatever alerts and answers fall due together, Telegram's limits are never met."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Retry
from bot.platforms.telegram.address import Address
from bot.platforms.telegram.turns import GROUP, LONGEST_WAIT_S, Turns, limits
from tests.chats.telegram_limits import Limits

CHATS = (Address(1), Address(2), Address(-100_1), Address(-100_1, 7), Address(-100_2))
WISHES = st.lists(st.tuples(st.floats(0, 0.4), st.sampled_from(CHATS), st.booleans()), min_size=1, max_size=150)


@given(WISHES)
def test_no_schedule_of_alerts_and_answers_is_ever_refused(wishes: list[tuple[float, Address, bool]]) -> None:
    now = 0.0
    turns = Turns(now_s=lambda: now)
    sends: list[tuple[float, int]] = []
    for later, chat, answer in wishes:
        now += later
        with contextlib.suppress(Retry):
            sends.append((now + turns.take(chat, answer=answer), chat.chat_id))
    server = Limits(lambda: now)
    for at_s, chat_id in sorted(sends):
        now = at_s
        server.take(chat_id)


def test_a_thousand_chats_are_told_at_the_pace_and_a_command_is_still_answered_at_once() -> None:
    turns = Turns(now_s=lambda: 0.0)
    waits = [turns.take(Address(n)) for n in range(1, 1001)]
    assert waits[-1] == 999 / 25
    assert turns.take(Address(5000), answer=True) == 0


def test_a_chat_that_was_told_to_wait_is_not_tried_and_others_are() -> None:
    now = 0.0
    turns = Turns(now_s=lambda: now)
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
