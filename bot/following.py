"""Which markets a live bot follows while it runs: the config's, those that chats ask for, and views of one venue.

A market that nobody watches by name any more, and that the config does not ask for, ends after a while; so does one
that is listed nowhere any more. What is stored of it stays, and it goes on from there when somebody asks for it again.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from bot.hearing import note_unheard_market
from bot.markets.live import LiveFeed
from bot.markets.live_choice import Chosen
from bot.markets.live_views import NoView
from bot.message import Message
from bot.reliving import Resumed
from bot.watch import Watcher
from detectors import figures
from detectors.market import HOUR_MS, Market
from storage.chats import EVERY_MARKET, Chat, Watch, set_size
from storage.store import NewAlert, Store

ENDS_AFTER_S = 600.0
"""Who changes his mind within this time misses nothing."""
ANSWER_WITHIN_S = 8.0
"""What venues get to say of a market that a chat asks for, while the chat waits."""


class Waiting(Protocol):
    """What the past of markets is still waited for by."""

    def waiting_for(self, market: str) -> str | None:
        """Why nothing can be said of a market yet; None where something can."""

    def add(self, found: Resumed) -> None:
        """Fetch the past of a market that came while running."""

    def forget(self, market: str) -> None:
        """It is not followed any more."""

    @property
    def condition(self) -> str | None:
        """How far it is, for ``/status``; None when all is in."""

    @property
    def faults(self) -> list[str]:
        """Of markets that nothing is taken of any more, for ``/status``."""


class Following:
    """``most``: merged markets at once, above which only the config's own are taken. ``ready_hours``: of a market's
    history, before anything is told of its clusters. ``tell`` lets alerts be delivered, ``say`` a message."""

    def __init__(
        self,
        feed: LiveFeed,
        watcher: Watcher,
        store: Store,
        *,
        most: int,
        ready_hours: float,
        tell: Callable[[Sequence[NewAlert]], None],
        say: Callable[[Collection[Chat], Message], None],
    ) -> None:
        self._feed, self._watcher, self._store = feed, watcher, store
        self._most, self._ready_ms = most, ready_hours * HOUR_MS
        self._tell, self._say = tell, say
        self.catching_up: Waiting | None = None
        """What fetches the past, once it does."""
        self.waiting: dict[str, str] = {}
        """What is watched and cannot be followed just now, with why."""
        self.ended: dict[str, str] = {}
        """Markets that are not followed any more, with why."""
        self._unwatched_s: dict[str, float] = {}
        """Since when nobody watches a market or view, by the steady clock."""
        self._busy, self._reading = asyncio.Lock(), asyncio.Lock()
        self._is_full = False

    # --- for commands

    def offers(self) -> list[Market]:
        """What `open` could follow and is not followed."""
        return self._feed.joins.offers()

    def offered(self) -> list[str]:
        """Bases of these."""
        return sorted(self._feed.joins.bases().difference(self._followed()))

    def follows(self, base: str) -> bool:
        return base in self._followed()

    def outlook(self, base: str) -> str:
        """When first alerts can be expected of a market that has just begun."""
        market = next(one for one in self._feed.markets if one.base == base)
        venues, listed_at_ms = " and ".join(market.venues), self._feed.joins.listed_at_ms(base)
        age_ms = self._ready_ms if listed_at_ms is None else self._feed.clock.now_ms() - listed_at_ms
        if age_ms < self._ready_ms:
            return (
                f"It is new, listed {figures.duration(age_ms)} ago: alerts on its clusters come once "
                f"{figures.duration(self._ready_ms)} are known, in about {figures.duration(self._ready_ms - age_ms)}."
            )
        is_idle = self.catching_up is None or self.catching_up.condition is None
        when = "in about a minute" if is_idle else "in some minutes, for that of other markets is being read too"
        return f"Its history is being read from {venues}: first alerts {when}."

    async def refresh(self) -> bool:
        """Ask the venues what they list, if that is ten minutes ago; whether it was done. Takes `ANSWER_WITHIN_S`."""
        if self._reading.locked() or not self._feed.joins.is_old:
            return False
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._reading:
                await self._feed.joins.reload()
        except TimeoutError:
            return False
        return True

    def conditions(self) -> list[str]:
        """For ``/status``."""
        return [f"{base} is watched and cannot begin yet: {why}" for base, why in sorted(self.waiting.items())]

    # --- beginning

    async def start(self) -> None:
        """Take up what chats watch beside the config's markets, before the watcher starts. Raises StoreUnavailable."""
        named, joins = _named(await self._store.subscriptions()), self._feed.joins
        lacking = [base for base in sorted(named) if "@" not in base and not self.follows(base)]
        room = max(self._most - len(joins.followed), 0)
        for chosen in await joins.find([base for base in lacking if base in joins.bases()][:room]):
            joins.begin(chosen, self._feed.live_from_ms)
        for base in sorted(named):
            try:
                if "@" in base:
                    self._feed.views.begin(self._feed.views.find(base))
                elif not self.follows(base):
                    raise self._why_not(base)
            except NoView as error:
                self.waiting[base] = str(error)

    async def open(self, base: str) -> None:
        """Follow a market, or the view of one venue such as ``BTC@okx``, if it is not followed.

        Raises NoView, StoreUnavailable.
        """
        async with self._busy:
            asset = base.partition("@")[0]
            if not self.follows(asset):
                await self._open_market(asset)
            if "@" in base:
                market = self._feed.views.find(base)
                if base not in self._watcher.engines:
                    await self._add(market)
                self._feed.views.begin(market)
            self.waiting.pop(base, None)

    async def _open_market(self, base: str) -> None:
        if base not in self._feed.joins.bases() or len(self._feed.joins.followed) >= self._most:
            raise self._why_not(base)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                found = await self._feed.joins.find([base])
        except TimeoutError as error:
            raise NoView(f"Not accepted: {base}'s venues do not answer just now. Try again in a minute.") from error
        for chosen in found:
            await self._begin(chosen, "a chat asked for it")

    async def _begin(self, chosen: Chosen, why: str) -> None:
        market = chosen.market
        await self._add(market)
        self._feed.joins.begin(chosen)
        self.ended.pop(market.base, None)
        self._feed.joins.say(f"{market.base} is followed from now on, on {', '.join(market.venues)}: {why}")

    async def _add(self, market: Market) -> None:
        """Watch it from now on, and fetch its past. Raises StoreUnavailable."""
        found = await self._watcher.add(market)
        await note_unheard_market(self._store, self._feed, found)
        if self.catching_up is not None:
            self.catching_up.add(found)

    def _why_not(self, base: str) -> NoView:
        if base in self._feed.joins.bases():
            return NoView(
                f"Not accepted: the bot follows {figures.counted(len(self._feed.joins.followed), 'market')}, and "
                f"source.most_markets in its config allows {self._most}."
            )
        nowhere = f"{base} is on none of these venues: {', '.join(self._feed.venue_names)}."
        return NoView(self.ended.get(base) or nowhere)

    def _followed(self) -> set[str]:
        return {market.base for market in self._feed.markets}

    # --- now and then

    async def look(self) -> None:
        """See what is listed where; end what is gone or not watched any more; try again to begin what could not, such
        as the view of a venue that was out. Raises StoreUnavailable."""
        joins = self._feed.joins
        if joins.is_due:
            async with self._reading:
                await joins.reload()
            await self._begin_chosen(await joins.choose())
        watches = await self._store.subscriptions()
        named = _named(watches)
        async with self._busy:
            await self._end_gone(watches)
            await self._end_unwatched(named)
        self.waiting = {base: why for base, why in self.waiting.items() if base in named}
        for base in sorted(base for base in named if not self.follows(base)):
            try:
                await self.open(base)
            except NoView as error:
                self.waiting[base] = str(error)

    async def _begin_chosen(self, bases: Sequence[str]) -> None:
        """What the config asks for and is there only now."""
        room = max(self._most - len(self._feed.joins.followed), 0)
        if bases[room:] and not self._is_full:
            self._feed.joins.say(f"{', '.join(bases[room:])} would be followed, but {self._why_not(bases[-1])}")
        self._is_full = bool(bases[room:])
        for base in bases[:room]:
            async with self._busy:
                for chosen in await self._feed.joins.find([] if self.follows(base) else [base]):
                    await self._begin(chosen, "the config asks for it")

    async def _end_gone(self, watches: Sequence[Watch]) -> None:
        gone = self._feed.joins.gone()
        for base in sorted(gone, key=lambda base: "@" not in base):
            if self.catching_up is not None and self.catching_up.condition is not None:
                continue  # until then it is among the others of the start; of its own past nothing may ever come
            await self._end(base)
            self.ended[base] = f"{gone[base]}."
            told = {watch.chat for watch in watches if watch.subscription.market == base}
            self._feed.joins.say(f"{base} is followed no more: {gone[base]}", *told)
            again = ("What this chat watches stays as it is: it begins again should it be listed again.",)
            self._say(told, Message(f"{base} is followed no more: {gone[base]}.", again))

    async def _end_unwatched(self, named: set[str]) -> None:
        now_s, alone = time.monotonic(), self._feed.views.alone()
        watched = {*named, *(base.partition("@")[0] for base in (*named, *alone))}
        begun = [*alone, *self._feed.joins.asked_for]
        unwatched = [base for base in begun if base not in (named if "@" in base else watched)]
        self._unwatched_s = {base: self._unwatched_s.get(base, now_s) for base in unwatched}
        for base, since_s in list(self._unwatched_s.items()):
            if now_s - since_s >= ENDS_AFTER_S and not self._is_busy(base):
                await self._end(base)
                if "@" not in base:
                    self._feed.joins.say(f"{base} is followed no more: nobody watches it by name")

    async def _end(self, base: str) -> None:
        self._tell(await self._watcher.remove(base))  # first, for it may fail, and it goes on being followed then
        if "@" in base:
            self._feed.views.end(base)
        else:
            self._feed.joins.end(base)
        if self.catching_up is not None:
            self.catching_up.forget(base)
        self._unwatched_s.pop(base, None)

    def _is_busy(self, base: str) -> bool:
        past = self.catching_up
        return past is not None and (past.condition is not None or past.waiting_for(base) is not None)


def _named(watches: Sequence[Watch]) -> set[str]:
    """Markets and views that are watched by name."""
    found = {watch.subscription.market for watch in watches}
    return {base for base in found if base != EVERY_MARKET and set_size(base) is None}
