"""Chat platforms as parts of the process: started, supervised, stopped; what they tell of their chats."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from bot import run
from bot.app import App, make_feed
from bot.chats import Chats, Keeper, make_platforms
from bot.errors import Fatal
from bot.markets.feed import Source
from bot.message import Message
from bot.pacing import Limits, Rate
from bot.platforms.console import Printer, request
from bot.platforms.seam import CheckRow, CommandSpec, Handle, Suggest, Upkeep
from storage.chats import Chat, Subscription
from storage.sqlite import SqliteStore
from tests.bot.played import DAYS, SEED, config


@dataclass
class Scripted:
    """A platform that runs until it is cancelled, or raises what ``ends`` says, one a run."""

    name: str = "scripted"
    ends: list[Exception] = field(default_factory=list)
    runs: int = 0
    stopped: int = 0
    invite: str | None = None
    condition: str = "connected"
    per_second: float = 1000.0
    handle: Handle | None = None
    upkeep: Upkeep | None = None
    specs: Sequence[CommandSpec] = ()
    ran: asyncio.Event = field(default_factory=asyncio.Event)
    slow_stop: bool = False

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (Rate(1000.0),))

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> None:
        self.handle, self.specs, self.upkeep = handle, specs, upkeep

    async def run(self) -> None:
        self.runs += 1
        self.ran.set()
        if self.ends:
            raise self.ends.pop(0)
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.stopped += 1
        if self.slow_stop:
            await asyncio.Event().wait()

    async def check(self) -> Sequence[CheckRow]:
        return ()

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        return nonce

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None: ...


async def nothing(_: object) -> Message:
    return Message("")


async def none_suggested(*_: object) -> Sequence[str]:
    return ()


def chats_of(*platforms: Scripted, said: list[str] | None = None) -> Chats:
    lines = [] if said is None else said
    return Chats(platforms, SqliteStore(None, "live"), lines.append, wait_s=0.01)


async def test_a_platform_that_fails_is_started_again_and_holds_no_other_up() -> None:
    broken, sound = Scripted("broken", ends=[RuntimeError("a fault"), RuntimeError("again")]), Scripted("sound")
    chats = chats_of(broken, sound)
    running = asyncio.create_task(chats.run())
    async with asyncio.timeout(5):
        while broken.runs < 3:  # noqa: ASYNC110 - it tells nobody when it runs
            await asyncio.sleep(0.005)
    assert sound.runs == 1
    assert chats.conditions() == ["broken: connected", "sound: connected"]
    running.cancel()


async def test_status_says_of_a_platform_that_failed_that_it_is_started_again() -> None:
    broken = Scripted("broken", ends=[RuntimeError("a fault")])
    chats = Chats([broken], SqliteStore(None, "live"), print, wait_s=30)
    running = asyncio.create_task(chats.run())
    await broken.ran.wait()
    await asyncio.sleep(0)
    assert chats.conditions() == ["broken: RuntimeError, a fault of ours; started again in 30 s"]
    running.cancel()


async def test_a_token_that_is_refused_ends_the_run() -> None:
    chats = chats_of(Scripted("telegram", ends=[Fatal("the token was refused")]), Scripted("discord"))
    with pytest.raises(Fatal, match="refused"):
        async with asyncio.timeout(5):
            await chats.run()


async def test_the_invite_is_told_once_it_is_known() -> None:
    platform, said = Scripted("telegram", invite="https://t.me/a_bot?startgroup=true"), list[str]()
    chats = chats_of(platform, said=said)
    running = asyncio.create_task(chats.run())
    await platform.ran.wait()
    await asyncio.sleep(0)
    running.cancel()
    assert said == ["telegram: add the bot with https://t.me/a_bot?startgroup=true"]


async def test_each_is_stopped_once_in_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chats.STOP_WITHIN_S", 0.02)
    slow, quick = Scripted("slow", slow_stop=True), Scripted("quick")
    chats = chats_of(slow, quick)
    await chats.start(nothing, (), none_suggested)
    async with asyncio.timeout(2):
        await chats.stop()
        await chats.stop()
    assert (slow.stopped, quick.stopped) == (1, 1)


@pytest.mark.parametrize("kind", [Source.SIMULATED, Source.RECORDED])
def test_a_recording_or_a_simulation_never_reaches_people(kind: Source) -> None:
    settings = config(source={"kind": kind, "path": "somewhere"})
    assert make_platforms(settings, {"TELEGRAM_TOKEN": "1:a", "DISCORD_TOKEN": "b"}) == []


def test_without_a_token_or_switched_off_there_is_no_platform() -> None:
    assert make_platforms(config(source={"kind": "live"}), {"TELEGRAM_TOKEN": ""}) == []
    off = config(source={"kind": "live"}, telegram={"enabled": False}, discord={"enabled": False})
    assert make_platforms(off, {"TELEGRAM_TOKEN": "1:a", "DISCORD_TOKEN": "b"}) == []


async def test_a_chat_that_is_gone_is_parked_with_its_topics_and_served_again_when_the_bot_is_back() -> None:
    store = SqliteStore(None, "live")
    await store.open()
    group, topic, other = Chat("telegram", "-100"), Chat("telegram", "-100/42"), Chat("telegram", "-1001")
    for chat in (topic, other, group):
        await store.watch(chat, Subscription("BTC"))
    keeper = Keeper(store)
    await keeper.gone([group], "kicked")
    await keeper.gone([Chat("telegram", "stranger")], "kicked")
    assert [watch.chat for watch in await store.subscriptions()] == [other]
    assert (await store.counts()).parked == {group: "kicked", topic: "kicked"}
    await keeper.back([group])
    assert {watch.chat for watch in await store.subscriptions()} == {other, group, topic}
    await store.close()


async def test_the_app_starts_serves_and_stops_its_platforms_and_a_refused_token_ends_it(tmp_path: Path) -> None:
    settings = config(
        source={"seed": SEED, "days": DAYS, "markets": ["BTC"], "warm_up_days": 0.1, "speed": 1000.0},
        charts={"folder": str(tmp_path), "draw": False},
    )
    platform, out = Scripted("telegram", invite="https://t.me/bot"), io.StringIO()
    app = App(settings, make_feed(settings), printer=Printer(Console(file=out, width=200)), platforms=[platform])
    stopping = asyncio.Event()
    async with app:
        serving = asyncio.create_task(run.serve(app, stopping, interactive=False))
        async with asyncio.timeout(10):
            await platform.ran.wait()
            assert platform.handle is not None
            answer = await platform.handle(request("/status"))
            stopping.set()
            await serving
    assert "telegram: connected" in answer.lines
    assert platform.stopped == 1
    assert "add the bot with https://t.me/bot" in out.getvalue()

    refused = Scripted("telegram", ends=[Fatal("the token was refused")])
    async with App(settings, make_feed(settings), printer=Printer(Console(file=out)), platforms=[refused]) as app:
        with pytest.raises(Fatal, match="refused"):
            await run.serve(app, asyncio.Event(), interactive=False)
    assert refused.stopped == 1
