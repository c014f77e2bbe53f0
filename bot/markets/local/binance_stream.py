"""Binance USD-M futures' websocket: raw streams under ``/market/ws`` and ``/public/ws``.

The path of before 2026-04-23, ``/ws``, acknowledges and stays silent, as the real one does.
"""

import json
from collections.abc import Sequence

from bot.markets.local.listing import LocalListing
from bot.markets.local.server import News, Stream, VenueServer
from detectors.market import Print, Side

_MOST_STREAMS = 1024
_SECOND_MS = 1000


class BinanceStreams(VenueServer):
    name = "binance"
    stream_roots = ("/market/ws", "/public/ws", "/ws")

    def by_symbol(self) -> dict[str, LocalListing]:
        return {f"{listing.base}USDT": listing for listing in self.listed().values()}

    def sampled(self, prints: Sequence[Print]) -> Sequence[Print]:
        """Only the latest in each second, as the liquidation stream is documented."""
        return list({seen.taken_at_ms // _SECOND_MS: seen for seen in prints}.values())

    async def on_text(self, stream: Stream, text: str) -> None:
        try:
            message = json.loads(text)
            method, names = message["method"], message.get("params", [])
        except (ValueError, TypeError, KeyError, AttributeError):
            await self.send(stream, [{"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}}])
            return
        identity = message.get("id")
        if method == "SUBSCRIBE":
            if len(stream.topics) + len(names) > _MOST_STREAMS:
                await stream.close(1008)
                return
            stream.topics.update(dict.fromkeys(names))
            await self.send(stream, [{"result": None, "id": identity}])
            await self.replay_prints(stream)
        elif method == "UNSUBSCRIBE":
            for name in names:
                stream.topics.pop(name, None)
            await self.send(stream, [{"result": None, "id": identity}])
        elif method == "LIST_SUBSCRIPTIONS":
            await self.send(stream, [{"result": list(stream.topics), "id": identity}])
        else:
            error = {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}
            await self.send(stream, [{"error": error, "id": identity}])

    def liquidation_frames(self, stream: Stream, news: News) -> list[object]:
        if stream.path.startswith("/ws"):
            return []
        wanted = [
            (listing, news[base])
            for base, listing in self.listed().items()
            if base in news
            and ("!forceOrder@arr" in stream.topics or f"{listing.base.lower()}usdt@forceOrder" in stream.topics)
        ]
        return [self._force_order(listing, seen) for listing, prints in wanted for seen in prints]

    def _force_order(self, listing: LocalListing, seen: Print) -> dict[str, object]:
        amount = listing.print_units_text(seen)
        order = {
            "s": f"{listing.base}USDT",
            # The side of the order that closes the position.
            "S": "SELL" if seen.side is Side.LONG else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": amount,
            "p": listing.bankruptcy_text(seen),
            "ap": listing.price_text(seen.price),
            "X": "FILLED",
            "l": amount,
            "z": amount,
            "T": seen.taken_at_ms,
        }
        return {"e": "forceOrder", "E": self.stamp_ms, "o": order}

    def price_frames(self, stream: Stream) -> list[object]:
        if stream.path.startswith("/ws"):
            return []
        marks, frames = {}, list[object]()
        for symbol, listing in self.by_symbol().items():
            name = f"{symbol.lower()}@markPrice"
            if any(key in stream.topics for key in (name, f"{name}@1s", "!markPrice@arr", "!markPrice@arr@1s")):
                marks[name] = self._mark(symbol, listing)
        if any(topic.startswith("!markPrice@arr") for topic in stream.topics):
            frames.append(list(marks.values()))
        frames += [mark for name, mark in marks.items() if name in stream.topics or f"{name}@1s" in stream.topics]
        return frames

    def _mark(self, symbol: str, listing: LocalListing) -> dict[str, object]:
        price = listing.price_text(listing.market.price(self.now_ms))
        return {
            "e": "markPriceUpdate",
            "E": self.stamp_ms,
            "s": symbol,
            "p": price,
            "i": price,
            "P": price,
            "r": f"{listing.funding_rate(self.now_ms):.8f}",
            "T": listing.next_funding_ms(self.now_ms),
        }
