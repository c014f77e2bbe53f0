"""The gateway: lost and found again, alerts going on meanwhile, fatal codes, a bounded stop, no secrets told."""

import asyncio
import logging
import time
from types import SimpleNamespace

import pytest

from bot.errors import Fatal, Retry
from bot.platforms.discord import DiscordPlatform, errors
from bot.platforms.discord.client import Client
from tests.bot.platforms.discord.rig import SPECS, Behind, Rig, alert, eventually, running
from tests.chats.discord_server import DiscordServer, Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel


async def test_alerts_go_on_over_rest_while_the_gateway_is_down(rig: Rig, channel: Channel) -> None:
    rig.server.gateway.refuses_with = 503
    await rig.server.gateway.close_all(1001)
    await eventually(lambda: "alerts go on" in rig.platform.condition)
    await rig.platform.send(str(channel.id), alert(), nonce="n")
    assert len(channel.seen) == 1
    rig.server.gateway.refuses_with = None
    await eventually(lambda: rig.platform.condition.startswith("connected"), 10)


async def test_alerts_go_out_although_the_gateway_was_never_there(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gateway.refuses_with = 503
    async with running(server, monkeypatch, run=False) as rig:
        receiving = asyncio.create_task(rig.platform.run())
        await eventually(lambda: server.gateway.handshakes)
        await rig.platform.send(str(channel.id), alert(), nonce="n")
        assert len(channel.seen) == 1
        server.gateway.refuses_with = None
        # discord.py ends here with an AttributeError (#10520) and has to be started again.
        await eventually(lambda: rig.platform.condition.startswith("connected"), 15)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def test_a_handshake_that_ends_before_its_hello_is_tried_again(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gateway.closes_at_once_with = 4000
    async with running(server, monkeypatch, run=False) as rig:
        receiving = asyncio.create_task(rig.platform.run())
        await eventually(lambda: server.gateway.handshakes > 1)
        server.gateway.closes_at_once_with = None
        await eventually(lambda: rig.platform.condition.startswith("connected"), 15)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013, 4014])
