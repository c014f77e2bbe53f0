"""Delivery: claim -> compose -> send -> settle, one send in flight a chat, each platform with places of its own.

A delivery is *sent* only after the platform said so. A failure that leaves it open whether the message arrived makes
the next attempt say "possible repeat". Waiting happens in the chat that was told to wait, and nowhere else.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import ParamSpec, Protocol

from bot.composing import Compose, in_context
from bot.composing import Notice as Notice
from bot.composing import nonce as nonce
from bot.composing import words as words
from bot.errors import Fatal, Moved, Reject, Retry
from bot.message import Message
from bot.once import Once
from bot.pacing import Limits, Pace
from bot.settling import Settler
from detectors.event import Evidence
from storage.chats import Chat
from storage.conversations import Context
from storage.errors import StoreUnavailable
from storage.outbox import Claim, Dead, Delivery, Expired, Later, Sent, Settlement, Task
from storage.store import Store

P = ParamSpec("P")
log = logging.getLogger(__name__)

IN_FLIGHT = 32
"""Sends under way on one platform."""
_CLAIM_AT_LEAST = 8
"""Places that must be free before more is claimed, unless nothing is under way: a claim is a commit."""
_EVIDENCE_KEPT = 16
SEND_TIMEOUT_S = 30.0
STOP_WITHIN_S = 5.0
"""A host gives 30 s, we promise 10; the rest is for the last tick, the platforms and the store."""
FAULTS_ALLOWED = 8
"""Errors of our own that one delivery may meet in one life; what it waited for, or was killed in, does not count."""
LONGEST_BACKOFF_S = 60.0
_MOST_DOUBLINGS = 6
"""To `LONGEST_BACKOFF_S`; a delivery may have been tried a thousand times before its next fault."""
LONGEST_TURN_S = 2.0
"""What waits longer for its turn leaves its place to others meanwhile: the topics of one group wait for one another."""
_TURN_KEPT_S = 10.0
"""How long a turn is kept that was not used in time, as while the whole platform had to wait."""


class Platform(Protocol):
    """Where chats are. Both methods raise the errors of `bot.errors` only; anything else counts as a fault."""

    @property
    def name(self) -> str: ...

    @property
    def per_second(self) -> float:
        """Messages a second over all chats."""

    def limits(self, chat_id: str) -> Limits:
        """How fast this chat may be spoken to."""

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        """Send and return the platform's id of the message. ``nonce`` is the same for every attempt."""

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None: ...


