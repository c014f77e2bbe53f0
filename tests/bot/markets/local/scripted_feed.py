"""A feed whose bars a test writes down itself."""

from collections.abc import Iterator, Mapping, Sequence

from bot.markets.feed import Source
from detectors.market import MINUTE_MS, Bar, Funding, Market, MarketSnapshot, OpenInterest
from storage.origin import Origin

START_MS = 1_767_571_200_000
BAR_MS = 5 * MINUTE_MS


class ScriptedFeed:
    """One market, ``ABC``, with these bars' (open, high, low, close), 10 ABC of volume and 100 ABC of open interest."""

    source = Source.SIMULATED
    refusals: Mapping[str, int] = {}

    def __init__(self, prices: Sequence[tuple[float, float, float, float]]) -> None:
        self._prices = prices
        self._market = Market("ABC", "ABC/USDT:USDT", ("simulated",), ("simulated",), 1, simulated=True)

    def origin(self) -> Origin:
        return Origin("the script", {"prices": str(len(self._prices))})

    def load(self) -> tuple[Market, ...]:
        return (self._market,)

    def steps(self) -> Iterator[tuple[MarketSnapshot, ...]]:
        for i, (first, high, low, last) in enumerate(self._prices):
            bar = Bar(START_MS + i * BAR_MS, BAR_MS, first, high, low, last, 10.0, 4.0)
            closed_ms = bar.closed_at_ms
            interest = OpenInterest(closed_ms, 100.0, BAR_MS)
            funding = (Funding(closed_ms, 1e-4, 8.0),) if closed_ms % (96 * BAR_MS) == 0 else ()
            yield (MarketSnapshot(self._market, closed_ms, last, low, high, bar, interest, funding),)

    async def start(self) -> tuple[Market, ...]:
        return self.load()

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        return next(self.steps(), None)

    async def close(self) -> None:
        self._prices = ()


def flat(bars: int) -> ScriptedFeed:
    return ScriptedFeed([(100.0, 101.0, 99.0, 100.0)] * bars)
