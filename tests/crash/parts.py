"""The real bot with its parts wrapped, so that each step is a named point."""

import asyncio
import contextvars
import importlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.app import App
from bot.deliver import Notice, Platform
from bot.markets.live import LiveFeed
from bot.markets.live_depth import DepthTowards
from bot.markets.live_history import Past, Progress, Stretch
from bot.markets.live_views import Views
from bot.message import Message
from detectors.engine import MarketEngine
from detectors.leverage import MarginTier
from detectors.market import Market, MarketSnapshot
from storage.outbox import Sent, Task
from tests.bot.sample_events import sample_event
from tests.crash.points import Points, statement_name
from tests.crash.story import TIERS, Story

PAST_BARS = 2
"""How many bars close while nobody lives."""
BETWEEN_BARS_S = 0.002
_SENDING = contextvars.ContextVar("sending", default=False)
_DOING = contextvars.ContextVar("doing", default="other")


class StillClock:
    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def steady_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class StillViews(Views):
    """Nothing is merged, so nothing has closed yet."""

    def closed_at_ms(self, base: str) -> int:
        return 0


class StoryFeed(LiveFeed):
    """A live feed whose venues are the story. ``come_to`` is a file with how far the market has come, which goes on
    while nobody lives: what a start finds missing it fetches as the past. ``ended`` is set after the last bar."""

    def __init__(self, story: Story, points: Points, come_to: Path) -> None:
        super().__init__(("binance",), clock=StillClock(story.now_ms))
        self.views = StillViews({})
        self._story, self._points, self._come_to = story, points, come_to
        self._next = 0
        self._left = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def markets(self) -> tuple[Market, ...]:
        return self._story.markets

    async def start(self) -> tuple[Market, ...]:
        come_to = int(self._come_to.read_text()) if self._come_to.exists() else 0
        self._next = min(come_to + PAST_BARS, len(self._story.live))
        self._come()
        self.live_from_ms = self._story.opened_at_ms(self._next)
        return self.markets

    async def past(
        self, stretches: Sequence[Stretch], on_progress: Callable[[Progress], None] = lambda _: None
    ) -> AsyncIterator[Past]:
        for stretch in stretches:
            await asyncio.sleep(BETWEEN_BARS_S)
            missed = self._story.bars(stretch.market, stretch.since_ms, stretch.until_ms)
            self._points.reached("past fetched")
            yield Past(stretch, missed, complete=True)

    async def poll(self) -> Sequence[MarketSnapshot] | None:
        await asyncio.sleep(BETWEEN_BARS_S)
        if self._next < len(self._story.live) and not self._left.is_set():
            moment = self._story.live[self._next]
            self._next += 1
            self._come()
            self._points.reached("bar arrived")
            return moment
        self.ended.set()
        await self._left.wait()
        return None

    def _come(self) -> None:
        part = self._come_to.with_suffix(".part")
        part.write_text(str(self._next))
        part.replace(self._come_to)

    async def depth_towards(self, base: str, price: float, level: float) -> DepthTowards | None:
        return None

    async def tiers_asked(self, within_s: float) -> None:
        pass

    def tiers_are_told(self, base: str) -> bool:
        return True

    def tiers(self, base: str) -> tuple[tuple[MarginTier, ...], str]:
        return TIERS.tiers, TIERS.source

    async def close(self) -> None:
        self._left.set()


class CrashApp(App):
    """Composing is a point before and after."""

    points: Points

    async def _compose(self, task: Task, notices: Sequence[Notice]) -> Message:
        self.points.reached("composing")
        message = await super()._compose(task, notices)
        self.points.reached("composed")
        return message


class OneChart:
    """In place of the drawer: one picture, drawn once for all lives. Drawing is measured and tested elsewhere."""

    def __init__(self, png: bytes, points: Points) -> None:
        self._png, self._points = png, points

    async def warm(self) -> None:
        pass

    async def draw(self, _: object) -> bytes:
        await asyncio.sleep(0)
        self._points.reached("chart drawn")
        return self._png

    async def close(self) -> None:
        pass


