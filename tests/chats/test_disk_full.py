"""P10 with the whole bot: the disk is full for a while. It goes on, says so, and nothing is lost or told twice."""

import asyncio
from collections import Counter
from pathlib import Path

from bot.message import handle_of
from storage.chats import Chat, Subscription
from storage.errors import StoreUnavailable
from storage.sqlite import SqliteStore
from tests.chats.telegram_server import TelegramServer
from tests.chats.whole_bot import Bot, whole_bot

ENDLESS_PAGES = 10**6


async def limit(store: SqliteStore, pages: int) -> None:
    """SQLite's own limit stands for the disk's, which only root could make small."""
    await store._run(lambda: store._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())


def waiting(bot: Bot) -> list[str]:
    """Handles of the alerts that are decided and could not be committed."""
    return [handle_of(alert.event.key) for tick in bot.app.watcher._queue for alert in tick.alerts]


async def test_while_the_disk_is_full_it_sends_and_answers_and_afterwards_all_is_told_once(tmp_path: Path) -> None:
    async with (
        TelegramServer() as server,
        whole_bot(tmp_path, server.environment, store=str(tmp_path / "bot.db")) as bot,
    ):
        store = bot.app.store
        assert isinstance(store, SqliteStore)
        ann = server.world.started("Ann")
        await store.watch(Chat("telegram", str(ann)), Subscription("BTC"))
        await bot.play_until_alert()
        owed = [handle_of(one.alert_id) for one in await store.recent(10)]
        await limit(store, 1)  # before it is out: claimed and settled on a full disk
        bot.app.deliverer.wake()
        before, ticks, failed = len(await store.snapshots_since("BTC", None)), 0, 0
        while len(waiting(bot)) < 2:
            ticks += 1
            assert ticks < 1000, "nothing that is told waits for room"
            try:
                await bot.app.tick()
            except StoreUnavailable:
                failed += 1
        assert failed > 10
        owed += waiting(bot)
        await server.until(lambda: server.sent(ann))
        server.world.say(ann, ann, "/status")
        await server.until(lambda: any("is full: make room" in letter.words for letter in server.sent(ann)))
        assert len(waiting(bot)) >= 2

        await limit(store, ENDLESS_PAGES)
        await bot.app.tick()
        await bot.app.beat()
        assert (waiting(bot), store.condition) == ([], None)
        bot.app.deliverer.wake()
        async with asyncio.timeout(20):
            while (await store.counts()).deliveries.keys() != {"sent"}:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        told = Counter(handle for letter in server.sent(ann) for handle in owed if handle in letter.words)
        assert told == dict.fromkeys(owed, 1)
        assert len(await store.snapshots_since("BTC", None)) == before + ticks + 1, "no bar is missing"
