"""Rows of a venue's history of open interest, checked, at the bar closes that they are of. Pure.

Most venues sample it at their stamp. Gate's rows are statistics of the five minutes that begin at theirs, and the
newest shows an early part of them: it is rewritten, when the next one appears, two to three minutes after its end (how
that is known: docs/venues.md). Read as of their stamp, rows would tell of what had not happened yet.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.markets import live_prints
from bot.markets.live_types import BAR_MS, Listing, VenueSeries, number, whole_ms
from bot.markets.venues import AmountUnit, VenueRules
from detectors.market import MINUTE_MS, LiquidationTotal

_SLACK_MS = MINUTE_MS
"""How far from a bar's close a sample may be stamped and still count as that bar's."""
_FINAL_AFTER_MS = 4 * BAR_MS
"""A row so long past its stamp is final even where no newer one was asked for."""


def stamps(rules: VenueRules, since_ms: int, until_ms: int) -> tuple[int, int]:
    """The first and the last stamp to ask for, for `read` to know the bar closes from ``since_ms`` to ``until_ms``."""
    return (since_ms - 2 * BAR_MS, until_ms - BAR_MS) if rules.stamped_at_start else (since_ms, until_ms)


def read(
    rules: VenueRules,
    rows: Sequence[Any],
    listing: Listing,
    unit: AmountUnit,
    span_ms: tuple[int, int],
    now_ms: int,
    refuse: Callable[[], None],
) -> VenueSeries:
    """Open interest at the bar closes of ``span_ms``, both included, the newest final row's ratios, and the sums of
    liquidations that are known by one of these closes and by none before (`live_types.known_at_ms`)."""
    since_ms, until_ms = span_ms
    told: list[tuple[int, float, Any]] = []
    for row in rows:
        at_ms, amount = whole_ms(row.get("timestamp")), number(row.get("openInterestAmount"))
        stamp_ms = round((at_ms or 0) / BAR_MS) * BAR_MS
        if at_ms is None or amount is None or abs(at_ms - stamp_ms) > _SLACK_MS:
            refuse()
        else:
            told.append((stamp_ms, listing.amount_base(amount, unit), row.get("info")))
    lasts_ms = BAR_MS if rules.stamped_at_start else 0
    last_ms = max((stamp_ms for stamp_ms, _, _ in told), default=0)
    found: dict[int, float] = {}
    totals: dict[int, Sequence[LiquidationTotal]] = {}
    newest: Mapping[str, Any] = {}
    newest_ms = 0
    for stamp_ms, amount, info in told:
        if lasts_ms and stamp_ms == last_ms and now_ms < stamp_ms + _FINAL_AFTER_MS:
            continue
        closed_at_ms = stamp_ms + lasts_ms
        if since_ms <= closed_at_ms + lasts_ms <= until_ms:
            totals.setdefault(stamp_ms, live_prints.totals(rules, stamp_ms, info))
        if since_ms <= closed_at_ms <= until_ms:
            found.setdefault(closed_at_ms, amount)
        if newest_ms <= closed_at_ms <= until_ms and isinstance(info, dict):
            newest_ms, newest = closed_at_ms, info
    return VenueSeries(
        interest_base=found,
        totals=[one for stamp_ms in sorted(totals) for one in totals[stamp_ms]],
        long_short_ratio=number(newest.get(rules.account_ratio_key)),
        taker_buy_ratio=number(newest.get(rules.taker_ratio_key)),
    )
