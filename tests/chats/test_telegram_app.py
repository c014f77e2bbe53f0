"""The whole bot on Telegram: the real app, commands, store, detectors, charts and library; only Telegram is local."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from bot.app import App, make_feed
from bot.pacing import Rate
from bot.platforms.console import Printer
from bot.platforms.telegram import TelegramPlatform, turns
from detectors import figures
from storage.chats import Chat
from tests.bot.played import DAYS, SEED, config
from tests.chats.telegram_server import TelegramServer
from tests.chats.telegram_state import Letter
from tests.chats.telegram_world import World

FASTER = 10.0
"""The bot's pace and Telegram's clock, so that nobody waits for real seconds between messages."""


@dataclass
class Bot:
    """The app as it runs, with a market that the test plays."""

    app: App
    server: TelegramServer

    @property
    def world(self) -> World:
        return self.server.world

    async def says(self, chat_id: int, act: Callable[[], object]) -> Letter:
        """What the bot writes next in a chat after somebody did something."""
        before = len(self.server.sent(chat_id))
        act()
        await self.server.until(lambda: len(self.server.sent(chat_id)) > before)
        return self.server.sent(chat_id)[-1]

    async def play_until(self, met: Callable[[], object]) -> None:
        """Bars, one after another, until something holds and nothing is owed."""
        while not met():
            assert await self.app.tick(), "the market has ended"
            await asyncio.sleep(0)
            await self.server.until(lambda: not self.app.deliverer._under_way(), 15)
        for _ in range(1500):
            owed = (await self.app.store.counts()).deliveries
            if not owed.get("pending") and not owed.get("sending"):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("something stays owed")

    def alerts(self, chat_id: int) -> list[Letter]:
        """Each alert's message, with its chart and its buttons."""
        return [letter for letter in self.server.sent(chat_id) if "Why this alert" in letter.labels]

    async def watches(self, chat_id: int | str) -> list[str]:
        return [one.subscription.market for one in await self.app.store.subscriptions(Chat("telegram", str(chat_id)))]


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Bot]:
    settings = config(
        source={"seed": SEED, "days": DAYS, "markets": ["BTC"]},
        charts={"folder": str(tmp_path / "charts")},
        console={"watch": []},
        store={"path": str(tmp_path / "bot.db")},
    )
    async with TelegramServer(now_s=lambda: FASTER * time.monotonic()) as server:
        platform = TelegramPlatform(server.token, base_url=server.address, per_second=FASTER * turns.PER_SECOND)
        printer = Printer(Console(file=io.StringIO(), width=160))
        async with App(settings, make_feed(settings), printer=printer, platforms=[platform]) as app:
            await app.open_chats()
            tasks = [asyncio.create_task(app.chats.run()), asyncio.create_task(app.deliverer.run())]
            await server.until(lambda: server.api.calls["getupdates"])
            for _ in range(2 * 288):
                await app.tick()
            yield Bot(app, server)
            tasks[0].cancel()
            await app.deliverer.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert server.limits.refused == 0, "never over Telegram's limits"


@pytest.fixture
async def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setattr(turns, "CHAT", Rate(FASTER))
    monkeypatch.setattr(turns, "GROUP", Rate(FASTER * turns.GROUP.per_second, turns.GROUP.burst))
    monkeypatch.setattr(turns, "_WITH_ANSWERS", Rate(FASTER, 2))
    monkeypatch.setattr(turns, "ANSWERS_PER_SECOND", FASTER * turns.ANSWERS_PER_SECOND)
    async with running(tmp_path) as bot:
        yield bot


async def test_one_person_from_start_to_an_alert_a_mute_from_its_button_and_a_digest_after_quiet_hours(
    bot: Bot,
) -> None:
    world = bot.world
    ann = world.person("Ann")
    greeting = await bot.says(ann, lambda: world.say(ann, ann, "/start"))
    assert "Watch BTC" in greeting.labels
    world.press(ann, ann, greeting.message_id, "Choose a market")
    await bot.server.until(lambda: "Which market?" in greeting.words)
    world.press(ann, ann, greeting.message_id, "BTC")
    await bot.server.until(lambda: "Watching BTC" in greeting.words)
    again = await bot.says(ann, lambda: world.say(ann, ann, "$btc"))
    assert again.words
    assert await bot.watches(ann) == ["BTC"]

    await bot.play_until(lambda: bot.alerts(ann))
    alert = bot.alerts(ann)[0]
    first_line = alert.words.split("\n")[0]
    assert first_line[0] in "🟢🔴"
    assert "BTC" in first_line
    assert alert.photo is not None
    assert all(words in alert.words for words in ("SIMULATED", "estimated", "Not financial advice"))
    why = await bot.says(ann, lambda: world.press(ann, ann, alert.message_id, "Why this alert"))
    assert "Why: " in why.words
    large = await bot.says(ann, lambda: world.press(ann, ann, alert.message_id, "Chart larger"))
    assert large.document is not None

    muted = await bot.says(ann, lambda: world.press(ann, ann, alert.message_id, "Mute BTC 24 h"))
    assert muted.reply_to == alert.message_id
    assert "mute" in muted.words.lower()
    told = len(bot.alerts(ann))
    for _ in range(100):  # alerts come in these bars where nothing is muted
        await bot.app.tick()
    assert len(bot.alerts(ann)) == told
    await bot.says(ann, lambda: world.say(ann, ann, "/unmute BTC"))

    begins = figures.moment(bot.app.newest_ms or 0)[11:16]
    ends = f"{(int(begins[:2]) + 9) % 24:02d}:00"
    assert "uiet" in (await bot.says(ann, lambda: world.say(ann, ann, f"/quiet {begins}-{ends} UTC"))).words
    for _ in range(9 * 12 + 1):
        await bot.app.tick()
    assert len(bot.alerts(ann)) == told
    before = len(bot.server.sent(ann))
    await bot.app.send_digests()
    await bot.server.until(lambda: len(bot.server.sent(ann)) > before)
    digest = bot.server.sent(ann)[-1].words
    assert "quiet" in digest.lower()
    assert "BTC" in digest


