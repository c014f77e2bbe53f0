"""Each venue's conventions, one by one."""

import importlib
from typing import Any

import pytest

from bot.markets import live_prints
from bot.markets.live_types import Listing
from bot.markets.venues import DEFAULT_VENUES, VENUES, AmountUnit, Coverage, rules_for, split_multiplier
from detectors.market import Print, Side

AT_MS = 1_765_000_000_000
BTC = {
    "binance": Listing("binance", "BTC", "BTC/USDT:USDT"),
    "bybit": Listing("bybit", "BTC", "BTC/USDT:USDT"),
    "okx": Listing("okx", "BTC", "BTC/USDT:USDT", contract_size=0.01),
    "gate": Listing("gate", "BTC", "BTC/USDT:USDT", contract_size=0.0001),
}


def read(venue: str, message: dict[str, Any], listing: Listing | None = None) -> list[tuple[str, Print]]:
    refused: list[str] = []
    by_id = dict.fromkeys(("BTCUSDT", "BTC-USDT-SWAP", "1000PEPEUSDT"), listing or BTC[venue])
    told = list(live_prints.read(VENUES[venue], message, by_id, refused.append))
    assert not refused
    return told


def force_order(side: str, symbol: str = "BTCUSDT") -> dict[str, Any]:
    order = {"s": symbol, "S": side, "q": "2", "p": "90000", "ap": "90400.5", "z": "1.5", "T": AT_MS}
    return {"e": "forceOrder", "E": AT_MS, "o": order}


@pytest.mark.parametrize(("word", "side"), [("SELL", Side.LONG), ("BUY", Side.SHORT)])
def test_binance_tells_the_order_s_side_its_average_fill_and_what_was_filled(word: str, side: Side) -> None:
    assert read("binance", force_order(word)) == [("BTC", Print(AT_MS, side, 90400.5, 1.5, 1.5 * 90400.5))]


@pytest.mark.parametrize(("word", "side"), [("Buy", Side.LONG), ("Sell", Side.SHORT)])
def test_bybit_tells_the_position_s_side(word: str, side: Side) -> None:
    row = {"T": AT_MS, "s": "BTCUSDT", "S": word, "v": "0.5", "p": "90000"}
    assert read("bybit", {"topic": "allLiquidation.BTCUSDT", "data": [row]}) == [
        ("BTC", Print(AT_MS, side, 90000.0, 0.5, 45000.0))
    ]


@pytest.mark.parametrize(("word", "side"), [("sell", Side.LONG), ("buy", Side.SHORT)])
def test_okx_tells_the_order_s_side_and_contracts(word: str, side: Side) -> None:
    detail = {"bkPx": "90000", "side": word, "sz": "13", "ts": str(AT_MS)}
    message = {"data": [{"instId": "BTC-USDT-SWAP", "details": [detail]}]}
    assert read("okx", message) == [("BTC", Print(AT_MS, side, 90000.0, 0.13, 0.13 * 90000))]


def test_every_record_of_a_frame_is_kept() -> None:
    bybit = [{"T": AT_MS + i, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "9"} for i in range(5)]
    okx = [{"bkPx": "9", "side": "buy", "sz": "1", "ts": str(AT_MS + i)} for i in range(3)]
    assert len(read("bybit", {"data": bybit})) == 5
    assert len(read("okx", {"data": [{"instId": "BTC-USDT-SWAP", "details": okx}]})) == 3


def test_a_thousand_of_a_coin_becomes_the_coin() -> None:
    pepe = Listing("binance", "PEPE", "1000PEPE/USDT:USDT", multiplier=1000, price_decimals=9)
    order = force_order("SELL", "1000PEPEUSDT")
    order["o"] |= {"ap": "0.009198", "z": "7"}
    [(base, seen)] = read("binance", order, pepe)
    assert (base, seen.price, seen.amount_base) == ("PEPE", 9.198e-06, 7000)
    assert seen.notional_usd == pytest.approx(0.009198 * 7)


