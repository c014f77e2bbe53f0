"""Alerts over REST: complete, within the limits, without repeats, and every failure told as what it is."""

import asyncio
import time
from pathlib import Path

import discord
import pytest

from bot.errors import PlatformError, Reject, Retry
from bot.message import POSSIBLE_REPEAT as REPEAT
from bot.message import Button, Menu, Message, handle_of
from bot.platforms.discord import sending
from tests.bot.platforms.discord.rig import Rig, alert, eventually
from tests.chats.discord_server import Fault, Trouble
from tests.chats.discord_server import world as w
from tests.chats.discord_server.world import Channel


async def send(rig: Rig, channel: Channel, message: Message, nonce: str = "n") -> str:
    return await rig.platform.send(str(channel.id), message, nonce=nonce)


async def failure(rig: Rig, channel: Channel, message: Message | None = None, nonce: str = "n") -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        await send(rig, channel, message or alert(), nonce)
    return caught.value


async def test_an_alert_arrives_with_its_first_line_chart_buttons_and_without_mentions(
    rest: Rig, channel: Channel, tmp_path: Path
) -> None:
    chart = tmp_path / "a.png"
    chart.write_bytes(b"\x89PNG")
    buttons = ((Button("Mute BTC", "/mute 2h BTC"), Button("Why", "/why #1a2b3c4d")),)
    message = alert(chart=chart, buttons=buttons, menus=(Menu("More", (Button("Map", "/map BTC"),)),), silent=True)
    message_id = await send(rest, channel, message)
    (got,) = channel.seen
    assert str(got.id) == message_id
    assert got.title == message.title
    assert got.text.splitlines()[1:3] == ["Price 94,200 at 10:15 UTC", "Size ~$42.1M · 1.4% of open interest"]
    assert got.files == {"chart.png": b"\x89PNG"}
    assert got.embed["image"]["url"] == "attachment://chart.png"
    assert [part.get("label") or part.get("placeholder") for part in got.components] == ["Mute BTC", "Why", "More"]
    assert got.silent
    assert got.taken["allowed_mentions"] == {"parse": []}
    assert got.taken["nonce"] == "n"
    assert got.taken["enforce_nonce"]


async def test_the_chart_in_full_size_is_a_file_and_no_picture_of_the_embed(rest: Rig, channel: Channel) -> None:
    await send(rest, channel, alert(chart=b"\x89PNG", chart_as_file=True))
    assert channel.seen[0].files
    assert "image" not in channel.seen[0].embed


async def test_an_alert_replies_to_the_earlier_one_also_when_that_is_gone(rest: Rig, channel: Channel) -> None:
    first = await send(rest, channel, alert(), "1")
    await send(rest, channel, alert(reply_to=first), "2")
    assert channel.seen[1].taken["message_reference"]["message_id"] == int(first)
    await send(rest, channel, alert(reply_to="123456789012345678"), "3")
    assert "message_reference" not in channel.seen[2].taken


async def test_without_the_right_to_reply_the_alert_goes_out_alone(rest: Rig, channel: Channel) -> None:
    assert channel.guild is not None
    first = await send(rest, channel, alert(), "1")
    channel.overwrite(rest.server.world.bot, deny=w.READ_MESSAGE_HISTORY)
    await send(rest, channel, alert(reply_to=first), "2")
    assert "message_reference" not in channel.seen[1].taken


async def test_an_edit_completes_the_message_in_its_place(rest: Rig, channel: Channel) -> None:
    message_id = await send(rest, channel, alert(chart=b"one"))
    await rest.platform.edit(str(channel.id), message_id, alert("🔴 BTC consumed", chart=b"two"))
    (got,) = channel.seen
    assert (got.title, got.files) == ("🔴 BTC consumed", {"chart.png": b"two"})
    with pytest.raises(Reject) as gone:
        await rest.platform.edit(str(channel.id), "123456789012345678", alert())
    assert not gone.value.chat_gone


