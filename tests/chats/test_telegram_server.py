"""The local Telegram is as strict as the real one: the real library sends it what would be refused there."""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)

from tests.chats.png import png
from tests.chats.telegram_client import client
from tests.chats.telegram_server import TelegramServer
from tests.chats.telegram_text import parse, utf16_length

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


@pytest.fixture
async def bot(server: TelegramServer) -> AsyncIterator[Bot]:
    async with client(server) as bot:
        yield bot


async def test_a_bot_with_another_token_is_refused(server: TelegramServer) -> None:
    with pytest.raises(InvalidToken):
        async with client(server, "4242:another"):
            pass


async def test_nobody_is_written_to_who_has_not_started_the_bot(server: TelegramServer, bot: Bot) -> None:
    ann = server.world.person("Ann")
    with pytest.raises(Forbidden, match=r"(?i)can't initiate"):
        await bot.send_message(ann, "hello")
    server.world.say(ann, ann, "/start")
    await bot.send_message(ann, "hello")
    assert [letter.text for letter in server.sent(ann)] == ["hello"]
    server.world.block(ann)
    with pytest.raises(Forbidden, match=r"(?i)blocked"):
        await bot.send_message(ann, "hello?")
    with pytest.raises(BadRequest, match=r"(?i)Chat not found"):
        await bot.send_message(99, "hello?")


async def test_updates_come_again_until_they_are_confirmed_and_a_second_poller_ends_the_first(
    server: TelegramServer, bot: Bot
) -> None:
    ann = server.world.person("Ann")
    server.world.say(ann, ann, "/watch BTC")
    (update,) = await bot.get_updates(timeout=0)
    assert [again.update_id for again in await bot.get_updates(timeout=0)] == [update.update_id]
    assert update.message is not None
    assert update.message.text == "/watch BTC"
    older = asyncio.create_task(bot.get_updates(offset=update.update_id + 1, timeout=5))
    await asyncio.sleep(0.05)
    async with client(server) as another:
        newer = asyncio.create_task(another.get_updates(offset=update.update_id + 1, timeout=5))
        with pytest.raises(Conflict):
            await older
        server.world.say(ann, ann, "/help")
        assert len(await newer) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<b>open", "Can't find end tag"),
        ("<blink>x</blink>", "Unsupported start tag"),
        ("a < b", "Unclosed start tag"),
        ("<b>a</i>", "Unmatched end tag"),
        ("a</b>", "Unexpected end tag"),
        ("x" * 4097, "too long"),
        ("🟢" * 2049, "too long"),
        ("<b> </b>", "text is empty"),
    ],
)
async def test_a_text_that_telegram_cannot_read_is_refused(
    server: TelegramServer, bot: Bot, text: str, why: str
) -> None:
    ann = server.world.started("Ann")
    with pytest.raises(BadRequest, match=f"(?i){why}"):
        await bot.send_message(ann, text, parse_mode="HTML")
    assert server.sent(ann) == []


async def test_lengths_are_measured_after_entities_in_utf16_units(server: TelegramServer, bot: Bot) -> None:
    ann = server.world.started("Ann")
    await bot.send_message(ann, "<b>" + "&lt;" * 4096 + "</b>", parse_mode="HTML")
    await bot.send_photo(ann, png(), caption="<i>" + "🟢" * 512 + "</i>", parse_mode="HTML")
    with pytest.raises(BadRequest, match=r"(?i)caption is too long"):
        await bot.send_photo(ann, png(), caption="🟢" * 512 + ".")
    assert parse("a&lt;<b>🟢b</b>", "HTML").entities == ({"offset": 2, "length": 3, "type": "bold"},)
    assert utf16_length("🟢b") == 3


async def test_buttons_carry_64_bytes_at_most(server: TelegramServer, bot: Bot) -> None:
    ann = server.world.started("Ann")

    def keyboard(data: str) -> InlineKeyboardMarkup:
        return InlineKeyboardMarkup([[InlineKeyboardButton("Mute", callback_data=data)]])

    with pytest.raises(BadRequest, match=r"(?i)button_data_invalid"):
        await bot.send_message(ann, "x", reply_markup=keyboard("é" * 33))
    await bot.send_message(ann, "x", reply_markup=keyboard("é" * 32))


