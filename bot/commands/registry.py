"""What a command is: its description for every platform, and the coroutine that answers it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bot import asking
from bot.asking import NotUnderstood
from bot.charting import ChartFolder
from bot.commands.doorman import TERMINAL
from bot.following import Following
from bot.markets import names
from bot.markets.feed import Feed
from bot.markets.live import LiveFeed
from bot.markets.names import UnknownMarket, resolve
from bot.message import Message
from bot.platforms.seam import CommandSpec, Request
from bot.watch import Watcher
from detectors.market import Market
from detectors.registry import EventKind
from detectors.view import MarketView
from storage.chat_settings import USUAL, ChatSettings
from storage.chats import Chat, Subscription
from storage.store import Store


@dataclass(frozen=True, slots=True)
class House:
    """What commands work with. ``faults``: sentences for ``/status``; ``conditions``: one of each chat platform;
    ``private_faults``: with paths and chats' ids in them, for an operator's chat alone."""

    store: Store
    feed: Feed
    watcher: Watcher
    kinds: Mapping[str, EventKind]
    defaults: Subscription
    charts: ChartFolder | None = None
    faults: Callable[[], Sequence[str]] = tuple
    conditions: Callable[[], Sequence[str]] = tuple
    waiting_for: Callable[[str], str | None] = lambda _: None
    """Why nothing can be said of a market yet; None where something can."""

    following: Following | None = None
    """What further markets can be followed, and views of one venue, ``BTC@okx``. None: this source has none."""

    most_chats: int = 20
    """Chats in which one user can have something watched."""

    private_faults: Callable[[], Sequence[str]] = tuple
    operators: Collection[Chat] = ()
    """Chats of whoever runs the bot, beside the terminal."""

    def is_operator(self, chat: Chat) -> bool:
        return chat.platform == TERMINAL or chat in self.operators

    @property
    def markets(self) -> tuple[Market, ...]:
        return tuple(engine.market for engine in self.watcher.engines.values())

    @property
    def now_ms(self) -> int:
        """Market time: the wall clock's for a live market, the newest data's otherwise; 0 before any."""
        if isinstance(self.feed, LiveFeed):
            return self.feed.clock.now_ms()
        views = [view for engine in self.watcher.engines.values() if (view := engine.view()) is not None]
        return max((view.taken_at_ms for view in views), default=0)

    def view(self, words: Sequence[str], example: str) -> MarketView:
        """The view of the one market that ``words`` name. Raises NotUnderstood."""
        if len(words) != 1:
            raise NotUnderstood("Name one market.", example)
        try:
            base = asking.market(words[0], self.markets).base
        except NotUnderstood as error:
            raise self.not_followed(words[0]) or error from error
        if (why := self.waiting_for(base)) is not None:
            raise NotUnderstood(why)
        view = self.watcher.engines[base].view()
        if view is None:
            raise NotUnderstood(f"Nothing is known of {base} yet: its first data are still to come.")
        return view

    def not_followed(self, word: str) -> NotUnderstood | None:
        """Of a market that could be followed, or was once; None where that is none."""
        try:
            base = resolve(word, self.following.offers()).base if self.following else ""
        except UnknownMarket:
            ended = self.following.ended.get(word.upper()) if self.following else None
            return NotUnderstood(ended) if ended else None
        text = f"{base} is not followed yet: watch it, and its history is read."
        return NotUnderstood(text, f"/watch {base}") if base else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as a command sees it: who asks, and the words after the command's name."""

    house: House
    request: Request
    words: tuple[str, ...]

    @property
    def chat(self) -> Chat:
        return self.request.chat

    async def base_of(self, word: str) -> str:
        """The market that a word names: followed now, or not any more, or not yet. Raises NotUnderstood."""
        try:
            return asking.market(word, self.house.markets).base
        except NotUnderstood:
            if (base := await self._elsewhen(word)) is None:
                raise
            return base

    async def one_or_all(self, words: Sequence[str], example: str) -> str:
        """As `base_of` of the only word; ``*`` for all. Raises NotUnderstood."""
        try:
            return asking.one_or_all(words, self.house.markets, example)
        except NotUnderstood:
            if len(words) != 1 or (base := await self._elsewhen(words[0])) is None:
                raise
            return base

    async def _elsewhen(self, word: str) -> str | None:
        """A market that is not followed now: one of which alerts are stored, that this chat watches or has muted, or
        that could be followed."""
        following, store = self.house.following, self.house.store
        known = [one.base for one in following.offers()] if following else []
        known += [one.subscription.market for one in await store.subscriptions(self.chat)]
        known += (await self.settings()).muted_markets
        by_name = {one.upper(): one for one in known}
        for base in names.bases(word):
            if base.upper() in by_name:
                return by_name[base.upper()]
            if await store.recent(1, market=base):
                return base
        return None

    async def settings(self) -> ChatSettings:
        """How this chat wants to be told. Raises StoreUnavailable."""
        return (await self.house.store.chat_settings([self.chat])).get(self.chat, USUAL)


Answer = Callable[[Asked], Awaitable[Message]]
"""Raises NotUnderstood, QuotaExceeded, StoreUnavailable, which `Commands.handle` puts in words."""


@dataclass(frozen=True, slots=True)
class Command:
    """``hidden``: works, and is in no menu and no help."""

    spec: CommandSpec
    answer: Answer
    hidden: bool = False
