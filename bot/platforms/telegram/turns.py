"""Whose turn it is to be written to, for alerts and answers together.

The deliverer paces alerts by `limits` before it sends; the same limits are kept here once more with the answers to
commands, which go out beside it. Answers have a small part of the overall pace for themselves, so a market that is told
to a thousand chats does not keep anybody waiting.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.errors import Retry
from bot.pacing import Limits, Pace, Rate
from bot.platforms.telegram.address import Address

PER_SECOND = 25.0
ANSWERS_PER_SECOND = 3.0
"""With the pace of alerts under the 30 a second that Telegram allows."""
CHAT = Rate(1.0)
GROUP = Rate(15 / 60, burst=5)
"""20 in any minute, as documented."""
_WITH_ANSWERS = Rate(1.0, burst=2)
"""Short bursts in one chat are allowed (documented); an answer needs one."""
MOST_IN_WINDOW = 29
"""Messages that may count in one second of Telegram's, which allows some 30."""
KEPT_FOR_ANSWERS = 2
"""Of those."""
LONGEST_WAIT_S = 8.0
_KEPT = 20_000


def limits(address: Address) -> Limits:
    """Topics share those of their group."""
    return Limits(str(address.chat_id), (CHAT,) if address.is_private else (CHAT, GROUP))


class Window:
    """No more than so many messages in any second, by Telegram's clock and not by ours.

    A pace alone does not see to that: what waits while this machine is busy goes out together after. A message counts
    from when it leaves until a second after its answer, so it counts whenever Telegram may have counted it.
    """

    def __init__(self, most: int = MOST_IN_WINDOW, seconds: float = 1.0) -> None:
        self._most, self._seconds = most, seconds
        self._under_way = 0
        self._answered_at_s: deque[float] = deque()
        self._alerts, self._answers = asyncio.Lock(), asyncio.Lock()

    @asynccontextmanager
    async def place(self, *, answer: bool) -> AsyncIterator[None]:
        """Inside, the message may be sent. Those who wait come one after another."""
        most = self._most if answer else self._most - KEPT_FOR_ANSWERS
        async with self._answers if answer else self._alerts:
            while (free_in_s := self._free_in(most)) > 0:  # noqa: ASYNC110 - time alone frees a place
                await asyncio.sleep(free_in_s)
            self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._answered_at_s.append(time.monotonic())

    def _free_in(self, most: int) -> float:
        now_s = time.monotonic()
        while self._answered_at_s and self._answered_at_s[0] <= now_s - self._seconds:
            self._answered_at_s.popleft()
        if self._under_way + len(self._answered_at_s) < most:
            return 0.0
        return self._answered_at_s[0] + self._seconds - now_s + 0.001 if self._answered_at_s else 0.01


class ChatTurns:
    def __init__(self, per_second: float = PER_SECOND, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._alerts, self._answers = Pace(per_second), Pace(ANSWERS_PER_SECOND)
        # Who has bought a higher pace from Telegram has as much room in a second.
        self._window = Window(max(MOST_IN_WINDOW, round(per_second * MOST_IN_WINDOW / PER_SECOND)))
        self._chats: OrderedDict[int, _Chat] = OrderedDict()
        self._open_at_s: dict[int, float] = {}
        """When a chat may be written to again that Telegram has told to wait."""

    @asynccontextmanager
    async def turn(self, address: Address, *, answer: bool = False) -> AsyncIterator[None]:
        """Inside, it is this chat's turn, for one message. Raises Retry, with nothing taken, where it is far off."""
        await asyncio.sleep(self.take(address, answer=answer))
        async with self._window.place(answer=answer):
            yield

    def take(self, address: Address, *, answer: bool = False) -> float:
        """Take the next turn; how long to wait for it, in seconds. Raises Retry, with nothing taken."""
        now_s = self._now_s()
        closed_for_s = self._open_at_s.get(address.chat_id, now_s) - now_s
        if closed_for_s > LONGEST_WAIT_S:
            raise Retry(f"Telegram asks to wait {closed_for_s:.0f} s", closed_for_s)
        chat = self._chat(address)
        # The chat's turns come in the order they were asked for, and each counts from when it is used.
        at_s = max(now_s, now_s + closed_for_s, chat.due_s)
        due_s = at_s - now_s + max(pace.wait(at_s) for pace in chat.paces)
        if due_s > LONGEST_WAIT_S:
            raise Retry("this chat was written to often enough for now", due_s)
        overall = self._answers if answer else self._alerts
        at_s = max(at_s, now_s + overall.take(now_s))
        for pace in chat.paces:
            at_s += pace.take(at_s)
        chat.due_s = at_s
        return max(0.0, at_s - now_s)

    def close(self, address: Address, for_s: float) -> None:
        """Telegram has told this chat to wait."""
        now_s = self._now_s()
        self._open_at_s = {chat: at_s for chat, at_s in self._open_at_s.items() if at_s > now_s}
        self._open_at_s[address.chat_id] = now_s + for_s

    def _chat(self, address: Address) -> "_Chat":
        chat = self._chats.get(address.chat_id)
        if chat is None:
            rates = (_WITH_ANSWERS,) if address.is_private else (_WITH_ANSWERS, GROUP)
            chat = _Chat(tuple(Pace(rate.per_second, rate.burst) for rate in rates))
            self._chats[address.chat_id] = chat
            if len(self._chats) > _KEPT:
                self._chats.popitem(last=False)
        else:
            self._chats.move_to_end(address.chat_id)
        return chat


@dataclass(slots=True)
class _Chat:
    paces: tuple[Pace, ...]
    due_s: float = 0.0
    """When its last turn is used."""