async def test_an_edit_says_nothing_of_a_repeat_that_was_ruled_out_when_it_was_sent(
    rest: Rig, channel: Channel
) -> None:
    message_id = await send(rest, channel, alert(footer=(REPEAT, *alert().footer)))
    await rest.platform.edit(str(channel.id), message_id, alert("🔴 BTC consumed", footer=(REPEAT, *alert().footer)))
    assert channel.seen[0].title == "🔴 BTC consumed"
    assert "Possible repeat" not in channel.seen[0].text


@pytest.mark.parametrize("kind", [w.PUBLIC_THREAD, w.ANNOUNCEMENT, w.DM])
async def test_threads_announcement_channels_and_direct_messages_are_destinations(
    rest: Rig, channel: Channel, kind: int
) -> None:
    world = rest.server.world
    assert channel.guild is not None
    if kind == w.DM:
        place = world.direct(world.member(channel.guild, "reader"))
    else:
        place = world.channel(channel.guild, "there", kind, channel if kind == w.PUBLIC_THREAD else None)
    await send(rest, place, alert())
    assert len(place.seen) == 1


async def test_a_post_of_a_forum_is_a_destination_and_the_forum_itself_is_parked(rest: Rig, channel: Channel) -> None:
    world = rest.server.world
    assert channel.guild is not None
    forum = world.channel(channel.guild, "forum", w.FORUM)
    post = world.channel(channel.guild, "post", w.PUBLIC_THREAD, forum)
    post.archived = True
    await send(rest, post, alert())
    assert len(post.seen) == 1
    assert not post.archived
    error = await failure(rest, forum)
    assert isinstance(error, Reject)
    assert error.chat_gone


# --- failures


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        (Fault(Trouble.STATUS, status=503), False),
        (Fault(Trouble.STATUS, status=503, taken=True), True),
        (Fault(Trouble.RESET), False),
        (Fault(Trouble.RESET, taken=True), True),
        (Fault(Trouble.GARBAGE), False),
        (Fault(Trouble.GARBAGE, taken=True), True),
        (Fault(Trouble.GARBAGE, text="", taken=True), True),
    ],
    ids=lambda value: f"{value.trouble}-{'after' if value.taken else 'before'}" if isinstance(value, Fault) else "",
)
async def test_after_an_ambiguous_failure_a_second_attempt_leaves_one_message(
    rest: Rig, channel: Channel, fault: Fault, arrived: bool
) -> None:
    rest.server.faults.add(fault)
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert error.ambiguous
    assert len(channel.seen) == arrived
    await send(rest, channel, alert(footer=(REPEAT,)))
    assert len(channel.seen) == 1
    assert rest.server.messages.repeats_refused == arrived


