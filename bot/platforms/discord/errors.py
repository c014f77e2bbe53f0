"""Every exception that talking to Discord can raise, in one table, and what it means for a message of ours.

A version of discord.py with a class that the table does not list fails its test.
"""

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import discord
from discord import app_commands, oggparse, opus

from bot.errors import Fatal, PlatformError, Reject, Retry
from bot.platforms.discord.wire import Attempt

SOON_S = 5.0
LATER_S = 60.0
BANNED_S = 600.0
"""After 10,000 refused requests in ten minutes the address is shut out; asking on makes it longer."""
PORTAL = "https://discord.com/developers/applications"
FATAL_CODES: Final = {
    4004: f"Discord does not accept the token: {PORTAL} > your application > Bot > Reset Token, then set DISCORD_TOKEN",
    4010: "Discord refuses the shard that was asked for",
    4011: "the bot is in so many servers that it must be sharded, which Clusterwatch does not do",
    4012: "this version of discord.py speaks a gateway version that Discord has ended: update Clusterwatch",
    4013: "Discord refuses the intents that were asked for",
    4014: f"Discord refuses privileged intents, though none is asked for: {PORTAL} > your application > Bot",
}
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_GUILD = 10003, 10008, 10004
UNKNOWN_MEMBER, UNKNOWN_USER = 10007, 10013
NO_TEXT_CHANNEL, WRONG_CHANNEL = 50008, 50024
THREAD_ARCHIVED, THREAD_LOCKED = 50083, 160005
"""A message opens an archived thread again, unless it is locked; an edit does not, and is refused in either."""
NO_DIRECT_MESSAGES, MISSING_ACCESS, MISSING_PERMISSIONS = 50007, 50001, 50013
NO_HISTORY_FOR_REPLY = 160002
_FORBIDDEN = {
    MISSING_ACCESS: "the bot may not see this channel any more: give it View Channel and Send Messages there",
    MISSING_PERMISSIONS: "the bot may not post in this channel any more: give it Send Messages, Embed Links and Attach "
    "Files there",
    NO_DIRECT_MESSAGES: "direct messages to this user are closed: open them for a server that the bot is in",
}
AGAIN = ", then /watch again"
_LOCKED = "the thread is locked: unlock it" + AGAIN
_OUT_OF_REACH = frozenset({MISSING_ACCESS, UNKNOWN_CHANNEL, UNKNOWN_GUILD})
"""What says of a channel that nothing can be done there, whatever was asked."""
_PASSES = frozenset({20016, 20028, 40004, 40006, 40333, 130000, 160006})
"""Slow mode and limits of writing, sending or a feature switched off for a while, Discord's own network, too much to
do, and too many threads open: nothing is wrong with the message, and with the chat nothing that lasts."""
Rule = Callable[[BaseException, Attempt], PlatformError | None]
"""None: a fault of ours, which is no business of the chat's."""


def translate(error: BaseException, attempt: Attempt) -> PlatformError | None:
    """What the error means; None for a fault of ours, to be raised as it is."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error, attempt)
    # discord.py fails somewhere in its models when a 200 brings something else than a message.
    return _unreadable(error, attempt) if attempt.status is not None and 200 <= attempt.status < 300 else None


def translate_edit(error: BaseException, attempt: Attempt) -> PlatformError | None:
    """What it means for an edit, which asks for more than a message does: a chat is given up only where it is out of
    reach altogether. Whether it takes messages the next one finds out."""
    meaning = translate(error, attempt)
    if not isinstance(meaning, Reject) or not meaning.chat_gone:
        return meaning
    code = error.code if isinstance(error, discord.HTTPException) else 0
    if code in _OUT_OF_REACH:
        return meaning
    if code in (THREAD_ARCHIVED, THREAD_LOCKED):
        return Reject("the thread is archived or locked: what stands in it can no longer be changed")
    return Reject(f"Discord does not let the message be changed (error code {code})")


def fatal(error: BaseException) -> Fatal | None:
    """The Fatal that an error of logging in or of the gateway means, if it does."""
    meaning = translate(error, Attempt())
    return meaning if isinstance(meaning, Fatal) else None


def in_words(error: BaseException) -> str:
    """For ``/status``: what kind of trouble, without addresses."""
    meaning = translate(error, Attempt())
    return meaning.reason if meaning is not None else type(error).__name__


def _fault(_: BaseException, __: Attempt) -> PlatformError | None:
    return None


def _network(_: BaseException, attempt: Attempt) -> PlatformError:
    return Retry("Discord cannot be reached", SOON_S, ambiguous=attempt.may_have_arrived)


def _no_answer(_: BaseException, attempt: Attempt) -> PlatformError:
    if attempt.status == 429 and not attempt.may_have_arrived:
        return Retry("Discord asks to wait", SOON_S)
    return Retry("Discord did not answer in time", SOON_S, ambiguous=attempt.may_have_arrived)


def _unreadable(_: BaseException, attempt: Attempt) -> PlatformError:
    return Retry("Discord's answer could not be read", SOON_S, ambiguous=attempt.may_have_arrived)


def _server_error(_: BaseException, __: Attempt) -> PlatformError:
    return Retry("Discord has trouble of its own", SOON_S, ambiguous=True)


def _rate_limited(error: BaseException, attempt: Attempt) -> PlatformError:
    assert isinstance(error, discord.RateLimited)
    return Retry("Discord asks to wait", error.retry_after, ambiguous=attempt.may_have_arrived)


def _forbidden(error: BaseException, __: Attempt) -> PlatformError:
    assert isinstance(error, discord.Forbidden)
    if not error.code:  # not Discord's own words: something before it
        return Retry("Discord's gatekeeper refuses this address", BANNED_S, everywhere=True)
    if (known := _of_code(error.code)) is not None:
        return known
    reason = _FORBIDDEN.get(error.code, "Discord forbids posting here: look at the bot's permissions in this channel")
    return Reject(reason + AGAIN, chat_gone=True)


def _of_code(code: int) -> PlatformError | None:
    """What Discord's own code says by itself: it comes with 400 at one time and with 403 at another."""
    if code in _PASSES:
        return Retry(f"Discord cannot take it just now (error code {code})", LATER_S)
    if code in (THREAD_ARCHIVED, THREAD_LOCKED):
        return Reject(_LOCKED, chat_gone=True)
    if code in (NO_TEXT_CHANNEL, WRONG_CHANNEL):
        return Reject("nothing can be posted in this kind of channel: use a post or thread in it", chat_gone=True)
    return None


