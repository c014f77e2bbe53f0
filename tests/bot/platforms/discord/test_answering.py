"""Slash commands, buttons and menus: answered in time, to who may see it, in the place where it belongs."""

import asyncio

import pytest

from bot.errors import Retry
from bot.message import Button, Menu, Message
from bot.platforms.discord import answering
from bot.platforms.seam import Place
from storage.chats import Chat
from tests.bot.platforms.discord.rig import Rig, alert, eventually, running
from tests.chats.discord_server import DiscordServer, Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.discord_server.interactions import Callback
from tests.chats.discord_server.world import Channel, User


@pytest.fixture
def manager(server: DiscordServer, channel: Channel) -> User:
    assert channel.guild is not None
    return server.world.member(channel.guild, "manager", w.MANAGE_GUILD | w.MANAGE_CHANNELS)


@pytest.fixture
def member(server: DiscordServer, channel: Channel) -> User:
    assert channel.guild is not None
    return server.world.member(channel.guild, "member")


def slowly(seconds: float):  # type: ignore[no-untyped-def]
    async def wait() -> None:
        await asyncio.sleep(seconds)

    return wait


async def test_a_slash_command_is_the_line_somebody_would_have_typed(rig: Rig, channel: Channel, manager: User) -> None:
    asked = await rig.server.slash(manager, channel, "watch", symbol="BTC", within="3%")
    assert asked.answer.title == "answer to /watch BTC within 3%"
    assert not asked.answer.ephemeral
    (request,) = rig.behind.requests
    assert request.chat == Chat("discord", str(channel.id))
    assert (request.user_id, request.place, request.pressed) == (str(manager.id), Place.GROUP, False)


async def test_what_is_private_is_seen_by_who_asked_alone(rig: Rig, channel: Channel, member: User) -> None:
    rig.behind.answers["status"] = Message("only for you", private=True)
    asked = await rig.server.slash(member, channel, "status")
    assert asked.answer.ephemeral
    assert not channel.seen


async def test_a_direct_message_needs_no_secrecy(rig: Rig, member: User) -> None:
    rig.behind.answers["status"] = Message("only for you", private=True)
    asked = await rig.server.slash(member, rig.server.world.direct(member), "status")
    assert not asked.answer.ephemeral
    assert rig.behind.requests[0].place is Place.PRIVATE


@pytest.mark.parametrize(("name", "private"), [("map", False), ("map", True), ("watch", False), ("watch", True)])
async def test_a_slow_answer_is_deferred_and_still_seen_by_the_right_people(
    rig: Rig, channel: Channel, manager: User, name: str, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "DEFER_AFTER_S", 0.02)
    rig.behind.before = slowly(0.1)
    rig.behind.answers[name] = Message("done", chart=b"\x89PNG", private=private)
    asked = await rig.server.slash(manager, channel, name, symbol="BTC")
    assert asked.callback is Callback.DEFERRED
    assert asked.answer.title == "done"
    assert asked.answer.files == {"chart.png": b"\x89PNG"}
    # Discord cannot be told otherwise once it was promised to one person alone.
    assert asked.answer.ephemeral is private or name == "watch"


async def test_an_answer_is_promised_within_three_seconds_however_long_it_takes(
    rig: Rig, channel: Channel, member: User
) -> None:
    rig.behind.before = slowly(1.7)
    asked = await rig.server.slash(member, channel, "status")
    assert asked.answered_after_s is not None
    assert asked.answered_after_s < 3
    assert asked.answer.title == "answer to /status"


async def test_markets_are_completed_while_they_are_typed(rig: Rig, channel: Channel, manager: User) -> None:
    assert await rig.server.complete(manager, channel, "watch", "symbol", "bt") == ["BTC", "BTCDOM"]
    assert await rig.server.complete(manager, channel, "watch", "kinds", "formed con") == ["formed consumed"]


async def test_a_button_is_its_command_and_works_on_messages_of_an_earlier_process(
    server: DiscordServer, channel: Channel, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch) as rig:
        message = alert(buttons=((Button("Mute BTC", "/mute 2h BTC"),),))
        await rig.platform.send(str(channel.id), message, nonce="n")
    server.gateway.sessions.clear()
    async with running(server, monkeypatch) as rig:
        asked = await server.press(manager, channel, channel.seen[0], "Mute BTC")
        assert asked.answer.title == "answer to /mute 2h BTC"
        assert rig.behind.requests[0].pressed
        assert channel.seen[0].title == message.title


