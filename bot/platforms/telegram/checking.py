"""``python -m bot check`` for Telegram: the token, what BotFather set, and whether chats can be reached."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from telegram import WebhookInfo
from telegram.error import TelegramError

from bot.errors import PlatformError
from bot.platforms.seam import CheckRow, Place
from bot.platforms.telegram.address import parse
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.errors import classified
from bot.platforms.telegram.permissions import missing_rights, place_of

WITHIN_S = 15.0


async def check(bot: QuietBot) -> Sequence[CheckRow]:
    """The token and what was set for it. Never raises."""
    return await _asked(bot, lambda: _about_bot(bot))


async def check_chats(bot: QuietBot, chat_ids: Sequence[str]) -> Sequence[CheckRow]:
    """One row for all chats that can be written to, and one for each that cannot. Never raises."""
    return await _asked(bot, lambda: _about_chats(bot, chat_ids)) if chat_ids else ()


async def _asked(bot: QuietBot, ask: Callable[[], Awaitable[Sequence[CheckRow]]]) -> Sequence[CheckRow]:
    try:
        async with asyncio.timeout(WITHIN_S):
            await bot.initialize()
            return await ask()
    except TelegramError as error:
        return [_trouble(classified(error))]
    except TimeoutError:
        fix = "see whether this machine reaches https://api.telegram.org"
        return [CheckRow("Telegram", ok=False, says=f"no answer within {WITHIN_S:.0f} s", fix=fix)]
    finally:
        await bot.close_connections()


async def _about_bot(bot: QuietBot) -> Sequence[CheckRow]:
    return [_token(bot), _privacy(bot), _groups(bot), _webhook(await bot.get_webhook_info())]


async def _about_chats(bot: QuietBot, chat_ids: Sequence[str]) -> Sequence[CheckRow]:
    rows = [await _reach(bot, chat_id) for chat_id in chat_ids]
    wrong = [row for row in rows if not row.ok]
    said = f"{len(rows) - len(wrong)} of {len(rows)} that are told something can be written to"
    return [CheckRow("Telegram chats", ok=True, says=said), *wrong]


def _token(bot: QuietBot) -> CheckRow:
    return CheckRow("Telegram token", ok=True, says=f"is that of @{bot.username} ({bot.first_name})")


def _privacy(bot: QuietBot) -> CheckRow:
    reads_all = bot.bot.can_read_all_group_messages
    says = "off: the bot gets every message of a group, which it does not need" if reads_all else "on, as it should be"
    fix = "@BotFather, /setprivacy, Enable" if reads_all else ""
    return CheckRow("Telegram privacy mode", ok=True, says=says, fix=fix)


def _groups(bot: QuietBot) -> CheckRow:
    if bot.bot.can_join_groups:
        return CheckRow("Telegram groups", ok=True, says="the bot may be added to groups and channels")
    return CheckRow("Telegram groups", ok=False, says="the bot may not join", fix="@BotFather, /setjoingroups, Enable")


def _webhook(info: WebhookInfo) -> CheckRow:
    if not info.url:
        return CheckRow("Telegram updates", ok=True, says="come to whoever asks: no webhook is set")
    fix = "the bot removes it when it starts; see that nothing else uses this token"
    return CheckRow("Telegram updates", ok=False, says="go to a webhook that something else has set", fix=fix)


async def _reach(bot: QuietBot, chat_id: str) -> CheckRow:
    what = f"Telegram chat {chat_id}"
    try:
        chat = await bot.get_chat(parse(chat_id).chat_id)
        private = place_of(chat) is Place.PRIVATE
        missing = "" if private else missing_rights(await bot.get_chat_member(chat.id, bot.id), place_of(chat))
    except ValueError as error:
        return CheckRow(what, ok=False, says=str(error), fix="unwatch it")
    except TelegramError as error:
        return CheckRow(what, ok=False, says=classified(error).reason, fix="add the bot again, or /unwatch all there")
    if missing:
        return CheckRow(what, ok=False, says=f"{chat.title}: the bot lacks a right", fix=missing)
    return CheckRow(what, ok=True, says=f"can be written to: {chat.title or chat.full_name}")


def _trouble(error: PlatformError) -> CheckRow:
    fix = "take a token from @BotFather and put it into TELEGRAM_TOKEN" if "token" in error.reason else "try again"
    return CheckRow("Telegram token", ok=False, says=error.reason, fix=fix)
