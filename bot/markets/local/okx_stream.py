"""OKX's websockets: ``/ws/v5/public`` for liquidation orders, tickers, mark prices, funding and open interest,
``/ws/v5/business`` for candles.

A connection over which nothing has been sent for 30 s is cut (4004), which a ping prevents. Limits: 480 operations an
hour and connection, 3 handshakes a second and address, 64 KB of channels in an operation.
"""

import json
from collections.abc import Callable, Mapping

from bot.markets.local.clock import Clock
from bot.markets.local.history import History
from bot.markets.local.limits import Limiter, Rule
from bot.markets.local.listing import LocalListing, Terms
from bot.markets.local.okx_candles import BUSINESS, CONTRACT_DECIMALS, CandlePushes, is_candle
from bot.markets.local.server import News, Stream, VenueServer
from detectors.market import Side

_LIQUIDATIONS = "liquidation-orders"
_MOST_CHARACTERS = 65_536
"""In one subscription."""
_SILENT_S = 30.0
SETTLING_MS = 10_000
"""So long after a settlement it says that it is at it. How long it takes there is not known."""
_HANDSHAKES = Rule("handshakes", 3, 1.0)
_OPERATIONS = 480
_EVERY_S = 7.5
"""One more operation may be sent each so many seconds."""


class OkxStreams(VenueServer):
    name = "okx"
    stream_roots = ("/ws/v5/public", BUSINESS)
    replays_prints = 3

    def __init__(
        self, history: History, clock: Clock, terms: Mapping[str, Terms], limiter: Limiter | None = None
    ) -> None:
        super().__init__(history, clock, terms, limiter)
        self.operations = 0
        """Received over all connections."""
        self._talks: dict[Stream, _Talk] = {}

    def by_instrument(self) -> dict[str, LocalListing]:
        return {f"{listing.base}-USDT-SWAP": listing for listing in self.listed().values()}

    # --- records that REST and websocket share

    def ticker(self, listing: LocalListing) -> dict[str, object]:
        day = listing.last_day(self.now_ms)
        last = listing.tick_text(day.close)
        return {
            "instType": "SWAP",
            "instId": f"{listing.base}-USDT-SWAP",
            "last": last,
            "lastSz": "0.01",
            "askPx": last,
            "askSz": "0.01",
            "bidPx": last,
            "bidSz": "0.01",
            "open24h": listing.tick_text(day.open),
            "high24h": listing.tick_text(day.high),
            "low24h": listing.tick_text(day.low),
            "volCcy24h": f"{listing.units(day.volume_base):.4f}",
            "vol24h": listing.contracts_text(day.volume_base, CONTRACT_DECIMALS),
            "ts": str(self.stamp_ms),
        }

    def mark_price(self, listing: LocalListing) -> dict[str, object]:
        price = listing.price_text(listing.market.price(self.now_ms))
        return {
            "instType": "SWAP",
            "instId": f"{listing.base}-USDT-SWAP",
            "markPx": price,
            "ts": str(self.stamp_ms),
        }

    def funding(self, listing: LocalListing) -> dict[str, object]:
        next_ms = listing.next_funding_ms(self.now_ms)
        interval_ms = round(listing.market.funding_hours * 3_600_000)
        rate = f"{listing.funding_rate(self.now_ms):.10f}"
        return {
            "formulaType": "withRate",
            "fundingRate": rate,
            "fundingTime": str(next_ms),
            "impactValue": "20000",
            "instId": f"{listing.base}-USDT-SWAP",
            "instType": "SWAP",
            "interestRate": "0.0001",
            "maxFundingRate": "0.00375",
            "method": "current_period",
            "minFundingRate": "-0.00375",
            "nextFundingRate": "",
            "nextFundingTime": str(next_ms + interval_ms),
            "premium": "0",
            "prevFundingTime": str(next_ms - interval_ms),
            "settFundingRate": rate,
            "settState": "processing" if self.now_ms - (next_ms - interval_ms) < SETTLING_MS else "settled",
            "ts": str(self.stamp_ms),
        }

    def open_interest(self, listing: LocalListing) -> dict[str, object]:
        held = listing.open_interest(self.now_ms) or 0.0
        units = listing.units(held)
        return {
            "instType": "SWAP",
            "instId": f"{listing.base}-USDT-SWAP",
            "oi": listing.contracts_text(held, 4),
            "oiCcy": f"{units:.6f}",
            "oiUsd": f"{units * listing.price(listing.market.price(self.now_ms)):.4f}",
            "ts": str(self.stamp_ms),
        }

    # --- websocket

    @property
    def _channels(self) -> Mapping[str, Callable[[LocalListing], dict[str, object]]]:
        return {
            "tickers": self.ticker,
            "mark-price": self.mark_price,
            "funding-rate": self.funding,
            "open-interest": self.open_interest,
        }

    def admit(self) -> None:
        if self.limiter.use(_HANDSHAKES).over:
            raise self.fault_answer(429, 0.0)

    def _talk(self, stream: Stream) -> "_Talk":
        if stream not in self._talks:
            self._talks = {one: talk for one, talk in self._talks.items() if one in self.streams}
            self._talks[stream] = _Talk(self.limiter.now_s(), max(int(_OPERATIONS * self.limiter.scale), 1))
        return self._talks[stream]

    async def push(self) -> None:
        for stream in list(self.streams):
            if self._talk(stream).is_silent(stream.sent, self.limiter.now_s()):
                await stream.close(4004)
        await super().push()

    async def on_text(self, stream: Stream, text: str) -> None:
        talk = self._talk(stream)
        if text == "ping":
            await self.send(stream, ["pong"])
            return
        try:
            message = json.loads(text)
            operation, topics = message["op"], [dict(argument) for argument in message["args"]]
        except (ValueError, TypeError, KeyError):
            operation, topics = "", []
        if operation not in ("subscribe", "unsubscribe") or len(text) > _MOST_CHARACTERS:
            await self.send(stream, [{"event": "error", "code": "60012", "msg": f"Invalid request: {text[:200]}"}])
            return
        self.operations += 1
        if not talk.may_operate(self.limiter.now_s()):
            await self.send(stream, [{"event": "error", "code": "60014", "msg": "Requests too frequent"}])
            return
        for topic in topics:
            key = self._key(topic, stream)
            if key == BUSINESS:
                moved = "This channel has been migrated to the '/business' URL. Please subscribe using the new URL."
                await self.send(stream, [{"event": "error", "code": "64001", "msg": moved, "connId": "local"}])
                continue
            if key is None:
                wrong = f"Wrong URL or channel:{topic.get('channel')},instId:{topic.get('instId')} doesn't exist."
                error = {"event": "error", "code": "60018", "msg": wrong, "connId": "local"}
                await self.send(stream, [error])
                continue
            await self.send(stream, [{"event": operation, "arg": topic, "connId": "local"}])
            if operation == "unsubscribe":
                stream.topics.pop(key, None)
                continue
            stream.topics[key] = None
            if topic["channel"] == _LIQUIDATIONS:
                await self.replay_prints(stream)
            elif is_candle(topic["channel"]):
                talk.candles.begin(key, self.now_ms)
                await self.send(stream, talk.candles.frames(key, self.by_instrument(), self.now_ms, self.faults))

    def _key(self, topic: Mapping[str, str], stream: Stream) -> str | None:
        """None for what there is none of; `BUSINESS` for what is there alone."""
        channel = topic.get("channel", "")
        if is_candle(channel) and topic.get("instId") in self.by_instrument():
            return f"{channel}:{topic['instId']}" if stream.path == BUSINESS else BUSINESS
        if stream.path == BUSINESS:
            return None
        if channel == _LIQUIDATIONS:
            return channel if topic.get("instType") == "SWAP" else None
        known = channel in self._channels and topic.get("instId") in self.by_instrument()
        return f"{channel}:{topic['instId']}" if known else None

    def liquidation_frames(self, stream: Stream, news: News) -> list[object]:
        """One frame with an item for each instrument, whose ``details`` hold all of its new liquidations."""
        if _LIQUIDATIONS not in stream.topics:
            return []
        items = []
        for base, listing in self.listed().items():
            if base in news:
                details = [
                    {
                        "bkLoss": "0",
                        "bkPx": listing.bankruptcy_text(seen),
                        "ccy": "",
                        "posSide": seen.side.value,
                        # The side of the order that closes the position.
                        "side": "sell" if seen.side is Side.LONG else "buy",
                        "sz": listing.print_contracts_text(seen, CONTRACT_DECIMALS),
                        "ts": str(seen.taken_at_ms),
                    }
                    for seen in news[base]
                ]
                family = f"{listing.base}-USDT"
                name = {"instFamily": family, "instId": f"{family}-SWAP", "instType": "SWAP", "uly": family}
                items.append({"details": details, **name})
        return [{"arg": {"channel": _LIQUIDATIONS, "instType": "SWAP"}, "data": items}] if items else []

    def price_frames(self, stream: Stream) -> list[object]:
        if stream.path == BUSINESS:
            pushes, listed = self._talk(stream).candles, self.by_instrument()
            return [one for key in stream.topics for one in pushes.frames(key, listed, self.now_ms, self.faults)]
        return [
            {"arg": {"channel": channel, "instId": instrument}, "data": [record(listing)]}
            for channel, record in self._channels.items()
            for instrument, listing in self.by_instrument().items()
            if f"{channel}:{instrument}" in stream.topics
        ]


class _Talk:
    """What a venue remembers of one connection. ``operations``: how many may be sent at once."""

    def __init__(self, now_s: float, operations: int) -> None:
        self.candles = CandlePushes()
        self._most = self._left = float(operations)
        self._filled_s = self._heard_s = now_s
        self._sent = 0

    def is_silent(self, sent: int, now_s: float) -> bool:
        """Whether nothing has been sent, pongs included, for too long."""
        if sent != self._sent:
            self._sent, self._heard_s = sent, now_s
        return now_s - self._heard_s > _SILENT_S

    def may_operate(self, now_s: float) -> bool:
        self._left = min(self._most, self._left + (now_s - self._filled_s) / _EVERY_S * self._most / _OPERATIONS)
        self._filled_s = now_s
        self._left -= 1
        return self._left >= 0
