"""OKX's public websocket, ``/ws/v5/public``: liquidation orders, tickers, mark prices, funding, open interest."""

import json
from collections.abc import Callable, Mapping

from bot.markets.local.listing import Listing
from bot.markets.local.server import News, Stream, VenueServer
from detectors.market import Side

CONTRACT_DECIMALS = 2
"""Contracts trade in hundredths."""
_LIQUIDATIONS = "liquidation-orders"
_MOST_CHARACTERS = 65_536
"""In one subscription."""


class OkxStreams(VenueServer):
    name = "okx"
    stream_roots = ("/ws/v5/public",)
    replays_prints = 3

    def by_instrument(self) -> dict[str, Listing]:
        return {f"{listing.base}-USDT-SWAP": listing for listing in self.listed().values()}

    # --- records that REST and websocket share

    def ticker(self, listing: Listing) -> dict[str, object]:
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

    def mark_price(self, listing: Listing) -> dict[str, object]:
        price = listing.price_text(listing.market.price(self.now_ms))
        return {
            "instType": "SWAP",
            "instId": f"{listing.base}-USDT-SWAP",
            "markPx": price,
            "ts": str(self.stamp_ms),
        }

    def funding(self, listing: Listing) -> dict[str, object]:
        next_ms = listing.next_funding_ms(self.now_ms)
        interval_ms = round(listing.market.funding_hours * 3_600_000)
        return {
            "instType": "SWAP",
            "instId": f"{listing.base}-USDT-SWAP",
            "method": "current_period",
            "fundingRate": f"{listing.funding_rate(self.now_ms):.10f}",
            "fundingTime": str(next_ms),
            "nextFundingRate": "",
            "nextFundingTime": str(next_ms + interval_ms),
            "ts": str(self.stamp_ms),
        }

    def open_interest(self, listing: Listing) -> dict[str, object]:
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
    def _channels(self) -> Mapping[str, Callable[[Listing], dict[str, object]]]:
        return {
            "tickers": self.ticker,
            "mark-price": self.mark_price,
            "funding-rate": self.funding,
            "open-interest": self.open_interest,
        }

    async def on_text(self, stream: Stream, text: str) -> None:
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
        for topic in topics:
            key = self._key(topic)
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

    def _key(self, topic: Mapping[str, str]) -> str | None:
        channel = topic.get("channel")
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
        return [
            {"arg": {"channel": channel, "instId": instrument}, "data": [record(listing)]}
            for channel, record in self._channels.items()
            for instrument, listing in self.by_instrument().items()
            if f"{channel}:{instrument}" in stream.topics
        ]