@pytest.mark.parametrize("broken", [{}, {"o": {}}, {"o": None}, {"o": {**force_order("SELL")["o"], "S": "NEITHER"}}])
def test_a_malformed_print_is_refused_and_not_raised(broken: dict[str, Any]) -> None:
    refused: list[str] = []
    told = list(live_prints.read(VENUES["binance"], broken, {"BTCUSDT": BTC["binance"]}, refused.append))
    assert not told
    assert len(refused) == 1


def test_gate_tells_sums_of_the_five_minutes_from_its_stamp_on_by_the_position_s_side() -> None:
    info = {"long_liq_usd": "120.5", "short_liq_usd": "0"}
    [total] = live_prints.totals(VENUES["gate"], AT_MS, info)
    assert (total.started_at_ms, total.interval_ms) == (AT_MS, 300_000)
    assert (total.long_usd, total.short_usd, total.venue) == (120.5, 0.0, "gate")
    assert not live_prints.totals(VENUES["gate"], AT_MS, {"long_liq_usd": "NaN", "short_liq_usd": "0"})
    assert not live_prints.totals(VENUES["binance"], AT_MS, info)


@pytest.mark.parametrize(
    ("venue", "history", "now"),
    [
        ("binance", AmountUnit.BASE, AmountUnit.BASE),
        ("bybit", AmountUnit.BASE, AmountUnit.BASE),
        ("okx", AmountUnit.CONTRACTS, AmountUnit.CONTRACTS),
        ("gate", AmountUnit.CONTRACTS, AmountUnit.CONTRACTS),
    ],
)
def test_open_interest_counts_what_the_venue_says_it_counts(venue: str, history: AmountUnit, now: AmountUnit) -> None:
    rules, listing = VENUES[venue], BTC[venue]
    assert (rules.interest_history_unit, rules.interest_now_unit) == (history, now)
    expected = 1000 if now is AmountUnit.BASE else 1000 * listing.contract_size
    assert listing.amount_base(1000, now) == expected


def test_only_binance_is_a_sample() -> None:
    told = {name: rules.coverage for name, rules in VENUES.items()}
    assert told == {
        "binance": Coverage.SAMPLED,
        "bybit": Coverage.FULL,
        "okx": Coverage.FULL,
        "gate": Coverage.TOTALS,
    }


def test_every_venue_of_the_table_is_in_this_ccxt() -> None:
    pro = importlib.import_module("ccxt.pro")
    for rules in VENUES.values():
        assert hasattr(pro, rules.ccxt_class)
        assert rules.streams_prints == (rules.name in live_prints.STREAMED)
    assert set(DEFAULT_VENUES) <= set(VENUES)


def test_an_unknown_venue_keeps_prices_and_funding_and_says_what_is_refused() -> None:
    rules = rules_for("Phemex")
    assert (rules.name, rules.ccxt_class, rules.known) == ("phemex", "phemex", False)
    assert not rules.streams_prints
    assert len(rules.unknowns()) == 3
    assert not any(known.unknowns() for known in VENUES.values())


@pytest.mark.parametrize(("word", "name"), [("BinanceUSDM", "binance"), (" okx ", "okx"), ("gateio", "gate")])
def test_a_venue_is_found_by_ccxt_s_other_names(word: str, name: str) -> None:
    assert rules_for(word).name == name


@pytest.mark.parametrize(
    ("listed", "base", "count"),
    [
        ("BTC", "BTC", 1),
        ("1000PEPE", "PEPE", 1000),
        ("10000SATS", "SATS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("kPEPE", "PEPE", 1000),
        ("1INCH", "1INCH", 1),
        ("1000X", "1000X", 1),
        ("KAVA", "KAVA", 1),
        ("SHIB1000", "SHIB", 1e3),
        ("COIN1000", "COIN1000", 1.0),
    ],
)
def test_a_multiplier_is_told_from_a_name(listed: str, base: str, count: float) -> None:
    assert split_multiplier(listed) == (base, count)
