"""Conversations with the real platform over a real socket: what people write, press and do, and what they read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.message import Button, Menu, Message
from bot.platforms.seam import Place, Request
from tests.chats.png import png
from tests.chats.telegram_rig import Rig, running
from tests.chats.telegram_world import BOT_ID, BOT_USERNAME

PAGE = Message(
    "Settings", menus=(Menu("Distance", (Button("2%", "/status 2"), Button("3%", "/status 3"))),), in_place=True
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig


async def test_what_is_written_in_a_private_chat_is_a_command_with_or_without_a_slash(rig: Rig) -> None:
    ann = rig.server.world.person("Ann")
    rig.server.world.say(ann, ann, "/start")
    rig.server.world.say(ann, ann, "btc")
    assert await rig.texts(ann, 2) == ["You said /start", "You said btc"]
    assert [(one.chat.chat_id, one.place, one.user_id) for one in rig.asked] == [
        (str(ann), Place.PRIVATE, str(ann))
    ] * 2


async def test_nothing_is_answered_before_it_is_committed(rig: Rig) -> None:
    rig.before_commit = asyncio.Event()
    ann = rig.server.world.started("Ann")
    rig.server.world.say(ann, ann, "/watch BTC")
    await rig.server.until(lambda: rig.asked)
    assert rig.server.sent(ann) == []
    rig.before_commit.set()
    assert await rig.texts(ann, 1) == ["You said /watch BTC"]


async def test_a_command_in_a_group_is_taken_with_the_bots_name_or_without_and_answered_as_a_reply(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    group = world.supergroup("Friends", ann, bot="administrator")
    asked = world.say(group, ann, f"/watch@{BOT_USERNAME} BTC")
    for ignored in ("hello all", "/watch@OtherBot BTC", "/roll 20"):
        world.say(group, ann, ignored)
    world.say(group, ann, "/wacth BTC")
    assert await rig.texts(group, 2) == ["You said /watch BTC", "You said /wacth BTC"]
    assert rig.server.sent(group)[0].reply_to == asked
    assert len(rig.asked) == 2


async def test_a_post_in_a_channel_is_a_command_and_is_answered_without_a_sound(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    channel = world.channel("News", ann, bot="administrator")
    world.post(channel, "Good morning")
    world.post(channel, "/watch BTC")
    assert await rig.texts(channel, 1) == ["You said /watch BTC"]
    assert rig.server.sent(channel)[0].silent
    assert rig.asked[0].place is Place.CHANNEL
    assert rig.asked[0].user_id is None


async def test_a_topic_is_a_chat_of_its_own(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    forum = world.supergroup("Forum", ann, bot="member", forum=True)
    topic = world.topic(forum, "Alerts")
    world.say(forum, ann, "/watch BTC", thread_id=topic)
    world.say(forum, ann, "/watch ETH")
    await rig.texts(forum, 2)
    assert [one.chat.chat_id for one in rig.asked] == [f"{forum}/{topic}", str(forum)]
    assert [letter.thread_id for letter in rig.server.sent(forum)] == [topic, None]


async def test_a_reply_outside_a_forum_is_no_topic(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    group = world.supergroup("Friends", ann, bot="administrator")
    first = world.say(group, ann, "hello")
    world.say(group, ann, "/status", reply_to=first)
    await rig.texts(group, 1)
    assert rig.asked[0].chat.chat_id == str(group)


async def test_a_page_of_a_menu_takes_the_place_of_the_one_before(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    rig.answer = lambda request: replace(PAGE, title=f"Settings {request.text}")
    world.say(ann, ann, "/status")
    await rig.texts(ann, 1)
    (letter,) = rig.server.sent(ann)
    assert letter.labels == ["2%", "3%"]
    press = world.press(ann, ann, letter.message_id, "3%")
    await rig.server.until(lambda: letter.edits == 1)
    assert letter.words == "Settings /status 3"
    assert world.pressed[press] == ""
    assert rig.asked[1].pressed


async def test_a_button_under_a_chart_is_answered_by_a_new_message(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    message = Message("Alert", chart=png(), buttons=((Button("Mute", "/mute 2h"),),))
    sent = int(await rig.platform.send(str(ann), message, nonce="n"))
    rig.answer = lambda _request: PAGE
    world.press(ann, ann, sent, "Mute")
    assert await rig.texts(ann, 2) == ["Alert", "Settings"]
    assert rig.server.sent(ann)[1].reply_to == sent


async def test_what_is_for_one_alone_opens_a_window_for_who_pressed(rig: Rig) -> None:
    world = rig.server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    group = world.supergroup("Friends", ann, bot="member")
    sent = await rig.platform.send(str(group), Message("Alert", buttons=((Button("Mute", "/mute 2h"),),)), nonce="n")
    press = world.press(group, bob, int(sent), "Mute")
    await rig.server.until(lambda: world.pressed[press] is not None)
    assert "only admins" in (world.pressed[press] or "")
    assert len(rig.server.sent(group)) == 1


async def test_readers_of_a_channel_get_their_answers_in_private(rig: Rig) -> None:
    world = rig.server.world
    ann, reader = world.started("Ann"), world.person("Reader")
    channel = world.channel("News", ann, bot="administrator")
    why = Button("Why", "/why #1a2b3c4d")
    sent = int(await rig.platform.send(str(channel), Message("Alert", buttons=((why,),)), nonce="n"))
    rig.answer = lambda request: Message("Because", ("a long story " * 20,), buttons=((why,),))
    press = world.press(channel, reader, sent, "Why")
    await rig.server.until(lambda: world.pressed[press] is not None)
    assert world.pressed[press] == f"https://t.me/{BOT_USERNAME}?start=channel", "leads who is not known to the bot"
    world.say(reader, reader, "/start channel")
    await rig.texts(reader, 1)
    press = world.press(channel, reader, sent, "Why")
    await rig.server.until(lambda: world.pressed[press] is not None)
    assert "private chat" in (world.pressed[press] or "")
    letter = rig.server.sent(reader)[-1]
    assert letter.words.startswith("Because")
    assert letter.labels == []
    rig.answer = lambda request: Message("Muted until noon.", buttons=((why,),))
    press = world.press(channel, reader, sent, "Why")
    await rig.server.until(lambda: world.pressed[press] == "Muted until noon.")
    assert len(rig.server.sent(channel)) == 1


async def test_readers_do_not_turn_the_pages_of_a_channels_menu(rig: Rig) -> None:
    world = rig.server.world
    ann, reader = world.started("Ann"), world.started("Reader")
    channel = world.channel("News", ann, bot="administrator")
    rig.answer = lambda request: replace(PAGE, title=request.text)
    sent = int(await rig.platform.send(str(channel), PAGE, nonce="n"))
    press = world.press(channel, reader, sent, "3%")
    await rig.server.until(lambda: world.pressed[press] is not None)
    assert "Only admins" in (world.pressed[press] or "")
    assert rig.server.sent(channel)[0].edits == 0
    world.press(channel, ann, sent, "3%")
    await rig.server.until(lambda: rig.server.sent(channel)[0].edits == 1)


async def test_the_bot_greets_a_group_and_tells_who_added_it_to_a_channel_how_to_go_on(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    group, channel = world.supergroup("Friends", ann), world.channel("News", ann)
    world.add_bot(group, ann)
    assert await rig.texts(group, 1) == ["You said /start"]
    world.add_bot(channel, ann, admin=True)
    assert "I can post in News now." in (await rig.texts(ann, 1))[0]
    assert rig.server.sent(channel) == [], "its readers are told nothing"
    assert rig.server.sent(ann)[0].data("Choose markets") == f"/in {channel} /watch"
    assert rig.upkept.told == [("back", str(group)), ("back", str(channel))]


async def test_a_missing_right_is_explained_to_who_can_grant_it(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    channel = world.channel("News", ann)
    world.allow_bot(channel, post=False)
    world.add_bot(channel, ann, admin=True)
    assert "right to post messages" in (await rig.texts(ann, 1))[0]
    assert rig.upkept.told == [("gone", str(channel))]


async def test_a_chat_that_removes_or_blocks_the_bot_is_parked_and_comes_back(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    group = world.group("Friends", ann, bot="member")
    world.kick_bot(group, ann)
    world.block(ann)
    world.unblock(ann)
    await rig.server.until(lambda: len(rig.upkept.told) == 3)
    assert sorted(rig.upkept.told) == sorted([("gone", str(group)), ("gone", str(ann)), ("back", str(ann))])


async def test_a_group_that_becomes_a_supergroup_is_followed_and_answered_where_it_is_now(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    loud, quiet = world.group("Loud", ann, bot="member"), world.group("Quiet", ann, bot="member")
    new = world.migrate(loud)
    await rig.server.until(lambda: len(rig.upkept.told) == 2)
    assert set(rig.upkept.told) == {("moved", f"{loud} to {new}")}
    rig.upkept.told.clear()
    world.say(quiet, ann, "/status")
    newer = world.migrate(quiet, quietly=True)
    assert await rig.texts(newer, 1) == ["You said /status"]
    assert rig.upkept.told == [("moved", f"{quiet} to {newer}")]


async def test_a_forwarded_command_is_nobodys(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    channel = world.channel("News", ann, bot="administrator")
    group = world.supergroup("Talk", ann, bot="administrator")
    world.link(channel, group)
    world.post(channel, "/watch BTC")
    await rig.texts(channel, 1)
    world.say(group, ann, "/status")
    assert await rig.texts(group, 1) == ["You said /status"]
    assert [one.chat.chat_id for one in rig.asked] == [str(channel), str(group)]


async def test_a_command_that_fails_by_our_fault_says_so_and_the_next_works(rig: Rig) -> None:
    def fails(request: Request) -> Message:
        if "one" in request.text:
            raise RuntimeError("a fault")
        return Message("fine")

    rig.answer = fails
    ann = rig.server.world.started("Ann")
    rig.server.world.say(ann, ann, "one")
    rig.server.world.say(ann, ann, "two")
    texts = await rig.texts(ann, 2)
    assert texts[0].startswith("That failed by a fault of ours")
    assert texts[1] == "fine"


async def test_the_menu_of_commands_is_set_by_scope_and_only_when_it_changed(rig: Rig) -> None:
    commands = rig.server.api.commands
    assert [one["command"] for one in commands["all_group_chats"]] == ["why", "status"]
    assert [one["command"] for one in commands["all_private_chats"]] == ["watch", "mute", "why", "status"]
    assert [one["command"] for one in commands["all_chat_administrators"]] == ["watch", "mute", "why", "status"]
    assert rig.server.api.calls["setmycommands"] == 3


async def test_presses_are_ended_even_where_the_message_is_too_old_to_be_seen(rig: Rig) -> None:
    world = rig.server.world
    ann = world.started("Ann")
    sent = int(await rig.platform.send(str(ann), PAGE, nonce="n"))
    press = world.press_data(ann, ann, sent, "·")
    await rig.server.until(lambda: world.pressed[press] is not None)
    assert rig.asked == []
    assert world.bot.user_id == BOT_ID
