"""Which market a user means: ``BTC``, ``btcusdt``, ``BTC/USDT:USDT``, ``BTC-USDT`` and ``$btc`` are the same."""

import difflib
from collections.abc import Sequence

from bot.markets import symbols
from bot.markets.venues import split_multiplier
from detectors import figures
from detectors.market import Market

_SUFFIXES = (*symbols.QUOTES, "PERP")
_LONGEST_WORD = 24
_MOST_LISTED = 8


class UnknownMarket(LookupError):  # noqa: N818 - reads as what it says to the user, like KeyError's kin
    """No market of that name. The message is ready for the user; ``nearest`` holds the names it suggests."""

    def __init__(self, word: str, nearest: Sequence[str], known: Sequence[str]) -> None:
        self.word = word
        self.nearest = tuple(nearest)
        text = f'No market called "{word}" here.'
        if nearest:
            text += f" Did you mean {_either(nearest)}?"
        elif known:
            text += f" There are {figures.some_of(known, _MOST_LISTED)}."
        super().__init__(text)


def resolve(word: str, markets: Sequence[Market]) -> Market:
    """The market that ``word`` names. Raises `UnknownMarket` with the nearest names when there is none."""
    asset, at, venue = word.partition("@")
    if at:
        base = f"{resolve(asset, [one for one in markets if not one.is_alone]).base}@{venue.strip().lower()}"
        if found := next((one for one in markets if one.base == base), None):
            return found
        raise UnknownMarket(_shown(base.replace("@", " on ")), [], sorted(market.base for market in markets))
    by_base = {market.base.upper(): market for market in markets}
    for candidate in bases(word):
        if candidate in by_base:
            return by_base[candidate]
    plain = _plain(word)
    shortest = min(plain, key=len) or plain[0]
    nearest = difflib.get_close_matches(shortest, sorted(by_base), n=3, cutoff=0.6)
    raise UnknownMarket(
        _shown(word), [by_base[name].base for name in nearest], sorted(market.base for market in markets)
    )


def bases(word: str) -> list[str]:
    """What ``word`` may name, likeliest first, whether there is such a market or not; of one venue too."""
    asset, at, venue = word.partition("@")
    plain = _plain(asset)
    tail = f"@{_shown(venue).strip().lower()}" if at else ""
    # Some venues list 1000PEPE where others list PEPE; it is one market.
    return [one + tail for one in dict.fromkeys([*plain, *(split_multiplier(one)[0] for one in plain)]) if one]


def _plain(word: str) -> list[str]:
    key = _key(word)
    # BTCUSDTUSDT is BTC/USDT:USDT with its separators gone.
    tails = (tail for suffix in _SUFFIXES for tail in (suffix, suffix * 2))
    return [key, *(key[: -len(tail)] for tail in tails if key.endswith(tail))]


def _shown(word: str) -> str:
    return "".join(c for c in word[:_LONGEST_WORD] if c.isprintable() and c not in '"`@<>')


def _key(word: str) -> str:
    return "".join(c for c in word[: 2 * _LONGEST_WORD] if c.isalnum()).upper()


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