async def test_photos_are_uploaded_once_then_known_by_their_id(server: TelegramServer, bot: Bot) -> None:
    ann = server.world.started("Ann")
    sent = await bot.send_photo(ann, png())
    again = await bot.send_photo(ann, sent.photo[-1].file_id)
    assert again.photo[-1].file_id == sent.photo[-1].file_id
    assert [note["uploaded"] for note in server.record] == [True, False]
    with pytest.raises(BadRequest, match=r"(?i)Wrong file identifier"):
        await bot.send_photo(ann, "AgACunknown")
    with pytest.raises(BadRequest, match=r"(?i)can't use file"):
        await bot.send_document(ann, sent.photo[-1].file_id)
    with pytest.raises(BadRequest, match=r"(?i)photo_invalid_dimensions"):
        await bot.send_photo(ann, png(9990, 20))
    with pytest.raises(BadRequest, match=r"(?i)image_process_failed"):
        await bot.send_photo(ann, b"no picture at all")


async def test_each_kind_of_chat_that_is_gone_is_refused_in_its_own_words(server: TelegramServer, bot: Bot) -> None:
    world = server.world
    ann = world.started("Ann")
    left, kicked = world.group("Left", ann), world.supergroup("Kicked", ann, bot="member")
    gone, channel = world.group("Gone", ann, bot="member"), world.channel("News", ann, bot="member")
    world.kick_bot(kicked, ann)
    world.delete_chat(gone)
    for chat, error in ((left, "not a member"), (kicked, "was kicked"), (gone, "was deleted")):
        with pytest.raises(Forbidden, match=f"(?i){error}"):
            await bot.send_message(chat, "x")
    with pytest.raises(BadRequest, match=r"(?i)administrator rights"):
        await bot.send_message(channel, "x")
    world.set_status(channel, world.bot.user_id, "administrator")
    await bot.send_message(channel, "x")
    group = world.group("Grows", ann, bot="member")
    new = world.migrate(group)
    with pytest.raises(ChatMigrated) as migrated:
        await bot.send_message(group, "x")
    assert migrated.value.new_chat_id == new


async def test_a_missing_topic_is_refused_and_replies_need_leave_to_go_without(
    server: TelegramServer, bot: Bot
) -> None:
    world = server.world
    ann = world.started("Ann")
    forum = world.supergroup("Forum", ann, bot="member", forum=True)
    topic = world.topic(forum, "Alerts")
    sent = await bot.send_message(forum, "x", message_thread_id=topic)
    assert sent.is_topic_message
    with pytest.raises(BadRequest, match=r"(?i)thread not found"):
        await bot.send_message(forum, "x", message_thread_id=topic + 50)
    with pytest.raises(BadRequest, match=r"(?i)replied not found"):
        await bot.send_message(ann, "x", reply_parameters=ReplyParameters(77))
    await bot.send_message(ann, "x", reply_parameters=ReplyParameters(77, allow_sending_without_reply=True))


async def test_edits_know_what_can_be_edited(server: TelegramServer, bot: Bot) -> None:
    ann = server.world.started("Ann")
    text = await bot.send_message(ann, "one")
    photo = await bot.send_photo(ann, png(), caption="one")
    with pytest.raises(BadRequest, match=r"(?i)not modified"):
        await bot.edit_message_text("one", ann, text.message_id)
    with pytest.raises(BadRequest, match=r"(?i)no text in the message"):
        await bot.edit_message_text("two", ann, photo.message_id)
    await bot.edit_message_caption(ann, photo.message_id, caption="two")
    server.world.delete_letter(ann, text.message_id)
    with pytest.raises(BadRequest, match=r"(?i)edit not found"):
        await bot.edit_message_text("two", ann, text.message_id)


async def test_privacy_mode_lets_through_commands_and_replies_only(server: TelegramServer, bot: Bot) -> None:
    world = server.world
    ann = world.started("Ann")
    group = world.supergroup("Friends", ann, bot="member")
    own = await bot.send_message(group, "hello")
    for text in ("chatting", "/watch@OtherBot BTC", "/watch BTC", "/watch@clusterwatchbot BTC"):
        world.say(group, ann, text)
    world.say(group, ann, "an answer", reply_to=own.message_id)
    world.rooms[group].other_bot_spoke = True
    world.say(group, ann, "/help")
    seen = [update.message.text for update in await bot.get_updates(timeout=0) if update.message]
    assert seen == ["/watch BTC", "/watch@clusterwatchbot BTC", "an answer"]