async def test_groups_topics_and_channels_are_served_by_their_admins_wishes_and_followed_where_they_go(
    bot: Bot,
) -> None:
    world = bot.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group, kicked = world.group("Friends", ann), world.supergroup("Fickle", ann)
    forum = world.supergroup("Forum", ann, forum=True)
    channel = world.channel("News", ann, username="dailynews")
    topic = world.topic(forum, "Alerts")
    for chat in (group, kicked, forum):
        assert "Watch BTC" in (await bot.says(chat, lambda chat=chat: world.add_bot(chat, ann))).labels  # type: ignore[misc]
        world.set_status(chat, bob, "member")

    refused = await bot.says(group, lambda: world.say(group, bob, "/watch BTC"))
    assert "only admins" in refused.words
    assert await bot.watches(group) == []
    assert "Watching BTC" in (await bot.says(group, lambda: world.say(group, ann, "/watch@ClusterwatchBot BTC"))).words
    assert "Watching BTC" in (await bot.says(kicked, lambda: world.say_anonymously(kicked, "/watch BTC"))).words
    await bot.says(forum, lambda: world.say(forum, ann, "/watch BTC", thread_id=topic))
    assert await bot.watches(f"{forum}/{topic}") == ["BTC"]

    told = await bot.says(ann, lambda: world.add_bot(channel, ann, admin=True))
    assert "Choose markets" in told.labels
    not_his = await bot.says(bob, lambda: world.say(bob, bob, "/in @dailynews /watch BTC"))
    assert "admin" in not_his.words
    assert await bot.watches(channel) == []
    assert "Watching BTC" in (await bot.says(ann, lambda: world.say(ann, ann, "/in @dailynews /watch BTC"))).words
    assert bot.server.sent(channel) == [], "its readers see alerts alone"

    await bot.play_until(lambda: bot.alerts(channel))
    everywhere = [bot.alerts(chat)[0] for chat in (group, kicked, forum, channel)]
    assert len({letter.words for letter in everywhere}) == 1
    assert len({letter.photo for letter in everywhere}) == 1, "one upload"
    assert everywhere[2].thread_id == topic
    press = world.press(channel, bob, everywhere[3].message_id, "Unwatch")
    await bot.server.until(lambda: world.pressed[press] is not None)
    assert "only admins" in (world.pressed[press] or "")
    assert await bot.watches(channel) == ["BTC"]

    already = len(bot.alerts(channel))
    world.kick_bot(kicked, ann)
    moved = world.migrate(group, says_left=True)
    await bot.server.until(lambda: not world.updates)
    assert await bot.watches(moved) == ["BTC"]
    await bot.play_until(lambda: len(bot.alerts(channel)) > already and bot.alerts(moved))
    assert len(bot.alerts(kicked)) == already
    assert len(bot.alerts(group)) == already
    assert (await bot.app.store.counts()).deliveries.get("dead", 0) == 0, "nobody was tried who was known to be gone"
    assert "Watching BTC" in (await bot.says(kicked, lambda: _comes_back(world, kicked, ann))).words
    await bot.play_until(lambda: len(bot.alerts(kicked)) > 1)


HOSTILE = (
    "<b>open",
    "/watch <script>alert(1)</script>",
    "/watch </b></pre><a href='tg://user?id=1'>x</a>",
    "/watch @everyone @durov",
    "/watch '); DROP TABLE chats; --",
    "/watch \u202eCTB\u0000\x1b[31m",
    "/watch ВТС",
    "/watch BTC min $" + "9" * 400,
    "/" + "🟢" * 1500,
    "/why #" + "é" * 60,
    "&lt;&amp;&#60;",
    "/in @dailynews <i>",
)


async def test_whatever_is_typed_the_answer_is_one_that_telegram_takes_and_nothing_is_kept(bot: Bot) -> None:
    """P14."""
    ann = bot.world.started("Ann")
    for line in HOSTILE:
        answer = await bot.says(ann, lambda line=line: bot.world.say(ann, ann, line))  # type: ignore[misc]
        assert {one["type"] for one in answer.entities} <= {"bold", "italic", "code"}
        assert "@everyone" not in answer.words
        assert "@durov" not in answer.words
    assert [one for one in bot.server.refusals if "chat not found" not in one] == []
    assert await bot.watches(ann) == []


def _comes_back(world: World, chat_id: int, user_id: int) -> None:
    world.set_status(chat_id, world.bot.user_id, "member")
    world.say(chat_id, user_id, "/watch BTC")
