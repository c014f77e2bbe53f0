"""``/healthz`` and ``/metrics`` where the host sets ``PORT``, and a dead man's switch where the config names one.

It is up before the bot is: a host that waits for the port must not kill a copy that stands by for another one, or one
that fetches the past. Nothing it does can hold the bot up: each look at the store is bounded in time.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from bot.app import App
from bot.config import ConfigError, HealthSection
from bot.lag import LoopLag
from bot.metrics import CONTENT_TYPE, Scrape
from storage.errors import StoreError
from storage.store import Counts, Store

log = logging.getLogger(__name__)
TICKS_WITHIN_S = 180.0
"""Three looks at the slowest setting. Without a tick for so long, nothing would be noticed in the market either."""
CATCH_UP_WITHIN_S = 45 * 60.0
STORE_WITHIN_S = 3.0
BEATS_MISSED = 3
STANDING_BY = "standing by"
_PING_ATTEMPTS = 3
_PING_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``state``: standing by, starting, catching up, running or failing, with the reasons why it is not well."""

    state: str
    reasons: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.reasons


class Health:
    """Judges the bot given to `watch`; before that it is starting, or stands by for another copy that works with
    ``store``, which is healthy for as long as it takes and the database is there.

    ``steady_s`` is a clock that never steps back.
    """

    def __init__(
        self,
        *,
        version: str,
        beat_every_s: float,
        ticks_within_s: float = TICKS_WITHIN_S,
        steady_s: Callable[[], float] = time.monotonic,
        store: Store | None = None,
    ) -> None:
        self._store = store
        self.lag = LoopLag()
        self._version, self._beat_every_s, self._ticks_within_s = version, beat_every_s, ticks_within_s
        self._steady_s = steady_s
        self._app: App | None = None
        self._watched_from_s = 0.0
        self._ticked_s = 0.0
        self._ticks = -1

    def watch(self, app: App | None) -> None:
        """From now on this bot is meant; None: none, it is starting or stopping."""
        self._app, self._ticks = app, -1
        self._watched_from_s = self._ticked_s = self._steady_s()

    async def verdict(self) -> tuple[Verdict, Counts | None]:
        """How the bot is, with what the store said of itself."""
        app = self._app
        if app is None:
            if self._store is None or not self._store.standing_by:
                return Verdict("starting"), None
            away = self._store.condition
            return Verdict(STANDING_BY, (f"store: {away}",) if away else ()), None
        counts, reasons = await self._ask_store(app)
        now_s = self._steady_s()
        if app.ticks != self._ticks:
            self._ticks, self._ticked_s = app.ticks, now_s
        if not app.caught_up:
            if now_s - self._watched_from_s > CATCH_UP_WITHIN_S:
                reasons.append(f"ticks: the past is not taken in after {CATCH_UP_WITHIN_S / 60:.0f} min")
            return Verdict("failing" if reasons else "catching up", tuple(reasons)), counts
        beaten_s = app.beat_s if app.beat_s is not None else self._watched_from_s
        if now_s - beaten_s > BEATS_MISSED * self._beat_every_s:
            reasons.append(f"store: it has taken no heartbeat for {now_s - beaten_s:.0f} s")
        if now_s - self._ticked_s > self._ticks_within_s:
            reasons.append(f"ticks: none for {now_s - self._ticked_s:.0f} s")
        return Verdict("failing" if reasons else "running", tuple(reasons)), counts

    async def _ask_store(self, app: App) -> tuple[Counts | None, list[str]]:
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return await app.store.counts(), []
        except TimeoutError:
            return None, [f"store: no answer within {STORE_WITHIN_S:g} s"]
        except StoreError as error:
            return None, [f"store: {error}"]
        except Exception as error:  # whatever it is, the question was how the store is
            log.exception("the store could not be asked")
            return None, [f"store: {type(error).__name__}"]

    # --- served

    async def healthz(self, _: web.Request) -> web.Response:
        verdict, _counts = await self.verdict()
        body = {"state": verdict.state, "reasons": [reason.split(": ")[0] for reason in verdict.reasons]}
        return web.json_response(body, status=200 if verdict.healthy else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        verdict, counts = await self.verdict()
        stands_by = verdict.state == STANDING_BY
        scrape = Scrape(self._version, verdict.healthy, self.lag, self._app, counts, standing_by=stands_by)
        return web.Response(body=scrape.text(), headers={"Content-Type": CONTENT_TYPE})

    # --- told

    async def ping(self, url: str, every_s: float, session: aiohttp.ClientSession) -> None:
        """Call ``url`` again and again while all is well. It is the silence that raises the alarm, so a copy that
        stands by keeps silent: it would speak for one that leads and is not well."""
        while True:
            verdict, _ = await self.verdict()
            if verdict.state == STANDING_BY:
                log.info("this copy stands by, and leaves the dead man's switch to the one that leads")
            elif verdict.healthy:
                await _call(url, session)
            else:
                log.warning("not healthy, so the dead man's switch is not called: %s", "; ".join(verdict.reasons))
            await asyncio.sleep(every_s)


async def _call(url: str, session: aiohttp.ClientSession, wait_s: float = 1.0) -> None:
    """At most three attempts and half a minute. Never raises: whoever waits for the call notices that it is missing."""
    again = AsyncRetrying(
        stop=stop_after_attempt(_PING_ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=wait_s, max=5.0, jitter=wait_s),
        retry=retry_if_exception_type((aiohttp.ClientError, TimeoutError)),
        reraise=True,
    )
    try:
        async for attempt in again:
            with attempt:
                async with session.get(url) as answer:
                    answer.raise_for_status()
    except (aiohttp.ClientError, TimeoutError) as error:
        # Its address is a secret, and the error's text would say it.
        log.warning("the dead man's switch could not be called: %s", type(error).__name__)


def port_of(environ: Mapping[str, str]) -> int | None:
    """The port that the host wants served; None: none. Raises ConfigError."""
    given = environ.get("PORT", "").strip()
    if not given:
        return None
    if not given.isdecimal() or not 0 < int(given) < 65_536:
        raise ConfigError("The environment", [f"PORT: {given!r} is not a port; give 1 to 65535, or unset it"])
    return int(given)


@asynccontextmanager
async def serving(health: Health, section: HealthSection, port: int | None) -> AsyncIterator[None]:
    """Serve and ping until left. Raises ConfigError where the port is taken."""
    async with AsyncExitStack() as closing:
        health.lag.start()
        closing.push_async_callback(health.lag.stop)
        if port is not None:
            web_app = web.Application()
            web_app.router.add_get("/healthz", health.healthz)
            web_app.router.add_get("/metrics", health.metrics)
            runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            closing.push_async_callback(runner.cleanup)
            try:
                await web.TCPSite(runner, port=port).start()  # on every address: the host's router asks from outside
            except OSError as error:
                fix = "give another one, or stop what holds it"
                raise ConfigError(
                    "The environment", [f"PORT: {port} cannot be opened ({error.strerror}); {fix}"]
                ) from error
        if section.ping_url:
            timeout = aiohttp.ClientTimeout(total=_PING_WITHIN_S)
            session = await closing.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            pinging = asyncio.create_task(health.ping(section.ping_url, section.ping_seconds, session), name="ping")
            closing.push_async_callback(_ended, pinging)
        yield


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
