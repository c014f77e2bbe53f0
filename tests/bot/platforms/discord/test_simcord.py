"""What people meet on Discord, on simcord: messages, menus, files and answers as a client holds them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import simcord

from bot.message import Button, Menu, Message, Table
from bot.platforms.discord import DiscordPlatform
from tests.bot.platforms.discord.rig import SPECS, Behind, alert


@asynccontextmanager
async def staged() -> AsyncIterator[tuple[simcord.Env, DiscordPlatform, Behind]]:
    behind, platform = Behind(), DiscordPlatform("unused")
    async with simcord.run(platform.prepare(behind.handle, SPECS, behind.suggest, behind)) as env:
        yield env, platform, behind
    await platform.stop()


def people(env: simcord.Env) -> tuple[simcord.ChannelHandle, simcord.MemberActor]:
    owner = env.create_user("owner")
    guild = env.create_guild(owner=owner)
    return guild.create_text_channel("alerts"), guild.add_member(owner)


async def test_an_alert_as_its_readers_see_it() -> None:
    async with staged() as (env, platform, _):
        channel, _ = people(env)
        message = alert(chart=b"\x89PNG", silent=True, buttons=((Button("Mute BTC 24 h", "/mute BTC 24h"),),))
        await platform.send(str(channel.id), message, nonce="n")
        seen = channel.last_message
        assert seen is not None
        assert seen.content == message.title
        (embed,) = seen.embeds
        assert embed.description == "\n".join(message.lines)
        assert embed.footer.text == "\n".join(message.footer)
        assert embed.colour is not None
        assert embed.colour.value == 0xD64545
        assert [attachment.filename for attachment in seen.attachments] == ["chart.png"]
        assert embed.image.url == "attachment://chart.png" or str(embed.image.url).endswith("chart.png")
        assert seen.flags.suppress_notifications
        assert not seen.mentions


async def test_a_menu_is_a_select_whose_choice_is_a_command() -> None:
    async with staged() as (env, _, behind):
        channel, owner = people(env)
        menu = Menu("Which market?", (Button("Bitcoin", "/map BTC"), Button("Ether", "/map ETH")))
        behind.answers["status"] = Message("Menu", menus=(menu,))
        shown = await owner.slash(channel, "status")
        assert shown.response is not None
        chosen = await owner.select(shown.response, ["/map ETH"])
        assert chosen.response is not None
        assert chosen.response.embeds[0].title == "answer to /map ETH"
        assert behind.requests[-1].pressed


async def test_options_are_completed_and_become_the_line() -> None:
    async with staged() as (env, _, behind):
        channel, owner = people(env)
        offered = await owner.autocomplete(channel, "watch", "symbol", "bt")
        assert [choice["value"] for choice in offered] == ["BTC", "BTCDOM"]
        await owner.slash(channel, "watch", symbol="BTC", within="3%")
        assert behind.requests[-1].text == "/watch BTC within 3%"


async def test_a_table_and_a_chart_answer_a_command() -> None:
    async with staged() as (env, _, behind):
        channel, owner = people(env)
        table = Table(("side", "size"), (("long", "$1M"),))
        behind.answers["map"] = Message("Map of BTC", ("estimated",), table=table, chart=b"\x89PNG")
        result = await owner.slash(channel, "map", symbol="BTC")
        assert result.response is not None
        assert "long  $1M" in str(result.response.embeds[0].description)
        assert [each.filename for each in result.response.attachments] == ["chart.png"]
        assert not result.ephemeral


async def test_buttons_work_after_the_bot_was_started_anew() -> None:
    async with staged() as (env, platform, _):
        channel, owner = people(env)
        await platform.send(str(channel.id), alert(buttons=((Button("Why", "/status"),),)), nonce="n")
        later, anew = Behind(), DiscordPlatform("unused")
        await env.restart_bot(anew.prepare(later.handle, SPECS, later.suggest, later))
        seen = channel.last_message
        assert seen is not None
        pressed = await owner.click(seen, label="Why")
        assert pressed.response is not None
        assert [request.text for request in later.requests] == ["/status"]
        await anew.stop()


async def test_markup_mentions_and_control_characters_in_what_is_typed_mean_nothing() -> None:
    async with staged() as (env, _, _):
        channel, owner = people(env)
        hostile = "@everyone <@1> **x** \u202e`y` [a](http://b)\x00"
        result = await owner.slash(channel, "map", symbol=hostile)
        assert result.response is not None
        title = str(result.response.embeds[0].title)
        assert "<@" not in title
        assert "\u202e" not in title
        assert r"\*\*x\*\*" in title
        sent = [entry for entry in env.http_requests if "callback" in entry.path]
        assert sent
        assert sent[-1].json["data"]["allowed_mentions"] == {"parse": []}  # type: ignore[index]
