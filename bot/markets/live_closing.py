"""The candle that closes, from the venue's stream: five hundred markets at once instead of twenty a second by REST.

A stream of candles tells each change, most of which nobody needs, so it is connected shortly before a close, subscribed
to at the last moment, and shut once every market's final candle is in. It can only be quicker: what has not come when
the close is due is asked for.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.markets import live_own
from bot.markets.ccxt_errors import VenueError
from bot.markets.live_health import StreamTally
from bot.markets.live_types import BAR_MS, CandleSink, Clock, Listing, VenueClient, until_next
from bot.markets.venues import VenueRules
from detectors.market import Bar

LEAD_S = 4.0
"""How long before a close the connection is made, over which nothing comes yet."""
_SUBSCRIBED_S = 1.5
"""How long before it candles are subscribed to. Each second more brings a message for every market that trades."""
_GIVE_UP_S = 4.0
"""After the close. What is missing is asked for from two seconds on, and may still come while it stands in line."""
_TOPICS_A_CALL = 500
"""23 KB of OKX's 64; Binance and Bybit take as many."""
_CLOSE_WITHIN_S = 3.0


# --- each venue's words


@dataclass(frozen=True, slots=True)
class _Wire:
    address: Callable[[Any], str]
    """Of the stream, from a ccxt exchange."""
    subscribe: Callable[[list[str]], Mapping[str, Any]]
    """The message for these market ids."""
    final: Callable[[Mapping[str, Any]], Iterator[tuple[str, list[Any]]]]
    """Market id and row of each final candle in a message, in the shape of the venue's REST rows."""


def _okx_final(message: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for row in message["data"]:
        if row[-1] == "1":
            yield message["arg"]["instId"], row


_WIRES: Mapping[str, _Wire] = {
    "okx": _Wire(
        address=lambda exchange: exchange.get_url("candle5m", "public"),
        subscribe=lambda ids: {"op": "subscribe", "args": [{"channel": "candle5m", "instId": one} for one in ids]},
        final=_okx_final,
    ),
}
STREAMED = frozenset(_WIRES)


async def stream(
    rules: VenueRules,
    exchange: Any,
    by_id: Mapping[str, Listing],
    sink: CandleSink,
    refuse: Callable[[str], None],
    begin: asyncio.Future[None],
) -> None:
    """Connect, and from when ``begin`` is over run the venue's stream until it breaks. Raises ccxt's errors.

    ccxt drives the connection. Messages go past its own handler, which takes twice as long for each, and for which one
    market that is no longer listed is an error of all.
    """
    wire, call = _WIRES[rules.name], rules.candles_call

    def handle(client: Any, message: Any) -> None:
        if not isinstance(message, dict):
            exchange.handle_message(client, message)  # a pong
        elif "data" in message:
            try:
                found = list(wire.final(message))
            except (KeyError, TypeError, IndexError):
                refuse("candle_not_understood")
                return
            for market_id, row in found:
                listing = by_id.get(market_id)
                bar = None if listing is None else live_own.bar(call, row, listing, rules.volume_unit)
                if listing is None or bar is None:
                    refuse("candle_not_a_number")
                else:
                    sink.closed(listing.base, bar)
        elif message.get("event") == "error":
            refuse("topic_refused")

    address, ids = wire.address(exchange), list(by_id)
    client = exchange.client(address)
    # Nobody else is to find it: what ccxt does to the connection of an address may be meant for an earlier one.
    del exchange.clients[address]
    client.on_message_callback = handle
    # Nothing resolves it: it ends with the connection.
    broken = client.future("broken")
    try:
        connected = client.connect(exchange.session, exchange.ws_dial_delay(address))
        await asyncio.wait([broken, begin], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([broken, connected], return_when=asyncio.FIRST_COMPLETED)
        if not broken.done():
            for start in range(0, len(ids), _TOPICS_A_CALL):
                await client.send(wire.subscribe(ids[start : start + _TOPICS_A_CALL]))
        await broken
    finally:
        closing = asyncio.ensure_future(client.close())
        await asyncio.wait([closing], timeout=_CLOSE_WITHIN_S)


# --- one venue's closes


class ClosingCandles:
    """The `CandleSink` of one venue. ``listings`` is looked at anew for each close."""

    def __init__(
        self, client: VenueClient, listings: Mapping[str, Listing], clock: Clock, lead_s: float = LEAD_S
    ) -> None:
        self._client, self._listings, self._clock = client, listings, clock
        self._after_open_ms = BAR_MS - round(lead_s * 1000)
        self._opened_at_ms = (client.now_ms() - self._after_open_ms) // BAR_MS * BAR_MS
        """Of the candle that was streamed last."""
        self._bars: dict[str, Bar] = {}
        self._awaited: set[str] = set()
        self._late = 0
        self._all_in = asyncio.Event()
        self.tally = StreamTally()

    def of(self, base: str, closed_at_ms: int) -> Bar | None:
        """The market's bar that closed then, if it has come."""
        return self._bars.get(base) if self._opened_at_ms + BAR_MS == closed_at_ms else None

    # --- CandleSink

    def closed(self, base: str, bar: Bar) -> None:
        if bar.opened_at_ms != self._opened_at_ms:
            return  # the one before, which some tell again to whoever subscribes
        if base in self._awaited and self._client.now_ms() > bar.closed_at_ms + self._client.rules.close_delay_ms:
            self._late += 1
        self._bars.setdefault(base, bar)
        self._awaited.discard(base)
        if not self._awaited:
            self._all_in.set()

    # --- running

    async def run(self) -> None:
        """For ever. A close whose stream could not be had is asked for by REST like any other."""
        while True:
            self._opened_at_ms = opened_at_ms = await until_next(
                self._clock, BAR_MS, self._after_open_ms, self._opened_at_ms, self._client.now_ms
            )
            self._bars = {}
            if self._client.now_ms() < opened_at_ms + BAR_MS:
                await self._collect(opened_at_ms)

    async def _collect(self, opened_at_ms: int) -> None:
        self._awaited, self._late = set(self._listings), 0
        self._all_in.clear()
        left_s = (opened_at_ms + BAR_MS - self._client.now_ms()) / 1000
        begin = asyncio.ensure_future(self._clock.sleep(max(0.0, left_s - _SUBSCRIBED_S)))
        watch = asyncio.ensure_future(self._client.watch_candles(list(self._listings.values()), self, begin))
        over = asyncio.ensure_future(self._clock.sleep(left_s + _GIVE_UP_S))
        ends = [watch, asyncio.ensure_future(self._all_in.wait()), over]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (*ends, begin):
                one.cancel()
            told = await asyncio.gather(*ends, begin, return_exceptions=True)
        self.tally = self.tally.plus(told=len(self._bars), late=self._late, missing=len(self._awaited))
        if isinstance(told[0], Exception) and not isinstance(told[0], VenueError):
            raise told[0]
