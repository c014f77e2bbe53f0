"""What an error of ccxt means for the venue that it came from. ccxt itself is not imported here.

    VenueError
    ├── VenueRetry    not now: ask again, after ``wait_s`` where the venue said how long
    ├── VenueReject   never: this call or this market cannot work; the rest of the venue goes on
    └── VenueFatal    the venue cannot be used: banned for ``wait_s``, or (None) until somebody changes something

ccxt's own tree says less than it seems to: a ban (418) and a slow-down (429) are one class on Binance, and a geo-block
(451, or 403 from the first call on) arrives as ``ExchangeNotAvailable``, which looks as if it would pass.
"""
# ruff: noqa: N818 - the names say what to do, and are read in `except` clauses

import math
import re
import time
from collections.abc import Mapping
from enum import StrEnum

SLOW_DOWN_S = 30.0
BAN_S = 600.0
"""Where a ban does not say how long it is."""
LONGEST_WAIT_S = 3 * 86_400.0
"""Binance bans for up to three days."""


class Verdict(StrEnum):
    RETRY = "retry"
    REJECT = "reject"
    FATAL = "fatal"


class VenueError(Exception):
    """``reason`` is short and stable, for counting and ``/status``; ``fix`` says what the user can do."""

    verdict: Verdict

    def __init__(self, reason: str, *, fix: str = "", wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.fix, self.wait_s = reason, fix, wait_s


class VenueRetry(VenueError):
    verdict = Verdict.RETRY


class VenueReject(VenueError):
    verdict = Verdict.REJECT


class VenueFatal(VenueError):
    verdict = Verdict.FATAL


_BY_VERDICT = {
    # Unnamed trouble is most often the venue's, and passes (Binance's -1008 is a plain ExchangeError).
    Verdict.RETRY: """
        BaseError ExchangeError OperationFailed NetworkError DDoSProtection RateLimitExceeded ExchangeNotAvailable
        OnMaintenance InvalidNonce ChecksumError RequestTimeout BadResponse NullResponse CancelPending UnsubscribeError
    """,
    Verdict.REJECT: """
        ArgumentsRequired BadRequest BadSymbol OperationRejected NoChange MarginModeAlreadySet MarketClosed
        InsufficientFunds InvalidAddress AddressPending InvalidOrder OrderNotFound OrderNotCached
        OrderImmediatelyFillable OrderNotFillable DuplicateOrderId ContractUnavailable NotSupported
    """,
    Verdict.FATAL: """
        AuthenticationError PermissionDenied AccountNotEnabled AccountSuspended ManualInteractionNeeded
        RestrictedLocation InvalidProxySettings ExchangeClosedByUser
    """,
}
VERDICTS: Mapping[str, Verdict] = {name: verdict for verdict, names in _BY_VERDICT.items() for name in names.split()}
"""Every class of ``ccxt.base.errors``; a test walks them all."""

_CLASSES: Mapping[Verdict, type[VenueError]] = {
    Verdict.RETRY: VenueRetry,
    Verdict.REJECT: VenueReject,
    Verdict.FATAL: VenueFatal,
}
_STATUS = re.compile(r"^\S+ (?:(?:GET|POST|PUT|DELETE) \S+ )?(?P<status>[1-5]\d\d) ")
"""ccxt writes ``venue GET url 451 reason body``; Binance's 418 and 429 are ``venue 418 reason body``."""
_BANNED_UNTIL = re.compile(r"banned until (?P<at_ms>\d{13})")
_BUSY = re.compile(r'"code":\s*-(?:1000|1001|1003|1008)\b')
_GEO_FIX = "the venue refuses this address or country: run elsewhere, or take the venue out of source.venues"
_FIREWALL_FIX = "all calls to the venue stop for ten minutes, and are then tried again"
_NOT_FROM_HERE = re.compile(
    r"restricted location|block access from your country|your (?:country|region|location)", re.IGNORECASE
)
"""What Binance, Bybit's CloudFront and others say to a whole country."""
_NETWORK_FIX = "check this machine's network, name server and firewall; HTTPS_PROXY is honoured"


def classify(
    error: BaseException,
    headers: Mapping[str, str] | None = None,
    now_ms: int | None = None,
    *,
    has_answered: bool = False,
) -> VenueError:
    """``error`` as a `VenueError`; one that is already is returned as it is.

    ``headers`` are those of the response (for Retry-After); ``now_ms`` is for bans that name their end.
    ``has_answered``: the venue has served this address since the start, so that a 403 is a limit of its firewall
    (Binance: "WAF limit violated") and no geo-block, unless it says so.
    """
    if isinstance(error, VenueError):
        return error
    text = str(error)
    match = _STATUS.match(text)
    status = int(match["status"]) if match else None
    if status == 418:
        wait_s = _ban_s(text, headers, now_ms)
        return VenueFatal("banned (418)", wait_s=wait_s, fix="all calls to the venue stop until the ban is over")
    if status == 403 and "too frequent" in text:  # Bybit's way of saying 429, for ten minutes
        return VenueRetry("slow down (403)", wait_s=BAN_S)
    if status == 403 and has_answered and not _NOT_FROM_HERE.search(text):
        wait_s = _retry_after_s(headers) or BAN_S
        return VenueFatal("refused by its firewall (403)", wait_s=wait_s, fix=_FIREWALL_FIX)
    if status in {403, 451}:
        return VenueFatal(f"geo-block ({status})", fix=_GEO_FIX)
    name, verdict = _verdict(type(error))
    if verdict is Verdict.FATAL and (name == "RestrictedLocation" or _NOT_FROM_HERE.search(text)):
        return VenueFatal(f"geo-block ({name})", fix=_GEO_FIX)  # Gate's 403, whose status ccxt leaves out
    if status == 429 or name in {"DDoSProtection", "RateLimitExceeded"} or "-1003" in text:
        return VenueRetry("slow down (429)", wait_s=_retry_after_s(headers) or SLOW_DOWN_S)
    if (status or 0) >= 500 or _BUSY.search(text):
        return VenueRetry(f"the venue fails ({status or 'busy'})", wait_s=_retry_after_s(headers))
    if status in {400, 404, 405, 410}:
        verdict = Verdict.REJECT
    if status is None and name in {"ExchangeNotAvailable", "RequestTimeout"}:
        return VenueRetry("cannot be reached", fix=_NETWORK_FIX)
    return _CLASSES[verdict](f"{name} ({status})" if status else name)


def _verdict(kind: type[BaseException]) -> tuple[str, Verdict]:
    for parent in kind.__mro__:
        if parent.__name__ in VERDICTS:
            return kind.__name__, VERDICTS[parent.__name__]
    # Not ccxt's: a reply so broken that ccxt's parser tripped over it. The next one may be whole.
    return f"reply not understood ({kind.__name__})", Verdict.RETRY


def _retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    for name, value in (headers or {}).items():
        if name.lower() == "retry-after":
            try:
                seconds = float(value)
            except ValueError:
                return None
            return min(max(seconds, 1.0), LONGEST_WAIT_S) if math.isfinite(seconds) else None
    return None


def _ban_s(text: str, headers: Mapping[str, str] | None, now_ms: int | None) -> float:
    if seconds := _retry_after_s(headers):
        return seconds
    if until := _BANNED_UNTIL.search(text):
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return min(max((int(until["at_ms"]) - now_ms) / 1000, 1.0), LONGEST_WAIT_S)
    return BAN_S