async def test_a_page_of_a_menu_takes_the_place_of_its_message_also_when_it_is_slow(
    rig: Rig, channel: Channel, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    menu = Menu("Choose a market", (Button("Bitcoin", "/settings BTC"), Button("Ether", "/settings ETH")))
    rig.behind.answers["status"] = Message("Settings", menus=(menu,), private=True)
    rig.behind.answers["settings"] = Message("Settings of BTC", buttons=((Button("Back", "/status"),),), in_place=True)
    first = (await rig.server.slash(manager, channel, "status")).answer
    asked = await rig.server.press(manager, channel, first, "Choose a market", ["/settings BTC"])
    assert asked.callback is Callback.UPDATE
    assert asked.answer is first
    assert first.title == "Settings of BTC"
    assert [part["label"] for part in first.components] == ["Back"]
    monkeypatch.setattr(answering, "DEFER_AFTER_S", 0.02)
    rig.behind.before = slowly(0.1)
    rig.behind.answers["status"] = Message("Settings", menus=(menu,), in_place=True)
    asked = await rig.server.press(manager, channel, first, "Back")
    assert asked.callback is Callback.DEFERRED_UPDATE
    assert first.title == "Settings"


async def test_a_press_answered_slowly_is_a_message_of_its_own(
    rig: Rig, channel: Channel, manager: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "DEFER_AFTER_S", 0.02)
    await rig.platform.send(str(channel.id), alert(buttons=((Button("Why", "/why #1a2b3c4d"),),)), nonce="n")
    rig.behind.before = slowly(0.1)
    rig.behind.answers["why"] = Message("because", private=True)
    asked = await rig.server.press(manager, channel, channel.seen[0], "Why")
    assert asked.answer.title == "because"
    assert asked.answer.ephemeral


async def test_a_command_that_fails_says_so(rig: Rig, channel: Channel, member: User) -> None:
    async def fail() -> None:
        raise RuntimeError("planted")

    rig.behind.before = fail
    asked = await rig.server.slash(member, channel, "status")
    assert asked.answer.title == "That went wrong here."
    assert asked.answer.ephemeral


async def test_a_reply_that_discord_loses_is_not_the_end_of_the_next(rig: Rig, channel: Channel, member: User) -> None:
    rig.server.faults.add(Fault(Trouble.STATUS, "POST callback", status=404, body={"code": 10062, "message": "x"}))
    lost = await rig.server.slash(member, channel, "status", within_s=0.3)
    assert not lost.done
    assert (await rig.server.slash(member, channel, "status")).done


async def test_an_answer_whose_connection_breaks_is_a_line_in_the_log_and_no_traceback(
    rig: Rig, channel: Channel, member: User, caplog: pytest.LogCaptureFixture
) -> None:
    rig.server.faults.add(Fault(Trouble.RESET, "POST callback"))
    lost = await rig.server.slash(member, channel, "status", within_s=0.3)
    assert not lost.done
    assert "could not be answered: Discord cannot be reached" in caplog.text
    assert not [one for one in caplog.records if one.exc_info]
    assert (await rig.server.slash(member, channel, "status")).done


async def test_what_the_bot_lacks_is_explained_to_who_asks_for_alerts(
    rig: Rig, channel: Channel, manager: User
) -> None:
    channel.overwrite(rig.server.world.bot, deny=w.SEND_MESSAGES | w.ATTACH_FILES)
    text = (await rig.server.slash(manager, channel, "watch", symbol="BTC")).answer.text
    assert "I lack Send Messages, Attach Files" in text
    assert "nothing can be posted" in text
    assert "Edit Channel" in text
    channel.overwrite(rig.server.world.bot, deny=w.ATTACH_FILES)
    text = (await rig.server.slash(manager, channel, "watch", symbol="BTC")).answer.text
    assert "there are no charts" in text
    channel.overwrite(rig.server.world.bot)
    assert "I lack" not in (await rig.server.slash(manager, channel, "watch", symbol="BTC")).answer.text


async def test_a_stop_lets_an_answer_finish(
    server: DiscordServer, channel: Channel, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch) as rig:
        rig.behind.before = slowly(0.2)
        asking = asyncio.create_task(server.slash(member, channel, "status"))
        await eventually(lambda: rig.behind.requests)
        await rig.platform.stop()
        assert (await asking).answer.title == "answer to /status"


async def test_another_channel_is_found_by_mention_link_id_and_name_and_its_managers_alone_may_change_it(
    channel: Channel, manager: User, member: User, rig: Rig
) -> None:
    assert channel.guild is not None
    await rig.server.slash(member, rig.server.world.direct(member), "status")
    await rig.server.slash(manager, rig.server.world.direct(manager), "status")
    await rig.server.slash(manager, channel, "status")
    by_member, by_manager, in_guild = rig.behind.requests
    assert by_member.elsewhere
    assert by_manager.elsewhere
    assert in_guild.elsewhere
    link = f"https://discord.com/channels/{channel.guild.id}/{channel.id}"
    for name in (f"<#{channel.id}>", link, str(channel.id)):
        found = await by_manager.elsewhere(name)
        assert found is not None
        assert found.chat.chat_id == str(channel.id)
        assert (await found.may_change()).allowed
        found = await by_member.elsewhere(name)
        assert found is not None
        assert not (await found.may_change()).allowed
    assert (await in_guild.elsewhere("#alerts")) is not None
    for name in ("nowhere", "", "123456789012345678", "#alerts"):
        assert await by_manager.elsewhere(name) is None
    rig.server.faults.add(Fault(Trouble.RESET, "GET member", times=2))
    with pytest.raises(Retry):
        await by_member.elsewhere(str(channel.id))
    channel.overwrite(channel.guild.everyone, deny=w.VIEW_CHANNEL)
    await rig.server.overwrite(channel, channel.guild.everyone, deny=w.VIEW_CHANNEL)
    await eventually(lambda: rig.platform._client and not _sees(rig, channel))
    assert await by_member.elsewhere(str(channel.id)) is None


def _sees(rig: Rig, channel: Channel) -> bool:
    assert rig.platform._client is not None
    found = rig.platform._client.get_channel(channel.id)
    return bool(found.overwrites_for(found.guild.default_role).view_channel is not False)  # type: ignore[union-attr]
