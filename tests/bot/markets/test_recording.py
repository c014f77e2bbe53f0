"""Bad input in a recording is refused and counted, never an exception and never repaired."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.markets.recorded import RecordedFeed
from bot.markets.recording import RecordingError, interval_name
from tests.bot.markets.recordings import BAR_MS, CANDLES, T0, candle, candles, play, refusals, write

BTC = "binance/BTCUSDT/ohlcv_5m"


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1e999", "", "abc", "12,5", "0x10", "\x00", "¾"])
def test_a_row_with_a_cell_that_is_no_number_is_refused_and_counted(tmp_path: Path, cell: str) -> None:
    bad = f"{T0 + BAR_MS},100,101,99,{cell},10"
    write(tmp_path, BTC, CANDLES, candle(0), bad, candle(2))
    assert [s.taken_at_ms for s in play(tmp_path)] == [T0 + BAR_MS, T0 + 3 * BAR_MS]
    assert sum(refusals(tmp_path).values()) == 1
    assert all(BTC in reason for reason in refusals(tmp_path))


@pytest.mark.parametrize("stamp", ["1767571200", "99999999999999999999999999", "-5", "1.5e12", "nan", ""])
def test_a_stamp_that_is_not_in_milliseconds_is_refused(tmp_path: Path, stamp: str) -> None:
    write(tmp_path, BTC, CANDLES, candle(0), f"{stamp},100,101,99,100,10", candle(1))
    assert len(play(tmp_path)) == 2
    assert sum(refusals(tmp_path).values()) == 1


def test_rows_out_of_order_and_repeated_are_refused_and_the_first_one_wins(tmp_path: Path) -> None:
    write(tmp_path, BTC, CANDLES, candle(0), candle(2), candle(1), candle(2, close=500), candle(3))
    assert [s.price for s in play(tmp_path)] == [100, 100, 100]
    assert refusals(tmp_path) == {f"row_out_of_order {BTC}": 2}


def test_one_stamp_far_ahead_does_not_silence_the_rest(tmp_path: Path) -> None:
    write(tmp_path, BTC, CANDLES, candle(0), candle(1_000_000), *(candle(i) for i in range(1, 9)))
    assert len(play(tmp_path)) == 9
    assert refusals(tmp_path) == {f"row_out_of_order {BTC}": 1}


def test_of_a_truncated_file_everything_before_the_torn_row_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, BTC, *(f"{row}" for row in candles(5000)))
    path.write_bytes(path.read_bytes()[:-2000])
    played = play(tmp_path)
    assert 1000 < len(played) < 5000
    assert all(s.bar and s.bar.volume_base == 10.0 for s in played)
    assert refusals(tmp_path) == {f"file_truncated {BTC}": 1}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file_empty"),
        (gzip.compress(b"", mtime=0), "file_empty"),
        (gzip.compress(CANDLES.encode(), mtime=0), "file_without_rows"),
        (b"not a gzip file at all", "file_unreadable"),
        (gzip.compress(b"ts_ms,open,high,low,volume\n1,1,1,1,1\n", mtime=0), "column_missing_close"),
        (gzip.compress(b"\xff\xfe\x00 garbage \x9d", mtime=0), "column_missing_ts_ms"),
    ],
)
def test_a_series_that_cannot_be_used_is_counted_and_the_other_market_plays(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    write(tmp_path, BTC, *candles(3))
    bad = tmp_path / "binance/ETHUSDT/ohlcv_5m.csv.gz"
    bad.parent.mkdir()
    bad.write_bytes(content)
    assert {s.market.base for s in play(tmp_path)} == {"BTC"}
    assert refusals(tmp_path)[f"{reason} binance/ETHUSDT/ohlcv_5m"] == 1


def test_a_missing_folder_and_one_without_candles_are_said_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording at"):
        RecordedFeed(tmp_path / "nowhere").load()
    with pytest.raises(RecordingError, match=r"ohlcv_5m\.csv\.gz"):
        RecordedFeed(tmp_path).load()
    write(tmp_path, BTC, "ts_ms,open", "1,1")
    with pytest.raises(RecordingError, match="column_missing"):
        RecordedFeed(tmp_path).load()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.text(max_size=40) | st.integers(0, 9).map(candle), max_size=12), cut=st.integers(0, 40))
def test_no_file_however_torn_raises_or_breaks_time_order(tmp_path: Path, content: list[str], cut: int) -> None:
    path = write(tmp_path, BTC, CANDLES, *content)
    path.write_bytes(path.read_bytes()[: -cut or None])
    try:
        times = [s.taken_at_ms for s in play(tmp_path)]
    except RecordingError:
        return
    assert times == sorted(set(times))


@pytest.mark.parametrize(("minutes", "name"), [(1, "1m"), (5, "5m"), (60, "1h"), (90, "90m"), (1440, "1d")])
def test_intervals_are_named_as_series_are(minutes: int, name: str) -> None:
    assert interval_name(minutes * 60_000) == name
