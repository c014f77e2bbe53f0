"""What a live feed says of its data, to the operator's own chats and to those that opted in.

A notice is no alert: it is not stored, and sent at most once. Alerts never wait for it beyond the pace of the chat and
the platform, which it shares.
"""

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

from bot.ending import cancelled
from bot.errors import Fatal, Moved, Reject, Retry
from bot.markets.live_types import Notice, NoticeKind
from bot.message import Message
from bot.outages import Outages
from detectors import figures
from detectors.market import MINUTE_MS
from storage.chats import Chat
from storage.errors import StoreUnavailable
from storage.store import Store

log = logging.getLogger(__name__)
Say = Callable[[Chat, Message, str], Awaitable[None]]
"""`Deliverer.say`."""
WAITING = 20
"""Messages that may wait in one chat; what comes on top is dropped and counted."""
ATTEMPTS = 5
OPENING_MS = MINUTE_MS
_REMEMBERED = 256


class NoticeBoard:
    """``chats`` are told always, others by ``/notices on``; ``platforms`` are the names of those that can be sent to.

    ``started_ms``, once set, is when this process began to hear venues: what it found out of order by then was so
    before, and telling it again at every restart would teach people to look away. ``/status`` shows it all the same.
    """

    def __init__(self, store: Store, say: Say, chats: Sequence[Chat], platforms: Collection[str]) -> None:
        self._store, self._say = store, say
        self._chats = tuple(chat for chat in chats if chat.platform in platforms)
        self._platforms = frozenset(platforms)
        self.unreachable = tuple(chat for chat in chats if chat.platform not in platforms)
        self.started_ms: int | None = None
        self.dropped = 0
        """Messages that were not sent, or of which it is not known."""
        self._given_up: dict[Chat, str] = {}
        """Of the operator's chats those that are parked, with why."""
        self._told: deque[Notice] = deque(maxlen=_REMEMBERED)
        self._outages = Outages()
        self._waiting: dict[Chat, deque[tuple[str, Message]]] = {}
        self._workers: dict[Chat, asyncio.Task[None]] = {}
        self._stopped = False
        self._session, self._posted = time.time_ns(), 0

    async def post(self, notices: Sequence[Notice]) -> None:
        """Queue what is for chats, in one message; sends nothing itself."""
        news = self._outages.worth_telling(list(dict.fromkeys(notices)), self._is_news)
        if not news or self._stopped:
            return
        self._told.extend(news)
        self._posted += 1
        for chat in await self._readers():
            if for_chat := [one for one in news if chat not in one.told]:
                self._queue(chat, self._nonce(chat), _message(for_chat))

    def tell(self, chats: Collection[Chat], message: Message) -> None:
        """Queue something for certain chats alone."""
        self._posted += 1
        for chat in chats:
            if chat.platform in self._platforms and not self._stopped:
                self._queue(chat, self._nonce(chat), message)

    async def stop(self) -> None:
        """Send nothing more; what waits is dropped."""
        self._stopped = True
        await cancelled(list(self._workers.values()))

    def condition(self) -> list[str]:
        """For ``/status``: what was lost, and who cannot be told."""
        lost = [f"Notices that did not reach a chat, or may not have: {self.dropped}"] if self.dropped else []
        unreachable = ", ".join(map(str, self.unreachable))
        lost += [f"No notices to {chat}: {why}" for chat, why in self._given_up.items()]
        return [*lost, *([f"No notices to {unreachable}: that platform is not on"] if unreachable else [])]

    def _is_news(self, notice: Notice) -> bool:
        if notice in self._told:
            return False
        begun_ms = self.started_ms
        match notice.kind:
            case NoticeKind.RECOVERED | NoticeKind.MARKET:
                return True
            case NoticeKind.STALE:
                return begun_ms is None or notice.since_ms is None or notice.since_ms > begun_ms
            case NoticeKind.VENUE:
                return notice.stopped and (begun_ms is None or notice.at_ms > begun_ms + OPENING_MS)
        return False

    async def _readers(self) -> list[Chat]:
        """The operator's, then those that opted in; without those that are parked."""
        try:
            settings, parked = await self._store.chat_settings(), (await self._store.counts()).parked
        except StoreUnavailable as error:
            log.warning("who asked for notices cannot be read, so only the operator's chats are told: %s", error)
            return list(dict.fromkeys(self._chats))
        self._given_up = {chat: parked[chat] for chat in self._chats if chat in parked}
        opted = [chat for chat, one in settings.items() if one.notices and chat.platform in self._platforms]
        return [chat for chat in dict.fromkeys((*self._chats, *opted)) if chat not in parked]

    def _nonce(self, chat: Chat) -> str:
        """Of this message in this chat: Discord takes a nonce once for all the channels of a bot."""
        return hashlib.sha256(f"{self._session} {self._posted} {chat}".encode()).hexdigest()[:24]

    def _queue(self, chat: Chat, nonce: str, message: Message) -> None:
        waiting = self._waiting.setdefault(chat, deque())
        if len(waiting) >= WAITING:
            self.dropped += 1
            return
        waiting.append((nonce, message))
        if chat not in self._workers:
            self._workers[chat] = asyncio.create_task(self._serve(chat, waiting), name=f"notices {chat}")

    async def _serve(self, chat: Chat, waiting: deque[tuple[str, Message]]) -> None:
        try:
            while waiting and not self._stopped:
                if not await self._send(chat, *waiting[0]):
                    self.dropped += 1
                waiting.popleft()
        except Reject:  # the chat is gone, and with it what waits for it
            self.dropped += len(waiting)
        finally:
            self._workers.pop(chat, None)
            self._waiting.pop(chat, None)

    async def _send(self, chat: Chat, nonce: str, message: Message) -> bool:
        """Whether it surely arrived; where that is open it is not tried again. Raises Reject where the chat is gone."""
        for _ in range(ATTEMPTS):
            try:
                await self._say(chat, message, nonce)
            except Retry as error:
                if error.ambiguous or self._stopped:
                    return False
                await asyncio.sleep(error.after_s)
            except Moved as error:
                chat = Chat(chat.platform, error.chat_id)
            except Reject as error:
                if error.chat_gone:
                    raise
                log.warning("a notice was refused in %s: %s", chat, error)
                return False
            except (TimeoutError, StoreUnavailable, Fatal) as error:
                log.warning("a notice may not have reached %s: %s", chat, error or "no answer")
                return False
            except Exception:
                log.exception("a notice could not be sent to %s", chat)
                return False
            else:
                return True
        return False


def _message(notices: Sequence[Notice]) -> Message:
    quietly = all(one.kind in {NoticeKind.RECOVERED, NoticeKind.MARKET} for one in notices)
    if len(notices) == 1:
        (one,) = notices
        return Message(f"⚠ {one.kind}: {one.text}", (figures.moment(one.at_ms),), silent=quietly)
    lines = tuple(f"{figures.clock(one.at_ms)} {one.kind}: {one.text}" for one in notices)
    return Message(f"⚠ {len(notices)} notices about the data", lines, silent=quietly)
