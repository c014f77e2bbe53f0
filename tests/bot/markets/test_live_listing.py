"""Markets that are listed, watched and taken off lists while the bot runs, on strict local venues."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bot import following as followings
from bot.following import Following
from bot.markets.live_history import Stretch
from bot.markets.live_types import BAR_MS, NoticeKind
from bot.markets.live_views import NoView
from bot.markets.local.venues import LocalVenues
from bot.message import Message
from bot.reliving import Resumed
from bot.watch import Watcher
from detectors.event import Event
from detectors.market import HOUR_MS, MarketSnapshot
from storage.chats import Chat, Subscription
from storage.sql_store import SqlStore
from storage.sqlite import SqliteStore
from storage.store import NewAlert
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.played import CHAT, subscribe, watcher

VENUES = ("binance", "okx")
DAYS = 2.0
SEED = 1
BARS_AFTER = 18
Told = list[tuple[str, str, int]]
"""(kind, cluster, bar) of alerts."""


class Past:
    """Stands for what fetches the past beside the feed: remembers what it was asked for."""

    def __init__(self) -> None:
        self.condition: str | None = None
        self.faults: list[str] = []
        self.added: list[Resumed] = []
        self.forgotten: list[str] = []

    def waiting_for(self, market: str) -> str | None:
        return None

    def add(self, found: Resumed) -> None:
        self.added.append(found)

    def forget(self, market: str) -> None:
        self.forgotten.append(market)


@dataclass
class Bot:
    """Watcher, store and what is followed, around a feed whose time the test moves."""

    rigged: Rig
    store: SqlStore
    watching: Watcher
    following: Following
    past: Past
    said: list[tuple[set[Chat], str]] = field(default_factory=list)

    async def bars(self, count: int) -> None:
        for _ in range(count):
            assert await self.rigged.next_bar()
            await self.take()

    async def take(self) -> None:
        await self.watching.take(heard(self.rigged.bars))
        self.rigged.snapshots.clear()

    async def put_past(self, base: str, days: float = DAYS) -> None:
        market = next(one for one in self.rigged.feed.markets if one.base == base)
        stretch = Stretch.of_days(market, days, self.rigged.clock.venues_ms)
        async for told in self.rigged.feed.past([stretch]):
            await self.watching.put_before(base, told.snapshots, asked_from_ms=stretch.since_ms)

    async def list_again(self) -> None:
        """An hour has passed since the lists were read, whatever the market did."""
        self.rigged.feed.joins._due_ms = 0
        await self.following.look()

    def texts(self) -> list[str]:
        return [one.text for one in self.rigged.feed.notices() if one.kind is NoticeKind.MARKET]

    async def alerts(self, base: str) -> Told:
        return sorted(key(one.newest) for one in await self.store.recent(1000) if one.newest.market == base)


def key(event: Event) -> tuple[str, str, int]:
    return event.kind, str(event.subject), event.bar_opened_at_ms


def heard(snapshots: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
    """Without liquidations, which stream only to who listens."""
    return [replace(one, prints=()) for one in sorted(snapshots, key=lambda one: one.taken_at_ms)]


def off(*bases: str, of: Sequence[str] = VENUES) -> Any:
    def delist(venues: LocalVenues) -> None:
        for venue in of if bases else ():
            venues[venue].faults.delisted.update(bases)

    return delist


def bot_around(rigged: Rig, store: SqlStore, most: int = 10) -> Bot:
    watching, past = watcher(store), Past()
    said: list[tuple[set[Chat], str]] = []

    def say(chats: Collection[Chat], message: Message) -> None:
        said.append((set(chats), message.title))

    def tell(_: Sequence[NewAlert]) -> None: ...

    following = Following(rigged.feed, watching, store, most=most, ready_hours=24, tell=tell, say=say)
    following.catching_up = past
    return Bot(rigged, store, watching, following, past, said)


@asynccontextmanager
async def bot(
    names: Sequence[str] = VENUES, *, unlisted: Sequence[str] = ("DOGE",), of: Sequence[str] = VENUES, **settings: Any
) -> AsyncIterator[Bot]:
    """It follows the largest, BTC, of what is listed at the start, which ``unlisted`` is not."""
    most, seed, days = settings.pop("most", 10), settings.pop("seed", SEED), settings.pop("days", 0.1)
    usual = {"largest": 1, **settings}
    markets = ["BTC", "DOGE"]
    async with rig(names, markets, days=days, seed=seed, before=off(*unlisted, of=of), **usual) as rigged:
        store = SqliteStore(None, "local")
        await store.open()
        made = bot_around(rigged, store, most)
        await subscribe(store)
        await made.following.start()
        await made.watching.start(rigged.feed.markets)
        try:
            yield made
        finally:
            await store.close()


async def replayed(past: Sequence[MarketSnapshot], from_ms: int, base: str) -> Told:
    """The alerts of a bot that had the market's whole past before it followed it from ``from_ms`` on."""
    store = SqliteStore(None, "local")
    await store.open()
    await subscribe(store)
    watching = watcher(store)
    await watching.start([past[0].market])
    before = [one for one in past if one.bar is not None and one.bar.closed_at_ms <= from_ms]
    await watching.put_before(base, before, asked_from_ms=before[0].taken_at_ms)
    await watching.take(heard([one for one in past if one.taken_at_ms > from_ms]))
    told = sorted(key(one.newest) for one in await store.recent(1000))
    await store.close()
    return told


