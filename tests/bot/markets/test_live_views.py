"""Views of one venue alone, beside the merged one: from the same samples, and equal to what that venue alone gives."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.asking import NotUnderstood, market, subscription
from bot.markets.live_views import MOST_VIEWS, NoView, Views
from bot.markets.merge import Merger
from bot.policy import Reason, decide
from detectors.market import Market, MarketSnapshot, Side
from detectors.registry import find_kinds
from storage.chats import Subscription
from tests.bot.markets.live_rig import Rig, rig, until
from tests.bot.sample_events import sample_event

VENUES = ["binance", "bybit", "okx"]
BTC = Market("BTC", "BTC/USDT:USDT", ("binance", "okx"), ("binance", "okx"))
ALONE = replace(BTC, base="BTC@okx", venues=("okx",), open_interest_venues=("okx",))


def told(snapshots: Sequence[MarketSnapshot], base: str) -> list[object]:
    """All that a view says of bars, without the name of the view and the moment at which it was received."""
    return [
        (one.taken_at_ms, one.price, one.low, one.high, one.bar, one.open_interest, one.funding, one.prints)
        for one in snapshots
        if one.market.base == base and one.bar is not None
    ]


async def watched(rigged: Rig, base: str | None) -> tuple[list[object], list[object]]:
    if base is not None:
        rigged.feed.views.begin(rigged.feed.views.find(base))
    past = told(await rigged.past(0.25), base or "BTC")
    for _ in range(3):
        assert await rigged.next_bar()
    return past, told(rigged.bars, base or "BTC")


async def test_a_view_of_one_of_three_venues_says_what_a_feed_of_that_venue_alone_says() -> None:
    async with rig(VENUES, ["BTC"], days=0.5) as rigged:
        of_three = await watched(rigged, "BTC@okx")
        merged = told(rigged.bars, "BTC")
    async with rig(["okx"], ["BTC"], days=0.5) as rigged:
        alone = await watched(rigged, None)
    assert len(of_three[0]) > 60
    assert of_three[0] == alone[0]
    assert len(of_three[1]) == 3
    assert of_three[1] == alone[1]
    assert len(merged) == 3
    assert merged != of_three[1], "the merged view is the venue's own"


async def test_a_view_that_ends_while_its_bar_waits_holds_nothing_up() -> None:
    async with rig(VENUES, ["BTC"], days=0.5) as rigged:
        feed = rigged.feed
        feed.views.begin(feed.views.find("BTC@okx"))
        assert await rigged.next_bar()
        feed._held["BTC@okx"] = feed._new["BTC@okx"] = None  # as if okx had given half of a bar
        feed.views.end("BTC@okx")
        assert await rigged.next_bar()
        assert not feed._held


async def test_liquidations_of_other_venues_are_in_the_merged_view_and_not_in_the_view_of_one() -> None:
    async with rig(VENUES, ["BTC"], days=0.5) as rigged:
        rigged.feed.views.begin(rigged.feed.views.find("BTC@okx"))
        await until(lambda: not [gap for gap in rigged.feed.gaps if gap.until_ms is None])
        before = {row.venue: row.prints_received for row in rigged.feed.status()}
        await rigged.venues["okx"].burst("BTC", 30, Side.LONG)
        await rigged.venues["bybit"].burst("BTC", 70, Side.SHORT)
        await rigged.advance(1_000)
        await until(lambda: sum(row.prints_received - before[row.venue] for row in rigged.feed.status()) >= 100)
        assert await rigged.next_bar()
        prints = {one.market.base: one.prints for one in rigged.bars}
    burst = [one for one in prints["BTC@okx"] if one.side is Side.LONG]
    assert len(burst) >= 30
    assert len(prints["BTC@okx"]) < 70
    assert len(prints["BTC"]) >= 100


def test_the_policy_never_tells_of_one_venue_s_view_by_another_subscription() -> None:
    event = replace(sample_event(), market="BTC@okx")
    for name in ("BTC", "top10", "*"):
        decision = decide(event, Subscription(name), None, default_kinds=frozenset({event.kind}))
        assert decision.reason is Reason.NOT_WATCHED
    own = decide(event, Subscription("BTC@okx"), None, default_kinds=frozenset({event.kind}))
    assert own.reason is not Reason.NOT_WATCHED


def test_a_view_is_had_of_a_venue_that_lists_the_market_and_of_a_bounded_number() -> None:
    mergers = {f"M{n}": Merger(replace(BTC, base=f"M{n}")) for n in range(MOST_VIEWS + 1)}
    views = Views(mergers)
    with pytest.raises(NoView, match="only on binance, okx"):
        views.find("M1@gate")
    for n in range(MOST_VIEWS):
        views.begin(views.find(f"M{n}@okx"))
    assert views.find("M3@okx").venues == ("okx",)
    with pytest.raises(NoView, match="20 single venues"):
        views.find(f"M{MOST_VIEWS}@okx")


@pytest.mark.parametrize("text", ["BTC on okx", "btc@OKX", "$btc on OKX", "BTCUSDT@okx"])
def test_one_venue_is_named_either_way(text: str) -> None:
    kinds = find_kinds()
    wanted = subscription([*text.split(), "min", "$5M"], [BTC], kinds, Subscription("*"))
    assert (wanted.market, wanted.min_notional_usd) == ("BTC@okx", 5e6)
    assert subscription(["BTC", "min", "$5M", "on", "okx"], [BTC, ALONE], kinds, Subscription("*")) == wanted


def test_a_command_on_a_view_means_the_view_and_on_the_base_the_merged_one() -> None:
    assert market("btc@okx", [BTC, ALONE]) == ALONE
    assert market("BTC", [BTC, ALONE]) == BTC
    with pytest.raises(NotUnderstood, match="BTC on okx"):
        market("BTC@okx", [BTC])
