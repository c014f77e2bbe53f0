"""However a user writes a market's name, it is found; otherwise the nearest names are offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markets import symbols
from bot.markets.names import UnknownMarket, bases, resolve
from detectors.market import Market

MARKETS = [
    Market(base, symbols.unified(base, "USDT"), ("binance",), ())
    for base in ("BTC", "BCH", "ETH", "SOL", "1000PEPE", "kSHIB")
]


@pytest.mark.parametrize(
    "word",
    [
        "BTC",
        "btc",
        "$btc",
        " BTC ",
        "btcusdt",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "BTC-USDT",
        "BTC_USDT",
        "BTC-PERP",
        "btcusdc",
    ],
)
def test_every_common_spelling_finds_the_market(word: str) -> None:
    assert resolve(word, MARKETS).base == "BTC"


@pytest.mark.parametrize(("word", "base"), [("1000pepeusdt", "1000PEPE"), ("KSHIB", "kSHIB")])
def test_multipliers_and_mixed_case_are_part_of_the_name(word: str, base: str) -> None:
    assert resolve(word, MARKETS).base == base


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("BTX", 'No market called "BTX" here. Did you mean BTC?'),
        ("BTCH", 'No market called "BTCH" here. Did you mean BTC or BCH?'),
        ("ehtusdt", 'No market called "ehtusdt" here. Did you mean ETH?'),
        ("pepe", 'No market called "pepe" here. Did you mean 1000PEPE?'),
    ],
)
def test_a_typo_gets_the_nearest_names(word: str, message: str) -> None:
    with pytest.raises(UnknownMarket) as caught:
        resolve(word, MARKETS)
    assert str(caught.value) == message
    assert set(caught.value.nearest) <= {market.base for market in MARKETS}


def test_what_a_word_may_name_is_known_without_a_list_of_markets() -> None:
    assert bases("$1000pepe/usdt:usdt") == [
        f"{name}{tail}" for name in ("1000PEPE", "PEPE") for tail in ("USDTUSDT", "USDT", "")
    ]
    assert bases("btc@OKX") == ["BTC@okx"]
    assert bases("") == []


def test_a_word_like_nothing_lists_what_there_is() -> None:
    with pytest.raises(UnknownMarket, match="There are 1000PEPE, BCH, BTC, ETH, SOL, kSHIB"):
        resolve("xyzzy", MARKETS)


@given(st.text())
def test_hostile_words_never_raise_anything_else_and_never_echo_markup(word: str) -> None:
    try:
        message = resolve(word, MARKETS).base
    except UnknownMarket as error:
        message = str(error)
    assert len(message) < 140
    assert message.isprintable()
    assert not set("@<>`") & set(message)


@pytest.mark.parametrize(
    ("symbol", "base", "unified"),
    [
        ("BTCUSDT", "BTC", "BTC/USDT:USDT"),
        ("BTCUSDC", "BTC", "BTC/USDC:USDC"),
        ("BTC-USDT-SWAP", "BTC", "BTC/USDT:USDT"),
        ("BTC", "BTC", "BTC/USDC:USDC"),
        ("1000PEPEUSDT", "1000PEPE", "1000PEPE/USDT:USDT"),
        ("USDCUSDT", "USDC", "USDC/USDT:USDT"),
    ],
)
def test_venue_symbols_are_split_into_base_and_quote(symbol: str, base: str, unified: str) -> None:
    assert symbols.parse(symbol) == (base, unified)
    assert symbols.parse(symbols.folder(unified)) == (base, unified)
