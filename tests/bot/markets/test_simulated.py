"""The simulated feed: the same for a seed, with its truth, and the same again when written and read back."""

import csv
import gzip
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bot.markets.feed import ReplayableFeed, Source
from bot.markets.names import UnknownMarket
from bot.markets.recorded import RecordedFeed
from bot.markets.recorder import Recorder
from bot.markets.recording import RecordingError
from bot.markets.simulated import SimulatedFeed, write_simulation
from detectors.market import MarketSnapshot
from tests.bot.markets.recordings import shared

FEW = ["DOGE", "PEPE"]
"""Markets with a twentieth of BTC's traders, each of whom is a row of the truth."""


async def test_polling_gives_every_market_at_each_bar_close_until_the_days_are_over() -> None:
    feed = SimulatedFeed(seed=1, days=3 / 288)
    markets = await feed.start()
    assert feed.source is Source.SIMULATED
    assert [market.base for market in markets] == ["BTC", "ETH", "DOGE", "PEPE"]
    assert all(market.simulated and market.venue == "simulated" for market in markets)
    moments = []
    while (moment := await feed.poll()) is not None:
        assert tuple(snapshot.market for snapshot in moment) == markets
        assert len({snapshot.taken_at_ms for snapshot in moment}) == 1
        moments.append(moment[0])
    assert len(moments) == 3
    assert all(s.bar and s.taken_at_ms == s.bar.closed_at_ms and s.open_interest for s in moments)


async def test_without_days_it_runs_on_until_it_is_closed() -> None:
    feed = SimulatedFeed(seed=1, markets=["btc"])
    assert len(list(islice(feed.steps(), 300))) == 300
    await feed.close()
    assert await feed.poll() is None


def test_both_feeds_can_be_stepped_through_without_an_event_loop(tmp_path: Path) -> None:
    write_simulation(1, 2 / 288, tmp_path, ["PEPE"])
    feeds: list[ReplayableFeed] = [SimulatedFeed(1, 2 / 288, ["PEPE"]), RecordedFeed(tmp_path)]
    for feed in feeds:
        assert [market.base for market in feed.load()] == ["PEPE"]
        assert len(list(feed.steps())) == 2


def test_a_market_does_not_depend_on_those_simulated_beside_it() -> None:
    alone = [moment[0] for moment in SimulatedFeed(4, 0.2, ["ETH"]).steps()]
    beside = [
        s for moment in SimulatedFeed(4, 0.2, ["BTC", "ETHUSDT"]).steps() for s in moment if s.market.base == "ETH"
    ]
    assert alone == beside


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="seed"):
        SimulatedFeed(-1)
    with pytest.raises(ValueError, match="days"):
        SimulatedFeed(1, 0.0)
    with pytest.raises(UnknownMarket, match="BTC"):
        SimulatedFeed(1, 1, ["BTX"])


def test_the_truth_is_every_open_position_at_risk_longs_below_and_shorts_above() -> None:
    feed = SimulatedFeed(2, 1, ["BTC"])
    (last,) = list(feed.steps())[-1]
    truth = feed.truth(last.market)
    longs = truth.side == "long"
    assert (np.diff(truth.price) >= 0).all()
    assert truth.price[longs].max() < last.price < truth.price[~longs].min()
    # At the price of now, a position's notional is its amount's: the amounts are the open interest, twice.
    amounts = truth.notional_usd / truth.price
    assert last.open_interest
    assert amounts[~longs].sum() == pytest.approx(last.open_interest.base)
    assert 0.5 * last.open_interest.base < amounts[longs].sum() <= last.open_interest.base * (1 + 1e-9)


def test_a_written_simulation_reads_back_as_the_same_snapshots(tmp_path: Path) -> None:
    markets = write_simulation(3, 1.0, tmp_path / "out", FEW)
    live: dict[str, list[MarketSnapshot]] = {market.base: [] for market in markets}
    played: dict[str, list[MarketSnapshot]] = {market.base: [] for market in markets}
    for moment in SimulatedFeed(3, 1.0, FEW).steps():
        for snapshot in moment:
            live[snapshot.market.base].append(snapshot)
    recorded = RecordedFeed(tmp_path / "out")
    recorded.load()
    for moment in recorded.steps():
        for snapshot in moment:
            played[snapshot.market.base].append(snapshot)
    assert not recorded.refusals
    assert any(snapshot.prints for snapshot in live["DOGE"])
    assert played == live


def test_a_written_simulation_ends_with_its_truth(tmp_path: Path) -> None:
    (market,) = write_simulation(3, 0.5, tmp_path, ["DOGE"])
    feed = SimulatedFeed(3, 0.5, ["DOGE"])
    list(feed.steps())
    truth = feed.truth(market)
    with gzip.open(tmp_path / "simulated/DOGEUSDT/truth.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["price"]) for row in rows] == truth.price.tolist()
    assert [row["side"] for row in rows] == truth.side.tolist()
    assert [float(row["notional_usd"]) for row in rows] == truth.notional_usd.tolist()


def test_writing_twice_gives_equal_files_and_never_mixes_two_recordings(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_simulation(9, 0.1, tmp_path / name, FEW)
    files = sorted((tmp_path / "a").rglob("*.gz"))
    assert len(files) >= 6
    assert all(file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes() for file in files)
    with pytest.raises(RecordingError, match="already holds something"):
        write_simulation(9, 0.1, tmp_path / "a", FEW)


def test_a_real_recording_with_another_venues_open_interest_survives_being_recorded_again(
    tmp_path: Path,
) -> None:
    original = RecordedFeed(shared("crash-2025-10-10"), ["BTC"])
    original.load()
    first = [snapshot for moment in original.steps() for snapshot in moment]
    with Recorder(tmp_path / "again") as recorder:
        for snapshot in first:
            recorder.add(snapshot)
    again = RecordedFeed(tmp_path / "again")
    again.load()
    assert [snapshot for moment in again.steps() for snapshot in moment] == first
