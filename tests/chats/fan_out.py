"""One alert with its chart to many chats of both platforms: real clients, strict servers in processes of their own."""

import asyncio
import io
import json
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from bot.app import App, make_feed
from bot.chats import configured
from bot.platforms.console import Printer
from detectors.event import Event
from storage.chats import Chat, Subscription
from tests.bot.played import SEED, config

_GROUPS_EACH = 10
"""One Telegram chat in ten is a group."""
_WARM_BARS = 560
_CONNECTED_WITHIN_S = 20.0


@dataclass
class Result:
    """What came of it. Seconds; rates in messages a second."""

    chats: dict[str, int]
    event: Event | None = None
    first_send_s: float = 0.0
    took_s: dict[str, float] = field(default_factory=dict)
    paced_s: dict[str, float] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    uploads: int = 0
    answers_s: dict[str, list[float]] = field(default_factory=dict)
    loop_lag_p99_s: float = 0.0
    states: dict[str, int] = field(default_factory=dict)

    def share_of_pace(self, platform: str) -> float:
        return self.paced_s[platform] / self.took_s[platform]


@dataclass
class Servers:
    telegram: dict[str, Any]
    discord: dict[str, Any]
    session: aiohttp.ClientSession

    @property
    def environment(self) -> dict[str, str]:
        mine = {"TELEGRAM_TOKEN": self.telegram["token"], "TELEGRAM_BASE_URL": self.telegram["address"]}
        return {**mine, **self.discord["environment"]}

    async def tell(self, name: str, **given: Any) -> Any:
        """A control of the Telegram server."""
        async with self.session.post(f"{self.telegram['address']}/control/{name}", json=given) as answer:
            return (await answer.json())["result"]

    async def discord_state(self) -> dict[str, Any]:
        async with self.session.get(f"{self.discord['control']}/state") as answer:
            return dict(await answer.json())

    async def slash(self, line: str) -> dict[str, Any]:
        asked = {"user": self.discord["manager"], "channel": self.discord["announcement"], "line": line}
        async with self.session.post(f"{self.discord['control']}/slash", json=asked) as answer:
            return dict(await answer.json())


async def fan_out(folder: Path, *, telegram: int, discord: int, with_chart: bool = True) -> Result:
    """``telegram`` and ``discord`` chats watch one market, and an alert comes; until every chat has it."""
    result = Result({"telegram": telegram, "discord": discord})
    settings = config(
        source={"seed": SEED, "days": 4.0, "markets": ["BTC"], "warm_up_days": 0.0},
        store={"path": str(folder / "bot.db")},
        charts={"folder": str(folder / "charts"), "draw": with_chart},
        console={"watch": []},
    )
    async with serving(folder, discord) as servers:
        chats = await _telegram_chats(servers, telegram)
        chats += [Chat("discord", one) for one in servers.discord["channels"]]
        platforms = configured(settings, servers.environment)
        printer = Printer(Console(file=io.StringIO()))
        async with App(settings, make_feed(settings), printer=printer, platforms=platforms) as app:
            for _ in range(_WARM_BARS):
                await app.tick()
            for chat in chats:
                await app.store.watch(chat, Subscription("BTC"))
            await app.open_chats()
            talking = asyncio.create_task(app.chats.run())
            delivering = asyncio.create_task(app.deliverer.run())
            await _until_connected(app)
            lag = asyncio.create_task(_loop_lag())
            asking = [asyncio.create_task(ask(servers, result)) for ask in (_ask_telegram, _ask_discord)]
            await _measure(app, result, folder)
            for task in (lag, *asking):
                task.cancel()
            done = await asyncio.gather(lag, *asking, return_exceptions=True)
            result.loop_lag_p99_s = done[0] if isinstance(done[0], float) else 0.0
            result.states = dict((await app.store.counts()).deliveries)
            stats, state = await servers.tell("stats"), await servers.discord_state()
            result.refused = {"telegram": stats["floods"], "discord": state["statuses"].get("429", 0)}
            result.uploads = stats["uploads"]
            talking.cancel()
            await app.deliverer.stop()
            await asyncio.gather(talking, delivering, return_exceptions=True)
    return result


