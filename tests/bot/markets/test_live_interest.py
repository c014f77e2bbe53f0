"""Rows of open-interest history, at the bar closes that they are of; Gate's as they were measured (docs/venues.md)."""

from typing import Any

import pytest

from bot.markets import live_interest
from bot.markets.live_types import BAR_MS, Listing, VenueSeries, known_at_ms
from bot.markets.venues import VENUES, AmountUnit
from detectors.market import LiquidationTotal

C_MS = 1_789_659_600_000
"""A bar's close: 15:40 UTC."""
SECOND_MS = 1_000


def row(stamp_ms: int, held: float, liquidated_usd: float = 0.0) -> dict[str, Any]:
    info = {"long_liq_usd": liquidated_usd, "short_liq_usd": 0, "lsr_account": held / 100}
    return {"timestamp": stamp_ms, "openInterestAmount": held, "info": info}


def read(venue: str, rows: list[Any], since_ms: int, until_ms: int, now_ms: int) -> VenueSeries:
    refused: list[None] = []
    listing = Listing(venue, "BTC", "BTC/USDT:USDT")
    told = live_interest.read(
        VENUES[venue], rows, listing, AmountUnit.BASE, (since_ms, until_ms), now_ms, lambda: refused.append(None)
    )
    assert len(refused) == sum(one["openInterestAmount"] is None for one in rows)
    return told


def test_a_sample_is_of_the_close_at_its_stamp() -> None:
    told = read("binance", [row(C_MS - BAR_MS, 1.0), row(C_MS, 2.0)], C_MS, C_MS, C_MS + 2 * SECOND_MS)
    assert told.interest_base == {C_MS: 2.0}
    assert not told.totals


def test_a_row_of_gate_is_of_the_close_at_its_end_and_the_newest_is_not_believed() -> None:
    rows = [row(C_MS - 2 * BAR_MS, 1.0, 70.0), row(C_MS - BAR_MS, 2.0, 8.0)]
    told = read("gate", rows, C_MS - BAR_MS, C_MS, C_MS + 2 * SECOND_MS)
    assert told.interest_base == {C_MS - BAR_MS: 1.0}, "something was told before it had happened"
    [total] = told.totals
    assert (total.started_at_ms, total.long_usd) == (C_MS - 2 * BAR_MS, 70.0)
    assert known_at_ms(total) == C_MS
    assert told.long_short_ratio == pytest.approx(0.01)


def test_a_row_of_gate_that_has_a_newer_one_after_it_or_is_long_past_is_final() -> None:
    rows = [row(C_MS - 2 * BAR_MS, 1.0, 70.0), row(C_MS - BAR_MS, 2.0, 8.0)]
    late = read("gate", rows, C_MS - BAR_MS, C_MS, C_MS + 4 * BAR_MS)
    assert late.interest_base == {C_MS - BAR_MS: 1.0, C_MS: 2.0}
    followed = read("gate", [*rows, row(C_MS, 3.0)], C_MS, C_MS + BAR_MS, C_MS + 170 * SECOND_MS)
    assert followed.interest_base == {C_MS: 2.0}
    assert [known_at_ms(one) for one in followed.totals] == [C_MS, C_MS + BAR_MS]


def test_between_them_the_spans_of_bar_closes_know_every_sum_once() -> None:
    rows = [row(C_MS + n * BAR_MS, 1.0, n + 1.0) for n in range(8)]
    told: list[LiquidationTotal] = []
    for n in range(2, 8, 2):
        since_ms, until_ms = C_MS + n * BAR_MS, C_MS + (n + 1) * BAR_MS
        first_ms, last_ms = live_interest.stamps(VENUES["gate"], since_ms, until_ms)
        asked = [one for one in rows if first_ms <= one["timestamp"] <= last_ms]
        told += read("gate", asked, since_ms, until_ms, until_ms + 2 * SECOND_MS).totals
    assert [total.long_usd for total in told] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_row_that_is_no_number_is_refused_and_the_rest_kept() -> None:
    broken = {"timestamp": C_MS, "openInterestAmount": None, "info": None}
    assert read("okx", [broken, row(C_MS + BAR_MS, 2.0)], C_MS, C_MS + BAR_MS, C_MS + BAR_MS).interest_base == {
        C_MS + BAR_MS: 2.0
    }
