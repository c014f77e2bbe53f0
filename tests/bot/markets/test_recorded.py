"""A recording is played as it became known: never ahead, each market from the best series it has."""

from pathlib import Path

import pytest

from bot.markets.feed import Source
from bot.markets.names import UnknownMarket
from bot.markets.recorded import RecordedFeed
from detectors.market import MarketSnapshot, Side
from tests.bot.markets.recordings import (
    BAR_MS,
    CANDLES,
    HOUR_MS,
    INTEREST,
    T0,
    candle,
    candles,
    play,
    refusals,
    shared,
    write,
)

BTC = "binance/BTCUSDT"
PRINTS = "ts_ms,symbol,side,price,amount_base,notional_usd"


def known_at_ms(snapshot: MarketSnapshot) -> list[int]:
    """When each thing in a snapshot became known, worked out from the snapshot alone."""
    assert snapshot.bar
    return [
        snapshot.bar.closed_at_ms,
        *([snapshot.open_interest.taken_at_ms] if snapshot.open_interest else []),
        *(rate.taken_at_ms for rate in snapshot.funding),
        *(seen.taken_at_ms for seen in snapshot.prints),
        *(total.started_at_ms + total.interval_ms for total in snapshot.liquidations),
    ]


def test_each_series_rides_on_the_first_bar_that_closes_when_it_is_known(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(26))
    write(tmp_path, f"{BTC}/open_interest_5m", INTEREST, f"{T0 + BAR_MS},7,", f"{T0 + BAR_MS + 1},8,")
    write(tmp_path, f"{BTC}/funding", "ts_ms,funding_rate", f"{T0 + HOUR_MS},0.0001", f"{T0 + HOUR_MS + 4},0.0002")
    write(tmp_path, f"{BTC}/liquidations_1h", "ts_ms,long_usd,short_usd", f"{T0},5,6")
    write(tmp_path, "binance/prints_20260105", PRINTS, f"{T0 + 2 * BAR_MS + 1},BTCUSDT,long,99,1,99")
    played = play(tmp_path)
    assert [i for i, s in enumerate(played) if s.open_interest] == [0, 1]
    assert [i for i, s in enumerate(played) if s.funding] == [11, 12]
    assert [i for i, s in enumerate(played) if s.liquidations] == [11]
    assert [i for i, s in enumerate(played) if s.prints] == [2]
    assert played[2].prints[0].side is Side.LONG


def test_funding_is_per_the_hours_that_the_recording_says_and_eight_where_it_says_none(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(3))
    rows = (f"{T0 + BAR_MS},0.0001,4.0", f"{T0 + 2 * BAR_MS},0.0002,")
    write(tmp_path, f"{BTC}/funding", "ts_ms,funding_rate,interval_hours", *rows)
    assert [rate.interval_hours for one in play(tmp_path) for rate in one.funding] == [4.0, 8.0]


