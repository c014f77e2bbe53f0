"""What the config has the terminal's own chat watch in a new database."""

from collections.abc import Sequence

from bot.markets.names import UnknownMarket, resolve
from detectors.market import Market
from storage.chats import EVERY_MARKET


def terminal_watches(words: Sequence[str], markets: Sequence[Market]) -> tuple[list[str], list[str]]:
    """Markets by base, or ``*`` for all; and what is wrong with the other words, each with the fix."""
    bases, faults = [], []
    for word in words:
        try:
            bases.append(EVERY_MARKET if word == EVERY_MARKET else resolve(word, markets).base)
        except UnknownMarket as error:
            near = " or ".join(error.nearest)
            fix = f"did you mean {near}?" if near else f'name a market that there is, or "{EVERY_MARKET}" for all'
            faults.append(f"console.watch: there is no market called {word!r}; {fix}")
    return bases, faults