async def test_a_fatal_close_code_ends_the_run_at_once_and_says_what_to_do(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    async with running(server, monkeypatch, run=False) as rig:
        receiving = asyncio.create_task(rig.platform.run())
        await rig.connected()
        began_s = time.monotonic()
        await server.gateway.close_all(code)
        with pytest.raises(Fatal) as ended:
            await asyncio.wait_for(receiving, 5)
        assert time.monotonic() - began_s < 5
        assert ended.value.reason == errors.FATAL_CODES[code]


async def test_a_refused_token_is_fatal_at_the_start(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch, run=False):
        platform = DiscordPlatform("another-token", wait_s=0.02)
        behind = Behind()
        await platform.start(behind.handle, SPECS, behind.suggest, behind)
        with pytest.raises(Fatal, match="Reset Token"):
            await asyncio.wait_for(platform.run(), 5)
        await platform.stop()


async def test_a_token_that_is_revoked_later_is_fatal_at_the_next_message(rest: Rig, channel: Channel) -> None:
    rest.server.world.token = "a new one"
    with pytest.raises(Fatal):
        await rest.platform.send(str(channel.id), alert(), nonce="n")


async def test_while_discord_is_down_at_the_start_messages_wait_and_the_login_is_tried_again(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch, run=False) as rig:
        server.down = True
        platform = DiscordPlatform(server.world.token, wait_s=0.02)
        await platform.start(rig.behind.handle, SPECS, rig.behind.suggest, rig.behind)
        await eventually(lambda: "trouble" in platform.condition)
        with pytest.raises(Retry) as caught:
            await platform.send(str(channel.id), alert(), nonce="n")
        assert not caught.value.ambiguous
        server.down = False
        await eventually(lambda: platform.invite)
        await platform.send(str(channel.id), alert(), nonce="n")
        await platform.stop()
    assert len(channel.seen) == 1


async def test_a_message_that_is_there_before_the_first_login_waits_for_it_and_is_not_put_off(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch, run=False) as rig:
        server.delay_s = 0.05
        platform = DiscordPlatform(server.world.token)
        await platform.start(rig.behind.handle, SPECS, rig.behind.suggest, rig.behind)
        await platform.send(str(channel.id), alert(), nonce="n")
        await platform.stop()
    assert len(channel.seen) == 1


async def test_a_session_that_is_not_valid_any_more_is_followed_by_a_new_one(rig: Rig) -> None:
    identified = len(rig.server.gateway.identifies)
    await rig.server.gateway.ask_to_reconnect()
    await eventually(lambda: rig.server.gateway.resumes == 1)
    assert len(rig.server.gateway.identifies) == identified


async def test_it_asks_for_guilds_alone_and_keeps_neither_members_nor_messages(rig: Rig, channel: Channel) -> None:
    (identify,) = rig.server.gateway.identifies
    assert identify["intents"] == 1
    assert isinstance(rig.platform._client, Client)
    state = rig.platform._client._connection
    await rig.platform.send(str(channel.id), alert(buttons=()), nonce="n")
    assert state._messages is None
    assert not state._view_store._views
    assert [len(guild.members) for guild in rig.platform._client.guilds] == [1]


async def test_buttons_leave_nothing_behind_in_memory(rig: Rig, channel: Channel) -> None:
    from bot.message import Button

    assert rig.platform._client is not None
    await rig.platform.send(str(channel.id), alert(buttons=((Button("Map", "/map BTC"),),)), nonce="n")
    store = rig.platform._client._connection._view_store
    assert not store._views
    assert not store._synced_message_views


async def test_a_stop_is_bounded_though_discord_does_not_answer_and_twice_does_nothing(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, monkeypatch) as rig:
        server.delay_s = 30
        began_s = time.monotonic()
        await rig.platform.stop()
        assert time.monotonic() - began_s < 3
        await rig.platform.stop()
        with pytest.raises(Retry):
            await rig.platform.send(str(channel.id), alert(), nonce="n")


async def test_a_removed_guild_a_deleted_channel_and_a_deleted_thread_are_told(rig: Rig, channel: Channel) -> None:
    world, behind = rig.server.world, rig.behind
    assert channel.guild is not None
    other = world.guild("Other")
    places = [world.channel(other, "a"), world.channel(other, "b")]
    thread = world.channel(other, "t", w.PUBLIC_THREAD, places[0])
    await rig.server.invite(other)
    await eventually(lambda: set(behind.was_back) == {str(place.id) for place in (*places, thread)})
    await rig.server.delete(thread)
    await eventually(lambda: behind.was_gone)
    assert behind.was_gone == [(str(thread.id), "the thread was deleted")]
    await rig.server.delete(places[1])
    await eventually(lambda: len(behind.was_gone) == 2)
    await rig.server.kick(other)
    await eventually(lambda: len(behind.was_gone) == 3)
    assert behind.was_gone[2][0] == str(places[0].id)
    assert "removed from the server" in behind.was_gone[2][1]


async def test_a_guild_that_is_only_unavailable_is_not_gone(rig: Rig, channel: Channel) -> None:
    assert channel.guild is not None
    await rig.server.outage(channel.guild)
    await rig.server.invite(rig.server.world.guild("Later"))
    await eventually(lambda: rig.platform.condition == "connected, in 2 servers")
    assert not rig.behind.was_gone


async def test_a_channel_is_served_again_once_the_bot_may_post_there(rig: Rig, channel: Channel) -> None:
    await rig.server.overwrite(channel, rig.server.world.bot, deny=w.SEND_MESSAGES)
    await rig.server.overwrite(channel, rig.server.world.bot)
    await eventually(lambda: rig.behind.was_back == [str(channel.id)])


async def test_commands_are_written_once_and_not_again_by_the_next_start(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        async with running(server, monkeypatch, run=False):
            await eventually(lambda: server.requests["GET commands"] and server.world.commands)
            server.requests.clear()
    assert server.world.command_writes == 1
    assert [command["name"] for command in server.world.commands] == ["watch", "map", "status"]
    async with running(server, monkeypatch, run=False, manager_role="Traders"):
        await eventually(lambda: server.world.command_writes == 2)


async def test_no_token_is_in_any_log_at_debug_any_repr_and_any_traceback(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = server.world.token
    async with running(server, monkeypatch) as rig:
        await rig.platform.send(str(channel.id), alert(chart=b"\x89PNG"), nonce="n")
        await server.gateway.close_all(4000)
        await eventually(lambda: server.gateway.resumes)
        assert channel.guild is not None
        manager = server.world.member(channel.guild, "manager", w.MANAGE_GUILD)
        assert (await server.slash(manager, channel, "status")).done
        said = [repr(rig.platform), repr(rig.platform._client), repr(rig.platform._sender), str(rig.platform.condition)]
        server.world.token = "revoked"
        with pytest.raises(Fatal) as caught:
            await rig.platform.send(str(channel.id), alert(), nonce="m")
        said += [repr(caught.value), str(caught.value), repr(caught.value.__cause__)]
    assert len(caplog.records) > 20
    assert not [
        record for record in caplog.records if record.levelno >= logging.WARNING and "voice" in record.getMessage()
    ]
    formatted = [logging.Formatter().format(record) for record in caplog.records]
    assert not [text for text in (*said, *formatted) if secret in text]


@pytest.mark.parametrize("set_s", [0.0, -3600.0], ids=["", "though the clock is set back"])
async def test_a_library_that_waits_too_long_to_connect_again_is_started_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, set_s: float
) -> None:
    from bot.platforms.discord import platform as platforms

    monkeypatch.setattr(platforms, "PATIENCE_S", 0.1)
    monkeypatch.setattr("discord.backoff.ExponentialBackoff.delay", lambda _: 1000.0)
    rig.server.gateway.refuses_with = 503
    await rig.server.gateway.close_all(1001)
    await eventually(lambda: "alerts go on" in rig.platform.condition)
    real_s = time.time
    monkeypatch.setattr(time, "time", lambda: real_s() + set_s)
    rig.server.gateway.refuses_with = None
    await eventually(lambda: rig.platform.condition.startswith("connected"), 10)


async def test_slash_commands_are_written_once_the_connection_holds(
    server: DiscordServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Fault(Trouble.RESET, "GET commands", times=2)
    server.faults.add(cut)
    async with running(server, monkeypatch, run=False):
        await eventually(lambda: {one["name"] for one in server.world.commands} == {one.name for one in SPECS})
    assert server.faults.met == [cut, cut]


async def test_a_task_that_failed_by_a_fault_of_ours_does_not_keep_the_rest_from_being_stopped(rest: Rig) -> None:
    async def fails() -> None:
        raise KeyError("id")

    failed = rest.platform._syncing = asyncio.create_task(fails())
    await asyncio.wait([failed])
    await rest.platform.stop()
    assert "not connected" in rest.platform.condition


def test_a_token_that_no_header_can_hold_is_refused_and_a_line_break_after_it_is_no_part_of_it() -> None:
    rates = SimpleNamespace(per_second=40.0, manager_role="")
    with pytest.raises(Fatal, match="DISCORD_TOKEN"):
        DiscordPlatform.from_environment({"DISCORD_TOKEN": "a.b\r\n.c"}, rates)
    DiscordPlatform.from_environment({"DISCORD_TOKEN": "a.b.c\r\n"}, rates)