def test_hyperliquids_open_interest_waits_for_the_end_of_its_hour(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", CANDLES, *(candle(i, close=100 + i) for i in range(26)))
    write(tmp_path, "hyperliquid/BTC/open_interest_1h", INTEREST, f"{T0},,22200", f"{T0 + HOUR_MS},,24600")
    played = play(tmp_path)
    samples = {i: s.open_interest for i, s in enumerate(played) if s.open_interest}
    assert {i: sample.taken_at_ms - T0 for i, sample in samples.items()} == {11: HOUR_MS, 23: 2 * HOUR_MS}
    # Dollars at the close of the bar in which they became known: 111 and 123.
    assert [sample.base for sample in samples.values()] == [200.0, 200.0]
    assert {sample.interval_ms for sample in samples.values()} == {HOUR_MS}


def test_a_venue_without_open_interest_is_paired_with_one_that_has_it(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(3))
    write(tmp_path, "binance/ETHUSDT/ohlcv_5m", *candles(3))
    write(tmp_path, "bybit/BTCUSDT/open_interest_5m", INTEREST, f"{T0 + BAR_MS},7,700")
    btc, eth = RecordedFeed(tmp_path).load()
    assert (btc.venues, btc.open_interest_venues) == (("binance",), ("bybit",))
    assert (eth.venues, eth.open_interest_venues) == (("binance",), ())
    assert all(s.open_interest is None for s in play(tmp_path, "eth"))


def test_finer_candles_win_over_coarser_ones_of_another_venue(tmp_path: Path) -> None:
    write(tmp_path, "aaa/BTCUSDT/ohlcv_15m", *candles(3))
    write(tmp_path, "bbb/BTCUSDT/ohlcv_5m", *candles(3))
    write(tmp_path, "ccc/BTCUSDT/ohlcv_5m", *candles(3))
    write(tmp_path, "ccc/BTCUSDT/open_interest_5m", INTEREST, f"{T0 + BAR_MS},7,700")
    assert [market.venues for market in RecordedFeed(tmp_path).load()] == [("ccc",)]


def test_a_broken_first_choice_falls_back_to_the_next_candles(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", "ts_ms,open", "1,1")
    write(tmp_path, f"{BTC}/ohlcv_15m", CANDLES, candle(0, step_ms=3 * BAR_MS), candle(1, step_ms=3 * BAR_MS))
    assert [s.bar.interval_ms for s in play(tmp_path) if s.bar] == [3 * BAR_MS] * 2


def test_daily_candles_alone_are_not_enough(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(3))
    write(tmp_path, "binance/NMRUSDT/ohlcv_1d", *candles(3))
    assert [market.base for market in RecordedFeed(tmp_path).load()] == ["BTC"]
    assert refusals(tmp_path) == {"market_with_coarse_candles NMR": 1}
    with pytest.raises(UnknownMarket):
        RecordedFeed(tmp_path, ["NMR"]).load()


def test_minutes_become_five_minute_bars_only_where_all_five_are_there(tmp_path: Path) -> None:
    minutes = [f"{T0 + i * 60_000},{100 + i},{101 + i},{99 + i},{100.5 + i},1,{0.25}" for i in range(15) if i != 7]
    write(tmp_path, f"{BTC}/ohlcv_1m", f"{CANDLES},taker_buy_volume", *minutes)
    first, last = (s.bar for s in play(tmp_path))
    assert first
    assert last
    assert (first.opened_at_ms, first.open, first.high, first.low, first.close) == (T0, 100, 105, 99, 104.5)
    assert (first.volume_base, first.taker_buy_volume_base) == (5, 1.25)
    assert last.opened_at_ms == T0 + 2 * BAR_MS
    assert refusals(tmp_path) == {f"bar_incomplete {BTC}/ohlcv_1m": 1}


def test_an_empty_taker_cell_is_unknown_not_zero(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", f"{CANDLES},taker_buy_volume", f"{candle(0)},", f"{candle(1)},4")
    assert [s.bar.taker_buy_volume_base for s in play(tmp_path) if s.bar] == [None, 4.0]


def test_a_gap_in_the_candles_loses_no_funding_and_no_print(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", CANDLES, candle(0), candle(9))
    write(tmp_path, f"{BTC}/funding", "ts_ms,funding_rate", f"{T0 + 4 * BAR_MS},0.0001")
    write(tmp_path, "binance/prints_x", PRINTS, f"{T0 + 3 * BAR_MS},BTCUSDT,short,99,1,99")
    last = play(tmp_path)[-1]
    assert (len(last.funding), len(last.prints)) == (1, 1)


def test_prints_of_other_symbols_and_garbled_ones_stay_out_and_equal_ones_are_several(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(3))
    good = f"{T0 + 5},BTCUSDT,long,99.0,1.0,99.0"
    twin = f"{T0 + 5},BTCUSDT,short,99.0,1.0,99.0"
    bad = [good, f"{T0 + 1},BTCUSDT,long,99,1,99", f"{T0 + 9},BTCUSDT,buy,99,1,99", f"{T0 + 9},BTCUSDT,long,nan,1,99"]
    write(tmp_path, "binance/prints_x", PRINTS, good, twin, *bad[1:], f"{T0 + 9},ETHUSDT,long,9,1,9", twin)
    assert [(seen.side, seen.taken_at_ms) for s in play(tmp_path) for seen in s.prints] == [
        (Side.LONG, T0 + 5),
        (Side.SHORT, T0 + 5),
        (Side.SHORT, T0 + 5),
    ]
    assert sum(refusals(tmp_path).values()) == 3


@pytest.mark.parametrize(
    ("prices", "decimals"),
    [(["100.0", "101.0"], 0), (["100.1", "100.25"], 2), (["0.00001234", "1.2e-05"], 8), (["1e22", "5"], 0)],
)
def test_price_decimals_come_from_the_prices_written(tmp_path: Path, prices: list[str], decimals: int) -> None:
    rows = [f"{T0 + i * BAR_MS},{p},{p},{p},{p},1" for i, p in enumerate(prices * 100)]
    write(tmp_path, f"{BTC}/ohlcv_5m", CANDLES, *rows)
    assert RecordedFeed(tmp_path).load()[0].price_decimals == decimals


async def test_polling_gives_one_moment_over_all_markets_and_none_at_the_end(tmp_path: Path) -> None:
    write(tmp_path, f"{BTC}/ohlcv_5m", *candles(3))
    write(tmp_path, "binance/NMRUSDT/ohlcv_15m", CANDLES, candle(0, step_ms=3 * BAR_MS))
    feed = RecordedFeed(tmp_path)
    assert feed.source is Source.RECORDED
    assert [market.base for market in await feed.start()] == ["BTC", "NMR"]
    moments = []
    while (moment := await feed.poll()) is not None:
        moments.append([snapshot.market.base for snapshot in moment])
    assert moments == [["BTC"], ["BTC"], ["BTC", "NMR"]]
    await feed.close()
    assert await feed.poll() is None


def test_only_the_markets_asked_for_are_played_once_each(tmp_path: Path) -> None:
    for base in ("BTC", "ETH", "SOL"):
        write(tmp_path, f"binance/{base}USDT/ohlcv_5m", *candles(1))
    assert [m.base for m in RecordedFeed(tmp_path, ["sol", "btcusdt", "SOL/USDT:USDT"]).load()] == ["SOL", "BTC"]


@pytest.mark.parametrize("recording", ["winter-2025", "crash-2025-10-10", "numeraire-2023-07", "prints-2025-06-23"])
def test_on_real_recordings_nothing_is_known_early_or_lost_or_refused(recording: str) -> None:
    path = shared(recording)
    feed = RecordedFeed(path)
    markets = feed.load()
    assert not feed.refusals
    previous = dict.fromkeys((market.base for market in markets), 0)
    before = 0
    for moment in feed.steps():
        now = moment[0].taken_at_ms
        assert now > before
        before = now
        for snapshot in moment:
            after = previous[snapshot.market.base]
            assert snapshot.taken_at_ms == now
            assert all(after < known <= now for known in known_at_ms(snapshot))
            previous[snapshot.market.base] = now


def test_the_real_crash_pairs_binance_with_hyperliquid_and_numeraire_has_no_open_interest() -> None:
    crash = {market.base: market for market in RecordedFeed(shared("crash-2025-10-10")).load()}
    assert crash["BTC"].venues == ("binance",)
    assert crash["BTC"].open_interest_venues == ("hyperliquid",)
    assert crash["DOGE"].price_decimals == 5
    assert crash["NMR"].open_interest_venues == ()
    (numeraire,) = RecordedFeed(shared("numeraire-2023-07")).load()
    assert (numeraire.base, numeraire.venues, numeraire.open_interest_venues) == ("NMR", ("binance",), ())
