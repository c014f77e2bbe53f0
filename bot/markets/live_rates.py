"""Funding rates that were just settled: read from what venues say of one market or of all at once."""

import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from bot.markets.ccxt_errors import VenueRetry
from bot.markets.live_own import along
from bot.markets.live_types import Listing, number, whole_ms
from bot.markets.venue_calls import SettledCall
from bot.markets.venues import VenueRules
from detectors.market import HOUR_MS, Funding

_DEFAULT_HOURS = 8.0
_SETTLED = "settled"


def page(rules: VenueRules, listing: Listing, since_ms: int, to_ms: int) -> tuple[Any, ...]:
    """What ccxt is asked for of one market. ``to_ms`` is OKX's ``after``: only what is older; 0: nothing is said."""
    return listing.symbol, since_ms, rules.funding_page, {"after": to_ms} if to_ms else {}


async def ask(
    call: SettledCall, own: Callable[[Mapping[str, str | int]], Awaitable[Any]], since_ms: int
) -> list[Mapping[str, Any]]:
    """All rows since then, page by page. Raises `VenueRetry` where a reply is not what the venue sends."""
    found: list[Mapping[str, Any]] = []
    while True:
        page = {call.start_key: since_ms, "limit": call.page} if call.start_key else {}
        told = along(call.path, await own({**call.params, **page}))
        if not isinstance(told, list):
            raise VenueRetry("its reply is not understood")
        rows = [row for row in told if isinstance(row, dict)]
        found += rows
        last_ms = max((whole_ms(row.get(call.stamp_key)) or 0 for row in rows), default=0)
        if not call.start_key or len(told) < call.page or last_ms <= since_ms:
            return found
        since_ms = last_ms


def read(
    call: SettledCall,
    told: Iterable[Mapping[str, Any]],
    ids: Mapping[str, str],
    known_ms: Mapping[str, int],
    refuse: Callable[[str], None],
) -> dict[str, list[Funding]]:
    """Rates by base asset, oldest first; none of a market that has nothing new. ``ids`` are the venue's, by base.

    A market that is missing has to be asked for by itself: ``known_ms`` (when each was settled before) does not fit
    what the venue says of the interval, or it does not say.
    """
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for row in told:
        by_id.setdefault(str(row.get(call.id_key)), []).append(row)
    found: dict[str, list[Funding]] = {}
    for base, market_id in ids.items():
        mine = by_id.get(market_id, [])
        rates = _history(call, mine, refuse) if call.start_key else _newest(call, mine, known_ms.get(base), refuse)
        if rates is not None:
            found[base] = rates
    return found


def _history(
    call: SettledCall, mine: Iterable[Mapping[str, Any]], refuse: Callable[[str], None]
) -> list[Funding] | None:
    settled = set()  # pages overlap
    for row in mine:
        at_ms, rate = whole_ms(row.get(call.stamp_key)), number(row.get(call.rate_key), signed=True)
        if at_ms is None or rate is None:
            refuse("funding_not_a_number")
        else:
            settled.add((at_ms, rate))
    return with_intervals(sorted(settled))


def _newest(
    call: SettledCall, mine: list[Mapping[str, Any]], known_ms: int | None, refuse: Callable[[str], None]
) -> list[Funding] | None:
    if len(mine) != 1:
        return None
    [row] = mine
    if row.get(call.state_key) != _SETTLED:
        return []  # it is being settled
    at_ms, next_ms = whole_ms(row.get(call.stamp_key)), whole_ms(row.get(call.next_key))
    rate = number(row.get(call.rate_key), signed=True)
    if at_ms is None or next_ms is None or rate is None:
        refuse("funding_not_a_number")
        return None
    if known_ms is not None and known_ms >= at_ms:
        return []
    if known_ms is None or at_ms - known_ms != next_ms - at_ms:
        return None
    return with_intervals([(known_ms, 0.0), (at_ms, rate)])[1:]


def history(rows: Any, since_ms: int, refuse: Callable[[str], None]) -> list[Funding]:
    """ccxt's rates of one market, those settled at or after then."""
    settled = []
    for row in rows if isinstance(rows, list) else ():
        at_ms, rate = whole_ms(row.get("timestamp")), number(row.get("fundingRate"), signed=True)
        if at_ms is None or rate is None:
            refuse("funding_not_a_number")
        elif at_ms >= since_ms:
            settled.append((at_ms, rate))
    return with_intervals(sorted(settled))


def with_intervals(settled: Iterable[tuple[int, float]]) -> list[Funding]:
    """(time, rate), oldest first, with the hours each is for: since the rate before it, as venues change them from
    market to market."""
    pairs = list(settled)
    gaps = [float(round((later - earlier) / HOUR_MS)) for (earlier, _), (later, _) in itertools.pairwise(pairs)]
    known = [gap if 1 <= gap <= _DEFAULT_HOURS else _DEFAULT_HOURS for gap in gaps]
    hours = [known[0] if known else _DEFAULT_HOURS, *known]
    return [Funding(at_ms, rate, each) for (at_ms, rate), each in zip(pairs, hours, strict=False)]


def hours(interval: Any) -> float | None:
    """``8h`` as 8."""
    return number(interval.removesuffix("h")) if isinstance(interval, str) else None
