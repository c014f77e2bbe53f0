"""Announcement channels: published within the hourly limits, never delaying the alert."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.errors import Retry
from bot.platforms.discord.publishing import HOUR_S
from tests.bot.platforms.discord.rig import Rig, alert, running
from tests.chats.discord_server import DiscordServer, Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel


@pytest.fixture
def channel(server: DiscordServer) -> Channel:
    return server.world.channel(server.world.guild(), "news", w.ANNOUNCEMENT)


@pytest.fixture
async def rig(server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    async with running(server, monkeypatch) as started:
        yield started


async def test_an_alert_in_an_announcement_channel_is_published(rig: Rig, channel: Channel) -> None:
    await rig.platform.send(str(channel.id), alert(), nonce="n")
    await rig.platform._publisher.idle()
    assert channel.seen[0].crossposted


async def test_publishing_does_not_delay_the_alert(rig: Rig, channel: Channel) -> None:
    rig.server.faults.add(Fault(Trouble.STALL, "POST crosspost", seconds=5))
    await asyncio.wait_for(rig.platform.send(str(channel.id), alert(), nonce="n"), 1)
    assert len(channel.seen) == 1


async def test_a_refusal_to_publish_loses_nothing(rig: Rig, channel: Channel) -> None:
    rig.server.faults.add(Fault(Trouble.STATUS, "POST crosspost", status=429, seconds=3000))
    await rig.platform.send(str(channel.id), alert(), nonce="n")
    await rig.platform._publisher.idle()
    assert len(channel.seen) == 1
    assert not channel.seen[0].crossposted


async def test_more_than_ten_an_hour_stay_unpublished_and_discord_never_has_to_say_so(
    rig: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, now = rig.platform._publisher, [0.0]
    monkeypatch.setattr(publisher, "_now_s", lambda: now[0])
    monkeypatch.setattr("tests.chats.discord_server.limits.RULES", {})  # so that twelve posts do not take seconds
    for number in range(12):
        await rig.platform.send(str(channel.id), alert(), nonce=str(number))
        await publisher.idle()
    assert sum(message.crossposted for message in channel.seen) == 10
    assert publisher.held_back == 2
    assert len(channel.seen) == 12
    now[0] += HOUR_S + 1
    await rig.platform.send(str(channel.id), alert(), nonce="later")
    await publisher.idle()
    assert channel.seen[-1].crossposted


async def test_a_published_post_is_edited_three_times_an_hour_and_then_waits(
    rig: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(rig.platform._publisher, "_now_s", lambda: now[0])
    message_id = await rig.platform.send(str(channel.id), alert(), nonce="n")
    await rig.platform._publisher.idle()
    for number in range(3):
        await rig.platform.edit(str(channel.id), message_id, alert(f"edit {number}"))
    now[0] += 600
    with pytest.raises(Retry) as caught:
        await rig.platform.edit(str(channel.id), message_id, alert("edit 4"))
    assert caught.value.after_s == HOUR_S - 600
    assert not rig.server.limits.refused
    assert channel.seen[0].title == "edit 2"


async def test_other_channels_are_not_published(rig: Rig, channel: Channel) -> None:
    assert channel.guild is not None
    plain = rig.server.world.channel(channel.guild, "plain")
    await rig.platform.send(str(plain.id), alert(), nonce="n")
    await rig.platform._publisher.idle()
    assert rig.server.requests["POST crosspost"] == 0
