"""The library's `Bot`, set up so that the token shows nowhere: no log, no ``repr``."""

import logging
import os
from collections.abc import Iterable

from telegram import Bot
from telegram.request import HTTPXRequest

API = "https://api.telegram.org"
READ_TIMEOUT_S = 15.0
"""Longer than the library's 5 s, after which it gives up on messages that Telegram has delivered."""
UPLOAD_TIMEOUT_S = 25.0
POLL_S = 25
CONNECTIONS = 64
_QUIET = ("httpx", "httpcore", "telegram")
"""They log addresses below WARNING, and Telegram's have the token in them."""

# The library's own way to be told that the type of ``retry_after`` in its next version is expected.
os.environ.setdefault("PTB_TIMEDELTA", "true")


class QuietBot(Bot):
    """Its ``repr`` is silent about the token, and it can close what was never initialized."""

    def __init__(self, token: str, base_url: str) -> None:
        """Raises InvalidToken for an empty token. ``base_url``: a Bot API server, Telegram's own or a local one."""
        root = base_url.rstrip("/")
        sending, polling = _request(CONNECTIONS, READ_TIMEOUT_S), _request(2, POLL_S + READ_TIMEOUT_S)
        super().__init__(
            token,
            base_url=f"{root}/bot",
            base_file_url=f"{root}/file/bot",
            request=sending,
            get_updates_request=polling,
        )
        self._connections = sending, polling

    async def oldest_update(self) -> int:
        """The id of the oldest update that waits, also of one that the library cannot read. Raises TelegramError."""
        waiting = await self._post("getUpdates", {"limit": 1, "timeout": 0})
        return int(waiting[0]["update_id"]) if isinstance(waiting, list) and waiting else 0

    async def close_connections(self) -> None:
        """The library's ``shutdown`` leaves them open where nothing but sending was done."""
        await self.shutdown()
        for connection in self._connections:
            await connection.shutdown()

    def __repr__(self) -> str:
        return "Bot[token hidden]"


def make_bot(token: str, base_url: str) -> QuietBot:
    quieten(_QUIET)
    return QuietBot(token, base_url)


def quieten(loggers: Iterable[str]) -> None:
    for name in loggers:
        logging.getLogger(name).setLevel(logging.WARNING)


def _request(connections: int, read_timeout_s: float) -> HTTPXRequest:
    return HTTPXRequest(
        connection_pool_size=connections,
        read_timeout=read_timeout_s,
        write_timeout=READ_TIMEOUT_S,
        connect_timeout=10.0,
        pool_timeout=10.0,
        media_write_timeout=UPLOAD_TIMEOUT_S,
    )