async def test_a_market_listed_while_running_and_watched_tells_what_a_replay_from_its_first_bar_tells() -> None:
    async with bot(days=DAYS) as made:
        rigged = made.rigged
        await made.bars(1)
        assert not made.following.offers()
        with pytest.raises(NoView, match="DOGE is on none of these venues: binance, okx"):
            await made.following.open("DOGE")
        for venue in VENUES:
            rigged.venues[venue].faults.clear()
        await made.list_again()
        assert made.following.offered() == ["DOGE"], "a market that is newly listed was not found"
        assert [one.base for one in rigged.feed.markets] == ["BTC"], "nobody asked for it, and it is not the largest"

        await made.store.watch(CHAT, Subscription("DOGE"))
        await made.following.open("DOGE")
        assert [found.market.base for found in made.past.added] == ["DOGE"]
        joined_ms = rigged.clock.venues_ms
        await made.put_past("DOGE")
        assert await made.alerts("DOGE") == [], "what was there when it joined was not adopted silently"
        assert made.watching.engines["DOGE"].tracker.clusters, "nothing was there: choose another seed"
        await made.bars(BARS_AFTER)
        told = await made.alerts("DOGE")
        assert "DOGE is followed from now on, on binance, okx: a chat asked for it" in made.texts()
        stored = [one.bar.opened_at_ms for one in await made.store.snapshots_since("DOGE", None) if one.bar]
        assert stored == list(range(stored[0], stored[-1] + BAR_MS, BAR_MS)), "a bar is missing or told twice"

        # Another start, which would choose BTC alone, goes on with what a chat watches.
        await rigged.restart(BAR_MS)
        again = bot_around(rigged, made.store)
        await again.following.start()
        resumed = await again.watching.start(rigged.feed.markets)
        assert [found.market.base for found in resumed] == ["BTC", "DOGE"]
        assert next(found for found in resumed if found.market.base == "DOGE").cursor is not None
        market = next(one for one in rigged.feed.markets if one.base == "DOGE")
        assert [venue for venue in VENUES if venue in market.open_interest_venues] == list(VENUES)

        past = [one for one in await rigged.past(DAYS + 1, [market]) if one.taken_at_ms <= stored[-1] + BAR_MS]
        past = [one for one in past if one.bar is not None and one.bar.opened_at_ms >= stored[0]]
        expected = await replayed(past, joined_ms // BAR_MS * BAR_MS, "DOGE")
        assert expected, "nothing happened: choose another seed"
        assert told == expected


async def test_what_the_config_asks_for_joins_when_it_is_listed() -> None:
    async with bot(largest=30) as made:
        for venue in VENUES:
            made.rigged.venues[venue].faults.clear()
        await made.following.look()
        assert [one.base for one in made.rigged.feed.markets] == ["BTC"], "lists were read before an hour had passed"
        await made.list_again()
        assert [one.base for one in made.rigged.feed.markets] == ["BTC", "DOGE"]
        assert made.texts() == ["DOGE is followed from now on, on binance, okx: the config asks for it"]
        await made.bars(1)
        assert set(made.watching.market_times()) == {"BTC", "DOGE"}


async def test_no_more_markets_are_followed_than_the_config_allows() -> None:
    async with bot(unlisted=(), most=1) as made:
        with pytest.raises(NoView, match=r"the bot follows 1 market, and source\.most_markets in its config allows 1"):
            await made.following.open("DOGE")
        await made.store.watch(CHAT, Subscription("DOGE"))
        await made.list_again()
        assert "DOGE is watched and cannot begin yet" in made.following.conditions()[0]
        made.following._most = 2
        await made.following.look()
        assert made.following.conditions() == []
        assert made.following.follows("DOGE")


async def test_a_market_that_a_chat_asked_for_ends_when_nobody_watches_it_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bot(unlisted=()) as made:
        await made.store.watch(CHAT, Subscription("DOGE"))
        await made.following.open("DOGE")
        await made.following.open("DOGE@okx")
        await made.bars(1)
        monkeypatch.setattr(followings, "ENDS_AFTER_S", 0.0)
        await made.following.look()
        assert made.following.follows("DOGE")
        assert not made.following.follows("DOGE@okx")
        await made.store.unwatch(CHAT, "DOGE")
        await made.following.look()
        assert [one.base for one in made.rigged.feed.markets] == ["BTC"]
        assert list(made.watching.engines) == ["BTC"]
        assert made.texts()[-1] == "DOGE is followed no more: nobody watches it by name"
        await made.bars(2)
        assert dict(made.rigged.feed.refusals) == {}, "it was still asked for"
        await made.following.open("DOGE")
        assert made.past.added[-1].cursor is not None, "it did not go on from what is stored"
        await made.bars(1)


async def test_a_market_that_is_taken_off_every_list_ends_with_its_reason_and_begins_again_when_it_is_back() -> None:
    async with bot(unlisted=()) as made:
        await made.store.watch(CHAT, Subscription("DOGE"))
        await made.following.open("DOGE")
        await made.following.open("DOGE@okx")
        await made.bars(1)
        off("DOGE")(made.rigged.venues)
        await made.list_again()
        assert made.following.follows("DOGE"), "one list without it was believed"
        await made.list_again()
        assert [one.base for one in made.rigged.feed.markets] == ["BTC"]
        assert (
            {CHAT},
            "DOGE is followed no more: DOGE is not listed on binance or okx any more.",
        ) in made.said
        (ended,) = [one for one in made.rigged.feed.notices() if "DOGE is followed no more" in one.text]
        assert ended.told == {CHAT}, "who watches it is told of its end twice"
        assert set(made.past.forgotten) == {"DOGE", "DOGE@okx"}
        assert made.following.waiting["DOGE"] == "DOGE is not listed on binance or okx any more."
        await made.bars(2)
        for venue in VENUES:
            made.rigged.venues[venue].faults.clear()
        await made.list_again()
        assert made.following.follows("DOGE")
        assert not made.following.waiting
        await made.bars(1)


async def test_a_venue_that_lists_a_followed_market_joins_its_view_and_leaves_it_again() -> None:
    async with bot(unlisted=("BTC",), of=["okx"], days=0.5) as made:
        await made.put_past("BTC", 0.5)
        await made.bars(2)
        before = open_interest(made)
        made.rigged.venues["okx"].faults.clear()
        await made.list_again()
        assert made.rigged.feed.markets[0].venues == VENUES
        assert "okx joins 1 market; open interest of BTC is counted with it from here on" in made.texts()[0]
        await made.bars(2)
        assert [*made.watching.engines["BTC"].market.venues] == [*VENUES]
        assert open_interest(made) == pytest.approx(before * 0.7 / 0.5, rel=0.05)
        off("BTC", of=["okx"])(made.rigged.venues)
        await made.list_again()
        await made.list_again()
        assert [*made.rigged.feed.markets[0].venues] == ["binance"]
        assert made.texts()[-1] == "BTC is not listed on okx any more: it goes on with binance"
        await made.bars(2)
        engine = made.watching.engines["BTC"]
        assert [*engine.market.venues] == ["binance"]
        assert open_interest(made) == pytest.approx(before, rel=0.05)
        assert engine.gaps == 0, "a venue that came and went silenced the market"


def open_interest(made: Bot) -> float:
    found = made.watching.engines["BTC"].estimate.map.open_interest_base
    assert found is not None
    return found


async def test_liquidations_of_a_market_that_joined_are_heard_on_the_connection_there_is() -> None:
    names = ("binance", "bybit", "okx")
    async with bot(names, unlisted=()) as made:
        feed, venues = made.rigged.feed, made.rigged.venues
        await until(lambda: not any(gap.until_ms is None for gap in feed.gaps))
        gaps = len(feed.gaps)
        await made.following.open("DOGE")
        await until(lambda: any("DOGE" in topic for one in venues["bybit"].streams for topic in one.topics))
        made.rigged.snapshots.clear()
        for name in names:
            await venues[name].burst("DOGE", 7)
        await until(lambda: sum(row.prints_received for row in feed.status()) >= 21)
        assert await made.rigged.next_bar()
        assert sum(len(one.prints) for one in made.rigged.bars if one.market.base == "DOGE") == 21
        assert len(feed.gaps) == gaps, "the connection was broken for it"


async def test_a_list_that_has_lost_most_of_its_markets_is_not_believed() -> None:
    async with bot(unlisted=(), largest=30) as made:
        off("BTC", "DOGE", of=["okx"])(made.rigged.venues)
        for _ in range(3):
            await made.list_again()
        assert made.rigged.feed.markets[0].venues == VENUES
        texts = [one.text for one in made.rigged.feed.notices()]
        assert any(
            "okx: no new list of markets (lists only 0 markets, 2 an hour ago: not believed)" in t for t in texts
        )


async def test_a_market_of_two_hours_is_said_to_be_new_and_one_with_a_past_to_be_read() -> None:
    async with bot(("binance",), unlisted=(), days=2 / 24) as made:
        await made.following.open("DOGE")
        assert made.following.outlook("DOGE") == (
            "It is new, listed 2 h ago: alerts on its clusters come once 24 h are known, in about 22 h."
        )
        made.following._ready_ms = 2 * HOUR_MS
        said = "Its history is being read from binance: first alerts in about a minute."
        assert made.following.outlook("DOGE") == said
        made.past.condition = "Fetching the past"
        assert "in some minutes, for that of other markets is being read too" in made.following.outlook("DOGE")


async def test_venues_that_do_not_answer_do_not_keep_the_chat_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followings, "ANSWER_WITHIN_S", 0.05)
    async with bot(unlisted=()) as made:
        made.rigged.venues["okx"].faults.delay(5.0)
        with pytest.raises(NoView, match="DOGE's venues do not answer just now"):
            await made.following.open("DOGE")
        assert not made.following.follows("DOGE")
        made.rigged.venues["okx"].faults.clear()
        await asyncio.sleep(0)
