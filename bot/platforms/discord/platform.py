"""Discord as a `ChatPlatform`: its life, and its parts put together."""

import asyncio
import logging
import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, Self

import discord

from bot.ending import cancelled
from bot.errors import Fatal
from bot.message import Message
from bot.pacing import Limits, Rate
from bot.platforms.discord import checking, errors, rights, slash
from bot.platforms.discord.answering import Answerer
from bot.platforms.discord.asking import NAME, Asker
from bot.platforms.discord.client import Client, aim
from bot.platforms.discord.publishing import Publisher
from bot.platforms.discord.sending import Sender
from bot.platforms.discord.wire import RequestTurns
from bot.platforms.seam import CheckRow, CommandSpec, Handle, Suggest, Upkeep
from storage.chats import Chat
from storage.errors import StoreUnavailable

log = logging.getLogger(__name__)
TOKEN = "DISCORD_TOKEN"  # noqa: S105 - the name of the variable, not the token
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
SOUND_AFTER_S = 60.0
"""A connection that held this long is followed by a short wait again."""
PATIENCE_S = 60.0
"""discord.py waits up to 17 minutes between its own attempts to connect again; after this long it is started anew."""
LOGIN_WITHIN_S = 30.0
LOGIN_AWAITED_S = 5.0
"""By a message that comes before the first attempt to log in has ended."""
ANSWERS_WITHIN_S, CLOSE_WITHIN_S = 1.0, 1.5
CHANNEL_RATE = Rate(1.0, burst=5)
"""Discord's customary five in five seconds; discord.py keeps to what the headers say on top of it."""


class Settings(Protocol):
    """What is needed of ``[discord]``."""

    @property
    def per_second(self) -> float: ...

    @property
    def manager_role(self) -> str: ...


