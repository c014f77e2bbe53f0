"""What is wrong with the data, to the operator's chats and those that opted in: once each, and in nobody's way."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from bot import notices as module
from bot.app import App
from bot.deliver import Deliverer
from bot.errors import Moved, Reject, Retry
from bot.markets.live_types import Notice, NoticeKind
from bot.markets.local.feed import LocalFeed
from bot.message import Message
from bot.notices import NoticeBoard
from bot.platforms.console import Printer
from bot.run_live import tell_notices
from storage.chat_settings import ChatSettings
from storage.chats import Chat
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from tests.bot.delivering import FakePlatform, compose, running, until
from tests.bot.played import config
from tests.bot.test_chats import Scripted
from tests.storage.make import alert, event, tick

ADMIN, READER, OTHER = Chat("telegram", "1"), Chat("discord", "2"), Chat("discord", "3")
STARTED_MS = 1_000_000
LATER_MS = STARTED_MS + 600_000


def stale(series: str = "bars", since_ms: int = LATER_MS) -> Notice:
    return Notice(NoticeKind.STALE, since_ms + 600_000, "okx", series, f"okx: no {series} for 10 min", since_ms)


def recovered(series: str = "bars") -> Notice:
    return Notice(NoticeKind.RECOVERED, LATER_MS + 900_000, "okx", series, f"okx: {series} again", LATER_MS)


def stopped(at_ms: int = LATER_MS) -> Notice:
    return Notice(NoticeKind.VENUE, at_ms, "okx", "bars", "okx is stopped; geo-block", stopped=True)


@dataclass
class Rig:
    store: SqliteStore
    deliverer: Deliverer
    board: NoticeBoard
    telegram: FakePlatform = field(default_factory=lambda: FakePlatform("telegram"))
    discord: FakePlatform = field(default_factory=lambda: FakePlatform("discord"))

    async def opt(self, chat: Chat, *, wanted: bool) -> None:
        await self.store.set_chat_settings(chat, ChatSettings(daily_cap=5, notices=wanted))

    async def told(self, *notices: Notice) -> list[tuple[str, str]]:
        """Posted, and all that is sent sent: who was told what since the start."""
        await self.board.post(notices)
        await until(lambda: not self.board._workers)
        return self.sent()

    def sent(self) -> list[tuple[str, str]]:
        return [(chat, message.title) for one in (self.telegram, self.discord) for chat, message in one.sent]


@asynccontextmanager
async def rigged(chats: Sequence[Chat] = (ADMIN,)) -> AsyncIterator[Rig]:
    store = SqliteStore(None, "simulated")
    await store.open()
    platforms = FakePlatform("telegram"), FakePlatform("discord")
    deliverer = Deliverer(store, platforms, compose, look_every_s=0.01)
    board = NoticeBoard(store, deliverer.say, chats, ["telegram", "discord"])
    board.started_ms = STARTED_MS
    try:
        yield Rig(store, deliverer, board, *platforms)
    finally:
        await deliverer.stop()
        await board.stop()
        await store.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged() as one:
        yield one


async def test_the_operators_chats_and_those_that_opted_in_are_told_once_each(rig: Rig) -> None:
    await rig.opt(READER, wanted=True)
    await rig.opt(ADMIN, wanted=True)
    await rig.told(stale(), stale())
    sent = await rig.told(stale())
    assert sorted(sent) == [("1", "⚠ stale: okx: no bars for 10 min"), ("2", "⚠ stale: okx: no bars for 10 min")]


async def test_one_stale_is_followed_by_one_recovered(rig: Rig) -> None:
    await rig.told(stale())
    await rig.told(recovered())
    assert [title for _, title in rig.sent()] == ["⚠ stale: okx: no bars for 10 min", "⚠ recovered: okx: bars again"]
    assert [message.silent for _, message in rig.telegram.sent] == [False, True]


async def test_a_chat_that_opted_out_gets_none_and_neither_does_one_that_never_asked(rig: Rig) -> None:
    await rig.opt(READER, wanted=True)
    await rig.opt(READER, wanted=False)
    await rig.opt(OTHER, wanted=False)
    assert [chat for chat, _ in await rig.told(stale())] == ["1"]


async def test_notices_of_one_moment_are_one_message(rig: Rig) -> None:
    assert await rig.told(stale("bars"), stale("prices")) == [("1", "⚠ 2 notices about the data")]
    assert len(rig.telegram.sent[0][1].lines) == 2


async def test_an_outage_is_told_once_when_it_begins_and_once_when_all_is_back(rig: Rig) -> None:
    await rig.told(stale("prices"))
    assert len(await rig.told(stale("bars"), stale("open interest"))) == 1
    assert len(await rig.told(recovered("prices"))) == 1
    assert len(await rig.told(stale("prices", since_ms=LATER_MS + 1))) == 1
    await rig.told(recovered("bars"), recovered("prices"))
    sent = await rig.told(recovered("open interest"))
    assert [title for _, title in sent] == [
        "⚠ stale: okx: no prices for 10 min",
        "⚠ recovered: okx: prices, bars, open interest again, after 15 min",
    ]
    assert len(await rig.told(stale("bars", since_ms=LATER_MS + 9))) == 3, "the next outage is one of its own"


async def test_the_end_of_a_gap_is_not_told_to_chats_that_never_hear_of_gaps(rig: Rig) -> None:
    gap = Notice(NoticeKind.GAP, LATER_MS, "okx", "prints", "okx: liquidations are missing", LATER_MS)
    again = Notice(NoticeKind.RECOVERED, LATER_MS + 3_000, "okx", "prints", "okx: liquidations again", LATER_MS)
    await rig.told(gap)
    assert await rig.told(again) == []


async def test_a_venue_that_was_stopped_and_then_goes_stale_is_one_outage(rig: Rig) -> None:
    assert len(await rig.told(stopped())) == 1
    assert len(await rig.told(stale("prices", since_ms=LATER_MS + 5))) == 1
    assert len(await rig.told(recovered("prices"))) == 2


async def test_an_outage_after_a_stop_that_was_soon_over_is_told(rig: Rig) -> None:
    await rig.told(stopped())
    assert len(await rig.told(stale("prices", since_ms=LATER_MS + 7_200_000))) == 2


async def test_two_venues_are_two_outages(rig: Rig) -> None:
    await rig.told(stale())
    assert len(await rig.told(replace(stale(), venue="bybit"))) == 2


async def test_gaps_and_changes_of_one_market_are_not_sent_but_a_stopped_venue_is(rig: Rig) -> None:
    gap = Notice(NoticeKind.GAP, LATER_MS, "okx", "prints", "liquidations are missing")
    led = Notice(NoticeKind.VENUE, LATER_MS, "okx", "bars", "BTC: the price is bybit's now")
    assert await rig.told(gap, led) == []
    assert await rig.told(stopped()) == [("1", "⚠ venue: okx is stopped; geo-block")]


async def test_that_a_market_has_gone_is_sent_and_what_is_for_certain_chats_reaches_each_of_them(rig: Rig) -> None:
    gone = Notice(NoticeKind.MARKET, LATER_MS, "", "markets", "DOGE is followed no more")
    assert await rig.told(gone, gone) == [("1", "⚠ market: DOGE is followed no more")]
    rig.board.tell([READER, OTHER, Chat("elsewhere", "4")], Message("DOGE has ended"))
    await until(lambda: not rig.board._workers)
    assert sorted(rig.sent()[1:]) == [("2", "DOGE has ended"), ("3", "DOGE has ended")]
    assert len(set(rig.discord.nonces)) == 2, "Discord takes a nonce once for all channels"


async def test_who_has_heard_of_it_in_words_of_his_own_is_not_told_again(rig: Rig) -> None:
    for chat in (READER, OTHER):
        await rig.opt(chat, wanted=True)
    gone = Notice(NoticeKind.MARKET, LATER_MS, "", "markets", "DOGE has gone", told=frozenset({ADMIN, READER}))
    assert await rig.told(gone) == [("3", "⚠ market: DOGE has gone")]
    await rig.told(replace(gone, at_ms=LATER_MS + 1), stopped())
    assert sorted(rig.sent()[:1] + rig.sent()[-2:]) == [
        ("1", "⚠ venue: okx is stopped; geo-block"),
        ("2", "⚠ venue: okx is stopped; geo-block"),
        ("3", "⚠ 2 notices about the data"),
    ]


async def test_a_restart_repeats_nothing_that_was_out_of_order_before_it(rig: Rig) -> None:
    assert await rig.told(stale(since_ms=STARTED_MS), stopped(STARTED_MS + 1000)) == []


async def test_a_parked_chat_is_skipped_and_a_gone_one_is_parked(rig: Rig) -> None:
    await rig.opt(READER, wanted=True)
    await rig.store.park(READER, "blocked")
    rig.telegram.fails["1"] = [Reject("kicked", chat_gone=True)]
    assert await rig.told(stale()) == []
    assert (await rig.store.counts()).parked == {READER: "blocked", ADMIN: "kicked"}
    assert await rig.told(recovered()) == []
    assert rig.board.condition() == [
        "Notices that did not reach a chat, or may not have: 1",
        "No notices to telegram:1: kicked",
    ]


async def test_a_wait_is_kept_and_a_moved_chat_followed_but_what_may_have_arrived_is_never_repeated(rig: Rig) -> None:
    rig.telegram.fails["1"] = [Retry("429", 0.01), Moved("supergroup", "-100")]
    assert [chat for chat, _ in await rig.told(stale())] == ["-100"]
    rig.telegram.fails["1"] = [Retry("reset", 0.01, ambiguous=True)]
    assert len(await rig.told(recovered())) == 1
    assert rig.board.condition() == ["Notices that did not reach a chat, or may not have: 1"]


async def test_one_slow_platform_delays_neither_the_other_nor_any_alert(rig: Rig) -> None:
    rig.telegram.seconds["1"] = 20.0
    await rig.opt(READER, wanted=True)
    async with running(rig.deliverer):
        async with asyncio.timeout(1):
            await rig.board.post([stale()])
        await rig.store.commit_tick(tick(0, alert(event(headline="long"), Chat("telegram", "9"))))
        rig.deliverer.wake()
        await until(lambda: len(rig.discord.sent) == 1 and len(rig.telegram.sent) == 1)
        assert [chat for chat, _ in rig.telegram.sent] == ["9"]


async def test_what_waits_is_bounded_and_what_is_dropped_is_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    rig.telegram.seconds["1"] = 0.05
    for name in ("a", "b", "c", "d"):
        await rig.board.post([replace(stale(), venue=name)])
    assert len(await rig.told()) == 2
    assert rig.board.dropped == 2


async def test_notices_keep_the_pace_of_the_chat_with_alerts() -> None:
    async with rigged() as rig:
        rig.telegram.chat_per_second = 20.0
        began_s = asyncio.get_running_loop().time()
        for name in ("a", "b", "c"):
            await rig.board.post([replace(stale(), venue=name)])
        await rig.told()
        assert len(rig.telegram.sent) == 3
        assert asyncio.get_running_loop().time() - began_s > 0.08


async def test_with_the_store_away_the_operator_is_told_all_the_same(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(rig.store, "chat_settings", away)
    assert [chat for chat, _ in await rig.told(stale())] == ["1"]


async def test_what_the_feed_says_reaches_the_chats_of_the_config_through_the_whole_app(tmp_path: Path) -> None:
    class StaleFeed(LocalFeed):
        said: ClassVar[list[Notice]] = []

        def notices(self) -> list[Notice]:
            said, self.said[:] = list(self.said), []
            return said

    @dataclass
    class Keeping(Scripted):
        sent: list[tuple[str, str]] = field(default_factory=list)

        async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
            self.sent.append((chat_id, message.title))
            return nonce

    platform = Keeping("telegram")
    settings = config(
        source={"kind": "local", "venues": ("okx",), "history_days": 1.0},
        charts={"draw": False},
        store={"path": str(tmp_path / "bot.db")},
        notices={"chats": ("telegram:1", "discord:2")},
    )
    feed = StaleFeed(6, ("okx",), ["BTC"], speed=8.0, history_days=1.0)
    printer = Printer(Console(file=io.StringIO(), width=160))
    async with App(settings, feed, printer=printer, platforms=[platform]) as app:
        StaleFeed.said.append(stale(since_ms=feed.clock.now_ms() + 1))
        await tell_notices(app, feed)
        await tell_notices(app, feed)
        await until(lambda: not app.board._workers)
        assert platform.sent == [("1", "⚠ stale: okx: no bars for 10 min")]
        assert "No notices to discord:2: that platform is not on" in app._private_faults()
        assert (await app.store.counts()).deliveries == {}
        assert any("no bars for 10 min" in said for said in app.notices)


async def test_a_chat_whose_platform_is_not_on_is_named_in_the_status() -> None:
    async with rigged() as rig:
        board = NoticeBoard(rig.store, rig.deliverer.say, [READER], ["telegram"])
        assert board.condition() == ["No notices to discord:2: that platform is not on"]
        await board.post([stale()])
        assert rig.sent() == []
