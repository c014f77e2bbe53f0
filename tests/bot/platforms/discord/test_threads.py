"""Archived and locked threads: what cannot be edited there does not cost the chat its next alert."""

from collections.abc import AsyncIterator

import pytest

from bot.deliver import Deliverer
from bot.errors import Reject
from storage.chats import Chat
from storage.sqlite import SqliteStore
from tests.bot.delivering import compose
from tests.bot.platforms.discord.rig import Rig
from tests.bot.platforms.discord.rig import alert as words
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel
from tests.storage.make import alert, event, tick


@pytest.fixture
def thread(rest: Rig, channel: Channel) -> Channel:
    assert channel.guild is not None
    return rest.server.world.channel(channel.guild, "there", w.PUBLIC_THREAD, channel)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(None, "recorded")
    await store.open()
    yield store
    await store.close()


async def test_a_receipt_in_an_archived_thread_is_dropped_and_the_next_alert_opens_it_again(
    rest: Rig, thread: Channel, store: SqliteStore
) -> None:
    chat = Chat("discord", str(thread.id))
    deliverer = Deliverer(store, [rest.platform], compose)
    await store.commit_tick(tick(0, alert(event(subject="a", headline="long a"), chat)))
    await deliverer.drain()
    thread.archived = True
    await store.commit_tick(tick(1, completed=(event(subject="a", headline="long a, swept"),)))
    await deliverer.drain()
    assert thread.archived, "the edit came while it was"
    counts = await store.counts()
    assert counts.parked == {}
    assert counts.deliveries.get("pending", 0) == 0, "it is not tried again for ever"
    await store.commit_tick(tick(2, alert(event(subject="b", headline="long b"), chat)))
    await deliverer.drain()
    assert ["long a" in thread.seen[0].title, "long b" in thread.seen[1].title] == [True, True]
    assert not thread.archived


async def test_a_message_to_a_locked_thread_parks_it_and_an_edit_there_does_not(rest: Rig, thread: Channel) -> None:
    sent = await rest.platform.send(str(thread.id), words(), nonce="1")
    thread.archived = thread.locked = True
    with pytest.raises(Reject) as edited:
        await rest.platform.edit(str(thread.id), sent, words("🔴 BTC consumed"))
    assert not edited.value.chat_gone
    assert "locked" in edited.value.reason
    with pytest.raises(Reject) as refused:
        await rest.platform.send(str(thread.id), words(), nonce="2")
    assert refused.value.chat_gone
    assert "unlock it" in refused.value.reason
