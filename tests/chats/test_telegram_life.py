"""The life of the platform: it connects whatever comes, notices what ends it, stops in time, and keeps its secret."""

import asyncio
import io
import logging
import traceback
from types import SimpleNamespace

import pytest

from bot.errors import Fatal
from bot.message import Message
from bot.platforms.seam import ChecksChats
from bot.platforms.telegram import TelegramPlatform, errors
from bot.platforms.telegram.lanes import MOST_WAITING
from tests.chats.telegram_client import client
from tests.chats.telegram_rig import SPECS, SUGGEST, Rig, Upkept, no_answer, running
from tests.chats.telegram_server import TelegramServer


async def test_it_connects_once_telegram_is_back_and_says_meanwhile_why_not() -> None:
    server = TelegramServer()
    server.fault("getMe", "502", times=2)
    async with running(server, connected=False) as rig:
        await server.until(lambda: "trying again" in rig.platform.condition)
        assert rig.platform.invite is None
        await server.until(lambda: server.api.calls["getupdates"])
        assert rig.platform.condition.startswith("connected as @ClusterwatchBot since ")
        assert "https://t.me/ClusterwatchBot?startgroup=true" in (rig.platform.invite or "")


async def test_alerts_go_out_while_commands_cannot_come_in() -> None:
    server = TelegramServer()
    server.fault("getMe", "502", times=1000)
    async with running(server, connected=False) as rig:
        ann = server.world.started("Ann")
        await rig.platform.send(str(ann), Message("Alert"), nonce="n")
        assert len(server.sent(ann)) == 1


@pytest.mark.parametrize("method", ["getMe", "getUpdates", "sendMessage"])
async def test_a_token_that_is_refused_ends_the_run_in_time_wherever_it_shows(method: str) -> None:
    server = TelegramServer()
    server.fault(method, "401")
    async with running(server, connected=False) as rig:
        ann = server.world.started("Ann")
        server.world.say(ann, ann, "/status")
        assert rig.task is not None
        with pytest.raises(Fatal, match="BotFather") as ended:
            await asyncio.wait_for(rig.task, 5)
        assert server.token not in str(ended.value)


async def test_a_line_break_after_the_token_is_no_part_of_it_and_one_inside_it_ends_the_run() -> None:
    settings = SimpleNamespace(per_second=25.0)
    async with TelegramServer() as server:
        padded = {name: f"{value}\r\n" for name, value in server.environment.items()}
        rows = await TelegramPlatform.from_environment(padded, settings).check()
        assert rows[0].ok, rows
        broken = padded | {"TELEGRAM_TOKEN": server.token[:6] + "\r" + server.token[6:]}
        platform = TelegramPlatform.from_environment(broken, settings)
        await platform.start(no_answer, SPECS, SUGGEST, Upkept())
        with pytest.raises(Fatal, match="TELEGRAM_TOKEN") as ended:
            await asyncio.wait_for(platform.run(), 5)
        assert server.token[6:] not in str(ended.value)
        await platform.stop()


async def test_a_second_copy_is_named_and_outlived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "CONFLICT_WAIT_S", 0.2)
    async with running() as rig:
        async with client(rig.server) as other:
            await other.get_updates(timeout=0)
            await rig.server.until(lambda: "another copy" in rig.platform.condition)
        ann = rig.server.world.started("Ann")
        rig.server.world.say(ann, ann, "/status")
        assert await rig.texts(ann, 1) == ["You said /status"]
        await rig.server.until(lambda: "connected" in rig.platform.condition)


@pytest.mark.parametrize("kind", ["reset", "502", "garbage"])
async def test_receiving_goes_on_after_trouble(kind: str) -> None:
    async with running() as rig:
        rig.server.fault("getUpdates", kind)
        ann = rig.server.world.started("Ann")
        rig.server.world.say(ann, ann, "one")
        rig.server.world.say(ann, ann, "two")
        assert await rig.texts(ann, 2) == ["You said one", "You said two"]


async def test_an_update_that_the_library_cannot_read_is_passed_over_also_where_it_is_the_first() -> None:
    server = TelegramServer()
    ann = server.world.started("Ann")
    for text in ("one", "two"):
        server.world.updates.append({"update_id": next(server.world._update_ids), "message": {"chat": 1}})
        server.world.say(ann, ann, text)
    async with running(server) as rig:
        assert await rig.texts(ann, 2) == ["You said one", "You said two"]


async def test_an_update_from_a_kind_of_chat_that_is_not_known_yet_is_passed_over() -> None:
    server = TelegramServer()
    ann = server.world.started("Ann")
    chat = {"id": -5, "type": "planet", "title": "X"}
    message = {"message_id": 1, "date": 1, "chat": chat, "text": "/status"}
    server.world.updates.append({"update_id": next(server.world._update_ids), "message": message})
    server.world.say(ann, ann, "one")
    async with running(server) as rig:
        assert await rig.texts(ann, 1) == ["You said one"]
        assert rig.task is not None
        assert not rig.task.done()


async def test_a_webhook_that_somebody_set_is_taken_away() -> None:
    server = TelegramServer()
    server.api.webhook = "https://example.org/hook"
    async with running(server):
        assert server.api.webhook == ""


