"""Every error of the library has one meaning for a delivery, and none of them carries the token."""

import inspect

import httpx
import pytest
from telegram import error as library

from bot.errors import Fatal, Moved, PlatformError, Reject, Retry
from bot.platforms.telegram.errors import BAD_REQUESTS, FORBIDDEN, TABLE, Refusal, classified

TOKEN = "4242:AAsecret"


def caused(error: library.TelegramError, cause: Exception) -> library.TelegramError:
    error.__cause__ = cause
    return error


def test_every_error_of_the_library_is_in_the_table_under_its_own_name() -> None:
    every = {one for _, one in inspect.getmembers(library, inspect.isclass) if issubclass(one, library.TelegramError)}
    assert {one.__name__ for one in every} == set(library.__all__)
    assert set(TABLE) == every


def test_a_refused_message_is_not_taken_for_trouble_with_the_network() -> None:
    assert isinstance(classified(library.BadRequest("message is too long")), Reject)


def test_an_error_of_a_later_version_means_what_the_one_it_derives_from_means() -> None:
    class Newer(library.Forbidden):
        pass

    assert isinstance(classified(Newer("Forbidden: bot was blocked by the user")), Reject)


@pytest.mark.parametrize("refusal", FORBIDDEN)
def test_whoever_forbids_it_is_parked_with_a_reason(refusal: Refusal) -> None:
    words, says, _ = refusal
    found = classified(library.Forbidden(f"Forbidden: bot {words} of the group"))
    assert isinstance(found, Reject)
    assert found.chat_gone
    assert found.reason == says


@pytest.mark.parametrize("refusal", BAD_REQUESTS)
def test_a_bad_request_parks_the_chat_only_where_the_chat_is_at_fault(refusal: Refusal) -> None:
    words, says, chat_gone = refusal
    found = classified(library.BadRequest(f"Bad Request: {words.upper()}"))
    assert isinstance(found, Reject)
    assert (found.reason, found.chat_gone) == (says, chat_gone)


@pytest.mark.parametrize(
    ("error", "ambiguous"),
    [
        (caused(library.TimedOut(), httpx.ReadTimeout("")), True),
        (caused(library.TimedOut(), httpx.WriteTimeout("")), True),
        (caused(library.TimedOut(), httpx.ConnectTimeout("")), False),
        (caused(library.TimedOut("Pool timeout"), httpx.PoolTimeout("")), False),
        (caused(library.NetworkError("httpx.ReadError"), httpx.ReadError("")), True),
        (caused(library.NetworkError("httpx.RemoteProtocolError"), httpx.RemoteProtocolError("")), True),
        (caused(library.NetworkError("httpx.ConnectError"), httpx.ConnectError("")), False),
        (library.NetworkError("Internal Server Error"), True),
        (library.NetworkError("Bad Gateway (502)"), True),
        (library.TelegramError("Invalid server response"), True),
        (library.Conflict("terminated by other getUpdates request"), False),
    ],
)
def test_a_message_that_may_have_arrived_is_told_from_one_that_cannot_have(
    error: library.TelegramError, ambiguous: bool
) -> None:
    found = classified(error)
    assert isinstance(found, Retry)
    assert found.ambiguous is ambiguous


def test_the_others_have_their_own_ways() -> None:
    wait = classified(library.RetryAfter(7))
    assert isinstance(wait, Retry)
    assert (wait.after_s, wait.ambiguous) == (7, False)
    moved = classified(library.ChatMigrated(-100123))
    assert isinstance(moved, Moved)
    assert moved.chat_id == "-100123"
    assert isinstance(classified(library.EndPointNotFound("x")), Fatal)
    assert isinstance(classified(library.NetworkError("Request Entity Too Large")), Reject)
    assert isinstance(classified(library.PassportDecryptionError("x")), Reject)


@pytest.mark.parametrize("cause", [httpx.InvalidURL("non-printable"), httpx.UnsupportedProtocol("no http://")])
def test_an_address_that_is_none_is_never_tried_again(cause: Exception) -> None:
    found = classified(caused(library.NetworkError("Unknown error in HTTP implementation"), cause))
    assert isinstance(found, Fatal)
    assert "TELEGRAM_TOKEN" in found.reason


@pytest.mark.parametrize(
    "error",
    [
        library.BadRequest("Bad Request (400). Parsing the server response b'<html>' failed"),
        library.Forbidden("Forbidden (403). Parsing the server response b'<html>' failed"),
        library.InvalidToken("Not Found (404). Parsing the server response b'<html>' failed"),
        library.NetworkError("Bad Gateway (502). Parsing the server response b'<html>' failed"),
    ],
)
def test_a_refusal_that_is_not_in_telegrams_words_costs_no_chat_no_alert_and_no_token(
    error: library.TelegramError,
) -> None:
    found = classified(caused(error, library.TelegramError("Invalid server response")))
    assert isinstance(found, Retry)
    assert found.ambiguous is (type(error) is library.NetworkError)


def test_a_token_that_telegram_itself_refuses_at_the_start_is_refused() -> None:
    refused = library.InvalidToken("Unauthorized")
    assert isinstance(classified(caused(library.InvalidToken("The token was rejected"), refused)), Fatal)
    foreign = caused(library.InvalidToken("Not Found (404)"), library.TelegramError("Invalid server response"))
    assert isinstance(classified(caused(library.InvalidToken("The token was rejected"), foreign)), Retry)


@pytest.mark.parametrize(
    "error",
    [
        library.InvalidToken(f"The token `{TOKEN}` was rejected by the server."),
        caused(library.NetworkError(f"httpx.ConnectError: /bot{TOKEN}/getMe"), httpx.ConnectError(TOKEN)),
        library.NetworkError(f"Unknown error in HTTP implementation: InvalidURL({TOKEN!r})"),
        caused(library.NetworkError("Unknown error"), httpx.InvalidURL(f"/bot{TOKEN}")),
        library.TelegramError(f"cannot read /bot{TOKEN}/sendMessage"),
        library.TimedOut(f"/bot{TOKEN}/"),
        library.EndPointNotFound(f"/bot{TOKEN}/"),
    ],
)
def test_no_reason_carries_the_token(error: library.TelegramError) -> None:
    found: PlatformError = classified(error)
    assert TOKEN not in found.reason + str(found) + repr(found)