def pointed(base: type[Any], points: Points, fault: str) -> type[Any]:
    """A store class whose use-cases and statements are points. ``fault``: ``state_first`` or ``sent_first``; ``deaf``
    never finds anything to send."""

    class Pointed(base):  # type: ignore[misc]
        _asked = ""

        async def _run(self, work: Callable[[], Any]) -> Any:
            doing = _DOING.get()

            def named() -> Any:
                self._asked = doing
                return work()

            return await super()._run(named)

        def traced(self, sql: str) -> None:
            points.reached(statement_name(self._asked, sql))

        def _open(self) -> Any:
            opened = super()._open()
            self._connection.set_trace_callback(self.traced)
            return opened

        async def open(self) -> Any:
            with _doing("open"):
                points.reached("store opens")
                opened = await super().open()
                points.reached("store opened")
            return opened

        async def subscriptions(self, *args: Any) -> Any:
            with _doing("policy"):
                found = await super().subscriptions(*args)
                points.reached("chats read")
            return found

        async def commit_ticks(self, ticks: Any) -> Any:
            if fault == "state_first":
                await super().commit_ticks([replace(tick, events=(), alerts=(), completed=()) for tick in ticks])
            with _doing("commit"):
                points.reached("commit begins")
                committed = await super().commit_ticks(ticks)
                points.reached("committed")
            return committed

        async def save_checkpoint(self, *args: Any) -> None:
            with _doing("checkpoint"):
                points.reached("checkpoint begins")
                await super().save_checkpoint(*args)
                points.reached("checkpoint saved")

        async def claim(self, *args: Any, **options: Any) -> Any:
            if fault == "deaf":
                return []
            with _doing("claim"):
                points.reached("claim begins")
                claims = await super().claim(*args, **options)
                if claims:
                    points.reached("claimed")
            if fault == "sent_first":
                for claim in claims:
                    await super().settle(claim.deliveries, Sent("1"))
            return claims

        async def alert(self, *args: Any) -> Any:
            with _doing("evidence"):
                found = await super().alert(*args)
                points.reached("evidence read")
            return found

        async def settle(self, *args: Any) -> None:
            with _doing("settle"):
                points.reached("settle begins")
                await super().settle(*args)
                points.reached("settled")

    return Pointed


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """What the store is asked for meanwhile, by this task."""
    before = _DOING.set(what)
    try:
        yield
    finally:
        _DOING.reset(before)


def point_at_steps(points: Points) -> None:
    """The engine's step."""
    step = MarketEngine.step

    def stepped(self: MarketEngine, snapshot: MarketSnapshot) -> Any:
        made = step(self, snapshot)
        points.reached("bar stepped")
        return made

    MarketEngine.step = stepped  # type: ignore[method-assign]


def point_at_sends(platform: Platform, points: Points) -> None:
    """A platform's ``send``, as the deliverer calls it."""
    send = platform.send

    async def sending(chat_id: str, message: Message, *, nonce: str) -> str:
        points.reached(f"{platform.name} send begins")
        _SENDING.set(True)
        sent = await send(chat_id, message, nonce=nonce)
        points.reached(f"{platform.name} sent")
        return sent

    platform.send = sending  # type: ignore[method-assign]


def point_at_requests(points: Points) -> None:
    """The functions by which the libraries put a request on the wire and read its answer, while a message is sent."""
    from discord.http import HTTPClient
    from telegram.request import HTTPXRequest

    for whose, library, name in (("telegram", HTTPXRequest, "do_request"), ("discord", HTTPClient, "request")):
        setattr(library, name, _wired(whose, getattr(library, name), points))


def _wired(whose: str, request: Callable[..., Any], points: Points) -> Callable[..., Any]:
    async def requesting(self: Any, *args: Any, **options: Any) -> Any:
        if not _SENDING.get():
            return await request(self, *args, **options)
        points.reached(f"{whose} request leaves")
        answer = await request(self, *args, **options)
        points.reached(f"{whose} answer read")
        return answer

    return requesting


def picture() -> bytes:
    """A real chart, which every life sends."""
    from bot.chart import draw

    return draw(sample_event())


def one_tls_context() -> None:
    """For all lives, made before they fork: reading the authorities takes as long as a commit of fifty, and the servers
    speak plain HTTP."""
    import httpx

    of_transports = importlib.import_module("httpx._transports.default")
    of_transports.create_ssl_context = lru_cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
    httpx.AsyncHTTPTransport()


def unpaced() -> None:
    """Lives are short: chats are written to as fast as they take it. Paces are tested where they are."""
    from bot.pacing import Pace

    Pace.take = lambda self, now_s: 0.0  # type: ignore[method-assign]
