"""Every exception of discord.py is in the table, and every answer of Discord means one thing."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import aiohttp
import discord
import pytest

from bot.errors import Fatal, PlatformError, Reject, Retry
from bot.platforms.discord.errors import FATAL_CODES, TABLE, fatal, translate, translate_edit
from bot.platforms.discord.wire import Attempt


def _classes(base: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in base.__subclasses__():
        yield each
        yield from _classes(each)


def test_every_exception_of_the_library_is_in_the_table() -> None:
    for module in pkgutil.iter_modules(discord.__path__, "discord."):
        if module.name not in ("discord.__main__", "discord.types"):
            importlib.import_module(module.name)
    # Those of discord.ext belong to frameworks that are not used.
    known = {each for each in _classes(discord.DiscordException) if not each.__module__.startswith("discord.ext")}
    assert len(known) > 25
    assert {discord.DiscordException, *known} - TABLE.keys() == set()


def test_a_planted_exception_is_missed_by_the_table() -> None:
    class Planted(discord.HTTPException):
        pass

    assert Planted in set(_classes(discord.DiscordException)) - TABLE.keys()


def http(kind: type[discord.HTTPException], status: int, code: int, text: str = "") -> discord.HTTPException:
    response = cast(aiohttp.ClientResponse, SimpleNamespace(status=status, reason=""))
    return kind(response, {"code": code, "message": text} if code or not text else text)


@pytest.mark.parametrize(
    ("error", "kind", "chat_gone"),
    [
        (http(discord.Forbidden, 403, 50001), Reject, True),
        (http(discord.Forbidden, 403, 50013), Reject, True),
        (http(discord.Forbidden, 403, 50007), Reject, True),
        (http(discord.Forbidden, 403, 99999), Reject, True),
        (http(discord.Forbidden, 403, 0, "<html>"), Retry, None),
        (http(discord.NotFound, 404, 10003), Reject, True),
        (http(discord.NotFound, 404, 10008), Reject, False),
        (http(discord.NotFound, 404, 0, "<html>"), Retry, None),
        (http(discord.HTTPException, 400, 50035), Reject, False),
        (http(discord.HTTPException, 400, 50083), Reject, True),
        (http(discord.Forbidden, 403, 50083), Reject, True),
        (http(discord.HTTPException, 400, 160005), Reject, True),
        (http(discord.HTTPException, 400, 160006), Retry, None),
        (http(discord.Forbidden, 403, 40004), Retry, None),
        (http(discord.Forbidden, 403, 40333), Retry, None),
        (http(discord.HTTPException, 400, 50024), Reject, True),
        (http(discord.HTTPException, 400, 99999), Reject, False),
        (http(discord.HTTPException, 400, 50008), Reject, True),
        (http(discord.HTTPException, 400, 0, "<html>"), Retry, None),
        (http(discord.HTTPException, 401, 0, "\n<!doctype html>"), Retry, None),
        (http(discord.HTTPException, 413, 40005), Reject, False),
        (http(discord.HTTPException, 413, 0, "<html>"), Reject, False),
        (http(discord.HTTPException, 401, 0), Fatal, None),
        (http(discord.HTTPException, 429, 0, "<html>"), Retry, None),
        (http(discord.DiscordServerError, 500, 0), Retry, None),
        (http(discord.DiscordServerError, 503, 0), Retry, None),
        (discord.RateLimited(61.0), Retry, None),
        (discord.LoginFailure(), Fatal, None),
        (discord.PrivilegedIntentsRequired(None), Fatal, None),
        (discord.GatewayNotFound(), Retry, None),  # type: ignore[no-untyped-call]
        (TimeoutError(), Retry, None),
        (ConnectionResetError(), Retry, None),
        (aiohttp.ServerDisconnectedError(), Retry, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_each_answer_means_one_thing(error: Exception, kind: type[PlatformError], chat_gone: bool | None) -> None:
    meaning = translate(error, Attempt())
    assert type(meaning) is kind
    if isinstance(meaning, Reject):
        assert meaning.chat_gone is chat_gone


@pytest.mark.parametrize(
    ("error", "chat_gone"),
    [
        (http(discord.HTTPException, 400, 50083), False),
        (http(discord.Forbidden, 403, 50083), False),
        (http(discord.HTTPException, 400, 160005), False),
        (http(discord.Forbidden, 403, 50005), False),
        (http(discord.Forbidden, 403, 50013), False),
        (http(discord.NotFound, 404, 10008), False),
        (http(discord.Forbidden, 403, 50001), True),
        (http(discord.NotFound, 404, 10003), True),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_edit_gives_a_chat_up_only_where_it_is_out_of_reach(error: Exception, chat_gone: bool) -> None:
    meaning = translate_edit(error, Attempt())
    assert isinstance(meaning, Reject)
    assert meaning.chat_gone is chat_gone


def test_a_page_in_place_of_discords_answer_does_not_say_that_the_token_is_wrong() -> None:
    refused, foreign = discord.LoginFailure(), discord.LoginFailure()
    refused.__cause__ = http(discord.HTTPException, 401, 0)
    foreign.__cause__ = http(discord.HTTPException, 401, 0, "<html>")
    assert fatal(refused) is not None
    assert fatal(foreign) is None


@pytest.mark.parametrize("code", [1000, 4000, *FATAL_CODES])
def test_only_the_fatal_close_codes_end_the_process(code: int) -> None:
    socket = cast(aiohttp.ClientWebSocketResponse, SimpleNamespace(close_code=code))
    error = discord.ConnectionClosed(socket, shard_id=None, code=code)
    assert (fatal(error) is not None) is (code in FATAL_CODES)


def test_a_server_error_may_have_arrived_and_a_refusal_has_not() -> None:
    for status, ambiguous in ((500, True), (503, True), (429, False)):
        attempt = Attempt()
        attempt.sent()
        attempt.answered(status)
        meaning = translate(TimeoutError(), attempt)
        assert isinstance(meaning, Retry)
        assert meaning.ambiguous is ambiguous


def test_a_refusal_after_a_server_error_leaves_it_open_whether_the_first_arrived() -> None:
    attempt = Attempt()
    for status in (502, 429):
        attempt.sent()
        attempt.answered(status)
    meaning = translate(discord.RateLimited(60.0), attempt)
    assert isinstance(meaning, Retry)
    assert meaning.ambiguous


def test_a_connection_cut_before_anything_was_sent_is_not_ambiguous() -> None:
    attempt = Attempt()
    attempt.broken()
    meaning = translate(ConnectionResetError(), attempt)
    assert isinstance(meaning, Retry)
    assert not meaning.ambiguous


def test_a_fault_of_ours_stays_what_it_is() -> None:
    assert translate(discord.InteractionResponded(cast(discord.Interaction, None)), Attempt()) is None
    assert translate(KeyError("id"), Attempt()) is None
