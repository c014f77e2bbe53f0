"""The live feed on local venues: trouble at one is said, stays its own, and is over when it is over."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.markets import check, live_choice
from bot.markets.ccxt_errors import VenueError, VenueFatal
from bot.markets.feed import NoVenue
from bot.markets.live import LiveFeed
from bot.markets.live_history import Stretch
from bot.markets.live_types import BAR_MS, Notice, NoticeKind
from bot.markets.recorded import RecordedFeed
from detectors.market import Side
from storage.sqlite import SqliteStore
from tests.bot.markets.live_rig import Rig, rig, until

ALL = ["binance", "bybit", "okx", "gate"]


def of_kind(kind: NoticeKind, notices: Sequence[Notice]) -> list[str]:
    return [notice.text for notice in notices if notice.kind is kind]


def received(rigged: Rig) -> dict[str, int]:
    return {row.venue: row.prints_received for row in rigged.feed.status()}


async def test_four_venues_become_one_view_of_each_base_in_base_units() -> None:
    async with rig(ALL, ["BTC", "pepe"], days=0.5) as rigged:
        btc, pepe = rigged.feed.markets
        assert btc.venues == btc.open_interest_venues == tuple(ALL)
        assert (pepe.base, pepe.symbol) == ("PEPE", "1000PEPE/USDT:USDT")
        assert await rigged.next_bar()
        for snapshot, market in zip(sorted(rigged.bars, key=lambda one: one.market.base), (btc, pepe), strict=True):
            truth = rigged.venues.history.markets[market.base]
            sample = truth.open_interest_at(rigged.clock.now_ms())
            bar = truth.candle((snapshot.bar and snapshot.bar.opened_at_ms) or 0, BAR_MS, rigged.clock.now_ms())
            assert sample is not None
            assert bar is not None
            assert snapshot.open_interest is not None
            assert snapshot.bar is not None
            # Gate's tenth of it comes on top of the three others' whole.
            assert snapshot.open_interest.base == pytest.approx(1.1 * sample.base, rel=1e-3)
            assert snapshot.bar.volume_base == pytest.approx(1.1 * bar.volume_base, rel=0.05)
            assert snapshot.price == pytest.approx(bar.close, rel=1e-3)
            assert {one.venue for one in snapshot.by_venue} == set(ALL)
            assert snapshot.divergence_bps == pytest.approx(3.5, abs=1.5)
            assert [total.venue for total in snapshot.liquidations] == ["gate"]


async def test_a_market_that_a_venue_delists_and_lists_again_goes_on_with_the_other_and_says_so() -> None:
    async with rig(["binance", "okx"], ["BTC", "ETH"], days=0.5) as rigged:
        assert await rigged.next_bar()
        usual = {one.market.base: one.open_interest for one in rigged.bars}
        rigged.venues["okx"].faults.delisted.add("ETH")
        for _ in range(4):
            assert await rigged.next_bar()
        for base in ("BTC", "ETH"):
            last = [one for one in rigged.bars if one.market.base == base][-1].open_interest
            before = usual[base]
            assert last is not None, f"{base} has no open interest"
            assert before is not None
            assert last.base == pytest.approx(before.base, rel=0.05), "a venue less looked like positions closed"
        rigged.venues["okx"].faults.clear()
        for _ in range(3):
            assert await rigged.next_bar()
        texts = [notice.text for notice in rigged.feed.notices()]
        assert any("ETH: okx's open interest is not counted" in text for text in texts)
        assert any("ETH: okx's open interest is counted again" in text for text in texts)
        assert not any("BTC" in text for text in texts)


async def test_gate_s_sums_come_whole_one_bar_late_and_none_is_lost_or_told_twice() -> None:
    async with rig(["binance", "gate"], ["DOGE"], days=2.0, seed=5) as rigged:
        gate, market = rigged.venues["gate"], rigged.venues.history.markets["DOGE"]
        for _ in range(24):
            assert await rigged.next_bar()
        happened = 0.0
        for snapshot in rigged.bars:
            assert snapshot.bar is not None
            opened_at_ms = snapshot.bar.opened_at_ms
            seen = market.prints_between(opened_at_ms - BAR_MS - 1, opened_at_ms - 1)
            usd = sum(one.notional_usd for one in gate.mine("DOGE", seen))
            [total] = snapshot.liquidations
            assert total.started_at_ms == opened_at_ms - BAR_MS
            assert total.long_usd + total.short_usd == pytest.approx(usd, rel=0.02, abs=1.0)
            happened += usd
        assert happened > 0, "nothing was liquidated there: choose another seed"


async def test_no_print_of_a_burst_is_lost_on_any_venue_and_sides_are_the_position_s() -> None:
    async with rig(ALL[:3], ["BTC", "ETH"], days=0.5) as rigged:
        await until(lambda: not [gap for gap in rigged.feed.gaps if gap.until_ms is None])
        before = received(rigged)
        for _ in range(4):
            for name in ALL[:3]:
                await rigged.venues[name].burst("BTC", 500, Side.LONG)
                await rigged.venues[name].burst("ETH", 340, Side.SHORT)
            await rigged.advance(1_000)
        await until(lambda: all(now - before[venue] >= 4 * 840 for venue, now in received(rigged).items()))
        assert await rigged.next_bar()
        told = {snapshot.market.base: snapshot.prints for snapshot in rigged.bars}
        assert sum(one.side is Side.LONG for one in told["BTC"]) >= 3 * 2000
        assert sum(one.side is Side.SHORT for one in told["ETH"]) >= 3 * 1360
        assert sum(len(prints) for prints in told.values()) >= 10_000


def replayed(rigged: Rig) -> int:
    return sum(row.prints_replayed for row in rigged.feed.status())


async def test_prints_sent_twice_or_long_ago_are_dropped_and_counted() -> None:
    async with rig(["bybit"], ["BTC"], days=0.5) as rigged:
        await until(lambda: not [gap for gap in rigged.feed.gaps if gap.until_ms is None])
        rigged.venues["bybit"].faults.doubled = True
        before = received(rigged)["bybit"]
        await rigged.venues["bybit"].burst("BTC", 50)
        await until(lambda: rigged.feed.refusals.get("print_repeated bybit/prints", 0) >= 50)
        await rigged.advance(1_000)
        await rigged.venues["bybit"].burst("BTC", 10, spacing_ms=600_000)
        # From before the connection, as venues send them to whoever connects: expected, so not refused.
        await until(lambda: replayed(rigged) == 2 * 9)
        assert "print_old bybit/prints" not in rigged.feed.refusals
        await until(lambda: rigged.feed.refusals.get("print_repeated bybit/prints", 0) == 51)
        assert received(rigged)["bybit"] - before == 51


@pytest.mark.parametrize("wrong_by_ms", [-180_000, 180_000])
async def test_prints_are_as_old_as_the_venue_s_clock_says_however_wrong_ours_is_at_the_start(wrong_by_ms: int) -> None:
    async with rig(["bybit"], ["BTC"], days=0.2) as rigged:
        rigged.clock.wrong_by_ms = wrong_by_ms
        await rigged.restart(0)
        await until(lambda: rigged.feed._parts["bybit"].client.now_ms() == rigged.clock.venues_ms)
        await until(lambda: not [gap for gap in rigged.feed.gaps if gap.until_ms is None])
        before = received(rigged)["bybit"]
        await rigged.venues["bybit"].burst("BTC", 50)
        await until(lambda: received(rigged)["bybit"] - before == 50)
        await rigged.venues["bybit"].close_streams()
        await until(lambda: [gap.since_ms for gap in rigged.feed.gaps if not gap.until_ms] == [rigged.clock.venues_ms])
        assert "print_old bybit/prints" not in rigged.feed.refusals


@pytest.mark.parametrize("wrong_by_ms", [-180_000, 180_000])
async def test_no_bar_lies_between_the_past_and_the_first_live_one_however_wrong_our_clock_is(wrong_by_ms: int) -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        rigged.clock.wrong_by_ms = wrong_by_ms
        await rigged.restart(0)
        stretch = Stretch.of_days(rigged.feed.markets[0], 0.05, rigged.feed.live_from_ms)
        past = [one async for told in rigged.feed.past([stretch]) for one in told.snapshots]
        for _ in range(2):
            await rigged.next_bar(6_000)
        bars = [one.bar for one in (*past, *rigged.bars) if one.bar is not None]
        truth = rigged.venues.history.markets["BTC"]
        whole = [truth.candle(one.opened_at_ms, BAR_MS, one.closed_at_ms) for one in bars]
        assert [one.close for one in bars] == [one and one.close for one in whole], "a bar that was still being made"
        opened = [one.opened_at_ms for one in bars]
        assert opened[-1] == rigged.clock.venues_ms // BAR_MS * BAR_MS - BAR_MS
        assert opened == list(range(opened[0], opened[0] + len(opened) * BAR_MS, BAR_MS)), "a bar is missing, or twice"


async def test_a_dead_socket_is_noticed_and_its_gap_kept() -> None:
    async with rig(["binance"], ["BTC"], days=0.2, silent_s=45.0, look_every_s=10.0) as rigged:
        await until(lambda: not [gap for gap in rigged.feed.gaps if gap.until_ms is None])
        rigged.feed.notices()
        rigged.venues["binance"].faults.silent = True
        started_ms = rigged.clock.now_ms()
        seen: list[Notice] = []

        async def passes(met: Callable[[], bool]) -> None:
            for _ in range(30):
                await rigged.advance(2_000)
                await asyncio.sleep(0.1)
                seen.extend(rigged.feed.notices())
                if met():
                    return

        await passes(lambda: bool(of_kind(NoticeKind.GAP, seen)))
        assert of_kind(NoticeKind.GAP, seen)
        assert rigged.clock.now_ms() - started_ms <= 60_000
        rigged.venues["binance"].faults.clear()
        await rigged.venues["binance"].close_streams()
        await passes(lambda: rigged.feed.gaps[-1].until_ms is not None)
        gap = rigged.feed.gaps[-1]
        assert gap.until_ms is not None
        assert gap.venue == "binance"
        assert gap.until_ms > gap.since_ms
        store = SqliteStore(None, "live")
        await store.open()
        await store.note_gaps(rigged.feed.gaps)
        assert list(await store.gaps()) == rigged.feed.gaps
        await store.close()


async def test_a_ban_stops_one_venue_and_the_others_go_on() -> None:
    async with rig(["binance", "bybit"], ["BTC"], days=0.2) as rigged:
        assert await rigged.next_bar()
        server = rigged.venues["binance"]
        server.faults.answer(418, retry_after_s=600)
        for _ in range(4):
            assert await rigged.next_bar()
        asked = sum(server.requests.values())
        assert await rigged.next_bar()
        assert sum(server.requests.values()) == asked, "a banned address went on asking"
        notices = rigged.feed.notices()
        assert any("banned (418)" in text for text in of_kind(NoticeKind.VENUE, notices))
        assert any("binance's open interest is not counted" in text for text in of_kind(NoticeKind.VENUE, notices))
        totals = [one.open_interest.base for one in rigged.bars if one.open_interest is not None]
        assert len(totals) >= 3
        assert max(totals) / min(totals) < 1.05, "a silent venue looked like positions being closed"
        assert next(row.stopped for row in rigged.feed.status() if row.venue == "binance") == "banned (418)"


@pytest.mark.parametrize("sized_at_start", [100, 0])
async def test_a_venue_whose_history_of_open_interest_fails_does_not_look_like_positions_being_closed(
    sized_at_start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_choice, "SIZED_AT_START", sized_at_start)
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        usual = [one.open_interest.base for one in await rigged.past(0.1) if one.open_interest is not None]
        rigged.venues["binance"].faults.answer(503, path="openInterestHist")
        past = [one for one in await rigged.past(0.1) if one.open_interest is not None]
        named = {one.market.open_interest_venues for one in past}
        share = past[-1].open_interest.base / usual[-1] if past[-1].open_interest else 0.0
        assert len(past) >= len(usual) - 2 > 20
        if sized_at_start:
            assert named == {("binance", "okx")}
            assert share == pytest.approx(1.0, rel=0.05)
        else:
            assert named == {("okx",)}, "a part was taken for the whole"
            assert share < 0.8
        assert await rigged.next_bar()
        assert rigged.bars[-1].market.open_interest_venues == ("binance", "okx")


async def test_a_stretch_of_the_past_takes_one_call_for_its_rates() -> None:
    async with rig(["binance", "bybit", "okx"], ["BTC", "ETH"], days=1.0) as rigged:
        paths = {"binance": "/fapi/v1/fundingRate", "bybit": "/v5/market/funding/history"}
        paths["okx"] = "/api/v5/public/funding-rate-history"
        told = await rigged.past(1.0)
        asked = {venue: rigged.venues[venue].requests[path] for venue, path in paths.items()}
        assert asked == dict.fromkeys(paths, 2), "a short page was followed by another"
        # The last, of the newest close, goes with the next bar.
        assert sum(len(one.funding) for one in told) == 2 * 2


async def test_a_view_that_ended_while_its_past_was_fetched_ends_nobody_else_s() -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        alone = rigged.feed.views.find("BTC@okx")
        rigged.feed.views.begin(alone)
        rigged.feed.views.end("BTC@okx")
        told = await rigged.past(0.1, [alone, *rigged.feed.markets])
        assert {one.market.base for one in told} == {"BTC@okx", "BTC"}


async def test_a_venue_that_is_geo_blocked_at_the_start_is_left_out_with_the_reason() -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2, before=lambda v: v["binance"].faults.answer(451)) as rigged:
        assert rigged.feed.markets[0].venues == ("okx",)
        assert any("geo-block (451)" in text for text in of_kind(NoticeKind.VENUE, rigged.feed.notices()))
        assert await rigged.next_bar()


async def test_bars_missed_while_all_were_out_come_late_in_order_and_whole() -> None:
    async with rig(["binance"], ["BTC"], days=0.2) as rigged:
        assert await rigged.next_bar()
        rigged.venues["binance"].faults.answer(500)
        for _ in range(3):
            assert not await rigged.next_bar(6_000)
        rigged.venues["binance"].faults.clear()
        assert await rigged.next_bar()
        opened = [one.bar.opened_at_ms for one in rigged.bars if one.bar is not None]
        assert opened == list(range(opened[0], opened[0] + 5 * BAR_MS, BAR_MS))
        assert all(one.open_interest is not None for one in rigged.bars)
        kinds = [notice.kind for notice in rigged.feed.notices() if notice.series == "bars"]
        assert kinds == [NoticeKind.STALE, NoticeKind.RECOVERED]


@pytest.mark.parametrize("skew_ms", [-90_000, 90_000])
async def test_no_bar_is_handed_out_before_the_venue_has_closed_it(skew_ms: int) -> None:
    def skew(venues: Any) -> None:
        venues["binance"].faults.skew_ms = skew_ms

    async with rig(["binance"], ["BTC"], days=0.2, before=skew) as rigged:
        for _ in range(3):
            await rigged.next_bar(4_000)
            await rigged.advance(90_000)
        await until(lambda: len(rigged.bars) >= 2)
        truth = rigged.venues.history.markets["BTC"]
        assert rigged.bars
        for one in rigged.bars:
            assert one.bar is not None
            whole = truth.candle(one.bar.opened_at_ms, BAR_MS, one.bar.closed_at_ms)
            assert whole is not None
            assert one.bar.close == whole.close


async def test_the_feed_without_any_venue_says_why_for_each() -> None:
    def refuse(exchange: Any) -> None:
        exchange.urls["api"] = {"public": "http://127.0.0.1:9", "fapiPublic": "http://127.0.0.1:9/fapi/v1"}

    with pytest.raises(NoVenue, match=r"(?s)(?=.*binance: cannot be reached)(?=.*nosuch: ccxt has no venue)"):
        await LiveFeed(["binance", "nosuch"], rewrite=refuse).start()


async def test_what_fails_of_our_own_close_is_no_news_of_the_venue() -> None:
    async with rig(["okx"], ["BTC"], days=0.2) as rigged:
        feed = rigged.feed
        feed.notices()
        close_clients = feed._venues.close

        async def closing() -> None:
            await close_clients()
            feed._failed("okx", VenueFatal("ExchangeClosedByUser"), "liquidations")

        feed._venues.close = closing  # type: ignore[method-assign]
        await feed.close()
        assert feed.notices() == []


async def test_check_explains_itself_without_a_venue(tmp_path: Path) -> None:
    def away(rules: Any) -> Any:
        class Away:
            async def load(self) -> Any:
                raise VenueError("cannot be reached", fix="check this machine's network")

            async def close(self) -> None: ...

        if rules.name == "okx":
            raise VenueFatal("no such class", fix="take it out")
        return Away()

    (tmp_path / "text.db").write_text("not a database")
    rows = await check.check(
        ["binance", "okx"], None, database=check.check_database(tmp_path / "text.db"), clients=away
    )
    assert [(row.what, row.ok) for row in rows] == [
        ("database", False),
        ("binance", False),
        ("okx", False),
        ("markets", False),
    ]
    assert all(row.fix for row in rows)


async def test_check_and_markets_say_what_can_be_watched(tmp_path: Path) -> None:
    async with rig(["binance", "okx"], ["BTC", "DOGE"], days=0.2) as rigged:
        rewrite = rigged.venues.rewrite
        rows = await check.check(
            ["binance", "okx"], ["doge"], database=check.check_database(tmp_path / "new.db"), rewrite=rewrite
        )
        assert all(row.ok for row in rows), rows
        assert rows[-1].said == "DOGE"
        offers = (await check.list_markets(["binance", "okx"], "do", rewrite=rewrite)).offers
        named = await check.list_markets(["okx"], "1000dogeusdt", rewrite=rewrite)
        assert [offer.base for offer in named.offers] == ["DOGE"]
        assert await check.list_markets(["okx"], "dogge", rewrite=rewrite) == check.Offers([], ("DOGE",))
        assert [(offer.base, offer.venues) for offer in offers] == [("DOGE", ("binance", "okx"))]
        assert offers[0].turnover_usd > 0


async def test_what_is_recorded_replays_as_it_was(tmp_path: Path) -> None:
    async with rig(["binance", "okx"], ["BTC"], days=0.2) as rigged:
        for _ in range(3):
            assert await rigged.next_bar()
        bars = rigged.bars

    class Done:
        source = rigged.feed.source
        refusals: dict[str, int] = {}  # noqa: RUF012 - a stand-in

        async def start(self) -> Any:
            return rigged.feed.markets

        async def poll(self) -> Any:
            return [bars.pop(0)] if bars else None

        async def close(self) -> None: ...

    expected = [(one.bar, one.open_interest) for one in bars]
    assert await check.record(Done(), tmp_path / "out") == 3
    played = RecordedFeed(tmp_path / "out")
    [market] = played.load()
    assert market.venues == ("binance+okx",)
    assert [(one.bar, one.open_interest) for moment in played.steps() for one in moment] == expected