async def _measure(app: App, result: Result, folder: Path) -> None:
    """Play until an alert comes, and wait until it is everywhere. Times are of the servers' records."""
    alerts = 0
    began_s = time.time()
    while not alerts:
        began_s = time.time()
        before = sum(app.tally.alerts.values())
        assert await app.tick(), "no alert in the whole market"
        alerts = sum(app.tally.alerts.values()) - before
    result.event = (await app.store.recent(1))[0].event
    owed = sum(result.chats.values()) * alerts
    async with asyncio.timeout(owed / 10 + 30):
        while (await app.store.counts()).deliveries.get("sent", 0) < owed:  # noqa: ASYNC110 - the store knows no event
            await asyncio.sleep(0.1)
    for name, platform in zip(("telegram", "discord"), app.chats.platforms, strict=True):
        at_s = _sent_at(folder / f"{name}.jsonl", result.event)
        assert len(at_s) >= result.chats[name], f"{name}: {len(at_s)} of {result.chats[name]} arrived"
        result.took_s[name] = max(at_s) - began_s
        result.paced_s[name] = result.chats[name] * alerts / platform.per_second
        result.first_send_s = min(result.first_send_s or 1e9, min(at_s) - began_s)


def _sent_at(record: Path, event: Event) -> list[float]:
    """When the alert arrived, by the server's record."""
    lines = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    about = [line for line in lines if event.headline[:20] in json.dumps(line, ensure_ascii=False)]
    return [float(line.get("at") or line["at_s"]) for line in about]


@asynccontextmanager
async def serving(folder: Path, channels: int) -> AsyncIterator[Servers]:
    telegram = await _start("tests.chats.telegram_server", "--record", str(folder / "telegram.jsonl"))
    discord = await _start(
        "tests.chats.discord_server", "--record", str(folder / "discord.jsonl"), "--channels", str(channels)
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Servers(await _said(telegram), await _said(discord), session)
    finally:
        for process in (telegram, discord):
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _start(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, limit=1 << 20
    )


async def _said(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(await process.stdout.readline()))


async def _telegram_chats(servers: Servers, number: int) -> list[Chat]:
    chats = []
    for n in range(number):
        person = await servers.tell("started", first_name=f"Reader {n}")
        if n % _GROUPS_EACH == 0:
            person = await servers.tell("supergroup", title=f"Group {n}", creator=person, bot="member")
        chats.append(Chat("telegram", str(person)))
    return chats


async def _until_connected(app: App) -> None:
    async with asyncio.timeout(_CONNECTED_WITHIN_S):
        while not all(": connected" in one for one in app.chats.conditions()):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)


async def _ask_telegram(servers: Servers, result: Result) -> None:
    """Somebody who is not among the readers asks again and again."""
    person = await servers.tell("started", first_name="Asker")
    times = result.answers_s.setdefault("telegram", [])
    while True:
        before = len(await servers.tell("sent", chat_id=person))
        began_s = time.monotonic()
        await servers.tell("say", chat_id=person, user_id=person, text="/watching")
        while len(await servers.tell("sent", chat_id=person)) == before:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)
        times.append(time.monotonic() - began_s)
        await asyncio.sleep(1.5)


async def _ask_discord(servers: Servers, result: Result) -> None:
    times = result.answers_s.setdefault("discord", [])
    while True:
        began_s = time.monotonic()
        answer = await servers.slash("watching")
        assert "error" not in answer, answer
        times.append(time.monotonic() - began_s)
        await asyncio.sleep(1.5)


async def _loop_lag() -> float:
    """How late the loop came back from short waits: the 99th percentile, once it is cancelled."""
    late: list[float] = []
    try:
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(0.005)
            late.append(time.monotonic() - began_s - 0.005)
    except asyncio.CancelledError:
        return statistics.quantiles(late, n=100)[98] if len(late) > 1 else 0.0