async def test_an_answer_that_never_comes_is_ambiguous_and_ends_in_time(
    rest: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_WITHIN_S", 0.1)
    rest.server.faults.add(Fault(Trouble.STALL, seconds=5, taken=True))
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert error.ambiguous


async def test_a_server_error_that_the_library_retries_itself_is_still_ambiguous(
    rest: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_WITHIN_S", 0.1)
    rest.server.faults.add(Fault(Trouble.STATUS, status=502, taken=True))
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert error.ambiguous


async def test_where_nothing_listens_the_message_cannot_have_arrived(rest: Rig, channel: Channel) -> None:
    await rest.server.stop()
    await failure(rest, channel)  # on the connection that was open still
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert not error.ambiguous


async def test_a_rate_limit_in_one_channel_delays_no_other(
    rest: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert channel.guild is not None
    other = rest.server.world.channel(channel.guild, "other")
    rest.server.faults.add(Fault(Trouble.STATUS, status=429, seconds=1.0, major=str(channel.id)))
    limited = asyncio.create_task(send(rest, channel, alert()))
    began_s = time.monotonic()
    await eventually(lambda: rest.server.statuses[429])
    await send(rest, other, alert(), "2")
    assert time.monotonic() - began_s < 0.5
    await limited
    assert len(channel.seen) == 1


async def test_a_long_rate_limit_comes_back_with_its_wait_and_is_not_ambiguous(rest: Rig, channel: Channel) -> None:
    rest.server.faults.add(Fault(Trouble.STATUS, status=429, seconds=600.0))
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert error.after_s == 600
    assert not error.ambiguous


async def test_a_wait_that_outlasts_our_patience_is_no_possible_repeat(
    rest: Rig, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_WITHIN_S", 0.2)
    rest.server.faults.add(Fault(Trouble.STATUS, status=429, seconds=5.0))
    error = await failure(rest, channel)
    assert isinstance(error, Retry)
    assert not error.ambiguous


async def test_a_channel_is_parked_at_its_first_403_and_its_first_404(rest: Rig, channel: Channel) -> None:
    channel.overwrite(rest.server.world.bot, deny=w.SEND_MESSAGES)
    error = await failure(rest, channel)
    assert isinstance(error, Reject)
    assert error.chat_gone
    assert "Send Messages" in error.reason
    assert rest.server.statuses[403] == 1
    channel.deleted = True
    error = await failure(rest, channel)
    assert isinstance(error, Reject)
    assert error.chat_gone
    assert rest.server.statuses[404] == 1


async def test_closed_direct_messages_park_that_chat(rest: Rig, channel: Channel) -> None:
    assert channel.guild is not None
    reader = rest.server.world.member(channel.guild, "reader")
    reader.takes_direct_messages = False
    error = await failure(rest, rest.server.world.direct(reader))
    assert isinstance(error, Reject)
    assert error.chat_gone


async def test_a_message_that_discord_refuses_dies_alone(rest: Rig, channel: Channel) -> None:
    rest.server.faults.add(Fault(Trouble.STATUS, status=400, body={"code": 50035, "message": "Invalid Form Body"}))
    error = await failure(rest, channel)
    assert isinstance(error, Reject)
    assert not error.chat_gone


async def test_what_is_no_channel_id_is_refused_without_asking(rest: Rig) -> None:
    with pytest.raises(Reject):
        await rest.platform.send("general", alert(), nonce="n")
    assert rest.server.requests["POST messages"] == 0


# --- repeats


async def test_after_a_restart_the_channel_is_searched_for_the_alert_and_nothing_is_repeated(
    rest: Rig, channel: Channel
) -> None:
    first = await send(rest, channel, alert())
    rest.server.messages.nonces.clear()  # minutes later
    rest.platform._sender._attempts.clear()  # in another process
    again = alert(footer=(REPEAT, *alert().footer))
    assert await send(rest, channel, again) == first
    assert len(channel.seen) == 1


async def test_an_alert_whose_chart_is_gone_goes_out_without_it(rest: Rig, channel: Channel, tmp_path: Path) -> None:
    message_id = await send(rest, channel, alert(chart=tmp_path / "gone.png"))
    assert channel.seen[0].title == alert().title
    assert not channel.seen[0].files
    assert "image" not in channel.seen[0].embed
    await rest.platform.edit(str(channel.id), message_id, alert("completed", chart=tmp_path / "gone.png"))
    assert channel.seen[0].title == "completed"


async def test_an_alert_is_found_by_the_handle_in_its_buttons(rest: Rig, channel: Channel) -> None:
    handle = handle_of("cluster_formed:BTC:abc")
    first = await send(rest, channel, alert(footer=(), buttons=((Button("Why", f"/why {handle}"),),)))
    rest.server.messages.nonces.clear()
    rest.platform._sender._attempts.clear()
    assert await send(rest, channel, alert(footer=(REPEAT,))) == first
    assert len(channel.seen) == 1


async def test_another_message_that_names_the_alert_is_not_taken_for_it(rest: Rig, channel: Channel) -> None:
    handle = handle_of("cluster_formed:BTC:abc")
    await send(rest, channel, Message(f"Why {handle}", footer=(handle,), alert_id="other"), "1")
    await send(rest, channel, alert(footer=(REPEAT,)), "2")
    assert [message.title for message in channel.seen] == [f"Why {handle}", alert().title]


async def test_a_grouped_message_is_found_word_by_word(rest: Rig, channel: Channel) -> None:
    group = Message("6 alerts in 1 minute", ("one", "two"), ("estimated",))
    first = await send(rest, channel, group)
    rest.server.messages.nonces.clear()
    rest.platform._sender._attempts.clear()
    assert await send(rest, channel, Message(group.title, group.lines, (REPEAT, *group.footer))) == first
    await send(rest, channel, Message(group.title, ("one", "three"), (REPEAT, *group.footer)), "2")
    assert len(channel.seen) == 2


async def test_what_the_search_does_not_find_goes_out_without_a_warning(rest: Rig, channel: Channel) -> None:
    await send(rest, channel, Message("something else"), "other")
    await send(rest, channel, alert(footer=(REPEAT, *alert().footer)))
    assert len(channel.seen) == 2
    assert "Possible repeat" not in channel.seen[1].text


async def test_where_the_history_may_not_be_read_the_alert_says_possible_repeat(rest: Rig, channel: Channel) -> None:
    await send(rest, channel, alert())
    rest.server.messages.nonces.clear()
    rest.platform._sender._attempts.clear()
    channel.overwrite(rest.server.world.bot, deny=w.READ_MESSAGE_HISTORY)
    await send(rest, channel, alert(footer=(REPEAT, *alert().footer)))
    assert len(channel.seen) == 2
    assert "Possible repeat" in channel.seen[1].text


# --- what is known of the bot's own rights


async def test_without_the_right_to_post_nothing_is_even_asked(rig: Rig, channel: Channel) -> None:
    await rig.server.overwrite(channel, rig.server.world.bot, deny=w.SEND_MESSAGES)
    await eventually(lambda: rig.platform._client and not _may_post(rig, channel))
    error = await failure(rig, channel)
    assert isinstance(error, Reject)
    assert error.chat_gone
    assert "Send Messages" in error.reason
    assert "Edit Channel" in error.reason
    assert rig.server.requests["POST messages"] == 0


def _may_post(rig: Rig, channel: Channel) -> bool:
    try:
        rig.platform._sender.held(channel.id)
    except Reject:
        return False
    return True


async def test_without_the_right_to_attach_the_alert_comes_without_its_chart_and_says_so(
    rig: Rig, channel: Channel
) -> None:
    await rig.server.overwrite(channel, rig.server.world.bot, deny=w.ATTACH_FILES)
    await eventually(lambda: not (rig.platform._sender.held(channel.id) or _everything()).attach_files)
    await send(rig, channel, alert(chart=b"\x89PNG"))
    assert not channel.seen[0].files
    assert "may not attach" in channel.seen[0].text


async def test_without_the_right_to_embed_the_alert_is_plain_text(rig: Rig, channel: Channel) -> None:
    await rig.server.overwrite(channel, rig.server.world.bot, deny=w.EMBED_LINKS)
    await eventually(lambda: not (rig.platform._sender.held(channel.id) or _everything()).embed_links)
    await send(rig, channel, alert())
    assert "embeds" not in channel.seen[0].taken
    assert "94,200" in channel.seen[0].text


def _everything() -> discord.Permissions:
    return discord.Permissions.all()


async def test_whatever_the_requests_are_for_fifty_a_second_are_not_exceeded(rest: Rig, channel: Channel) -> None:
    """Forty messages and forty edits at once: discord.py alone would send them all in the same second."""
    assert channel.guild is not None
    places = [rest.server.world.channel(channel.guild, f"c{number}") for number in range(40)]
    ids = await asyncio.gather(*(send(rest, place, alert(), str(n)) for n, place in enumerate(places)))
    edits = zip(places, ids, strict=True)
    await asyncio.gather(*(rest.platform.edit(str(place.id), each, alert("edited")) for place, each in edits))
    assert not rest.server.limits.refused
    assert [place.seen[0].title for place in places] == ["edited"] * 40
