"""Leverage tiers for markets of which no venue tells any without a key: a small table of our own, with its date.

Source: Binance's USDT-margined perpetuals as its brackets stood in September 2026 (`/fapi/v1/leverageBracket`, which
needs a key; read from the copy that freqtrade 2026.9 ships). Kept here are brackets that begin below a million dollars
and coins that are large, or were at some time. What is not in it gets the brackets that most of Binance's 858 contracts
had then, 112 of them; these are the small ones. Written as ``floor in USD:maintenance margin in %:most leverage``.
"""

from functools import cache

from detectors.leverage import BINANCE_BTC_TIERS, MarginTier

DATED = "September 2026"
_SMALL = "0:1.5:50 5k:2.5:20 10k:5:10 20k:10:5 50k:12.5:4 250k:16.67:3 500k:25:2"
_BRACKETS = {
    "ETH": "0:0.4:150 300k:0.5:100 800k:0.65:75",
    "SOL": "0:0.5:100 50k:0.65:75 400k:1:50",
    "XRP": "0:0.5:100 40k:0.6:75 80k:1:50 150k:1.25:40 400k:2:25",
    "DOGE": "0:0.65:75 80k:1:50 150k:1.25:40 750k:2:25",
    "BNB": "0:0.5:75 10k:0.6:50 200k:1:40 400k:2:25",
    "ADA": "0:0.5:75 10k:1:50 50k:1.5:40 200k:2:25",
    "AVAX": "0:0.5:75 25k:1:50 80k:1.5:40 160k:2:25 800k:2.5:20",
    "LINK": "0:0.5:75 10k:1:50 200k:1.5:40 400k:2:25 800k:2.5:20",
    "SUI NEAR HYPE WLD ZEC": "0:1:75 20k:1.5:50 200k:2:25",
    "LTC": "0:0.5:75 10k:1:50 50k:1.5:40 160k:2:25 800k:2.5:20",
    "BCH": "0:0.5:75 10k:1:50 100k:1.5:40 160k:2:25 800k:2.5:20",
    "DOT": "0:0.65:75 10k:1:50 50k:1.5:40 100k:2:25 500k:2.5:20 800k:5:10",
    "TRX": "0:0.65:75 10k:1:50 90k:1.5:40 120k:2:25 650k:2.5:20 800k:5:10",
    "TON HBAR INJ": "0:1:75 10k:1.5:50 80k:2:25 400k:2.5:20 800k:5:10",
    "UNI": "0:0.6:75 10k:1:50 50k:1.5:40 100k:2:25 500k:2.5:20",
    "APT": "0:1:75 10k:1.5:50 100k:2:25 900k:2.5:20",
    "ARB": "0:0.6:75 5k:1:50 50k:1.5:25 100k:2:20 500k:2.5:10",
    "OP": "0:0.6:75 10k:1:50 50k:1.5:40 80k:2:25 300k:2.5:20 600k:5:10",
    "FIL": "0:1:75 20k:1.5:50 200k:2:25 400k:2.5:20 800k:5:10",
    "ATOM": "0:0.6:75 10k:1:50 50k:1.5:40 80k:2:25 200k:2.5:20 600k:5:10",
    "ETC": "0:0.5:75 10k:1:50 50k:1.5:40 80k:2:25 400k:2.5:20 800k:5:10",
    "AAVE": "0:1:75 50k:1.5:50 150k:2:25 500k:2.5:20 600k:5:10",
    "PEPE": "0:0.65:75 20k:1:50 200k:1.5:40 300k:2:25",
    "SHIB": "0:0.65:75 25k:1:50 150k:1.5:40 200k:2:25 800k:2.5:20",
    "WIF ICP XMR": "0:1:75 5k:1.5:50 10k:2:25 50k:2.5:20 100k:3.33:15 175k:5:10 250k:10:5 750k:12.5:4",
    "BONK ONDO SEI": "0:1:75 7.5k:1.5:50 15k:2:25 75k:2.5:20 200k:3.33:15 350k:5:10 750k:10:5",
    "ENA": "0:1:75 20k:1.5:50 160k:2:25 800k:2.5:20",
    "TAO XLM TIA": "0:1:75 10k:1.5:50 100k:2:25 500k:2.5:20",
    "CRV": "0:0.65:75 10k:1:50 50k:1.5:40 80k:2:25 300k:2.5:20 600k:5:10",
    "LDO": "0:0.6:75 5k:1:50 50k:1.5:40 80k:2:25 200k:2.5:20 400k:5:10",
    "NMR": _SMALL,
}
_SOURCE = {asset: text for assets, text in _BRACKETS.items() for asset in assets.split()}


def of(asset: str) -> tuple[tuple[MarginTier, ...], str]:
    """The tiers of an asset, and where they are from in words."""
    if asset == "BTC":
        return BINANCE_BTC_TIERS, _said(asset)
    if asset in _SOURCE:
        return _read(_SOURCE[asset]), _said(asset)
    return _read(_SMALL), f"Binance's commonest brackets of {DATED}, for want of {asset}'s own"


def _said(asset: str) -> str:
    return f"Binance's brackets of {asset}, {DATED}"


@cache
def _read(text: str) -> tuple[MarginTier, ...]:
    rows = (one.split(":") for one in text.split())
    return tuple(MarginTier(_usd(floor), round(float(rate) / 100, 6), float(most)) for floor, rate, most in rows)


def _usd(floor: str) -> float:
    return float(floor[:-1]) * 1000 if floor.endswith("k") else float(floor)
