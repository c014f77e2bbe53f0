"""Hypothesis strategies for what the core takes in and gives out: bad input above all."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.event import Band, Event, Evidence, Fact, Label, Level, Severity, Unit
from detectors.market import Bar, Funding, LiquidationTotal, MarketSnapshot, OpenInterest, Print, Side

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
positive = st.floats(1e-9, 1e12)
words = st.text(max_size=20)
sides = st.sampled_from(Side)

facts = st.builds(
    Fact,
    name=st.text("abcdefghij_", min_size=1, max_size=12),
    value=st.one_of(st.none(), finite, st.integers(-(2**53), 2**53), words),
    unit=st.sampled_from(Unit),
    label=st.sampled_from(Label),
    title=words,
)

events = st.builds(
    Event,
    kind=st.text("abc_", min_size=1, max_size=10),
    market=st.text("ABC1", min_size=1, max_size=10),
    venue=words,
    symbol=words,
    subject=st.text("abc-123", min_size=1, max_size=20),
    arming=st.integers(1, 99),
    rung=st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0, 24.0])),
    bar_opened_at_ms=st.integers(0, 2**45),
    taken_at_ms=st.integers(0, 2**45),
    side=st.one_of(st.none(), sides),
    price=positive,
    level=st.one_of(st.none(), st.builds(Level, positive, positive, positive)),
    notional_usd=st.one_of(st.none(), positive),
    severity=st.sampled_from(Severity),
    headline=words,
    price_decimals=st.integers(0, 10),
    simulated=st.booleans(),
    facts=st.lists(facts, max_size=4).map(tuple),
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    bars, cells, rates = draw(st.integers(0, 5)), draw(st.integers(1, 6)), draw(st.integers(0, 3))

    def floats(*shape: int) -> Any:
        return draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1e12)))

    def times(count: int) -> Any:
        return draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2**45)))

    return Evidence(
        interval_ms=draw(st.integers(1, 10**8)),
        opened_at_ms=times(bars),
        ohlc=floats(bars, 4),
        edges=floats(cells + 1),
        heat_usd=floats(bars, cells).astype(np.float32),
        long_usd=floats(cells),
        short_usd=floats(cells),
        funding_at_ms=times(rates),
        funding_rate=floats(rates),
        bands=tuple(draw(st.lists(st.builds(Band, sides, positive, positive, positive, st.booleans()), max_size=3))),
    )


NOT_A_NUMBER = (math.nan, math.inf, -math.inf)
hostile = st.one_of(st.sampled_from([*NOT_A_NUMBER, 0.0, -0.0, -1.0, 5e-324, -1e308, 1e308]), st.floats(allow_nan=True))
"""Values that no market has, mixed with any other float."""


def near(value: float) -> st.SearchStrategy[float]:
    """Mostly the value itself, else something hostile or a thousand times too much or too little."""
    wrong = st.one_of(hostile, st.sampled_from([value * 1000, value / 1000, -value]))
    return st.one_of(st.just(value), st.just(value), st.just(value), wrong)


@st.composite
def spoilt(draw: st.DrawFn, snapshot: MarketSnapshot) -> MarketSnapshot:
    """The snapshot with any part of it wrong: values, sides, times, order within the bar."""
    bar = snapshot.bar
    if bar is not None:
        late = draw(st.sampled_from([0, 0, 0, -300_000, -3_000_000, 300_000]))
        bar = Bar(
            bar.opened_at_ms + late,
            bar.interval_ms,
            draw(near(bar.open)),
            draw(near(bar.high)),
            draw(near(bar.low)),
            draw(near(bar.close)),
            draw(near(bar.volume_base)),
        )
    sample = snapshot.open_interest
    if sample is not None:
        sample = OpenInterest(sample.taken_at_ms, draw(near(sample.base)), sample.interval_ms)
    at_ms, price = snapshot.taken_at_ms, snapshot.price
    shifted = st.sampled_from([at_ms, at_ms - 60_000, at_ms - 7_200_000, 0])
    fundings = st.builds(Funding, shifted, near(1e-4), near(8.0))
    prints = st.builds(Print, shifted, sides, near(price), near(1.0), near(price))
    totals = st.builds(LiquidationTotal, shifted, st.just(3_600_000), near(1e5), near(1e5), st.just("binance"))
    return MarketSnapshot(
        market=snapshot.market,
        taken_at_ms=at_ms,
        price=draw(near(price)),
        low=draw(near(snapshot.low)),
        high=draw(near(snapshot.high)),
        bar=draw(st.sampled_from([bar, bar, bar, None])),
        open_interest=draw(st.sampled_from([sample, sample, None])),
        funding=tuple(draw(st.lists(fundings, max_size=2))),
        prints=tuple(draw(st.lists(prints, max_size=3))),
        liquidations=tuple(draw(st.lists(totals, max_size=2))),
    )