async def test_a_command_that_was_not_committed_when_the_bot_died_comes_again() -> None:
    async with TelegramServer() as server:
        ann = server.world.started("Ann")
        first = TelegramPlatform(server.token, base_url=server.address)
        dying = Rig(server, first, Upkept(), before_commit=asyncio.Event())
        await first.start(dying.handle, SPECS, SUGGEST, dying.upkept)
        task = asyncio.create_task(first.run())
        server.world.say(ann, ann, "/watch BTC")
        await server.until(lambda: dying.asked)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for work in [one for one in asyncio.all_tasks() if one.get_name() == f"telegram handling {ann}"]:
            work.cancel()
        await asyncio.sleep(0)
        assert server.sent(ann) == []
        second = TelegramPlatform(server.token, base_url=server.address)
        rig = Rig(server, second, Upkept())
        await second.start(rig.handle, SPECS, SUGGEST, rig.upkept)
        task = asyncio.create_task(second.run())
        assert await rig.texts(ann, 1) == ["You said /watch BTC"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await second.stop()
        await first.stop()


async def test_stopping_lets_answers_finish_confirms_what_was_taken_and_takes_under_three_seconds() -> None:
    async with running() as rig:
        rig.before_commit = asyncio.Event()
        ann = rig.server.world.started("Ann")
        rig.server.world.say(ann, ann, "/status")
        await rig.server.until(lambda: rig.asked)
        asyncio.get_running_loop().call_later(0.1, rig.before_commit.set)
        began = asyncio.get_running_loop().time()
        await rig.platform.stop()
        assert asyncio.get_running_loop().time() - began < 3
        assert len(rig.server.sent(ann)) == 1
        assert rig.server.world.updates == [], "confirmed, so that they do not come again"
        assert rig.platform.condition == "stopped"
        await rig.platform.stop()


async def test_a_command_that_hangs_does_not_hold_up_the_stop_or_another_chat() -> None:
    async with running() as rig:
        hung = asyncio.Event()
        ann, bob = rig.server.world.started("Ann"), rig.server.world.started("Bob")
        rig.before_commit = hung
        rig.server.world.say(ann, ann, "/status")
        await rig.server.until(lambda: rig.asked)
        rig.before_commit = None
        rig.server.world.say(bob, bob, "/status")
        await rig.texts(bob, 1)
        began = asyncio.get_running_loop().time()
        await rig.platform.stop()
        assert asyncio.get_running_loop().time() - began < 3


async def test_more_commands_of_one_chat_than_can_wait_are_dropped_and_another_chat_is_answered() -> None:
    async with running() as rig:
        rig.before_commit = asyncio.Event()
        ann, bob = rig.server.world.started("Ann"), rig.server.world.started("Bob")
        for n in range(MOST_WAITING + 30):
            rig.server.world.say(ann, ann, f"/watch X{n}")
        await rig.server.until(lambda: "30 commands dropped" in rig.platform.condition)
        rig.before_commit.set()
        await rig.server.until(lambda: len(rig.asked) == MOST_WAITING)
        assert len(rig.server.sent(ann)) <= 2, "all are committed before the second answer has its turn"
        rig.server.world.say(bob, bob, "/status")
        assert await rig.texts(bob, 1) == ["You said /status"]


async def test_the_token_shows_in_no_log_at_any_level_and_in_no_traceback() -> None:
    """P16: everything is logged, by every logger that says nothing else; sends fail in every way."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        server = TelegramServer()
        async with running(server) as rig:
            print(repr(rig.platform), vars(rig.platform), repr(rig.platform._bot), file=written)
            for kind in ("reset", "500", "502", "garbage", "429", "401"):
                server.fault("sendMessage", kind, hold_s=1.0)
                await _fails(rig, server.world.started("Bob"), written)
            ann = server.world.started("Ann")
            await rig.platform.send(str(ann), Message("fine"), nonce="n")
            rows = [*await rig.platform.check(), *await rig.platform.check_chats([str(ann)])]
        async with running(server, connected=False) as rig:
            server.token = "4242:another"
            await _fails(rig, ann, written)
            rows = [*rows, *await rig.platform.check()]
        print(rows, file=written)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    text = written.getvalue()
    assert "cannot receive" in text, "logs were written"
    assert "AAstrict-local-server-token" not in text


async def _fails(rig: Rig, chat_id: int, written: io.StringIO) -> None:
    try:
        await rig.platform.send(str(chat_id), Message("x"), nonce="n")
    except Exception as error:
        logging.getLogger("test").exception("failed")
        written.write("".join(traceback.format_exception(error)))
    else:
        raise AssertionError("it was to fail")


async def test_check_says_what_is_wrong_and_how_to_mend_it() -> None:
    async with TelegramServer() as server:
        world = server.world
        ann = world.started("Ann")
        channel, gone = world.channel("News", ann, bot="administrator"), world.group("Gone", ann)
        world.allow_bot(channel, post=False)
        platform = TelegramPlatform(server.token, base_url=server.address)
        rows = [*await platform.check(), *await platform.check_chats([str(ann), str(channel), str(gone), "nonsense"])]
        says = {row.what: row for row in rows}
        assert "@ClusterwatchBot" in says["Telegram token"].says
        assert says["Telegram privacy mode"].ok
        assert says["Telegram chats"].says == "1 of 4 that are told something can be written to"
        assert isinstance(platform, ChecksChats)
        assert "right to post" in says[f"Telegram chat {channel}"].fix
        assert "not in the chat" in says[f"Telegram chat {gone}"].says
        assert not says["Telegram chat nonsense"].ok
        wrong = TelegramPlatform("4242:wrong", base_url=server.address)
        (row,) = await wrong.check()
        assert not row.ok
        assert "BotFather" in row.fix
    (row,) = await TelegramPlatform("4242:any", base_url=server.address).check()
    assert "cannot be reached" in row.says


def test_an_empty_token_is_refused_with_where_to_get_one() -> None:
    with pytest.raises(Fatal, match="BotFather"):
        TelegramPlatform("")
