"""Alerts to Telegram chats: real deliverer, real store, real library, a strict server with its faults."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from telegram.error import BadRequest, Forbidden, NetworkError, TelegramError

from bot.chats import Keeper
from bot.deliver import Deliverer, Notice, words
from bot.errors import Fatal, Reject
from bot.message import Button, Message
from bot.platforms.telegram import TelegramPlatform, client, errors
from bot.platforms.telegram.client import QuietBot
from storage.chats import Chat, Subscription
from storage.outbox import Task
from storage.sqlite import SqliteStore
from tests.chats.png import png
from tests.chats.telegram_rig import SPECS, SUGGEST, no_answer
from tests.chats.telegram_server import TelegramServer
from tests.storage.make import alert, event, tick


@dataclass
class House:
    server: TelegramServer
    platform: TelegramPlatform
    store: SqliteStore
    deliverer: Deliverer
    owed: int = 0

    async def owe(self, *chat_ids: int | str) -> None:
        """One alert for these chats."""
        chats = [Chat("telegram", str(one)) for one in chat_ids]
        self.owed += 1
        for chat in chats:
            await self.store.watch(chat, Subscription("BTC"))
        about = event(subject=f"long-{self.owed}", headline=f"BTC long {self.owed}")
        await self.store.commit_tick(tick(self.owed, alert(about, *chats)))

    async def states(self) -> dict[str, int]:
        return dict((await self.store.counts()).deliveries)

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.deliverer.run())
        try:
            yield
        finally:
            await self.deliverer.stop()
            await task


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[House]:
    monkeypatch.setattr(errors, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(client, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(client, "UPLOAD_TIMEOUT_S", 0.3)
    chart = tmp_path / "chart.png"
    chart.write_bytes(png(400, 300))

    async def compose(task: Task, notices: Sequence[Notice]) -> Message:
        return replace(words(task, notices), chart=chart if len(notices) == 1 else None)

    store = SqliteStore(None, "recorded")
    await store.open()
    async with TelegramServer() as server:
        platform = TelegramPlatform(server.token, base_url=server.address)
        await platform.start(no_answer, SPECS, SUGGEST, Keeper(store))
        yield House(server, platform, store, Deliverer(store, [platform], compose, look_every_s=0.01))
        await platform.stop()
    await store.close()


async def test_a_chart_is_uploaded_once_for_all_the_chats_that_get_it(house: House) -> None:
    people = [house.server.world.started("Ann") for _ in range(12)]
    await house.owe(*people)
    await house.deliverer.drain()
    assert await house.states() == {"sent": 12}
    assert [note["uploaded"] for note in house.server.record].count(True) == 1
    assert len({house.server.sent(one)[0].photo for one in people}) == 1
    assert house.server.limits.refused == 0


async def test_where_the_first_chat_is_gone_the_next_one_gets_the_upload(house: House) -> None:
    people = [house.server.world.started("Ann") for _ in range(3)]
    house.server.world.block(people[0])
    await house.owe(*people)
    await house.deliverer.drain()
    assert await house.states() == {"sent": 2, "dead": 1}
    assert [note["uploaded"] for note in house.server.record] == [True, False]


async def test_a_chart_that_telegram_has_forgotten_is_uploaded_anew(house: House) -> None:
    ann = house.server.world.started("Ann")
    await house.owe(ann)
    await house.deliverer.drain()
    house.server.api.uploads.clear()
    await house.owe(ann)
    await house.deliverer.drain()
    assert [letter.photo is not None for letter in house.server.sent(ann)] == [True, True]


async def test_where_pictures_are_not_allowed_the_alert_goes_out_as_text(house: House) -> None:
    world = house.server.world
    group = world.supergroup("Friends", world.started("Ann"), bot="restricted")
    world.allow_bot(group, photos=False)
    await house.owe(group)
    await house.deliverer.drain()
    assert "BTC long 1" in (house.server.sent(group)[0].text or "")


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("Forbidden: CHAT_SEND_PHOTOS_FORBIDDEN"),
        BadRequest("Not enough rights to send documents to the chat"),
        NetworkError("Request Entity Too Large"),
    ],
    ids=str,
)
async def test_a_picture_that_is_refused_costs_neither_the_alert_nor_the_chat(
    house: House, error: TelegramError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(QuietBot, "send_photo", refuses)
    ann = house.server.world.started("Ann")
    await house.owe(ann)
    await house.deliverer.drain()
    assert "BTC long 1" in (house.server.sent(ann)[0].text or "")


async def test_a_chat_told_to_wait_does_not_delay_another(house: House) -> None:
    """P4."""
    ann, others = house.server.world.started("Ann"), [house.server.world.started("Bob") for _ in range(5)]
    house.server.limits.close(ann, 2)
    async with house.delivering():
        began = asyncio.get_running_loop().time()
        await house.owe(ann, *others)
        await house.server.until(lambda: all(house.server.sent(one) for one in others))
        assert asyncio.get_running_loop().time() - began < 1.5
        assert house.server.sent(ann) == []
        await house.server.until(lambda: house.server.sent(ann))
        assert asyncio.get_running_loop().time() - began >= 2
    assert house.server.limits.refused == 1, "told once, not asked again before its time"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["500", "502", "reset", "garbage", "timeout"])
async def test_what_goes_wrong_for_a_moment_costs_at_most_one_repeat_that_says_so(
    house: House, kind: str, when: str
) -> None:
    """P5."""
    ann = house.server.world.started("Ann")
    house.server.fault("sendPhoto", kind, when)
    async with house.delivering():
        await house.owe(ann)
        await house.server.until(lambda: len(house.server.sent(ann)) == (2 if when == "after" else 1))
        await house.server.until(lambda: not house.deliverer._under_way())
    sent = house.server.sent(ann)
    assert await house.states() == {"sent": 1}
    assert "Possible repeat" in sent[-1].words
    assert len(sent) == (2 if when == "after" else 1)


async def test_a_server_that_cannot_be_reached_makes_no_repeat(house: House) -> None:
    ann = house.server.world.started("Ann")
    port = house.server.port
    await house.server.close()
    async with house.delivering():
        await house.owe(ann)
        await asyncio.sleep(0.2)
        await house.server.start(port)
        await house.server.until(lambda: house.server.sent(ann))
    assert "Possible repeat" not in house.server.sent(ann)[0].words


@pytest.mark.parametrize("gone", ["blocked", "deactivated", "kicked", "deleted", "demoted"])
async def test_a_chat_that_is_gone_is_parked_and_never_tried_again(house: House, gone: str) -> None:
    """P6."""
    world = house.server.world
    ann = world.started("Ann")
    chat = ann if gone in ("blocked", "deactivated") else world.channel("News", ann, bot="administrator")
    {
        "blocked": lambda: world.block(ann),
        "deactivated": lambda: world.deactivate(ann),
        "kicked": lambda: world.kick_bot(chat, ann),
        "deleted": lambda: world.delete_chat(chat),
        "demoted": lambda: world.allow_bot(chat, post=False),
    }[gone]()
    await house.owe(chat)
    await house.owe(chat)
    await house.deliverer.drain()
    assert await house.states() == {"dead": 2}
    calls = house.server.api.calls["sendphoto"]
    assert await house.store.subscriptions() == [], "parked"
    await house.deliverer.drain()
    assert house.server.api.calls["sendphoto"] == calls


async def test_an_alert_follows_a_group_that_became_a_supergroup(house: House) -> None:
    """P6."""
    world = house.server.world
    group = world.group("Friends", world.started("Ann"), bot="member")
    await house.owe(group)
    new = world.migrate(group, quietly=True)
    async with asyncio.timeout(10):  # who does not follow tries for ever
        await house.deliverer.drain()
    assert "BTC long 1" in house.server.sent(new)[0].words
    assert [watch.chat.chat_id for watch in await house.store.subscriptions()] == [str(new)]


async def test_a_topic_that_was_deleted_is_parked_alone(house: House) -> None:
    world = house.server.world
    forum = world.supergroup("Forum", world.started("Ann"), bot="member", forum=True)
    one, two = world.topic(forum, "One"), world.topic(forum, "Two")
    world.delete_topic(forum, one)
    await house.owe(f"{forum}/{one}", f"{forum}/{two}", forum)
    async with house.delivering():
        await house.server.until(lambda: len(house.server.sent(forum)) == 2)
    assert {letter.thread_id for letter in house.server.sent(forum)} == {two, None}
    parked = {watch.chat.chat_id for watch in await house.store.subscriptions()}
    assert parked == {f"{forum}/{two}", str(forum)}


async def test_a_token_that_was_taken_back_ends_the_delivery_with_a_reason_that_does_not_name_it(house: House) -> None:
    house.server.fault("sendPhoto", "401")
    await house.owe(house.server.world.started("Ann"))
    with pytest.raises(Fatal) as ended:
        await house.deliverer.drain()
    assert house.server.token not in str(ended.value)


@pytest.mark.parametrize("chart", [None, png()], ids=["text", "caption"])
async def test_an_edit_completes_text_or_caption_and_nothing_to_change_is_no_fault(
    house: House, chart: bytes | None
) -> None:
    ann = str(house.server.world.started("Ann"))
    first = Message("One", chart=chart, buttons=((Button("Why", "/why #1"),),))
    sent = await house.platform.send(ann, first, nonce="n")
    for _ in range(2):
        await house.platform.edit(ann, sent, Message("Two", ("swept",), buttons=first.buttons))
    (shown,) = house.server.sent(int(ann))
    assert (shown.words, shown.labels, shown.edits) == ("Two\nswept", ["Why"], 1)


async def test_an_edit_of_a_message_that_is_gone_settles_that_delivery_alone(house: House) -> None:
    ann = str(house.server.world.started("Ann"))
    with pytest.raises(Reject) as gone:
        await house.platform.edit(ann, "77", Message("Three"))
    assert not gone.value.chat_gone


async def test_an_answer_to_a_message_that_is_gone_goes_out_without_and_silence_is_kept(house: House) -> None:
    ann = str(house.server.world.started("Ann"))
    first = await house.platform.send(ann, Message("One"), nonce="n")
    second = await house.platform.send(ann, Message("Two", reply_to=first, silent=True), nonce="n")
    house.server.world.delete_letter(int(ann), int(first))
    await house.platform.send(ann, Message("Three", reply_to=first), nonce="n")
    two, three = house.server.sent(int(ann))
    assert (two.message_id, two.reply_to, two.silent) == (int(second), int(first), True)
    assert (three.reply_to, three.silent) == (None, False)


async def test_the_large_chart_comes_as_a_file(house: House) -> None:
    ann = str(house.server.world.started("Ann"))
    for _ in range(2):
        await house.platform.send(ann, Message("Chart", chart=png(), chart_as_file=True), nonce="n")
    assert all(letter.document and letter.photo is None for letter in house.server.sent(int(ann)))
    assert [note["uploaded"] for note in house.server.record] == [True, False]
