"""Several venues as one market: whose price, whose open interest, and what a silent venue must not look like."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markets.live_types import BAR_MS, VenueSeries
from bot.markets.merge import Merger, merged_history
from detectors.estimate import EstimateSettings, MarketEstimate
from detectors.market import Bar, Funding, Market, MarketSnapshot, Print, Side, VenueSample

T0 = 1_765_000_200_000 // BAR_MS * BAR_MS
VENUES = ("binance", "bybit", "okx")
MARKET = Market("BTC", "BTC/USDT:USDT", VENUES, VENUES)
WHOLE = {"binance": 50.0, "bybit": 30.0, "okx": 20.0}


def close(n: int) -> int:
    """When the ``n``-th bar closes."""
    return T0 + n * BAR_MS


def bar(n: int, price: float = 100.0, volume: float = 10.0, taker: float | None = None) -> Bar:
    return Bar(close(n - 1), BAR_MS, price, price + 1, price - 1, price, volume, taker)


def give(merger: Merger, n: int, interest: Mapping[str, float], prices: Mapping[str, float] | None = None) -> None:
    for venue, price in (prices or dict.fromkeys(VENUES, 100.0)).items():
        known = {close(n): interest[venue]} if venue in interest else {}
        merger.add(venue, VenueSeries(bars=[bar(n, price)], interest_base=known))


def emit(merger: Merger, n: int) -> MarketSnapshot:
    snapshot = merger.emit(close(n))
    assert snapshot is not None
    return snapshot


def interest_of(snapshot: MarketSnapshot) -> float | None:
    return snapshot.open_interest.base if snapshot.open_interest else None


def run(each: Sequence[Mapping[str, float]]) -> tuple[Merger, list[float | None]]:
    merger = Merger(MARKET, WHOLE)
    told = []
    for n, interest in enumerate(each, 1):
        give(merger, n, interest)
        told.append(interest_of(emit(merger, n)))
    return merger, told


def without(venue: str, whole: Mapping[str, float] = WHOLE) -> dict[str, float]:
    return {name: amount for name, amount in whole.items() if name != venue}


# --- who is waited for


def test_a_venue_that_is_back_and_slower_than_the_others_is_waited_for_and_counted_again() -> None:
    merger = Merger(MARKET, WHOLE)
    others = dict.fromkeys(without("okx"), 100.0)
    for n in range(1, 4):
        give(merger, n, without("okx"), others)
        emit(merger, n)
    assert not merger.lacks(close(4), "okx"), "a venue that is out was waited for"
    give(merger, 4, without("okx"), others)
    emit(merger, 4)
    give(merger, 4, WHOLE, {"okx": 100.0})
    give(merger, 5, without("okx"), others)
    assert merger.lacks(close(5), "okx")
    give(merger, 5, WHOLE, {"okx": 100.0})
    assert interest_of(emit(merger, 5)) == 100.0
    assert "okx's open interest is counted again" in [text for _, text in merger.take_notes()]


def test_a_venue_that_is_always_late_is_waited_for_ever_more_rarely() -> None:
    merger = Merger(MARKET, WHOLE)
    waited = []
    for n in range(1, 40):
        give(merger, n, without("okx"), dict.fromkeys(without("okx"), 100.0))
        if merger.lacks(close(n), "okx"):
            waited.append(n)
        emit(merger, n)
        give(merger, n, WHOLE, {"okx": 100.0})
    assert waited == [1, 2, 3, 5, 9, 17, 33]


# --- open interest


def test_open_interest_is_the_sum_of_all_venues() -> None:
    assert run([WHOLE])[1] == [100.0]


def test_a_sum_is_never_of_some_venues_only() -> None:
    assert run([WHOLE, without("okx"), WHOLE])[1] == [100.0, None, 100.0]


def test_a_venue_that_drops_out_does_not_look_like_positions_being_closed() -> None:
    merger, told = run([WHOLE, without("binance"), without("binance"), {"bybit": 33.0, "okx": 22.0}])
    assert told == [100.0, None, 100.0, pytest.approx(110.0)]
    assert [venue for venue, _ in merger.take_notes()] == ["binance"]


def test_a_venue_that_comes_back_is_counted_again_and_said() -> None:
    merger, told = run([WHOLE, without("okx"), without("okx"), {**WHOLE, "okx": 25.0}])
    assert told[-1] == 105.0
    assert "counted again" in merger.take_notes()[-1][1]


def test_when_nobody_says_anything_nobody_is_dropped() -> None:
    merger, told = run([WHOLE, {}, {}, {}, WHOLE])
    assert told == [100.0, None, None, None, 100.0]
    assert not merger.take_notes()


def test_while_the_whole_is_not_known_only_the_venues_that_are_counted_are_named() -> None:
    merger = Merger(MARKET)  # beyond the hundredth market nobody is asked before the first bar
    told = []
    for n, interest in enumerate([without("binance"), without("binance"), without("binance"), WHOLE, WHOLE], 1):
        give(merger, n, interest)
        snapshot = emit(merger, n)
        told.append((interest_of(snapshot), snapshot.market.open_interest_venues))
    assert told[1:3] == [(50.0, ("bybit", "okx"))] * 2, "a part stands for the whole, whose size nobody knows"
    assert told[3:] == [(100.0, VENUES)] * 2
    assert merger.market.open_interest_venues == VENUES, "the third is asked for no more"
    assert [text for _, text in merger.take_notes()] == [
        "binance's open interest is not counted, and nobody knows its usual share",
        "binance's open interest is counted again",
    ]


def test_a_look_names_the_venues_that_its_open_interest_counts() -> None:
    merger = Merger(MARKET)
    for n in (1, 2):
        give(merger, n, without("binance"))
        counted = emit(merger, n).market.open_interest_venues
    merger.note(VenueSample("bybit", "BTC/USDT:USDT", T0, T0, price=100.0))
    merger.reference = "bybit"
    look = merger.look(close(3))
    assert look is not None
    assert look.market.open_interest_venues == counted == ("bybit", "okx")


def test_a_whole_that_is_not_known_at_first_never_looks_like_positions_opened_or_closed() -> None:
    merger, estimate, shares = Merger(MARKET), MarketEstimate.empty(EstimateSettings()), []
    rising = [{venue: amount * (1 + n / 100) for venue, amount in WHOLE.items()} for n in range(12)]
    for n, interest in enumerate(rising, 1):
        give(merger, n, interest if n >= 10 else without("binance", interest))
        estimate.apply(emit(merger, n))
        held = estimate.map.open_interest_base
        shares += [estimate.map.known.sum() / held] if held else []
    assert shares[-4] > 0.1, "nothing was opened in the first place"
    assert shares[-3] == pytest.approx(shares[-4], abs=0.01)


@given(
    gone=st.lists(st.sets(st.sampled_from(VENUES), max_size=2), min_size=1, max_size=12),
    drift=st.floats(0.99, 1.01),
)
def test_silence_never_moves_the_total_further_than_the_venues_that_speak(gone: list[set[str]], drift: float) -> None:
    amounts = dict(WHOLE)
    each = []
    for missing in gone:
        amounts = {venue: amount * drift for venue, amount in amounts.items()}
        each.append({venue: amount for venue, amount in amounts.items() if venue not in missing})
    told = run(each)[1]
    for n, total in enumerate(told, 1):
        if total is not None:
            assert total == pytest.approx(100.0 * drift**n)


# --- price and volume


def test_the_price_is_the_largest_venue_s_and_stays_so_when_sizes_change() -> None:
    merger = Merger(MARKET, WHOLE)
    prices = {"binance": 100.0, "bybit": 101.0, "okx": 102.0}
    give(merger, 1, WHOLE, prices)
    give(merger, 2, {"binance": 1.0, "bybit": 60.0, "okx": 1.0}, prices)
    give(merger, 3, {"binance": 1.0, "bybit": 60.0, "okx": 1.0}, prices)
    assert [emit(merger, n).price for n in (1, 2, 3)] == [100.0, 100.0, 100.0]


def test_a_bar_the_largest_venue_missed_is_the_next_one_s_and_the_reference_stays() -> None:
    merger = Merger(MARKET, WHOLE)
    give(merger, 1, WHOLE)
    give(merger, 2, WHOLE, {"okx": 102.0, "bybit": 101.0})
    give(merger, 3, WHOLE)
    assert [emit(merger, n).price for n in (1, 2, 3)] == [100.0, 101.0, 100.0]
    assert merger.reference == "binance"


def test_only_staleness_changes_the_reference_and_recovery_does_not_change_it_back() -> None:
    merger = Merger(MARKET, WHOLE)
    give(merger, 1, WHOLE)
    emit(merger, 1)
    merger.stale.add("binance")
    give(merger, 2, WHOLE, {"binance": 100.0, "bybit": 101.0})
    assert emit(merger, 2).price == 101.0
    merger.stale.discard("binance")
    give(merger, 3, WHOLE, {"binance": 100.0, "bybit": 101.0})
    assert emit(merger, 3).price == 101.0
    assert "binance is stale" in merger.take_notes()[0][1]


def test_volume_is_summed_and_a_missing_venue_s_usual_share_assumed() -> None:
    merger = Merger(MARKET, WHOLE)
    give(merger, 1, WHOLE)
    give(merger, 2, WHOLE, {"binance": 100.0})
    volumes = [told.volume_base for n in (1, 2) if (told := emit(merger, n).bar) is not None]
    assert volumes == [30.0, pytest.approx(30.0)]


def test_taker_buying_is_scaled_from_the_venues_that_tell_it() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("binance", VenueSeries(bars=[bar(1, volume=10, taker=7)]))
    merger.add("bybit", VenueSeries(bars=[bar(1, volume=30)]))
    told = emit(merger, 1).bar
    assert told is not None
    assert told.volume_base == 40
    assert told.taker_buy_volume_base == pytest.approx(28)


def test_the_order_in_which_venues_arrive_changes_nothing() -> None:
    def one(order: Sequence[str]) -> MarketSnapshot:
        merger = Merger(MARKET, WHOLE)
        for i, venue in enumerate(order):
            volume = {"binance": 0.1, "bybit": 0.2, "okx": 0.3}[venue]
            series = VenueSeries([bar(1, volume=volume, taker=volume / 3)], {close(1): WHOLE[venue] / 3})
            merger.add(venue, replace(series, funding=[Funding(close(1) + i, 1e-4, 8.0)]))
        return emit(merger, 1)

    assert one(VENUES) == one(VENUES[::-1]) == one(("okx", "binance", "bybit"))


# --- first value wins, order


def test_the_first_value_of_a_moment_wins_and_late_ones_are_counted() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.add("binance", VenueSeries([bar(1, 100)]))
    merger.add("binance", VenueSeries([bar(1, 999)]))
    assert emit(merger, 1).price == 100
    merger.add("okx", VenueSeries([bar(1, 555)]))
    assert merger.emit(close(1)) is None
    assert merger.late == 1


def test_a_look_never_goes_back_in_time_nor_carries_a_stale_price() -> None:
    merger = Merger(MARKET, WHOLE)
    merger.note(VenueSample("binance", "BTC/USDT:USDT", T0, T0, price=100.0))
    merger.note(VenueSample("okx", "BTC/USDT:USDT", T0, T0, price=103.0))
    first = merger.look(T0)
    assert first is not None
    assert (first.price, first.divergence_bps) == (100.0, 300.0)
    assert merger.look(T0) is None
    merger.stale |= {"binance"}
    second = merger.look(T0 + 1)
    assert second is not None
    assert (second.price, [one.venue for one in second.by_venue]) == (103.0, ["okx"])


def test_each_venue_s_part_is_kept() -> None:
    merger = Merger(MARKET, WHOLE)
    for venue in VENUES:
        merger.note(VenueSample(venue, "BTC/USDT:USDT", T0, T0, price=1.0, funding_rate=1e-4))
    give(merger, 1, WHOLE)
    told = {one.venue: one for one in emit(merger, 1).by_venue}
    assert {venue: one.open_interest_base for venue, one in told.items()} == WHOLE
    assert {one.volume_base for one in told.values()} == {10.0}
    assert {one.funding_rate for one in told.values()} == {1e-4}


def test_prints_of_all_venues_come_with_the_next_bar_in_order_of_time() -> None:
    merger = Merger(MARKET, WHOLE)
    prints = [Print(T0 + n, Side.LONG, 100.0, 1.0, 100.0) for n in (5, 1, 3)]
    merger.add_prints(prints[:2])
    merger.add_prints(prints[2:])
    give(merger, 1, WHOLE)
    give(merger, 2, WHOLE)
    assert [one.taken_at_ms for one in emit(merger, 1).prints] == [T0 + 1, T0 + 3, T0 + 5]
    assert not emit(merger, 2).prints


# --- the past


def test_a_venue_whose_history_is_shorter_joins_without_a_jump() -> None:
    n_bars, joins = 20, 12
    series = {
        venue: VenueSeries(
            [bar(n) for n in range(1, n_bars)],
            {close(n): WHOLE[venue] for n in range(1, n_bars) if venue != "okx" or n >= joins},
        )
        for venue in VENUES
    }
    told = [interest_of(snapshot) for snapshot in merged_history(MARKET, series)]
    assert len(told) == n_bars - 1
    assert {round(total, 9) for total in told if total is not None} == {100.0}
    assert told.count(None) <= 2


def part_of_history(bars: int = 6) -> dict[str, VenueSeries]:
    """Half of open interest lacks: what tells of it failed."""
    found = {}
    for venue in VENUES:
        samples = {close(n): WHOLE[venue] for n in range(1, bars + 1) if venue != "binance"}
        found[venue] = VenueSeries([bar(n) for n in range(1, bars + 1)], samples)
    return found


@pytest.mark.parametrize("with_bars", [True, False])
def test_a_venue_without_open_interest_in_a_catch_up_has_the_share_that_it_has_now(with_bars: bool) -> None:
    series = part_of_history()
    if not with_bars:
        del series["binance"]
    told = list(merged_history(MARKET, series, {**WHOLE, "binance": 150.0}))[1:]
    assert [interest_of(one) for one in told] == [pytest.approx(200.0)] * 5
    assert {one.market.open_interest_venues for one in told} == {VENUES}


def test_without_any_whole_a_catch_up_names_only_the_venues_that_it_counts() -> None:
    for whole in (None, {}, without("okx")):
        told = [(interest_of(one), one.market) for one in merged_history(MARKET, part_of_history(), whole)]
        named = replace(MARKET, open_interest_venues=("bybit", "okx"))
        assert told[1:] == [(50.0, named)] * 5


def test_history_and_live_merge_to_the_same_snapshots() -> None:
    series = {
        venue: VenueSeries(
            [bar(n, 100 + n) for n in range(1, 6)],
            {close(n): WHOLE[venue] * (1 + n / 7) for n in range(1, 6)},
            [Funding(close(3), 1e-4, 8.0)],
        )
        for venue in VENUES
    }
    live = Merger(MARKET, WHOLE)
    told = []
    for n in range(1, 6):
        for venue in VENUES:
            one = series[venue]
            rates = [rate for rate in one.funding if close(n - 1) < rate.taken_at_ms <= close(n)]
            live.add(venue, VenueSeries([one.bars[n - 1]], {close(n): one.interest_base[close(n)]}, rates))
        told.append(emit(live, n))
    assert list(merged_history(MARKET, series)) == told