async def test_one_chat_gets_one_message_a_second_and_a_group_twenty_a_minute() -> None:
    now = 100.0
    async with TelegramServer(now_s=lambda: now) as server, client(server) as bot:
        ann = server.world.started("Ann")
        for _ in range(3):
            await bot.send_message(ann, "x")
        with pytest.raises(RetryAfter):
            await bot.send_message(ann, "x")
        now += 0.5
        with pytest.raises(RetryAfter):
            await bot.send_message(ann, "x")
        now += 1.0
        await bot.send_message(ann, "x")
        group = server.world.group("Friends", ann, bot="member")
        for _ in range(20):
            now += 1.0
            await bot.send_message(group, "x")
        now += 1.0
        with pytest.raises(RetryAfter) as refused:
            await bot.send_message(group, "x")
        assert str(refused.value).endswith("0:00:40")
        assert server.limits.refused == 3


async def test_all_chats_together_get_thirty_messages_a_second() -> None:
    async with TelegramServer(now_s=lambda: 5.0) as server, client(server) as bot:
        people = [server.world.started("Ann") for _ in range(31)]
        answers = await asyncio.gather(*(bot.send_message(one, "x") for one in people), return_exceptions=True)
        assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [RetryAfter]
        assert len(server.record) == 30


async def test_a_scripted_fault_comes_before_or_after_the_message_is_accepted(server: TelegramServer, bot: Bot) -> None:
    server.limits.now_s = itertools.count(0, 10).__next__
    ann = server.world.started("Ann")
    server.fault("sendMessage", "500")
    with pytest.raises(NetworkError):
        await bot.send_message(ann, "one")
    assert server.sent(ann) == []
    for kind, error in (("reset", NetworkError), ("502", NetworkError), ("timeout", TimedOut)):
        server.fault("sendMessage", kind, "after")
        with pytest.raises(error):
            await bot.send_message(ann, kind, read_timeout=0.1)
    assert [letter.text for letter in server.sent(ann)] == ["reset", "502", "timeout"]


async def test_members_of_a_channel_are_known_to_its_admins_only(server: TelegramServer, bot: Bot) -> None:
    world = server.world
    ann, bob = world.started("Ann"), world.started("Bob")
    channel = world.channel("News", ann, username="news", bot="member")
    with pytest.raises(BadRequest, match=r"(?i)member list is inaccessible"):
        await bot.get_chat_member("@news", ann)
    world.set_status(channel, world.bot.user_id, "administrator")
    assert (await bot.get_chat_member("@news", ann)).status == "creator"
    assert (await bot.get_chat_member("@news", bob)).status == "left"


async def test_it_runs_as_a_process_of_its_own_and_records_what_chats_received(tmp_path: Path) -> None:
    record = tmp_path / "sent.jsonl"
    command = [sys.executable, "-m", "tests.chats.telegram_server", "--record", str(record)]
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        hello = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession(hello["address"]) as control:
            ann = (await (await control.post("/control/started", json={"first_name": "Ann"})).json())["result"]
            recipe = (Path(__file__).resolve().parents[2] / "docs" / "telegram.md").read_text("utf-8")  # noqa: ASYNC240
            assert f"TELEGRAM_TOKEN={hello['token']}\n" in recipe
            assert f'"chat_id": {ann}, "user_id": {ann}, "text"' in recipe
            async with Bot(hello["token"], base_url=f"{hello['address']}/bot") as bot:
                await bot.send_message(ann, "hello")
            sent = (await (await control.post("/control/sent", json={"chat_id": ann})).json())["result"]
            assert (await control.post("/control/_become", json={})).status == 404
    finally:
        process.terminate()
        await process.wait()
    assert [letter["text"] for letter in sent] == ["hello"]
    assert [json.loads(line)["text"] for line in record.read_text().splitlines()] == ["hello"]
