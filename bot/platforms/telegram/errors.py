"""Every error of python-telegram-bot as one of `bot.errors`, in one table.

``BadRequest`` is a ``NetworkError`` to the library though nothing is wrong with the network, so the table is read by
exact type. No error carries text that could hold the token: httpx names addresses in its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import httpx
from telegram import error as library

from bot.errors import Fatal, Moved, PlatformError, Reject, Retry

FIRST_WAIT_S = 2.0
FOREIGN_WAIT_S = 30.0
CONFLICT_WAIT_S = 5.0
_GIVE_RIGHTS = "give the bot the right to write there again"


class Refusal(NamedTuple):
    """``words``: part of Telegram's description, in lower case. ``says``: what the chat's admin reads."""

    words: str
    says: str
    chat_gone: bool


_ADD_AGAIN = "add the bot again"
FORBIDDEN: Sequence[Refusal] = (
    Refusal("blocked by the user", "the user has blocked the bot; unblocking brings the alerts back", chat_gone=True),
    Refusal("user is deactivated", "the account was deleted", chat_gone=True),
    Refusal("can't initiate conversation", "the user has not started the bot: /start does", chat_gone=True),
    Refusal("was kicked", f"the bot was removed from the chat; {_ADD_AGAIN}", chat_gone=True),
    Refusal("not a member", f"the bot is not in the chat; {_ADD_AGAIN}", chat_gone=True),
    Refusal("was deleted", "the chat was deleted", chat_gone=True),
)
BAD_REQUESTS: Sequence[Refusal] = (
    Refusal("chat not found", f"there is no such chat, or the bot is not in it; {_ADD_AGAIN}", chat_gone=True),
    Refusal("peer_id_invalid", f"there is no such chat; {_ADD_AGAIN}", chat_gone=True),
    Refusal("channel_private", f"the bot is not in the channel; {_ADD_AGAIN}", chat_gone=True),
    Refusal("group chat was deactivated", "the group was deleted", chat_gone=True),
    Refusal("thread not found", "the topic was deleted; /watch in another one", chat_gone=True),
    Refusal("topic_deleted", "the topic was deleted; /watch in another one", chat_gone=True),
    Refusal("topic_closed", "the topic is closed; open it again or make the bot an admin", chat_gone=True),
    Refusal("need administrator rights", f"the bot is no admin of the channel; {_GIVE_RIGHTS}", chat_gone=True),
    Refusal("not enough rights to send text", f"the bot may not write in the chat; {_GIVE_RIGHTS}", chat_gone=True),
    Refusal("have no rights to send", f"the bot may not write in the chat; {_GIVE_RIGHTS}", chat_gone=True),
    Refusal("no write access", f"the bot may not write in the chat; {_GIVE_RIGHTS}", chat_gone=True),
    Refusal("chat_write_forbidden", f"the bot may not write in the chat; {_GIVE_RIGHTS}", chat_gone=True),
    Refusal("to edit not found", "the message to complete is gone", chat_gone=False),
    Refusal("can't be edited", "the message can no longer be changed", chat_gone=False),
    Refusal("message_id_invalid", "the message to complete is gone", chat_gone=False),
)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""httpx failed before a request could have left."""


def _retry_after(error: Exception) -> PlatformError:
    assert isinstance(error, library.RetryAfter)
    wait = error.retry_after
    seconds = float(wait) if isinstance(wait, int) else wait.total_seconds()
    return Retry(f"Telegram asks to wait {seconds:.0f} s", seconds)


def _migrated(error: Exception) -> PlatformError:
    assert isinstance(error, library.ChatMigrated)
    return Moved("the group became a supergroup", str(error.new_chat_id))


def _forbidden(error: Exception) -> PlatformError:
    found = _found(str(error), FORBIDDEN)
    return Reject(found.says, chat_gone=True) if found else Reject(f"Telegram forbids it: {error}", chat_gone=True)


def _bad_request(error: Exception) -> PlatformError:
    found = _found(str(error), BAD_REQUESTS)
    return Reject(found.says, chat_gone=found.chat_gone) if found else Reject(f"Telegram refuses it: {error}")


def _timed_out(error: Exception) -> PlatformError:
    return Retry("Telegram gave no answer in time", FIRST_WAIT_S, ambiguous=not isinstance(error.__cause__, _NOT_SENT))


def _network(error: Exception) -> PlatformError:
    cause = error.__cause__
    if isinstance(cause, httpx.InvalidURL | httpx.UnsupportedProtocol):
        # Nothing but these two makes the address; the library's own text repeats it.
        return Fatal("TELEGRAM_TOKEN or TELEGRAM_BASE_URL makes no address: look for a character that does not belong")
    if isinstance(cause, httpx.HTTPError):
        sent = not isinstance(cause, _NOT_SENT)
        what = "the connection to Telegram broke" if sent else "Telegram cannot be reached"
        return Retry(f"{what} ({type(cause).__name__})", FIRST_WAIT_S, ambiguous=sent)
    if "too large" in str(error).lower():
        return Reject("Telegram refuses it: the file is too large")
    return Retry("Telegram has a fault of its own", FIRST_WAIT_S, ambiguous=True)


def _garbage(_error: Exception) -> PlatformError:
    return Retry("Telegram's answer could not be read", FIRST_WAIT_S, ambiguous=True)


def _conflict(_error: Exception) -> PlatformError:
    return Retry("another copy of the bot receives at the same time: stop one of them", CONFLICT_WAIT_S)


def _token(_error: Exception) -> PlatformError:
    # The library's own text repeats the token.
    return Fatal("Telegram refuses the token: take it anew from @BotFather and put it into TELEGRAM_TOKEN")


def _endpoint(_error: Exception) -> PlatformError:
    return Fatal("the server at TELEGRAM_BASE_URL is no Bot API: it does not know a method that every one has")


def _passport(_error: Exception) -> PlatformError:
    return Reject("Telegram Passport data, which nobody asked for")


TABLE: Mapping[type[library.TelegramError], Callable[[Exception], PlatformError]] = {
    library.RetryAfter: _retry_after,
    library.ChatMigrated: _migrated,
    library.Forbidden: _forbidden,
    library.BadRequest: _bad_request,
    library.TimedOut: _timed_out,
    library.NetworkError: _network,
    library.TelegramError: _garbage,
    library.Conflict: _conflict,
    library.InvalidToken: _token,
    library.EndPointNotFound: _endpoint,
    library.PassportDecryptionError: _passport,
}


def _foreign(error: library.TelegramError) -> PlatformError:
    """A refusal that is not in Telegram's words: a proxy gave it, and it says nothing of chat or token."""
    faulty = type(error) is library.NetworkError
    what = "Telegram has a fault of its own" if faulty else "something before Telegram refuses"
    return Retry(what, FIRST_WAIT_S if faulty else FOREIGN_WAIT_S, ambiguous=faulty)


def classified(error: library.TelegramError) -> PlatformError:
    """What it means for the delivery."""
    cause = error.__cause__
    if isinstance(cause, library.InvalidToken):  # the library says it twice while it starts
        cause = cause.__cause__
    if type(cause) is library.TelegramError:  # so it marks an answer that it could not read as JSON
        return _foreign(error)
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    raise AssertionError("every error of the library derives from TelegramError, which is in the table")


def says(error: library.TelegramError, words: str) -> bool:
    """Whether it is a refusal with these words of Telegram's in it."""
    return isinstance(error, library.BadRequest) and words in str(error).lower()


def _found(description: str, refusals: Sequence[Refusal]) -> Refusal | None:
    description = description.lower()
    return next((refusal for refusal in refusals if refusal.words in description), None)
