"""The simulated exchange keeps its books: every contract has two sides, and nobody outlives a liquidation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markets.simulated_book import Book, Column
from bot.markets.simulated_crowd import MAJOR_TIERS, MINOR_TIERS, Crowd, Tiers
from bot.markets.simulated_exchange import BAR_MS, LISTINGS, START_MS, Closed, Exchange, SimulatedListing
from bot.markets.simulated_traders import liquidation_price, shared
from detectors.market import Side

DAY = 288


@pytest.fixture(scope="module", params=LISTINGS, ids=lambda listing: listing.base)
def traded(request: pytest.FixtureRequest) -> tuple[Exchange, list[Closed]]:
    """Two days of one market, with its books looked at after every bar."""
    listing: SimulatedListing = request.param
    exchange = Exchange(listing, seed=5)
    bars = []
    for _ in range(2 * DAY):
        bars.append(exchange.step())
        assert_books_are_sound(exchange, bars[-1])
    return exchange, bars


def assert_books_are_sound(exchange: Exchange, closed: Closed) -> None:
    longs, shorts = exchange.longs, exchange.shorts
    assert longs[Column.LOTS].sum() == shorts[Column.LOTS].sum() == exchange.lots
    assert closed.open_interest.base == exchange.base(exchange.lots)
    for book in (longs, shorts):
        lots = book[Column.LOTS]
        assert (lots > 0).all()
        assert (lots == np.floor(lots)).all()
        # Signed prices: below is worse. The stop lies between the price and the liquidation.
        assert (book[Column.LIQUIDATION] < book.sign * exchange.price).all()
        assert (book[Column.EXIT] < book.sign * exchange.price).all()
        assert (book[Column.EXIT] >= book[Column.LIQUIDATION]).all()
        assert (book[Column.LIQUIDATION] < book.sign * book[Column.ENTRY]).all()


def test_candles_are_whole_and_join_up(traded: tuple[Exchange, list[Closed]]) -> None:
    _, closed = traded
    bars = [c.bar for c in closed]
    assert [bar.opened_at_ms for bar in bars] == [START_MS + i * BAR_MS for i in range(len(bars))]
    assert all(b.low <= min(b.open, b.close) <= max(b.open, b.close) <= b.high for b in bars)
    assert all(b.open == a.close for a, b in pairwise(bars))
    assert all(b.volume_base > 0 and 0 <= (b.taker_buy_volume_base or 0) <= b.volume_base for b in bars)


def test_positions_are_of_the_size_that_decides_their_margin(traded: tuple[Exchange, list[Closed]]) -> None:
    exchange, closed = traded
    wanted_usd = exchange.listing.position_usd * np.exp(1.6**2 / 2)
    for book in (exchange.longs, exchange.shorts):
        mean_usd = exchange.base(book.lots) * exchange.price / len(book)
        assert wanted_usd / 2 < mean_usd < 2 * wanted_usd
    prints = [one.notional_usd for bar in closed for one in bar.prints]
    assert exchange.listing.position_usd / 4 < np.median(prints) < 4 * exchange.listing.position_usd


def test_closing_some_closes_exactly_that_much_from_anywhere_in_the_book() -> None:
    for start in (0.0, 0.5, 0.999):
        for lots in (1, 64, 500, 4_999, 5_000):
            book = Book(1)
            rows = np.ones((len(Column), 1000))
            rows[Column.LOTS] = 5
            book.add(rows)
            book.close_some(lots, start)
            assert book.lots == book[Column.LOTS].sum() == 5_000 - lots


def test_prices_keep_to_the_tick(traded: tuple[Exchange, list[Closed]]) -> None:
    exchange, closed = traded
    decimals = exchange.listing.price_decimals
    assert all(round(p, decimals) == p for c in closed for p in (c.bar.open, c.bar.high, c.bar.low, c.bar.close))


def test_liquidations_are_printed_inside_their_bar_at_a_price_it_traded(traded: tuple[Exchange, list[Closed]]) -> None:
    _, closed = traded
    prints = [(c.bar, seen) for c in closed for seen in c.prints]
    assert {seen.side for _, seen in prints} == {Side.LONG, Side.SHORT}
    for bar, seen in prints:
        assert bar.opened_at_ms < seen.taken_at_ms <= bar.closed_at_ms
        assert bar.low <= seen.price <= bar.high
        assert seen.notional_usd == pytest.approx(seen.amount_base * seen.price)


def test_funding_settles_every_eight_hours(traded: tuple[Exchange, list[Closed]]) -> None:
    _, closed = traded
    at = [rate.taken_at_ms - START_MS for c in closed for rate in c.funding]
    assert at == [8 * 3_600_000 * i for i in range(1, 7)]


def test_the_market_moves_like_one() -> None:
    exchange = Exchange(LISTINGS[0], seed=3)
    closed = [exchange.step() for _ in range(7 * DAY)]
    returns = np.diff(np.log([c.bar.close for c in closed]))
    interest = np.array([c.open_interest.base for c in closed])
    changes = np.diff(interest) / interest[:-1]
    assert 0.015 < returns.std() * np.sqrt(DAY) < 0.05
    assert ((returns / returns.std()) ** 4).mean() > 5
    assert 0.0002 < abs(changes).mean() < 0.002
    assert 0.03 < -changes[changes < 0].sum() / 7 < 0.3
    assert np.corrcoef(abs(returns[1:]), abs(returns[:-1]))[0, 1] > 0.1


def test_a_seed_repeats_to_the_last_bit_and_another_does_not() -> None:
    first, again, other = (Exchange(LISTINGS[0], seed) for seed in (7, 7, 8))
    trades = [[exchange.step() for _ in range(60)] for exchange in (first, again, other)]
    assert trades[0] == trades[1]
    assert trades[0] != trades[2]


def test_each_seed_and_each_side_has_its_own_leverage() -> None:
    rank = np.linspace(0, 0.999, 400)
    drawn = [
        Crowd(np.random.default_rng(seed)).leverage(side, rank, np.zeros(1)) for seed in range(12) for side in (0, 1)
    ]
    means = [leverage.mean() for leverage in drawn]
    assert max(means) > 1.5 * min(means)
    for i, leverage in enumerate(drawn):
        assert 1 <= leverage.min() <= leverage.max() <= 125
        assert all(abs(leverage - other).mean() > 0.2 for other in drawn[:i])


def test_crowding_raises_leverage() -> None:
    crowd, rank = Crowd(np.random.default_rng(1)), np.linspace(0, 0.999, 400)
    calm, crowded = (crowd.leverage(0, rank, np.full(400, tilt)).mean() for tilt in (0.0, 0.5))
    assert crowded > calm


@pytest.mark.parametrize("tiers", [MAJOR_TIERS, MINOR_TIERS], ids=["major", "minor"])
def test_margin_tiers_are_continuous_and_leave_room_for_their_leverage(tiers: Tiers) -> None:
    floors = tiers.floor_usd[1:]
    assert tiers.rates(floors) * floors == pytest.approx(tiers.rates(floors - 1e-3) * floors, rel=1e-6)
    size = np.geomspace(100, 1e9, 500)
    assert (tiers.rates(size) < 1 / tiers.allowed(np.full(500, 1e9), size)).all()


def test_liquidation_prices_match_worked_examples() -> None:
    """At 100x and 0.4 % margin a position is liquidated about 0.60 % away, not 0.996 % (methods.md)."""
    leverage, margin = np.array([100.0, 10.0]), np.array([0.004, 0.005])
    assert liquidation_price(1, leverage, margin) == pytest.approx([0.99 / 0.996, 0.9 / 0.995])
    assert liquidation_price(-1, leverage, margin) == pytest.approx([1.01 / 1.004, 1.1 / 1.005])
    assert 1 - liquidation_price(1, leverage, margin)[0] == pytest.approx(0.0060, abs=5e-5)


@given(st.integers(1, 10**12), st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
def test_lots_are_dealt_out_without_losing_one(lots: int, weights: list[float]) -> None:
    parts = shared(lots, np.array(weights))
    assert parts.sum() == lots
    assert (parts >= 0).all()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.floats(0, 0.999), st.data())
def test_closing_some_of_a_book_closes_exactly_that(held: list[int], start: float, data: st.DataObject) -> None:
    book = Book(1)
    rows = np.zeros((len(Column), len(held)))
    rows[Column.LOTS] = held
    book.add(rows)
    closed = data.draw(st.integers(0, sum(held)))
    book.close_some(closed, start)
    assert book.lots == book[Column.LOTS].sum() == sum(held) - closed
    assert (book[Column.LOTS] > 0).all()


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_removing_positions_keeps_all_the_others(gone: list[bool]) -> None:
    book = Book(-1)
    rows = np.zeros((len(Column), len(gone)))
    rows[Column.LOTS] = np.arange(1, len(gone) + 1)
    rows[Column.EXIT] = -np.arange(len(gone))
    book.add(rows)
    removed = book.remove(np.flatnonzero(gone))
    kept = {i + 1 for i, is_gone in enumerate(gone) if not is_gone}
    assert set(book[Column.LOTS]) == kept
    assert set(removed[Column.LOTS]) == set(range(1, len(gone) + 1)) - kept
    assert book.nearest_exit == (1 - min(kept) if kept else -np.inf)
