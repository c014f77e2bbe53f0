"""OKX's candle channels, ``candle5m`` and the like: a row at once, one for each change, the final one at a close."""

from collections.abc import Iterator, Mapping

from bot.markets.local.faults import Faults
from bot.markets.local.listing import LocalListing
from detectors.market import DAY_MS, HOUR_MS, MINUTE_MS, Bar

BUSINESS = "/ws/v5/business"
"""Where they are."""
CONTRACT_DECIMALS = 2
"""Contracts trade in hundredths."""
# fmt: off
INTERVALS_MS = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS,
    "1H": HOUR_MS, "2H": 2 * HOUR_MS, "4H": 4 * HOUR_MS, "6Hutc": 6 * HOUR_MS, "12Hutc": 12 * HOUR_MS, "1Dutc": DAY_MS,
}
# fmt: on
_CHANNEL = "candle"


def is_candle(channel: str) -> bool:
    return channel.startswith(_CHANNEL) and channel.removeprefix(_CHANNEL) in INTERVALS_MS


def candle_row(listing: LocalListing, bar: Bar, now_ms: int) -> list[object]:
    """As REST and websocket write it: time, prices, volume in contracts, coins and dollars, whether it is final."""
    prices = [listing.tick_text(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    units = listing.units(bar.volume_base)
    contracts = listing.contracts_text(bar.volume_base, CONTRACT_DECIMALS)
    closed = "1" if bar.closed_at_ms <= now_ms else "0"
    return [str(bar.opened_at_ms), *prices, contracts, f"{units:.4f}", f"{units * bar.close:.4f}", closed]


class CandlePushes:
    """What one connection has been pushed of each candle topic (``candle5m:BTC-USDT-SWAP``)."""

    def __init__(self) -> None:
        self._opened_at_ms: dict[str, int] = {}
        """The candle that is not final yet."""

    def begin(self, key: str, now_ms: int) -> None:
        """Forget what was pushed: the topic has been subscribed to."""
        step_ms = _step_ms(key)
        self._opened_at_ms[key] = now_ms // step_ms * step_ms

    def frames(self, key: str, listed: Mapping[str, LocalListing], now_ms: int, faults: Faults) -> list[object]:
        """The final rows since the last call, and the open candle as it stands."""
        channel, instrument = key.split(":")
        listing = listed.get(instrument)
        if listing is None:
            return []
        rows = list(self._rows(key, listing, now_ms, faults))
        if faults.short_rows:
            rows = [[*row[:4], row[-1]] for row in rows]
        return [{"arg": {"channel": channel, "instId": instrument}, "data": [row]} for row in rows]

    def _rows(self, key: str, listing: LocalListing, now_ms: int, faults: Faults) -> Iterator[list[object]]:
        step_ms = _step_ms(key)
        opened_at_ms = self._opened_at_ms[key]
        while (closed_at_ms := opened_at_ms + step_ms) <= now_ms:
            if now_ms < closed_at_ms + faults.confirms_after_ms:
                break
            bar = listing.candle(opened_at_ms, step_ms, now_ms)
            if bar is not None and listing.key not in faults.unconfirmed:
                yield candle_row(listing, bar, now_ms)
            opened_at_ms = self._opened_at_ms[key] = closed_at_ms
        bar = listing.candle(now_ms // step_ms * step_ms, step_ms, now_ms)
        if bar is not None:
            yield candle_row(listing, bar, now_ms)


def _step_ms(key: str) -> int:
    return INTERVALS_MS[key.split(":")[0].removeprefix(_CHANNEL)]
