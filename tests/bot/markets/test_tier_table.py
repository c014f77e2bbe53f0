"""Our own table of leverage tiers: sound, dated, and what its source says."""

import gzip
import itertools
import json
from pathlib import Path

import pytest

from bot.markets import live_tiers, tier_table
from detectors.leverage import LeverageModel
from detectors.market import Side


def test_a_coin_that_is_not_in_the_table_gets_what_most_small_ones_have_and_it_is_said() -> None:
    tiers, source = tier_table.of("NOSUCH")
    assert tiers == tier_table.of("NMR")[0]
    assert source == "Binance's commonest brackets of September 2026, for want of NOSUCH's own"


@pytest.mark.parametrize("asset", sorted({*tier_table._SOURCE, "BTC", "NOSUCH"}))
def test_every_row_of_the_table_could_be_a_venue_s(asset: str) -> None:
    tiers, _ = tier_table.of(asset)
    assert live_tiers._is_sound(tiers)
    assert tiers[0].floor_usd == 0
    assert all(one.max_leverage > two.max_leverage for one, two in itertools.pairwise(tiers))
    assert all(tier.rate * tier.max_leverage < 1 for tier in tiers), "liquidated as it is opened"
    model = LeverageModel(tiers=tiers)
    assert all((model.log_distances[side] > 0).all() for side in Side)


SHARED = Path(__file__).resolve().parents[3] / "../shared/tiers/binance_leverage_tiers_freqtrade-2026.9.json.gz"


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared")
def test_the_table_says_what_its_source_says() -> None:
    listed = json.loads(gzip.decompress(SHARED.read_bytes()))
    for asset in tier_table._SOURCE:
        rows = listed.get(f"{asset}/USDT:USDT") or listed[f"1000{asset}/USDT:USDT"]
        tiers, _ = tier_table.of(asset)
        told = [(row["minNotional"], row["maintenanceMarginRate"], row["maxLeverage"]) for row in rows]
        assert [(tier.floor_usd, tier.max_leverage) for tier in tiers] == [(f, m) for f, _, m in told if f < 1e6]
        assert [tier.rate for tier in tiers] == pytest.approx([rate for f, rate, _ in told if f < 1e6], abs=5e-5)
