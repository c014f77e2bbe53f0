"""Which market a user means: ``BTC``, ``btcusdt``, ``BTC/USDT:USDT``, ``BTC-USDT`` and ``$btc`` are the same."""

import difflib
from collections.abc import Sequence

from bot.markets import symbols
from bot.markets.venues import split_multiplier
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
            more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
            text += f" There are {', '.join(known[:_MOST_LISTED])}{more}."
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
    key = _key(word)
    candidates = [key]
    # BTCUSDTUSDT is BTC/USDT:USDT with its separators gone.
    tails = (tail for suffix in _SUFFIXES for tail in (suffix, suffix * 2))
    candidates += [key[: -len(tail)] for tail in tails if key.endswith(tail)]
    # Some venues list 1000PEPE where others list PEPE; it is one market.
    for candidate in [*candidates, *(split_multiplier(candidate)[0] for candidate in candidates)]:
        if candidate in by_base:
            return by_base[candidate]
    shortest = min(candidates, key=len) or key
    nearest = difflib.get_close_matches(shortest, sorted(by_base), n=3, cutoff=0.6)
    raise UnknownMarket(
        _shown(word), [by_base[name].base for name in nearest], sorted(market.base for market in markets)
    )


def _shown(word: str) -> str:
    return "".join(c for c in word[:_LONGEST_WORD] if c.isprintable() and c not in '"`@<>')


def _key(word: str) -> str:
    return "".join(c for c in word[: 2 * _LONGEST_WORD] if c.isalnum()).upper()


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
