"""The menu that Telegram shows where somebody types ``/``: for private chats, for groups and for their admins."""

import logging
from collections.abc import Mapping, Sequence

from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
)
from telegram.error import TelegramError

from bot.errors import Fatal
from bot.platforms.seam import CommandSpec
from bot.platforms.telegram.client import QuietBot
from bot.platforms.telegram.errors import classified

log = logging.getLogger(__name__)
MOST = 100
_SAYS_LIMIT = 256


def menus(specs: Sequence[CommandSpec]) -> Mapping[BotCommandScope, tuple[BotCommand, ...]]:
    """Members of a group are offered what changes nothing."""
    every = tuple(_entry(spec) for spec in specs)[:MOST]
    reading = tuple(_entry(spec) for spec in specs if not spec.changes)[:MOST]
    return {
        BotCommandScopeAllPrivateChats(): every,
        BotCommandScopeAllGroupChats(): reading,
        BotCommandScopeAllChatAdministrators(): every,
    }


async def offer(bot: QuietBot, specs: Sequence[CommandSpec]) -> None:
    """Set what differs from what Telegram has. The bot works without: trouble is logged. Raises Fatal."""
    for scope, wanted in menus(specs).items():
        try:
            if tuple(await bot.get_my_commands(scope=scope)) != wanted:
                await bot.set_my_commands(wanted, scope=scope)
        except TelegramError as error:
            trouble = classified(error)
            if isinstance(trouble, Fatal):
                raise trouble from None
            log.warning("the menu of commands is not up to date: %s", trouble.reason)


def _entry(spec: CommandSpec) -> BotCommand:
    return BotCommand(spec.name, spec.says[:_SAYS_LIMIT])
