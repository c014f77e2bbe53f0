"""The local Discord is strict: the real client works against it, and what the platform would refuse is refused."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import discord
import pytest
import yarl
from aiohttp import ClientSession

from tests.chats.discord_server import DiscordServer, Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel, Json

AGENT = "DiscordBot (https://example.org 1)"


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as running:
        yield running


@pytest.fixture
def channel(server: DiscordServer) -> Channel:
    return server.world.channel(server.world.guild())


@pytest.fixture
async def client(server: DiscordServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[discord.Client]:
    """The real discord.py, logged in and not connected."""
    monkeypatch.setattr(discord.http.Route, "BASE", server.base_url)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url))
    client = discord.Client(intents=discord.Intents(guilds=True), max_messages=None)
    async with client:
        await client.login(server.world.token)
        yield client


async def ask(server: DiscordServer, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Json]:
    sent = {"User-Agent": AGENT, "Authorization": f"Bot {server.world.token}", **headers}
    async with (
        ClientSession() as session,
        session.request(method, server.base_url + path, json=body, headers=sent) as response,
    ):
        return response.status, await response.json()


async def post(server: DiscordServer, channel: Channel, body: Json) -> tuple[int, Json]:
    return await ask(server, "POST", f"/channels/{channel.id}/messages", body)


async def test_the_real_client_sends_reads_edits_and_replies(
    server: DiscordServer, client: discord.Client, channel: Channel
) -> None:
    place = client.get_partial_messageable(channel.id)
    chart = discord.File(io.BytesIO(b"png"), "chart.png")
    embed = discord.Embed(title="BTC").set_image(url="attachment://chart.png")
    first = await place.send(embed=embed, file=chart, nonce="n1", silent=True)
    second = await place.send("later", reference=discord.MessageReference(message_id=first.id, channel_id=channel.id))
    await second.edit(content="complete")
    assert [message.text for message in channel.seen] == ["BTC", "complete"]
    assert channel.seen[0].files == {"chart.png": b"png"}
    assert channel.seen[0].silent
    assert not channel.seen[1].silent
    assert [message.id async for message in place.history(limit=5)] == [second.id, first.id]
    assert [line["what"] for line in server.received] == ["message", "message", "edit"]


async def test_the_real_client_identifies_gets_its_guilds_and_resumes(
    server: DiscordServer, client: discord.Client, channel: Channel
) -> None:
    running = asyncio.create_task(client.connect())
    await asyncio.wait_for(client.wait_until_ready(), 5)
    assert client.get_channel(channel.id) is not None
    await server.gateway.close_all(4000)
    other = server.world.guild("Missed meanwhile")
    joined = asyncio.create_task(client.wait_for("guild_join", timeout=5))
    await server.invite(other)
    assert (await joined).id == other.id
    assert server.gateway.resumes == 1
    assert len(server.gateway.identifies) == 1
    await client.close()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_nonce_is_taken_once_in_five_minutes_whatever_the_channel(
    server: DiscordServer, channel: Channel
) -> None:
    assert channel.guild is not None
    other = server.world.channel(channel.guild, "other")
    body = {"content": "once", "nonce": "abc", "enforce_nonce": True}
    _, first = await post(server, channel, dict(body))
    _, again = await post(server, other, dict(body))
    assert first["id"] == again["id"]
    assert len(channel.seen) == 1
    assert not other.seen
    await post(server, channel, {"content": "not enforced", "nonce": "abc"})
    assert len(channel.seen) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "empty message"),
        ({"content": "x" * 2001}, "2000"),
        ({"content": "x", "nonce": "n" * 26}, "25"),
        ({"embeds": [{"title": "x" * 257}]}, "256"),
        ({"embeds": [{"description": "x" * 4097}]}, "4096"),
        ({"embeds": [{"fields": [{"name": "a", "value": "b"}] * 26}]}, "25"),
        ({"embeds": [{"fields": [{"name": "a", "value": ""}]}]}, "required"),
        ({"embeds": [{"fields": [{"name": "a", "value": "x" * 1025}]}]}, "1024"),
        ({"embeds": [{"footer": {"text": "x" * 2049}}]}, "2048"),
        ({"embeds": [{"description": "x" * 4000}, {"description": "x" * 2001}]}, "6000"),
        ({"embeds": [{"image": {"url": "attachment://none.png"}}]}, "No upload"),
        ({"content": "x", "flags": 64}, "flags"),
        ({"content": "x", "components": [{"type": 1, "components": []}]}, "too wide"),
        ({"content": "x", "message_reference": {"message_id": "1"}}, "Unknown message"),
    ],
)
async def test_a_message_that_discord_would_refuse_is_refused(
    server: DiscordServer, channel: Channel, body: Json, words: str
) -> None:
    status, answer = await post(server, channel, body)
    assert status == 400
    assert words in json.dumps(answer)
    assert not channel.messages


def _button(custom_id: str = "a", label: str = "A") -> Json:
    return {"type": 2, "style": 1, "custom_id": custom_id, "label": label}


@pytest.mark.parametrize(
    "parts",
    [
        [_button("a"), _button("a")],
        [_button("x" * 101)],
        [_button(label="x" * 81)],
        [_button(str(number)) for number in range(6)],
        [{"type": 3, "custom_id": "m", "options": []}],
        [{"type": 3, "custom_id": "m", "options": [{"label": "x", "value": "v"}] * 2}],
        [{"type": 3, "custom_id": "m", "options": [{"label": "x" * 101, "value": "v"}]}],
    ],
)
async def test_components_that_discord_would_refuse_are_refused(
    server: DiscordServer, channel: Channel, parts: list[Json]
) -> None:
    status, _ = await post(server, channel, {"content": "x", "components": [{"type": 1, "components": parts}]})
    assert status == 400


async def test_a_channel_takes_five_messages_in_five_seconds_and_says_so_before(
    server: DiscordServer, channel: Channel
) -> None:
    statuses = [(await post(server, channel, {"content": "x"}))[0] for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert server.limits.refused == {"user": 1}
    assert channel.guild is not None
    other = server.world.channel(channel.guild, "other")
    assert (await post(server, other, {"content": "x"}))[0] == 200


async def test_more_than_fifty_requests_a_second_are_refused_globally(server: DiscordServer) -> None:
    answers = await asyncio.gather(*(ask(server, "GET", "/users/@me") for _ in range(60)))
    refused = [body for status, body in answers if status == 429]
    assert len(refused) == 10
    assert all(body["global"] and 0 < body["retry_after"] <= 1.01 for body in refused)


@pytest.mark.parametrize(
    ("denied", "body"),
    [
        (w.VIEW_CHANNEL, {"content": "x"}),
        (w.SEND_MESSAGES, {"content": "x"}),
        (w.EMBED_LINKS, {"embeds": [{"title": "x"}]}),
    ],
)
async def test_what_the_bot_may_not_do_is_forbidden(
    server: DiscordServer, channel: Channel, denied: int, body: Json
) -> None:
    assert channel.guild is not None
    channel.overwrite(channel.guild.everyone, deny=denied)
    member = channel.guild.members[server.world.bot.id]
    member.roles.clear()
    status, _ = await post(server, channel, body)
    assert status == 403
    assert server.limits.invalid == 1


async def test_a_deleted_channel_is_unknown_and_a_left_guild_is_closed(server: DiscordServer, channel: Channel) -> None:
    await server.delete(channel)
    assert (await post(server, channel, {"content": "x"}))[1]["code"] == 10003
    guild = server.world.guild("Left")
    other = server.world.channel(guild)
    await server.kick(guild)
    assert (await post(server, other, {"content": "x"}))[1]["code"] == 50001


async def test_other_agents_and_other_tokens_are_turned_away(server: DiscordServer) -> None:
    assert (await ask(server, "GET", "/users/@me", **{"User-Agent": "curl"}))[0] == 403
    assert (await ask(server, "GET", "/users/@me", Authorization="Bot wrong"))[0] == 401


async def test_a_fault_before_taking_leaves_nothing_and_one_after_it_does(
    server: DiscordServer, channel: Channel
) -> None:
    server.faults.add(Fault(Trouble.STATUS, status=503))
    assert (await post(server, channel, {"content": "lost"}))[0] == 503
    assert not channel.seen
    server.faults.add(Fault(Trouble.STATUS, status=502, taken=True))
    assert (await post(server, channel, {"content": "taken"}))[0] == 502
    assert [message.text for message in channel.seen] == ["taken"]


async def test_a_published_post_is_published_once_and_edited_three_times(server: DiscordServer) -> None:
    guild = server.world.guild()
    news = server.world.channel(guild, "news", w.ANNOUNCEMENT)
    _, message = await post(server, news, {"content": "x"})
    path = f"/channels/{news.id}/messages/{message['id']}"
    assert (await ask(server, "POST", f"{path}/crosspost"))[0] == 200
    assert (await ask(server, "POST", f"{path}/crosspost"))[1]["code"] == 40033
    edits = [(await ask(server, "PATCH", path, {"content": "y"}))[0] for _ in range(4)]
    assert edits == [200, 200, 200, 429]


@pytest.mark.parametrize("code", [4004, 4014])
async def test_the_gateway_closes_as_it_is_told(server: DiscordServer, client: discord.Client, code: int) -> None:
    server.gateway.closes_identify_with = code
    expected = discord.PrivilegedIntentsRequired if code == 4014 else discord.ConnectionClosed
    with pytest.raises(expected):
        await asyncio.wait_for(client.connect(), 5)


async def test_a_wrong_token_and_privileged_intents_are_refused_by_the_gateway(
    server: DiscordServer, client: discord.Client
) -> None:
    client.http.token = "wrong"
    with pytest.raises(discord.ConnectionClosed, match="4004"):
        await asyncio.wait_for(client.connect(), 5)


async def test_as_a_process_it_tells_where_it_is_and_records_what_came(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chats.discord_server", "--record", str(record), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        said: dict[str, Any] = json.loads(await asyncio.wait_for(child.stdout.readline(), 20))
        base, token = said["environment"]["DISCORD_BASE_URL"], said["environment"]["DISCORD_TOKEN"]
        headers = {"User-Agent": AGENT, "Authorization": f"Bot {token}"}
        url = f"{base}/channels/{said['channels'][0]}/messages"
        async with ClientSession() as session:
            fault = {"trouble": "status", "status": 503, "taken": True}
            async with session.post(f"{said['control']}/fault", json=fault) as response:
                assert response.status == 200
            body = {"content": "hello", "nonce": "n", "enforce_nonce": True}
            for expected in (503, 200):
                async with session.post(url, json=body, headers=headers) as response:
                    assert response.status == expected
            async with session.get(f"{said['control']}/state") as response:
                state = await response.json()
        assert [line["text"] for line in state["received"]] == ["hello"]
        assert state["repeats_refused"] == 1
        assert [json.loads(line)["text"] for line in record.read_text().splitlines()] == ["hello"]
    finally:
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 10) == 0