class DiscordPlatform:
    """`bot.platforms.seam.ChatPlatform`. ``wait_s``: the first wait after a connection is lost.

    Raises Fatal for a token that cannot be one.
    """

    name = NAME

    def __init__(
        self, token: str, *, per_second: float = 40.0, manager_role: str = "", wait_s: float = FIRST_WAIT_S
    ) -> None:
        if re.search(r"\s", token):  # no header can hold it
            raise Fatal(errors.FATAL_CODES[4004])
        self._token, self.per_second = token, per_second
        self._manager_role, self._wait_s = manager_role, wait_s
        self._client: Client | None = None
        turns = RequestTurns(per_second)
        self._publisher = Publisher(turns)
        self._sender = Sender(self._logged_in, lambda: self._up_since is not None, self._publisher, turns)
        self._answerer: Answerer | None = None
        self._upkeep: Upkeep | None = None
        self._forms: list[slash.Json] = []
        self._opening: asyncio.Task[None] | None = None
        self._tried_login = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._up_since: float | None = None
        self._down_since = time.time()
        self._waits_from_s = 0.0
        self._trouble = ""
        self._stopping = False

    def __repr__(self) -> str:
        return f"DiscordPlatform({self.condition})"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], settings: Settings) -> Self:
        """The token, and addresses other than Discord's own, come from the environment."""
        aim(environ)
        return cls(environ[TOKEN].strip(), per_second=settings.per_second, manager_role=settings.manager_role)

    # --- life

    async def start(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> None:
        self.prepare(handle, specs, suggest, upkeep)
        self._opening = asyncio.create_task(self._log_in(), name="discord login")

    def prepare(self, handle: Handle, specs: Sequence[CommandSpec], suggest: Suggest, upkeep: Upkeep) -> Client:
        """Everything but logging in."""
        self._answerer = Answerer(Asker(specs, self._manager_role), handle, suggest)
        self._upkeep = upkeep
        self._forms = slash.commands(specs, manager_role=self._manager_role)
        self._stopping = False
        self._client = Client(self)
        return self._client

    async def run(self) -> None:
        assert self._client is not None
        assert self._opening is not None
        await asyncio.shield(self._opening)
        wait_s = self._wait_s
        while not self._stopping:
            began_s = time.monotonic()
            await self._connect(self._client)
            if time.monotonic() - began_s > SOUND_AFTER_S:
                wait_s = self._wait_s
            await asyncio.sleep(wait_s * random.uniform(0.75, 1.25))  # noqa: S311 - so that bots do not come at once
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def stop(self) -> None:
        self._stopping = True
        for task in (self._opening, self._syncing):
            if task is not None:
                with suppress(Exception):  # what it raised, `run` has told
                    await cancelled([task])
        client, self._client = self._client, None
        if client is None:
            return
        if self._answerer is not None:
            await self._answerer.finish(ANSWERS_WITHIN_S)
        self._up_since = None
        await self._publisher.stop()
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await client.close()
        except Exception as error:  # noqa: BLE001 - it ends either way
            log.info("the connection to Discord could not be closed in order: %s", type(error).__name__)
        finally:
            await client.http.close()

    async def _log_in(self) -> None:
        """Until it succeeds; from then on messages can be sent. Raises Fatal."""
        wait_s = self._wait_s
        while True:
            assert self._client is not None
            try:
                async with asyncio.timeout(LOGIN_WITHIN_S):
                    await self._client.login(self._token)
                return self._tried_login.set()
            except Exception as error:  # noqa: BLE001 - whatever it is, only a refused token ends it
                if (fatal := errors.fatal(error)) is not None:
                    raise fatal from None
                self._note(f"cannot log in: {errors.in_words(error)}")
                await self._client.close()
                self._client = Client(self)  # a closed one cannot be opened again
                self._tried_login.set()
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def _connect(self, client: Client) -> None:
        """Hold the gateway's connection until it is lost for longer than a while. Raises Fatal."""
        self._waits_from_s = time.monotonic()  # nobody can set it, so nobody makes us wait for an hour more
        connecting = asyncio.create_task(client.connect(), name="discord gateway")
        try:
            while not connecting.done():
                await asyncio.wait({connecting}, timeout=1.0)
                if self._up_since is None and time.monotonic() - self._waits_from_s > PATIENCE_S:
                    break
            if connecting.done():
                connecting.result()
                self._note("the connection was closed")
        except Exception as error:  # noqa: BLE001 - whatever ends it, it is started again
            if (fatal := errors.fatal(error)) is not None:
                raise fatal from None
            # A first handshake that fails ends `connect` with an AttributeError (discord.py #10520).
            self._note("the gateway cannot be reached" if isinstance(error, AttributeError) else errors.in_words(error))
        finally:
            self.on_down()
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    # --- `bot.deliver.Platform`

    def limits(self, chat_id: str) -> Limits:
        return Limits(chat_id, (CHANNEL_RATE,))

    async def send(self, chat_id: str, message: Message, *, nonce: str) -> str:
        if self._opening is not None and not self._opening.done():
            # What a start finds unsent is there before the login is: to be told to come back would cost it seconds.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._tried_login.wait(), LOGIN_AWAITED_S)
        return await self._sender.send(chat_id, message, nonce)

    async def edit(self, chat_id: str, message_id: str, message: Message) -> None:
        await self._sender.edit(chat_id, message_id, message)

    # --- what is told of it

    @property
    def condition(self) -> str:
        if self._up_since is not None and self._client is not None:
            return f"connected, in {len(self._client.guilds)} servers"
        since = time.strftime("%H:%M UTC", time.gmtime(self._down_since))
        trouble = f": {self._trouble}" if self._trouble else ""
        if self._logged_in() is None:
            return f"not connected since {since}{trouble}"
        return f"hears no commands since {since}{trouble}; alerts go on"

    @property
    def invite(self) -> str | None:
        client = self._logged_in()
        return rights.invite(client.application_id) if client is not None and client.application_id else None

    async def check(self) -> Sequence[CheckRow]:
        return await checking.rows(self._token)

    async def check_chats(self, chat_ids: Sequence[str]) -> Sequence[CheckRow]:
        return await checking.chat_rows(self._token, chat_ids)

    # --- `bot.platforms.discord.client.Listener`

    async def on_logged_in(self) -> None:
        self._syncing = asyncio.create_task(self._sync(), name="discord commands")

    def on_up(self) -> None:
        self._up_since, self._trouble = time.time(), ""

    def on_down(self) -> None:
        if self._up_since is not None:
            self._up_since, self._down_since = None, time.time()
            self._waits_from_s = time.monotonic()

    async def on_asked(self, interaction: discord.Interaction) -> None:
        if self._answerer is not None and not self._stopping:
            await self._answerer.take(interaction)

    async def on_gone(self, channel_ids: Iterable[int], reason: str) -> None:
        if self._upkeep is not None:
            # Where the store is not there just now, the next alert finds the channel gone as well.
            with suppress(StoreUnavailable):
                await self._upkeep.gone([Chat(NAME, str(channel_id)) for channel_id in channel_ids], reason)

    async def on_back(self, channel_ids: Iterable[int]) -> None:
        if self._upkeep is not None:
            with suppress(StoreUnavailable):
                await self._upkeep.back([Chat(NAME, str(channel_id)) for channel_id in channel_ids])

    # --- inside

    def _logged_in(self) -> Client | None:
        client = self._client
        return client if client is not None and client.user is not None else None

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("Discord: %s", trouble)
        self._trouble = trouble

    async def _sync(self) -> None:
        """Write the slash commands to Discord where it has others."""
        wait_s = self._wait_s
        while (client := self._client) is not None and client.application_id is not None:
            try:
                there = await client.http.get_global_commands(client.application_id)
                if not slash.same(self._forms, [dict(form) for form in there]):
                    await client.http.bulk_upsert_global_commands(client.application_id, payload=self._forms)
                    log.info("slash commands written to Discord: %d", len(self._forms))
            except discord.HTTPException as error:
                log.warning("slash commands could not be written: %s", errors.in_words(error))
                if error.status == 400:  # asking again would not help
                    log.error("Discord refuses the slash commands: %s", error.text)  # noqa: TRY400 - no traceback
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, without its commands the bot is deaf
                log.warning("slash commands could not be written: %s", errors.in_words(error))
            else:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