def _not_found(error: BaseException, __: Attempt) -> PlatformError:
    assert isinstance(error, discord.NotFound)
    if error.code == UNKNOWN_MESSAGE:
        return Reject("the message is gone")
    if error.code in (UNKNOWN_MEMBER, UNKNOWN_USER):
        return Reject("there is nobody of that number")
    if error.code in (UNKNOWN_CHANNEL, UNKNOWN_GUILD):
        return Reject("the channel was deleted, or the bot removed from the server", chat_gone=True)
    return Retry("Discord's answer could not be read", LATER_S)


def _foreign(error: BaseException | None) -> bool:
    """Whether a refusal is a page and not Discord's JSON: something before it gave it, and it says nothing of ours."""
    return isinstance(error, discord.HTTPException) and not error.code and error.text.lstrip().startswith("<")


def _refused(error: BaseException, __: Attempt) -> PlatformError:
    assert isinstance(error, discord.HTTPException)
    if _foreign(error) and error.status in (400, 401, 405, 407, 408):
        return Retry("something before Discord refuses", LATER_S)
    if error.status == 401:
        return Fatal(FATAL_CODES[4004])
    if error.status == 429:  # without Via: not a limit but a ban
        return Retry("Discord's gatekeeper refuses this address", BANNED_S, everywhere=True)
    if error.status >= 500:
        return Retry("Discord has trouble of its own", SOON_S, ambiguous=True)
    if (known := _of_code(error.code)) is not None:
        return known
    return Reject(f"Discord refused the message (error code {error.code})")


def _token_refused(error: BaseException, __: Attempt) -> PlatformError:
    if _foreign(error.__cause__):
        return Retry("something before Discord refuses", LATER_S)
    return Fatal(FATAL_CODES[4004])


def _intents_refused(_: BaseException, __: Attempt) -> PlatformError:
    return Fatal(FATAL_CODES[4014])


def _closed(error: BaseException, __: Attempt) -> PlatformError:
    assert isinstance(error, discord.ConnectionClosed)
    if error.code in FATAL_CODES:
        return Fatal(FATAL_CODES[error.code])
    return Retry(f"Discord closed the connection ({error.code})", SOON_S)


TABLE: Mapping[type[BaseException], Rule] = {
    # requests
    discord.HTTPException: _refused,
    discord.Forbidden: _forbidden,
    discord.NotFound: _not_found,
    discord.DiscordServerError: _server_error,
    discord.RateLimited: _rate_limited,
    discord.InvalidData: _unreadable,
    # logging in and the gateway
    discord.LoginFailure: _token_refused,
    discord.PrivilegedIntentsRequired: _intents_refused,
    discord.ConnectionClosed: _closed,
    discord.GatewayNotFound: _network,
    # the network under it
    TimeoutError: _no_answer,
    OSError: _network,
    aiohttp.ClientError: _network,
    # what only a fault of ours can raise: parts of the library that are not used, or used wrongly
    discord.DiscordException: _fault,
    discord.ClientException: _fault,
    discord.InteractionResponded: _fault,
    discord.MissingApplicationID: _fault,
    discord.errors.FFmpegProcessError: _fault,
    opus.OpusError: _fault,
    opus.OpusNotLoaded: _fault,
    oggparse.OggError: _fault,
    app_commands.AppCommandError: _fault,
    app_commands.CommandInvokeError: _fault,
    app_commands.TransformerError: _fault,
    app_commands.TranslationError: _fault,
    app_commands.CheckFailure: _fault,
    app_commands.NoPrivateMessage: _fault,
    app_commands.MissingRole: _fault,
    app_commands.MissingAnyRole: _fault,
    app_commands.MissingPermissions: _fault,
    app_commands.BotMissingPermissions: _fault,
    app_commands.CommandOnCooldown: _fault,
    app_commands.CommandAlreadyRegistered: _fault,
    app_commands.CommandNotFound: _fault,
    app_commands.CommandLimitReached: _fault,
    app_commands.CommandSignatureMismatch: _fault,
    app_commands.CommandSyncFailure: _fault,
}
