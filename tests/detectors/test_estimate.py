"""All that follows from a market's series: sizes, crowding, observed liquidations, candles, checkpoint."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from detectors.estimate import OBSERVED_KEPT_MS, EstimateSettings, MarketEstimate
from detectors.fit import fit_model
from detectors.leverage import LeverageModel
from detectors.map_settings import MapSettings
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Funding, LiquidationTotal, Print, Side
from detectors.trail import COLUMN_MS
from tests.detectors.histories import PLAIN, RandomMarket, Tape, days, random_market, snapshots_of, story

SETTINGS = EstimateSettings(MapSettings(LeverageModel()))


FITTED = EstimateSettings(MapSettings(fit_model(LeverageModel())))


@cache
def a_month(settings: EstimateSettings = SETTINGS) -> MarketEstimate:
    """Thirty days of five-minute bars with the default leverage, funding and hourly liquidations."""
    estimate = MarketEstimate.empty(settings)
    for snapshot in snapshots_of(random_market(RandomMarket(days(30), 8, price=88_000.0))):
        if snapshot.taken_at_ms % HOUR_MS == 0:
            total = LiquidationTotal(snapshot.taken_at_ms - HOUR_MS, HOUR_MS, 12_345.67, 8_910.11, "binance")
            snapshot = replace(snapshot, liquidations=(total,))
        estimate.apply(snapshot)
    return estimate


def test_one_market_costs_under_a_quarter_of_a_megabyte_in_memory() -> None:
    estimate = a_month()
    arrays = [estimate.candles, estimate.shares]
    for part in (estimate.map, estimate.trail, estimate.baseline):
        arrays += [value for value in vars(part).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 2**18


def test_one_market_costs_under_a_hundred_kilobytes_stored() -> None:
    assert len(a_month().to_bytes()) < 100_000
    assert len(a_month(FITTED).to_bytes()) < 100_000, "with fitted weights, which reach farther"


def test_a_checkpoint_holds_everything() -> None:
    stored = a_month().to_bytes()
    loaded = MarketEstimate.from_bytes(SETTINGS, stored)
    assert loaded.to_bytes() == stored
    assert np.array_equal(loaded.shares, a_month().shares)
    assert loaded.recent_closes == a_month().recent_closes
    assert list(loaded.funding) == list(a_month().funding)
    assert list(loaded.observed) == list(a_month().observed)


def test_crowding_follows_funding_whatever_its_interval() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    assert estimate.crowding == 0
    estimate.funding.append(Funding(0, 0.0001, 8))
    assert estimate.crowding == pytest.approx(0)
    estimate.funding.append(Funding(1, 0.0009, 8))
    eight_hourly = estimate.crowding
    estimate.funding.append(Funding(2, 0.0009 / 8, 1))
    assert estimate.crowding == pytest.approx(eight_hourly)
    assert 0.5 < eight_hourly < 1
    estimate.funding.append(Funding(3, -0.0009, 8))
    assert estimate.crowding < -0.5


def test_observed_liquidations_are_summed_by_side_and_forgotten_after_a_day() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    tape = Tape(100.0)
    first = tape.bar(100.0, 1000.0)
    prints = tuple(Print(first.taken_at_ms, side, 100.0, 2.0, 200.0) for side in (Side.LONG, Side.LONG, Side.SHORT))
    estimate.apply(replace(first, prints=prints))
    assert estimate.observed_usd(Side.LONG, 0) == (400.0, "binance")
    assert estimate.observed_usd(Side.SHORT, 0) == (200.0, "binance")
    assert estimate.observed_usd(Side.LONG, first.taken_at_ms) is None
    later = replace(tape.bar(100.0, 1000.0), taken_at_ms=first.taken_at_ms + OBSERVED_KEPT_MS + 1)
    estimate.apply(later)
    assert estimate.observed_usd(Side.LONG, 0) is None


def test_prints_of_a_bar_that_is_handed_out_late_count_as_heard_at_its_close() -> None:
    estimate, bar = MarketEstimate.empty(SETTINGS), Tape(100.0).bar(100.0, 1000.0)
    assert bar.bar is not None
    closed_ms = bar.bar.closed_at_ms
    late = replace(bar, taken_at_ms=closed_ms + 5_000, prints=(Print(closed_ms - 1, Side.LONG, 100.0, 2.0, 200.0),))
    estimate.apply(late)
    assert estimate.observed_usd(Side.LONG, closed_ms - 1) == (200.0, "binance")
    assert estimate.observed_usd(Side.LONG, closed_ms) is None, "it is not of what comes after that close"


def test_totals_count_from_their_end() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    tape = Tape(100.0)
    snapshot = tape.bar(100.0)
    total = LiquidationTotal(snapshot.taken_at_ms - HOUR_MS, HOUR_MS, 5.0, 7.0, "bybit")
    estimate.apply(replace(snapshot, liquidations=(total,)))
    assert estimate.observed_usd(Side.SHORT, snapshot.taken_at_ms - 1) == (7.0, "bybit")
    assert estimate.observed_usd(Side.SHORT, snapshot.taken_at_ms) is None


def test_of_several_venues_the_totals_of_one_that_does_not_stream_are_added_to_the_others_prints() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    tape = Tape(100.0)
    venues = ("okx", "gate")
    told = []
    for prints, totals in ((1, 0), (0, 1), (2, 3)):
        snapshot = tape.bar(100.0)
        seen = tuple(Print(snapshot.taken_at_ms, Side.LONG, 100.0, 1.0, 100.0) for _ in range(prints))
        started_ms = snapshot.taken_at_ms - 5 * MINUTE_MS
        ended = tuple(LiquidationTotal(started_ms, 5 * MINUTE_MS, 1000.0, 7.0, "gate") for _ in range(totals))
        market = replace(snapshot.market, venues=venues)
        estimate.apply(replace(snapshot, market=market, prints=seen, liquidations=ended))
        estimate = MarketEstimate.from_bytes(SETTINGS, estimate.to_bytes())
        told.append([estimate.observed_usd(side, 0) for side in Side])
    assert told == [
        [(100.0, "okx+gate"), (0.0, "okx+gate")],
        [(1100.0, "okx+gate"), (7.0, "okx+gate")],
        [(4300.0, "okx+gate"), (28.0, "okx+gate")],
    ]


def test_prints_and_totals_of_the_same_source_are_never_added_up() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    snapshot = Tape(100.0).bar(100.0)
    prints = (Print(snapshot.taken_at_ms, Side.LONG, 100.0, 1.0, 100.0),)
    total = LiquidationTotal(snapshot.taken_at_ms - HOUR_MS, HOUR_MS, 5000.0, 7.0, snapshot.market.venue)
    estimate.apply(replace(snapshot, prints=prints, liquidations=(total,)))
    assert estimate.observed_usd(Side.LONG, 0) == (100.0, snapshot.market.venue)


def test_prints_from_before_a_venue_joined_count_too() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    tape = Tape(100.0)
    for venues in (("okx",), ("binance", "okx")):
        snapshot = tape.bar(100.0)
        prints = (Print(snapshot.taken_at_ms, Side.LONG, 100.0, 1.0, 100.0),)
        estimate.apply(replace(snapshot, market=replace(snapshot.market, venues=venues), prints=prints))
    assert estimate.observed_usd(Side.LONG, 0) == (200.0, "binance+okx")


def test_nothing_observed_is_not_known_and_never_zero() -> None:
    assert MarketEstimate.empty(SETTINGS).observed_usd(Side.LONG, 0) is None


def test_candles_are_half_hours_of_the_bars_in_them() -> None:
    estimate = MarketEstimate.empty(EstimateSettings(MapSettings(PLAIN)))
    told = snapshots_of(random_market(RandomMarket(60, 5)))
    for snapshot in told:
        estimate.apply(snapshot)
    candles = estimate.candle_history()
    bars = [snapshot.bar for snapshot in told[:6]]
    assert all(bar is not None for bar in bars)
    first = [bar for bar in bars if bar is not None]
    assert len(candles) == 10
    assert candles[0].tolist() == [
        first[0].opened_at_ms,
        first[0].open,
        max(bar.high for bar in first),
        min(bar.low for bar in first),
        first[-1].close,
    ]
    assert np.all(np.diff(candles[:, 0]) == COLUMN_MS)


def test_without_open_interest_candles_are_kept_and_nothing_is_estimated() -> None:
    estimate = MarketEstimate.empty(SETTINGS)
    for snapshot in story():
        assert estimate.apply(replace(snapshot, open_interest=None)) is None
    assert estimate.candle_count > 0
    assert estimate.trail.count == 0
    assert estimate.baseline.hours == 0
    again = MarketEstimate.from_bytes(SETTINGS, estimate.to_bytes())
    assert again.to_bytes() == estimate.to_bytes()


def test_the_past_that_is_kept_reaches_over_slow_builds() -> None:
    times, _ = a_month().trail.band_history(*[a_month().map.boundary or 0] * 2)
    assert len(times) > 0
    assert a_month().trail.taken_at_ms.max() - a_month().trail.taken_at_ms.min() > 3 * DAY_MS


def test_prints_seen_between_bars_reach_the_map_with_the_next_bar() -> None:
    """A live feed hands prints out at once; the map is left alone until the bar closes."""
    tape = Tape(100.0)
    history = [tape.bar(100.0, base) for base in (1000.0, 1000.0, 1400.0, 1400.0)]
    last = tape.bar(100.0, 1400.0)
    print_below = Print(last.taken_at_ms - 60_000, Side.LONG, 90.0, 50.0, 4500.0)
    look = replace(last, taken_at_ms=last.taken_at_ms - 60_000, bar=None, open_interest=None, prints=(print_below,))
    early, late = MarketEstimate.empty(SETTINGS), MarketEstimate.empty(SETTINGS)
    for snapshot in history:
        early.apply(snapshot)
        late.apply(snapshot)
    before = early.map.known.sum()
    assert early.apply(look) is None
    assert early.map.known.sum() == before
    early.apply(last)
    late.apply(replace(last, prints=(print_below,)))
    assert early.map.known.sum() < before
    assert early.map.to_bytes() == late.map.to_bytes()


def test_a_venue_that_joins_the_sum_of_open_interest_is_no_flow() -> None:
    """Exposure keeps its share of open interest; nothing is deposited and nothing closed."""
    tape = Tape(100.0)
    history = [tape.bar(100.0, base) for base in (1000.0, 1000.0, 1400.0, 1400.0)]
    joined = tape.bar(100.0, 2800.0)
    wider = replace(joined.market, open_interest_venues=(*joined.market.open_interest_venues, "bybit"))
    model = LeverageModel(turnover_daily=0.0)
    estimate = MarketEstimate.empty(EstimateSettings(MapSettings(model)))
    for snapshot in history:
        estimate.apply(snapshot)
    share = estimate.map.known.sum() / 1400
    assert share > 0
    change = estimate.apply(replace(joined, market=wider))
    assert change is not None
    assert change.deposited.sum() == 0
    assert estimate.map.known.sum() / 2800 == pytest.approx(share)
    without = MarketEstimate.empty(EstimateSettings(MapSettings(model)))
    for snapshot in [*history, joined]:
        without.apply(snapshot)
    assert without.map.known.sum() > 1.5 * estimate.map.known.sum() * 1400 / 2800
