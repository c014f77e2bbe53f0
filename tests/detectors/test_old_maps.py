"""A map may live for years: scales stay within 32-bit floats, which changes nothing, and nothing grows with time."""

import json
import struct
import zlib

import numpy as np
import pytest

from detectors.leverage import LeverageModel
from detectors.liquidation_map import SMALLEST_SCALE, LiquidationMap
from detectors.map_settings import MapSettings
from detectors.numerics import to_planes
from detectors.pending import MOST_PENDING
from tests.detectors.histories import RandomMarket, bars_of, random_market
from tests.detectors.test_liquidation_map import Writer


def a_map_of(bars: int, leverage: LeverageModel) -> LiquidationMap:
    made = LiquidationMap(MapSettings(leverage))
    for bar, sample, crowding in bars_of(random_market(RandomMarket(bars, 3))):
        made.update(bar, sample, crowding)
    return made


def test_a_map_may_live_for_years() -> None:
    """Nine days in which all positions are replaced many times wear scales down as years of another market do."""
    old = a_map_of(9 * 288, LeverageModel(turnover_daily=20.0))
    assert old.scales.min() >= SMALLEST_SCALE * 1e-3
    assert np.isfinite(old.exposure).all()
    assert np.isfinite(old.known).all()
    assert old.open_interest_base is not None
    assert 0 < old.known.sum() <= 2 * old.open_interest_base


def test_what_keeps_scales_in_range_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left_alone = a_map_of(1500, LeverageModel())
    monkeypatch.setattr("detectors.liquidation_map.SMALLEST_SCALE", 0.9)
    folded = a_map_of(1500, LeverageModel())
    assert not np.array_equal(folded.scales, left_alone.scales)
    assert np.array_equal(folded.known, left_alone.known)
    assert np.array_equal(folded.unknown, left_alone.unknown)


def test_a_market_whose_open_interest_stops_for_good_costs_no_more_with_time() -> None:
    writer = Writer()
    writer.bar(100.0, 1000.0)
    for _ in range(MOST_PENDING):
        writer.bar(100.0)
    size = len(writer.map.to_bytes())
    for _ in range(200):
        writer.bar(100.0)
    assert len(writer.map.to_bytes()) < size * 1.01
    assert writer.bar(100.0, 1200.0).gap


def test_a_checkpoint_that_has_zeros_among_the_rest_is_read_as_it_always_was() -> None:
    made = a_map_of(300, LeverageModel())
    (size,) = struct.unpack_from("<I", made.to_bytes())
    header = json.loads(made.to_bytes()[4 : 4 + size])
    del header["sparse"]
    written = json.dumps(header).encode()
    body = b"".join(to_planes(array) for array in (made.scales, made.group_known, made.exposure))
    before = struct.pack("<I", len(written)) + written + zlib.compress(body, 6)
    loaded = LiquidationMap.from_bytes(made.settings, before)
    assert loaded.exposure.tobytes() == made.exposure.tobytes()
    assert loaded.to_bytes() == made.to_bytes()
