"""The real python-telegram-bot on the local server."""

import os

from telegram import Bot

from tests.chats.telegram_server import TelegramServer

os.environ.setdefault("PTB_TIMEDELTA", "true")
"""The library's own way to be told that its next version's type of ``retry_after`` is expected."""


def client(server: TelegramServer, token: str | None = None) -> Bot:
    return Bot(token or server.token, base_url=f"{server.address}/bot", base_file_url=f"{server.address}/file/bot")
