"""What all local venues share: one aiohttp application on 127.0.0.1, faults, limits, and pushing to websockets."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from aiohttp import WSMsgType, web

from bot.markets.local.clock import Clock
from bot.markets.local.faults import Fault, Faults, Trouble, poisoned
from bot.markets.local.history import History
from bot.markets.local.limits import Limiter
from bot.markets.local.listing import LocalListing, Terms, listings, prints_of
from bot.markets.local.query import Document, Query, Refusal
from detectors.market import DAY_MS, Print, Side

Handler = Callable[[Query], Document]
News = Mapping[str, Sequence[Print]]
"""New liquidations by the base's name behind the venues."""

_BURST_USD = 25_000.0


class Stream:
    """One websocket connection and what it has subscribed to (in the venue's words for topics)."""

    def __init__(self, path: str, socket: web.WebSocketResponse) -> None:
        self.path = path
        self.topics: dict[str, None] = {}
        self.sent = 0
        """Frames."""
        self._socket = socket

    async def send(self, text: str) -> None:
        if not self._socket.closed:
            self.sent += 1
            try:
                await self._socket.send_str(text)
            except ConnectionError:
                # The client has just left, which the reading side notices by itself.
                return

    async def close(self, code: int) -> None:
        await self._socket.close(code=code)


