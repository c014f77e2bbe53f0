"""Small recordings for tests, and where the real ones are."""

import gzip
from pathlib import Path

import pytest

from bot.markets.recorded import RecordedFeed
from detectors.market import MarketSnapshot

SHARED = Path(__file__).resolve().parents[3] / "../shared/markets"
T0 = 1_767_571_200_000
BAR_MS = 300_000
HOUR_MS = 3_600_000
CANDLES = "ts_ms,open,high,low,close,volume"
INTEREST = "ts_ms,open_interest_base,open_interest_usd"


def shared(recording: str) -> Path:
    path = SHARED / recording
    if not path.is_dir():
        pytest.skip(f"the shared recording {recording} is not beside this checkout")
    return path


def write(recording: Path, series: str, *lines: str) -> Path:
    path = recording / f"{series}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join((*lines, "")).encode()))
    return path


def candle(i: int, close: float = 100.0, step_ms: int = BAR_MS) -> str:
    return f"{T0 + i * step_ms},{close},{close + 1},{close - 1},{close},10.0"


def candles(n: int) -> list[str]:
    return [CANDLES, *(candle(i) for i in range(n))]


def play(recording: Path, *markets: str) -> list[MarketSnapshot]:
    feed = RecordedFeed(recording, markets or None)
    feed.load()
    return [snapshot for moment in feed.steps() for snapshot in moment]


def refusals(recording: Path) -> dict[str, int]:
    feed = RecordedFeed(recording)
    feed.load()
    return dict(feed.refusals)
