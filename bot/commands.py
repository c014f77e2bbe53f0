"""Platform-neutral commands: a chat's line of text to the message that answers it.

A reply comes only after the store has committed, so no reply means not accepted; every command can be repeated without
harm.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bot import asking, replies
from bot.asking import NotUnderstood
from bot.charting import ChartFolder
from bot.markets.feed import Feed
from bot.markets.live import LiveFeed
from bot.message import Message, Table
from bot.watch import Watcher
from detectors.market import Market
from detectors.registry import EventKind
from detectors.view import MarketView
from storage.chats import EVERY_MARKET, Chat, Subscription
from storage.errors import QuotaExceeded, StoreUnavailable
from storage.store import Store

MOST_RECENT = 20
USUAL_RECENT = 5
Answer = Callable[[Chat, Sequence[str]], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Help:
    usage: str
    says: str


HELP = {
    "watch": Help("/watch SYMBOL [kinds] [within N%] [min $5M] [fast|medium|slow]", "alerts on a market, or on all"),
    "unwatch": Help("/unwatch SYMBOL", "no more of a market, or of all"),
    "watching": Help("/watching", "what this chat watches"),
    "map": Help("/map SYMBOL", "the estimated liquidation map, with a chart"),
    "clusters": Help("/clusters SYMBOL", "the clusters tracked now"),
    "funding": Help("/funding [SYMBOL]", "funding rates, and who pays"),
    "recent": Help("/recent [SYMBOL] [N]", "the last alerts of this chat"),
    "status": Help("/status", "source, data age, refusals, queue"),
    "help": Help("/help", "this list"),
}


class Commands:
    """``faults``: sentences for ``/status`` about what goes wrong in the background."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        watcher: Watcher,
        kinds: Mapping[str, EventKind],
        *,
        defaults: Subscription,
        charts: ChartFolder | None = None,
        faults: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._store, self._feed, self._watcher, self._kinds = store, feed, watcher, kinds
        self._defaults, self._charts, self._faults = defaults, charts, faults
        self._answers: dict[str, Answer] = {
            "watch": self._watch,
            "unwatch": self._unwatch,
            "watching": self._watching,
            "map": self._map,
            "clusters": self._clusters,
            "funding": self._funding,
            "recent": self._recent,
            "status": self._status,
            "help": self._help,
            "start": self._help,
        }

    @property
    def words(self) -> tuple[str, ...]:
        """For completion: commands, markets, kinds and options."""
        commands = tuple(f"/{name}" for name in HELP)
        return (*commands, *(market.base for market in self._markets), "all", *self._kinds, "within", "min")

    async def handle(self, chat: Chat, text: str) -> Message:
        """The answer to one line. Never raises for what a user typed."""
        try:
            command = asking.command(text, tuple(self._answers))
            return await self._answers[command.name](chat, command.words)
        except NotUnderstood as error:
            return Message(str(error), (f"Like this: {error.example}",) if error.example else ())
        except QuotaExceeded as error:
            return Message(str(error))
        except StoreUnavailable:
            return Message("Not accepted: the store cannot be written just now. Try again in a minute.")

    @property
    def _markets(self) -> tuple[Market, ...]:
        return tuple(engine.market for engine in self._watcher.engines.values())

    async def _watch(self, chat: Chat, words: Sequence[str]) -> Message:
        wanted = asking.subscription(words, self._markets, self._kinds, self._defaults)
        await self._store.watch(chat, wanted)
        whole = await self._watching(chat, ())
        what = "every market" if wanted.market == EVERY_MARKET else wanted.market
        return Message(f"Watching {what}.", whole.lines, whole.footer, whole.table)

    async def _unwatch(self, chat: Chat, words: Sequence[str]) -> Message:
        base = asking.one_or_all(words, self._markets, "/unwatch BTC")
        everything = base == EVERY_MARKET
        removed = await self._store.unwatch(chat, None if everything else base)
        if everything:
            return Message("You watch nothing now." if removed else "You watched nothing.")
        rest = await self._store.subscriptions(chat)
        if any(watch.subscription.market == EVERY_MARKET for watch in rest):
            text = "You still watch all markets, and so this one: /unwatch all, then /watch those you want."
            return Message(f"{base} has no settings of its own now.", (text,))
        return Message(f"No more of {base}." if removed else f"You did not watch {base}.")

    async def _watching(self, chat: Chat, _words: Sequence[str]) -> Message:
        return replies.watching(await self._store.subscriptions(chat))

    async def _map(self, _chat: Chat, words: Sequence[str]) -> Message:
        view = self._view(words, "/map BTC")
        message = replies.liquidation_map(view)
        if self._charts is None or view.open_interest_usd is None:
            return message
        chart = await self._charts.save(replies.map_event(view))
        return Message(message.title, message.lines, message.footer, message.table, chart)

    async def _clusters(self, _chat: Chat, words: Sequence[str]) -> Message:
        return replies.clusters(self._view(words, "/clusters BTC"))

    async def _funding(self, _chat: Chat, words: Sequence[str]) -> Message:
        if words:
            return replies.funding([self._view(words, "/funding BTC")])
        views = [view for engine in self._watcher.engines.values() if (view := engine.view()) is not None]
        return replies.funding(views)

    async def _recent(self, chat: Chat, words: Sequence[str]) -> Message:
        number, base = USUAL_RECENT, None
        for word in words[:2]:
            if word.isascii() and word.isdecimal():
                number = min(max(1, int(word[:4])), MOST_RECENT)
            else:
                base = asking.market(word, self._markets).base
        alerts = await self._store.recent(number, chat=chat, market=base)
        return replies.recent(alerts, any(market.simulated for market in self._markets))

    async def _status(self, _chat: Chat, _words: Sequence[str]) -> Message:
        engines = self._watcher.engines.values()
        refused = Counter(self._feed.refusals)
        for engine in engines:
            refused.update(engine.refused)
        live = self._feed if isinstance(self._feed, LiveFeed) else None
        now_ms = live.clock.now_ms() if live else None
        venues = [replies.venue_line(venue, live.gaps, live.clock.now_ms()) for venue in live.status()] if live else []
        return replies.status(
            self._feed.source,
            {engine.market: engine.view() for engine in engines},
            await self._store.counts(),
            refused,
            sum(engine.gaps for engine in engines),
            self._faults(),
            venues=venues,
            now_ms=now_ms,
        )

    async def _help(self, _chat: Chat, _words: Sequence[str]) -> Message:
        commands = Table(("command", "what it does"), tuple((one.usage, one.says) for one in HELP.values()))
        kinds = tuple(f"{kind.kind}: {kind.summary}" for kind in self._kinds.values())
        return Message("Commands", ("Kinds of alert:", *kinds), (f"Example: {asking.WATCH_EXAMPLE}",), commands)

    def _view(self, words: Sequence[str], example: str) -> MarketView:
        if len(words) != 1:
            raise NotUnderstood("Name one market.", example)
        base = asking.market(words[0], self._markets).base
        view = self._watcher.engines[base].view()
        if view is None:
            raise NotUnderstood(f"Nothing is known of {base} yet: its first data are still to come.")
        return view