class VenueServer(ABC):
    """A venue: subclasses speak its wire format. ``faults`` is the test's script, ``requests`` counts by path."""

    name: str
    stream_roots: ClassVar[tuple[str, ...]]
    """Where websockets connect: these paths and what is below them."""
    replays_prints = 0
    """How many old liquidations a new subscription gets at this venue."""

    def __init__(
        self, history: History, clock: Clock, terms: Mapping[str, Terms], limiter: Limiter | None = None
    ) -> None:
        self.history, self.clock = history, clock
        self.faults = Faults()
        self.limiter = limiter or Limiter()
        self.requests: Counter[str] = Counter()
        self.refused = 0
        """Requests over a limit."""
        self.pushed_prints = 0
        self.streams: list[Stream] = []
        self.listings = listings(history.markets, terms[self.name])
        self._parts = {name: one.share for name, one in terms.items()}
        self._pushed_ms = clock.now_ms
        self._routes = self.routes()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self.close_streams()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def now_ms(self) -> int:
        """Up to when things have happened."""
        return self.clock.now_ms

    @property
    def stamp_ms(self) -> int:
        """What the venue says the time is."""
        return self.clock.now_ms + self.faults.skew_ms

    def listed(self) -> dict[str, LocalListing]:
        """What can be traded now, by the base's name behind the venues."""
        return {base: listing for base, listing in self.listings.items() if base not in self.faults.delisted}

    # --- what a venue defines

    @abstractmethod
    def charge(self, request: web.Request) -> dict[str, str]:
        """Count a request against the venue's limits; returns its headers. Raises `Refusal` over a limit."""

    @abstractmethod
    def routes(self) -> Mapping[str, Handler]:
        """Handlers by path."""

    def handler(self, path: str) -> Handler | None:
        return self._routes.get(path)

    @abstractmethod
    def refuse(self, name: str, problem: str) -> Refusal:
        """For `Query`."""

    @abstractmethod
    def fault_answer(self, status: int, retry_after_s: float) -> Refusal:
        """The venue's words for a status that a fault asks for."""

    @abstractmethod
    async def on_text(self, stream: Stream, text: str) -> None:
        """A client's message."""

    @abstractmethod
    def liquidation_frames(self, stream: Stream, news: News) -> list[object]:
        """Frames for what the stream has subscribed to; one JSON document each."""

    @abstractmethod
    def price_frames(self, stream: Stream) -> list[object]: ...

    def admit(self) -> None:  # noqa: B027 - most venues count no handshakes
        """Count a websocket's handshake against the venue's limits. Raises `Refusal` over a limit."""

    def mine(self, base: str, prints: Sequence[Print]) -> Sequence[Print]:
        """Those of a market's liquidations that happen here, among the venues that run."""
        return prints_of(self.name, base, prints, self._parts)

    def sampled(self, prints: Sequence[Print]) -> Sequence[Print]:
        """Those that the venue tells at all; all but on Binance."""
        return prints

    # --- websockets

    async def push(self) -> None:
        """Send every stream what has happened since the last push, and the prices of now."""
        now_ms = self.now_ms
        after_ms, self._pushed_ms = self._pushed_ms, now_ms
        self.history.reach(now_ms)
        await self.push_prints(self._news(after_ms, now_ms))
        for stream in list(self.streams):
            await self.send(stream, self.price_frames(stream))

    async def push_prints(self, news: News) -> None:
        """Send liquidations to the streams that have subscribed to them."""
        self.pushed_prints += sum(len(prints) for prints in news.values())
        for stream in list(self.streams):
            for _ in range(2 if self.faults.doubled else 1):
                await self.send(stream, self.liquidation_frames(stream, news))

    async def burst(self, base: str, count: int = 500, side: Side = Side.LONG, spacing_ms: int = 1) -> list[Print]:
        """Push ``count`` made-up liquidations at once, stamped ``spacing_ms`` apart up to now; returns them.

        They come on top of the market's own and are not sampled: the feed must take what a venue sends.
        """
        price, now_ms = self.history.markets[base].price(self.now_ms), self.now_ms
        amounts = [(_BURST_USD + i) / price for i in range(count)]
        made = [
            Print(now_ms - (count - 1 - i) * spacing_ms, side, price, amount, amount * price)
            for i, amount in enumerate(amounts)
        ]
        await self.push_prints({base: made})
        return made

    async def close_streams(self, code: int = 1001) -> None:
        """Close every websocket, as venues do once a day."""
        for stream in list(self.streams):
            await stream.close(code)

    async def send(self, stream: Stream, frames: Iterable[object]) -> None:
        """Nothing goes out while the venue is silent."""
        for frame in frames:
            if self.faults.silent:
                return
            if self.faults.poison_frames is not None:
                frame = poisoned(frame, self.faults.poison_frames)
            await stream.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def replay_prints(self, stream: Stream) -> None:
        """Send the last old liquidations to a stream that has just subscribed."""
        count = max(self.replays_prints, self.faults.replayed)
        if count:
            news = self._news(self._pushed_ms - DAY_MS, self._pushed_ms)
            await self.send(
                stream, self.liquidation_frames(stream, {base: seen[-count:] for base, seen in news.items()})
            )

    def _news(self, after_ms: int, to_ms: int) -> News:
        found = {}
        for base, listing in self.listed().items():
            prints = listing.market.prints_between(after_ms, to_ms)
            if mine := self.sampled(self.mine(base, prints)):
                found[base] = mine
        return found

    # --- requests

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests[path] += 1
        self.history.reach(self.now_ms)
        fault = await self.faults.meet(path)
        try:
            if fault is not None and fault.trouble is not Trouble.POISON:
                return self._faulty(request, fault)
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._stream(request)
            headers = self.charge(request)
            handler = self.handler(path) if request.method == "GET" else None
            if handler is None:
                raise self.refuse(path, "path")
            query = Query(request.query, self.refuse)
            document: object = handler(query)
            query.finish()
        except Refusal as refusal:
            self.refused += refusal.status in {403, 418, 429}
            return _response(refusal.body, refusal.status, refusal.headers)
        if fault is not None:
            document = poisoned(document, fault.text)
        return _response(document, 200, headers)

    def _faulty(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.trouble is Trouble.GARBAGE:
            return web.Response(text=fault.text, content_type="text/html" if "<" in fault.text else "application/json")
        if fault.trouble is Trouble.RESET:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        raise self.fault_answer(fault.status, fault.seconds)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if not any(f"{request.path}/".startswith(f"{root}/") for root in self.stream_roots):
            raise self.refuse(request.path, "path")
        self.admit()
        # Pings are answered here, so that a silent venue can leave them unanswered.
        socket = web.WebSocketResponse(autoping=False, heartbeat=None)
        await socket.prepare(request)
        stream = Stream(request.path, socket)
        self.streams.append(stream)
        try:
            async for message in socket:
                if self.faults.silent:
                    continue
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self.on_text(stream, message.data)
        finally:
            self.streams.remove(stream)
        return socket


def _response(document: object, status: int, headers: Mapping[str, str]) -> web.Response:
    if isinstance(document, str):
        return web.Response(text=document, status=status, headers=headers, content_type="text/html")
    return web.Response(text=json.dumps(document), status=status, headers=headers, content_type="application/json")