class Deliverer:
    """Serves every chat until `stop`. To end it, call `stop`; do not cancel `run`.

    ``market_ms`` tells lateness, expiry and how long to hold a storm; None: a recording played as fast as it goes is
    never late. ``now_ms`` tells when to try again; it must never step back, so it is not the wall clock.
    """

    def __init__(
        self,
        store: Store,
        platforms: Sequence[Platform],
        compose: Compose,
        *,
        market_ms: Callable[[], int] | None = None,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        look_every_s: float = 1.0,
    ) -> None:
        self._store = store
        self._platforms: Mapping[str, Platform] = {platform.name: platform for platform in platforms}
        self._compose = compose
        self._market_ms = market_ms
        self._now_ms = now_ms
        self._look_every_s = look_every_s
        self._paces = {platform.name: Pace(platform.per_second, burst=5) for platform in platforms}
        self._chat_paces: dict[tuple[str, str], tuple[Pace, ...]] = {}
        """By platform and `Limits.key`."""
        self._turns: dict[Chat, float] = {}
        """By chat that waits for it without a place: when its turn is, by the steady clock."""
        self._paused_until_s: dict[str, float] = {}
        """By platform that told the bot as a whole to wait."""
        self._faults: Counter[int] = Counter()
        """By delivery."""
        self._evidence: Once[str, Evidence | None] = Once(_EVIDENCE_KEPT)
        self._settler = Settler(store, look_every_s)
        self._workers: dict[str, set[asyncio.Task[None]]] = {platform.name: set() for platform in platforms}
        self._wake = asyncio.Event()
        self._looking = asyncio.Lock()
        self._stopping = False
        self._fatal: Fatal | None = None

    async def run(self) -> None:
        """Deliver until `stop`. Raises Fatal when a platform can serve no chat."""
        while not self._stopping:
            self._wake.clear()
            await self._look(flush=False)
            try:
                await asyncio.wait_for(self._wake.wait(), self._look_every_s)
            except TimeoutError:
                continue
        if self._fatal is not None:
            raise self._fatal

    def wake(self) -> None:
        """Look now; to be called after a commit."""
        self._wake.set()

    async def drain(self) -> None:
        """Send all that is due now, storms' alerts included; what must wait, for a retry or for a turn that is far off,
        stays. Raises Fatal.
        """
        while not self._stopping:
            found = await self._look(flush=True)
            if workers := self._under_way():
                await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
            elif not found:
                break
        if self._fatal is not None:
            raise self._fatal

    async def say(self, chat: Chat, message: Message, nonce: str) -> None:
        """Send, once, what is no delivery, at the pace that deliveries keep. What the refusal of a delivery would do to
        the chat or the platform is done; whether to try again is the caller's. Raises PlatformError, TimeoutError.
        """
        platform = self._platforms[chat.platform]
        await self._wait_turn(self._turn(chat, platform), platform)
        if self._stopping:
            raise Retry("stopping", 0, ambiguous=True)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await platform.send(chat.chat_id, message, nonce=nonce)
        except Retry as error:
            self._pause(platform.name, error)
            raise
        except Reject as error:
            if error.chat_gone:
                await self._persist(self._store.park, chat, error.reason)
            raise
        except Moved as error:
            await self._persist(self._move, chat, Chat(chat.platform, error.chat_id))
            raise
        except Fatal as error:
            self._end(error)
            raise

    async def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Claim nothing more, let what is being sent finish; what does not is returned as a possible repeat."""
        self._stopping = self._settler.stopping = True
        self._wake.set()
        async with self._looking:  # what is being claimed right now gets its worker first
            pass
        if workers := self._under_way():
            _, unfinished = await asyncio.wait(workers, timeout=within_s)
            for worker in unfinished:
                worker.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _under_way(self) -> set[asyncio.Task[None]]:
        return {worker for workers in self._workers.values() for worker in workers}

    async def _look(self, *, flush: bool) -> int:
        """Claim what is due and give each chat's message to a worker of its own; how many there were."""
        async with self._looking:
            found = 0
            for platform in self._platforms.values():
                found += 0 if self._stopping else await self._claim(platform, flush=flush)
            return found

    async def _claim(self, platform: Platform, *, flush: bool) -> int:
        workers = self._workers[platform.name]
        room = IN_FLIGHT - len(workers)
        paused = time.monotonic() < self._paused_until_s.get(platform.name, 0.0)
        if paused or (workers and room < _CLAIM_AT_LEAST):
            return 0
        market_ms = self._market_ms() if self._market_ms else None
        try:
            claims = await self._store.claim(
                self._now_ms(), room, market_ms=market_ms, flush=flush, platform=platform.name
            )
        except StoreUnavailable as error:
            log.warning("cannot look for deliveries: %s", error)
            return 0
        contexts: Sequence[Context | None] = [None] * len(claims)
        if claims:
            try:
                contexts = await self._store.contexts(claims)
            except StoreUnavailable as error:  # claimed they are: each is settled, or its chat would wait for ever
                log.warning("what chats were told before cannot be read yet: %s", error)
        for claim, context in zip(claims, contexts, strict=True):
            worker = asyncio.create_task(self._serve(claim, platform, context), name=f"deliver {claim.chat}")
            workers.add(worker)
            worker.add_done_callback(self._done)
        return len(claims)

    def _done(self, worker: asyncio.Task[None]) -> None:
        for workers in self._workers.values():
            workers.discard(worker)
        self._wake.set()
        if not worker.cancelled() and (error := worker.exception()) is not None:
            log.error("a delivery could not be settled", exc_info=error)

    async def _serve(self, claim: Claim, platform: Platform, context: Context | None) -> None:
        sending = False
        settlement: Settlement
        try:
            turn_s = self._kept_turn(claim.chat) or self._turn(claim.chat, platform)
            if turn_s - time.monotonic() > LONGEST_TURN_S:
                settlement = self._put_off(claim.chat, turn_s)
            else:
                if context is None:
                    (context,) = await self._store.contexts([claim])
                notices = await self._notices(claim)
                message = in_context(await self._compose(claim.task, notices), context, notices)
                waited_out = await self._wait_turn(turn_s, platform)
                sending = not self._stopping and not waited_out
                if sending:
                    settlement = await self._send(claim, platform, message)
                    if isinstance(settlement, Sent) and len(notices) == 1:
                        settlement = replace(settlement, late_by_ms=notices[0].late_by_ms)
                else:  # after a pause it is composed anew: it may be late by now, or of no use
                    settlement = self._later(0, "the platform was paused" if waited_out else "stopping")
        except Retry as error:
            self._pause(platform.name, error)
            settlement = self._later(error.after_s, error.reason, ambiguous=error.ambiguous)
        except Reject as error:
            settlement = Dead(error.reason)
            if error.chat_gone:
                await self._persist(self._store.park, claim.chat, error.reason)
        except Moved as error:
            await self._persist(self._move, claim.chat, Chat(claim.chat.platform, error.chat_id))
            settlement = self._later(0, error.reason)
        except Fatal as error:
            self._end(error)
            settlement = self._later(0, error.reason)
        except TimeoutError:
            settlement = self._later(_backoff(claim), "no answer", ambiguous=sending)
        except StoreUnavailable as error:
            log.warning("what is to be sent cannot be read: %s", error)
            settlement = self._later(_backoff(claim), "the store cannot be read")
        except asyncio.CancelledError:
            settlement = self._later(0, "stopped", ambiguous=sending)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other chats go on and the delivery is settled
            settlement = self._fault(claim, error, ambiguous=sending)
        await self._settler.settle(claim.deliveries, settlement)

    def _pause(self, platform: str, error: Retry) -> None:
        if error.everywhere:
            self._paused_until_s[platform] = time.monotonic() + error.after_s

    def _end(self, error: Fatal) -> None:
        self._fatal = error
        self._stopping = self._settler.stopping = True

    async def _move(self, old: Chat, new: Chat) -> None:
        await self._store.migrate_chat(old, new)

    async def _send(self, claim: Claim, platform: Platform, message: Message) -> Settlement:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            if claim.task is not Task.EDIT:
                sent = await platform.send(claim.chat.chat_id, message, nonce=nonce(claim.deliveries))
                return Expired("too late to be of use") if claim.task is Task.EXPIRE else Sent(sent)
            message_id = claim.deliveries[0].message_id
            assert message_id is not None
            await platform.edit(claim.chat.chat_id, message_id, message)
            return Sent(message_id)

    async def _notices(self, claim: Claim) -> list[Notice]:
        notices = [self._notice(delivery, claim.task) for delivery in claim.deliveries]
        if len(notices) == 1 and claim.task in {Task.SEND, Task.EDIT}:
            key = notices[0].event.key
            evidence = await self._evidence.get(key, lambda: self._evidence_of(key))
            return [replace(notices[0], event=replace(notices[0].event, evidence=evidence))]
        return notices

    async def _evidence_of(self, alert_id: str) -> Evidence | None:
        stored = await self._store.alert(alert_id)
        return stored.event.evidence if stored else None

    def _notice(self, delivery: Delivery, task: Task) -> Notice:
        late_by_ms = delivery.late_by_ms  # what is completed came when it came
        if self._market_ms is not None and task is not Task.EDIT:
            late_by_ms = self._market_ms() - delivery.event.taken_at_ms
        return Notice(delivery.event, delivery.reason, late_by_ms, delivery.possible_repeat)

    def _turn(self, chat: Chat, platform: Platform) -> float:
        """The next turn of this chat, which is taken, by the steady clock."""
        limits = platform.limits(chat.chat_id)
        paces = self._chat_paces.get((platform.name, limits.key))
        if paces is None:
            paces = tuple(Pace(rate.per_second, rate.burst) for rate in limits.rates)
            self._chat_paces[platform.name, limits.key] = paces
        now_s = time.monotonic()
        return now_s + max(pace.take(now_s) for pace in paces)

    def _kept_turn(self, chat: Chat) -> float | None:
        """The turn that the chat was put off to; None where it was not, or has long missed it."""
        turn_s = self._turns.pop(chat, None)
        return turn_s if turn_s is not None and time.monotonic() - turn_s < _TURN_KEPT_S else None

    def _put_off(self, chat: Chat, turn_s: float) -> Later:
        self._turns[chat] = turn_s
        wait_s = turn_s - time.monotonic()
        asyncio.get_running_loop().call_later(wait_s + 0.002, self._wake.set)  # due times are whole milliseconds
        return self._later(wait_s, "its turn in this chat, or in the group it is in, is later")

    async def _wait_turn(self, turn_s: float, platform: Platform) -> bool:
        """Until a chat's turn has come, and then the platform's; whether a pause of the platform was waited out."""
        now_s = time.monotonic()
        await asyncio.sleep(max(turn_s - now_s, self._paces[platform.name].take(now_s)))
        waited_out = False
        while (rest_s := self._paused_until_s.get(platform.name, 0.0) - time.monotonic()) > 0 and not self._stopping:
            waited_out = True
            await asyncio.sleep(min(rest_s, self._look_every_s))
        return waited_out

    def _later(self, after_s: float, reason: str, *, ambiguous: bool = False) -> Later:
        return Later(self._now_ms() + round(after_s * 1000), reason, ambiguous)

    def _fault(self, claim: Claim, error: Exception, *, ambiguous: bool) -> Settlement:
        log.error("cannot deliver to %s", claim.chat, exc_info=error)
        reason = f"{type(error).__name__} while delivering"
        ids = [delivery.delivery_id for delivery in claim.deliveries]
        self._faults.update(ids)
        if max(self._faults[one] for one in ids) >= FAULTS_ALLOWED:
            for one in ids:
                del self._faults[one]
            return Dead(reason)
        return self._later(_backoff(claim), reason, ambiguous=ambiguous)

    async def _persist(self, write: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Until the store takes it: what was sent must not be sent again because the disk was full for a while.

        While stopping it is tried once; the next start then finds the delivery claimed, as after a crash.
        """
        while True:
            try:
                return await write(*args, **kwargs)
            except StoreUnavailable as error:
                if self._stopping:
                    raise
                log.warning("cannot settle a delivery yet: %s", error)
                await asyncio.sleep(self._look_every_s)


def _backoff(claim: Claim) -> float:
    attempts = max(delivery.attempts for delivery in claim.deliveries)
    return min(LONGEST_BACKOFF_S, 2.0 ** min(attempts - 1, _MOST_DOUBLINGS))
