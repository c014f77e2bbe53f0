"""What each venue means by its numbers: one table, one entry a venue, a test for each convention.

Every figure was read in ccxt's source, in the venue's own documentation, or measured (see `docs/venues.md`). What is
not known about a venue is None here, and what depends on it is then refused: an unknown unit is never guessed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.markets.venue_calls import BookCall, CandlesCall, OwnCall, SettledCall
from detectors.market import DAY_MS

DEFAULT_VENUES = ("binance", "bybit", "okx")


class AmountUnit(StrEnum):
    """What an amount counts. Contracts become base units through the listing's contract size."""

    BASE = "base"
    CONTRACTS = "contracts"


class PrintSide(StrEnum):
    """What the side of a liquidation record is the side of."""

    ORDER = "order"
    """Sell: a long was liquidated."""
    POSITION = "position"
    """Buy: a long was liquidated."""


class Coverage(StrEnum):
    """How much of what was liquidated a venue tells."""

    SAMPLED = "sampled"
    """At most one a symbol and second (Binance): it under-counts most when most happens."""
    FULL = "full"
    TOTALS = "totals"
    """Sums over five minutes, by REST."""


class InterestNow(StrEnum):
    """How current open interest is asked for."""

    EACH = "each"
    """One call a market."""
    BULK = "bulk"
    """One call for all markets."""


class TierUnit(StrEnum):
    """What the sizes of leverage tiers count, in which ccxt sees notional everywhere."""

    NOTIONAL = "notional"
    CONTRACTS = "contracts"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on one group of calls: at most ``calls`` within ``window_ms``."""

    calls: int
    window_ms: int


_BY_CCXT = OwnCall("fetch_tickers", price_key="last", mark_key="markPrice", stamp_key="timestamp")
_BYBIT_TICKERS = OwnCall(
    "publicGetV5MarketTickers",
    {"category": "linear"},
    ("result", "list"),
    id_key="symbol",
    price_key="lastPrice",
    mark_key="markPrice",
    interest_key="openInterest",
)
_GATE_TICKERS = OwnCall(
    "publicFuturesGetSettleTickers",
    {"settle": "usdt"},
    id_key="contract",
    price_key="last",
    mark_key="mark_price",
    interest_key="total_size",
)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """One venue's conventions."""

    name: str
    ccxt_class: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """ccxt options, mostly to load linear perpetuals alone."""
    rate_limit_ms: float | None = None
    """What one unit of ccxt's cost takes; None: what ccxt says."""
    window_ms: int = 60_000
    """Over which ccxt's cost is counted. Short where the venue's own limit is: a burst must fit in it too."""
    calls_a_second: float = 10.0
    """The usual pace, of which a slower one near a limit or after a 429 is a part."""
    paces: Mapping[str, float] = field(default_factory=dict)
    """Calls a second of ccxt's methods that are asked of every market, evenly: below the limit of each path of its own,
    or so slowly that reference questions leave the shared budget to bars and prices."""
    close_delay_ms: int = 2_000
    """How long after a bar's close it and its open interest can be asked for."""
    bars_page: int = 100
    candles_call: CandlesCall | None = None
    """None: through ccxt."""
    streams_closes: bool = False
    """Whether a bar that closes is taken from the venue's stream of candles (`live_closing.py`); what it does not tell
    in time is asked for."""
    volume_unit: AmountUnit | None = None
    interest_history_unit: AmountUnit | None = None
    interest_now_unit: AmountUnit | None = None
    prices_call: OwnCall = _BY_CCXT
    """All prices."""
    interest_now: InterestNow | None = None
    interest_call: OwnCall | None = None
    """Current open interest: of all markets, or of the one whose ``symbol`` is named."""
    interest_page: int = 100
    interest_window_ms: int = 0
    """How far back open-interest history reaches; 0: there is none."""
    stamped_at_start: bool = False
    """Rows of its history are of the five minutes that begin at their stamp; else they are samples at it."""
    interest_until: bool = True
    """Whether its history can be asked for up to a time."""
    interest_budget: Budget | None = None
    """A limit on open-interest history and ratios that ccxt does not model."""
    funding_budget: Budget | None = None
    """The same for settled funding rates."""
    settled_call: SettledCall | None = None
    """None: each market's rates are asked for by themselves."""
    ratio_timeframe: str = ""
    """What five minutes are called where a long/short ratio of accounts can be asked for; empty: it cannot."""
    funding_page: int = 100
    funding_newest_first: bool = False
    """Of what was settled since a time it gives the newest page; older ones are asked for up to a time."""
    print_side: PrintSide | None = None
    coverage: Coverage | None = None
    """What is told of liquidations; None: nothing that could be trusted."""
    tiers_unit: TierUnit | None = None
    """None: its leverage tiers are not public, or what they count is not known."""
    tiers_params: Mapping[str, Any] = field(default_factory=dict)
    book_unit: AmountUnit | None = None
    """Of the order book's amounts; None: it is not read."""
    book_levels: int = 0
    """The deepest book it gives, in levels a side."""
    book_call: BookCall | None = None
    """None: through ccxt."""
    account_ratio_key: str = ""
    taker_ratio_key: str = ""
    """Where rows of open-interest history tell ratios too: the row's own keys."""
    ticker_volume_usd_key: str = ""
    """Where ccxt leaves the ticker's quote volume empty: the ticker's own key, in base units."""

    @property
    def streams_prints(self) -> bool:
        return self.coverage in {Coverage.SAMPLED, Coverage.FULL} and self.print_side is not None

    @property
    def known(self) -> bool:
        return self.name in VENUES

    def unknowns(self) -> tuple[str, ...]:
        """What is refused from this venue, in words for the user."""
        refused = {
            "open interest (its unit is not known)": self.interest_now_unit is None,
            "liquidations (what their side means is not known)": self.coverage is None,
            "volume (its unit is not known)": self.volume_unit is None,
        }
        return tuple(name for name, is_refused in refused.items() if is_refused)


