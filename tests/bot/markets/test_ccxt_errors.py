"""Every error of ccxt is classified, and what only looks retryable is not."""

import importlib
from typing import Any

import pytest

from bot.markets.ccxt_errors import (
    BAN_S,
    LONGEST_WAIT_S,
    VERDICTS,
    VenueError,
    VenueFatal,
    VenueReject,
    VenueRetry,
    Verdict,
    classify,
)
from bot.markets.live_budget import is_for_good

errors: Any = importlib.import_module("ccxt.base.errors")
"""ccxt carries no types."""


FORBIDDEN = "binanceusdm GET https://x/y 403 Forbidden <html>WAF limit violated</html>"
NOT_FROM_HERE = "bybit GET https://x/y 403 Forbidden <html>is configured to block access from your country.</html>"


def test_a_403_is_a_geo_block_unless_the_venue_had_answered_and_names_no_country() -> None:
    error = errors.ExchangeNotAvailable(FORBIDDEN)
    assert (classify(error).reason, classify(error).wait_s) == ("geo-block (403)", None)
    firewall = classify(error, has_answered=True)
    assert (type(firewall), firewall.wait_s) == (VenueFatal, BAN_S)
    assert not is_for_good(firewall)
    assert classify(error, {"Retry-After": "900"}, has_answered=True).wait_s == 900
    for refused in (NOT_FROM_HERE, "binanceusdm GET https://x/y 451  {}"):
        assert is_for_good(classify(errors.ExchangeNotAvailable(refused), has_answered=True))


def names(tree: dict[str, dict[str, object]]) -> set[str]:
    return {name for key, below in tree.items() for name in (key, *names(below))}  # type: ignore[arg-type]


def test_every_class_of_ccxt_is_classified_by_its_own_name_and_no_other() -> None:
    in_tree = names(errors.error_hierarchy)
    defined = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.BaseError)
    }
    assert set(VERDICTS) == in_tree | defined


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_an_error_without_a_status_has_its_class_s_verdict(name: str) -> None:
    assert classify(getattr(errors, name)("binance says no")).verdict is VERDICTS[name]


@pytest.mark.parametrize(
    ("kind", "text", "verdict", "reason"),
    [
        ("DDoSProtection", "binanceusdm 418 I'm a teapot {}", Verdict.FATAL, "banned (418)"),
        ("DDoSProtection", "binanceusdm 429 Too Many Requests {}", Verdict.RETRY, "slow down (429)"),
        ("RateLimitExceeded", "okx GET https://x/y 429 Too Many {}", Verdict.RETRY, "slow down (429)"),
        ("ExchangeNotAvailable", "binanceusdm GET https://x/y 451  {}", Verdict.FATAL, "geo-block (451)"),
        ("ExchangeNotAvailable", "bybit GET https://x/y 403 Forbidden <html>", Verdict.FATAL, "geo-block (403)"),
        (
            "ExchangeNotAvailable",
            "bybit GET https://x/y 403 F 403, access too frequent",
            Verdict.RETRY,
            "slow down (403)",
        ),
        (
            "PermissionDenied",
            'gate {"label":"FORBIDDEN","message":"Your region is restricted"}',
            Verdict.FATAL,
            "geo-block (PermissionDenied)",
        ),
        ("RestrictedLocation", "okx 50125 not available here", Verdict.FATAL, "geo-block (RestrictedLocation)"),
        ("PermissionDenied", 'gate {"label":"READ_ONLY"}', Verdict.FATAL, "PermissionDenied"),
        ("ExchangeNotAvailable", "gate GET https://x/y 502 Bad Gateway <html>", Verdict.RETRY, "the venue fails (502)"),
        ("ExchangeNotAvailable", "gate GET https://x/y 404 Not Found", Verdict.REJECT, "ExchangeNotAvailable (404)"),
        (
            "ExchangeError",
            'binanceusdm {"code":-1008,"msg":"Server is overloaded"}',
            Verdict.RETRY,
            "the venue fails (busy)",
        ),
        ("OperationFailed", 'binanceusdm {"code":-1000,"msg":"unknown"}', Verdict.RETRY, "the venue fails (busy)"),
        ("ExchangeNotAvailable", "binanceusdm GET https://x/y", Verdict.RETRY, "cannot be reached"),
    ],
)
def test_a_status_says_more_than_the_class(kind: str, text: str, verdict: Verdict, reason: str) -> None:
    fault = classify(getattr(errors, kind)(text))
    assert (fault.verdict, fault.reason) == (verdict, reason)


def test_a_geo_block_lasts_and_says_what_to_do() -> None:
    fault = classify(errors.ExchangeNotAvailable("binanceusdm GET https://x/y 451  {}"))
    assert isinstance(fault, VenueFatal)
    assert fault.wait_s is None
    assert "source.venues" in fault.fix


def test_a_ban_lasts_as_long_as_the_venue_says() -> None:
    teapot = errors.DDoSProtection
    assert classify(teapot("binanceusdm 418 x {}"), {"Retry-After": "90"}).wait_s == 90
    until = teapot('binanceusdm 418 x {"msg":"IP banned until 1767744900000"}')
    assert classify(until, now_ms=1767744900000 - 60_000).wait_s == 60
    assert classify(teapot("binanceusdm 418 x {}")).wait_s == BAN_S


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("nan", None), ("soon", None), ("1e300", LONGEST_WAIT_S)])
def test_a_retry_after_is_believed_only_as_a_sensible_number(header: str, wait_s: float | None) -> None:
    fault = classify(errors.RateLimitExceeded("okx GET https://x/y 429 x"), {"retry-after": header})
    assert fault.wait_s == (wait_s or 30.0)


def test_what_ccxt_s_parsers_trip_over_is_tried_again() -> None:
    assert isinstance(classify(TypeError("'NoneType' object is not iterable")), VenueRetry)
    assert isinstance(classify(KeyError("data")), VenueRetry)


def test_a_venue_error_stays_what_it_is() -> None:
    fault: VenueError = VenueReject("NMR is not listed")
    assert classify(fault) is fault
