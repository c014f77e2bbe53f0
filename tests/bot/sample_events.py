"""Events with made-up evidence, the same at every call, for tests and benchmarks of what a reader sees."""

import numpy as np

from detectors.event import Band, Event, Evidence, Fact, Label, Level, Severity, Unit
from detectors.market import HOUR_MS, Side

STEP_MS = 300_000
FIRST_BAR_MS = 1_767_225_600_000
CELL = 0.0005


def sample_evidence(price: float = 88_420.0, bars: int = 288, own: bool = True) -> Evidence:
    """A random walk that ends at ``price``, heat in ridges, a long band 2 % below and a short one 1.5 % above."""
    random = np.random.default_rng(7)
    walk = np.cumsum(random.normal(0, 0.0012, bars))
    close = price * np.exp(walk - walk[-1])
    opened = np.concatenate((close[:1], close[:-1]))
    wick = np.abs(random.normal(0, 0.0008, (2, bars)))
    ohlc = np.column_stack(
        (opened, np.maximum(opened, close) * (1 + wick[0]), np.minimum(opened, close) * (1 - wick[1]), close)
    )
    edges = price * np.exp(np.arange(-120, 121) * CELL)
    centres = np.sqrt(edges[1:] * edges[:-1])
    ridges = random.gamma(0.4, 2e6, len(centres)) + 4e6 * np.exp(-(((np.log(centres / price) + 0.02) / 0.002) ** 2))
    heat = (ridges * np.linspace(0.3, 1, bars)[:, None]).astype(np.float32)
    funding_at = np.arange(FIRST_BAR_MS, FIRST_BAR_MS + bars * STEP_MS, 8 * HOUR_MS, dtype=np.int64)
    bands = (
        Band(Side.LONG, price * 0.9778, price * 0.9822, 182e6, own),
        Band(Side.SHORT, price * 1.013, price * 1.017, 64e6),
    )
    return Evidence(
        interval_ms=STEP_MS,
        opened_at_ms=FIRST_BAR_MS + np.arange(bars, dtype=np.int64) * STEP_MS,
        ohlc=ohlc,
        edges=edges,
        heat_usd=heat,
        long_usd=np.where(centres < price, ridges, 0),
        short_usd=np.where(centres > price, ridges, 0),
        funding_at_ms=funding_at,
        funding_rate=random.normal(1e-4, 5e-5, len(funding_at)),
        bands=bands,
    )


def sample_event(price: float = 88_420.0, price_decimals: int = 2, bars: int = 288) -> Event:
    """A long cluster 2 % below ``price``, with its evidence."""
    return Event(
        kind="cluster_formed",
        market="BTC",
        venue="binance",
        symbol="BTC/USDT:USDT",
        subject="c12",
        arming=1,
        rung=None,
        bar_opened_at_ms=FIRST_BAR_MS + (bars - 1) * STEP_MS,
        taken_at_ms=FIRST_BAR_MS + bars * STEP_MS,
        side=Side.LONG,
        price=price,
        level=Level(price * 0.9778, price * 0.9822, price * 0.98),
        notional_usd=182e6,
        severity=Severity.NOTICE,
        headline="BTC long cluster $182M, 2.0% below",
        price_decimals=price_decimals,
        facts=(
            Fact("share_of_open_interest", 0.046, Unit.FRACTION, Label.ESTIMATED),
            Fact("build_hours", 10 / 3, Unit.HOURS, Label.ESTIMATED, "Built in"),
            Fact("open_interest_change", -0.021, Unit.FRACTION, Label.CALCULATED),
            Fact("observed_usd", 42_100_000, Unit.USD, Label.OBSERVED, "Liquidated"),
        ),
        evidence=sample_evidence(price, bars),
    )