_TABLE = (
    VenueRules(
        name="binance",
        ccxt_class="binanceusdm",
        # One stream a connection type, so that the mark price beats on the connection that carries the prints.
        options={"streamLimits": {"linear": 1}, "fetchMarkets": {"types": ["linear"]}},
        bars_page=499,  # weight 2; from 500 on it is 5
        candles_call=CandlesCall(
            "fapiPublicGetKlines", "symbol", "startTime", "endTime", {"interval": "5m"}, taker_buy_at=9
        ),
        volume_unit=AmountUnit.BASE,
        interest_history_unit=AmountUnit.BASE,
        interest_now_unit=AmountUnit.BASE,
        # Weight 2, not the 40 of all 24-hour tickers; its documentation says to ignore its header of what is used.
        prices_call=OwnCall(
            "fapiPublicV2GetTickerPrice", id_key="symbol", price_key="price", stamp_key="time", tells_load=False
        ),
        interest_now=InterestNow.EACH,
        interest_call=OwnCall("fapiPublicGetOpenInterest", interest_key="openInterest"),
        interest_page=500,
        interest_window_ms=30 * DAY_MS,
        interest_budget=Budget(calls=950, window_ms=300_000),  # 1,000 an address, and a reserve
        funding_budget=Budget(calls=480, window_ms=300_000),  # 500 an address, shared with what we do not ask
        # Its documentation has ``symbol`` optional: one call for what 500 markets have settled.
        settled_call=SettledCall(
            "fapiPublicGetFundingRate", "symbol", "fundingTime", "fundingRate", start_key="startTime", page=1000
        ),
        ratio_timeframe="5m",
        funding_page=1000,
        print_side=PrintSide.ORDER,
        coverage=Coverage.SAMPLED,
        book_unit=AmountUnit.BASE,
        book_levels=1000,  # weight 20
        book_call=BookCall("fapiPublicGetDepth", "symbol", "limit"),
        calls_a_second=20,
        paces={"fetch_long_short_ratio_history": 3.0},  # of the thousand in five minutes
    ),
    VenueRules(
        name="bybit",
        ccxt_class="bybit",
        # 600 requests in five seconds and address, ten times what ccxt takes; a good part stays for others.
        rate_limit_ms=4.0,
        calls_a_second=50,
        paces={
            "fetch_market_leverage_tiers": 10.0,
            "fetch_long_short_ratio_history": 10.0,
            "fetch_funding_rate_history": 10.0,
        },
        options={"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}},
        window_ms=5_000,
        bars_page=1000,
        volume_unit=AmountUnit.BASE,
        interest_history_unit=AmountUnit.BASE,
        interest_now_unit=AmountUnit.BASE,
        candles_call=CandlesCall(
            "publicGetV5MarketKline",
            "symbol",
            "start",
            "end",
            {"category": "linear", "interval": "5"},
            ("result", "list"),
        ),
        prices_call=_BYBIT_TICKERS,
        interest_now=InterestNow.BULK,
        interest_call=_BYBIT_TICKERS,
        interest_page=200,
        interest_window_ms=30 * DAY_MS,
        ratio_timeframe="5min",  # ccxt does not translate it
        funding_page=200,
        print_side=PrintSide.POSITION,
        coverage=Coverage.FULL,
        tiers_unit=TierUnit.NOTIONAL,
        book_unit=AmountUnit.BASE,
        book_levels=500,
        book_call=BookCall(
            "publicGetV5MarketOrderbook", "symbol", "limit", {"category": "linear"}, ("result",), ("b", "a")
        ),
    ),
    VenueRules(
        name="okx",
        ccxt_class="okx",
        options={"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}},
        window_ms=2_000,
        # Each path has a limit of its own, where ccxt keeps one for all: those of questions for each market are kept
        # below, at four fifths and nine tenths.
        rate_limit_ms=20.0,
        paces={
            "publicGetMarketCandles": 18.0,
            "fetch_ohlcv": 9.0,  # history candles
            "fetch_open_interest_history": 4.0,
            "fetch_funding_rate_history": 4.0,
            "fetch_market_leverage_tiers": 4.0,
            "fetch_long_short_ratio_history": 2.0,
        },
        bars_page=100,  # history candles give 100 a call, recent ones 300
        volume_unit=AmountUnit.BASE,  # volCcy, which ccxt reads too
        interest_history_unit=AmountUnit.CONTRACTS,
        interest_now_unit=AmountUnit.CONTRACTS,
        candles_call=CandlesCall(
            "publicGetMarketCandles",
            "instId",
            "before",
            "after",
            {"bar": "5m"},
            ("data",),
            before_start_ms=1,  # both bounds are exclusive
            before_end_ms=0,
            volume_at=6,
            closed_at=8,
            newest=1_400,  # it serves 1,440
        ),
        streams_closes=True,  # 40 questions for candles in two seconds make a line of five hundred half a minute long
        prices_call=OwnCall(
            "publicGetMarketTickers", {"instType": "SWAP"}, ("data",), "instId", price_key="last", stamp_key="ts"
        ),
        interest_now=InterestNow.BULK,
        interest_call=OwnCall(
            "publicGetPublicOpenInterest", {"instType": "SWAP"}, ("data",), "instId", interest_key="oi"
        ),
        interest_page=100,
        interest_window_ms=1_440 * 300_000,  # the newest 1,440 samples
        # ``settFundingRate`` is the rate of the settlement before where ``settState`` is "settled".
        settled_call=SettledCall(
            "publicGetPublicFundingRate",
            "instId",
            "prevFundingTime",
            "settFundingRate",
            {"instId": "ANY"},
            ("data",),
            state_key="settState",
            next_key="fundingTime",
        ),
        ratio_timeframe="5m",
        funding_page=400,
        funding_newest_first=True,
        print_side=PrintSide.ORDER,
        coverage=Coverage.FULL,
        tiers_unit=TierUnit.CONTRACTS,  # ccxt takes them for notional
        tiers_params={"marginMode": "isolated"},
        book_unit=AmountUnit.CONTRACTS,
        book_levels=400,
        book_call=BookCall("publicGetMarketBooks", "instId", "sz", path=("data",)),
        ticker_volume_usd_key="volCcy24h",
    ),
    VenueRules(
        name="gate",
        ccxt_class="gate",
        options={
            "defaultType": "swap",
            "fetchMarkets": {"types": ["swap"]},
            "swap": {"fetchMarkets": {"settlementCurrencies": ["usdt"]}},
        },
        window_ms=10_000,
        bars_page=1000,
        volume_unit=AmountUnit.CONTRACTS,
        interest_history_unit=AmountUnit.CONTRACTS,
        interest_now_unit=AmountUnit.CONTRACTS,
        prices_call=_GATE_TICKERS,
        interest_now=InterestNow.BULK,
        interest_call=_GATE_TICKERS,  # the last row of its statistics is still being made
        stamped_at_start=True,  # its documentation: "Stat timestamp"; which end it is others measured (docs/venues.md)
        interest_page=100,
        interest_until=False,
        interest_window_ms=30 * DAY_MS,
        coverage=Coverage.TOTALS,  # long_liq_usd and short_liq_usd name the position
        tiers_unit=TierUnit.NOTIONAL,
        book_unit=AmountUnit.CONTRACTS,
        book_levels=300,
        account_ratio_key="lsr_account",
        taker_ratio_key="lsr_taker",
        calls_a_second=20,
    ),
)
VENUES: Mapping[str, VenueRules] = {rules.name: rules for rules in _TABLE}
_ALIASES = {"binanceusdm": "binance", "okex": "okx", "gateio": "gate"}


def rules_for(venue: str) -> VenueRules:
    """The entry of a venue; of one that is not in the table, an entry that trusts prices and funding alone."""
    name = venue.strip().lower()
    name = _ALIASES.get(name, name)
    return VENUES.get(name) or VenueRules(name=name, ccxt_class=name, options={"defaultType": "swap"})


def coverage_of(names: Iterable[str]) -> str:
    """How much of what is liquidated these venues together tell, in words; empty where it is not known."""
    told = {rules.coverage is Coverage.SAMPLED for name in names if (rules := rules_for(name)).coverage is not None}
    if not told:
        return ""
    return "partly sampled" if len(told) > 1 else "sampled" if True in told else "full"


def stream_liquidations(names: Iterable[str]) -> bool:
    """Whether any of these venues tells liquidations as they happen."""
    return any(rules_for(name).streams_prints for name in names)


# --- names

_MULTIPLIER = re.compile(r"(?P<count>10{3,}|1M|k)(?P<base>[A-Z][A-Z0-9]+)")
_COUNTS = {"1M": 1e6, "k": 1e3}
_COUNTED_BEHIND = {"SHIB1000": ("SHIB", 1e3)}
"""Bybit's one market that is named so; a rule would take names for counts, as ``1000X`` is one."""


def split_multiplier(listed: str) -> tuple[str, float]:
    """Base asset and how many of it one listed unit is: ``1000PEPE`` is 1,000 PEPE, ``1MBABYDOGE`` a million.

    ``1INCH`` and ``1000X`` are names; ``kPEPE`` is how Hyperliquid writes a thousand.
    """
    match = _MULTIPLIER.fullmatch(listed)
    if match is None:
        return _COUNTED_BEHIND.get(listed, (listed, 1.0))
    count = match["count"]
    return match["base"], _COUNTS.get(count) or float(count)
