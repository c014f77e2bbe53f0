"""Fits of leverage weights. All functions run inside the caller's transaction. None is ever removed."""

import json
import math
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from detectors.fit import Gain
from detectors.leverage import NodeWeights
from detectors.realised import RealisedShare
from storage.fits import StoredFit
from storage.sql import Connection

_COLUMNS = (
    "market, fitted_at_ms, applies_from_ms, since_ms, until_ms, prints, accepted, reason, gain, gain_low, gain_high, "
    "realised_share, document"
)
_INSERT = (
    f"INSERT INTO fits ({_COLUMNS}) VALUES ({', '.join('?' * 13)}) "  # noqa: S608 - names of this file
    "ON CONFLICT (market, fitted_at_ms) DO UPDATE SET applies_from_ms = excluded.applies_from_ms "
    "WHERE fits.applies_from_ms IS NULL"
)


def note(connection: Connection, market: str, fit: StoredFit) -> None:
    connection.execute(_INSERT, _row(market, fit))


def load(connection: Connection, market: str) -> list[StoredFit]:
    """Oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM fits WHERE market = ? ORDER BY fitted_at_ms",  # noqa: S608 - as above
        (market,),
    )
    return [_fit(row) for row in rows]


def _row(market: str, fit: StoredFit) -> tuple[Any, ...]:
    share = fit.share
    document = {
        "before": astuple(fit.before),
        "after": astuple(fit.after),
        "configured": fit.configured,
        "days": fit.gain.days,
        "receipts": share.receipts if share else 0,
        "clamped": bool(share and share.clamped),
    }
    bounds = (value if math.isfinite(value) else None for value in (fit.gain.low, fit.gain.high))
    return (
        market,
        fit.fitted_at_ms,
        fit.applies_from_ms,
        fit.since_ms,
        fit.until_ms,
        fit.prints,
        int(fit.accepted),
        fit.reason,
        fit.gain.total,
        *bounds,
        share.share if share else None,
        json.dumps(document, allow_nan=False),
    )


def _fit(row: Sequence[Any]) -> StoredFit:
    _, fitted_at, applies_from, since, until, prints, accepted, reason, gain, low, high, share, document = row
    told = json.loads(document)
    before, after = (NodeWeights(*map(tuple, told[name])) for name in ("before", "after"))
    return StoredFit(
        fitted_at_ms=fitted_at,
        since_ms=since,
        until_ms=until,
        prints=prints,
        accepted=bool(accepted),
        reason=reason,
        gain=Gain(gain, -math.inf if low is None else low, math.inf if high is None else high, told["days"]),
        before=before,
        after=after,
        configured=told["configured"],
        share=None if share is None else RealisedShare(share, told["receipts"], told["clamped"]),
        applies_from_ms=applies_from,
    )
