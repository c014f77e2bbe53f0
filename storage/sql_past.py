"""A market's past put before what is stored, its tiers, and its venues' shares. Inside the caller's transaction."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple

from detectors.leverage import MarginTier
from detectors.market import VenueSample
from storage.market_facts import StoredReach, StoredTiers
from storage.sql import Connection

_ASKED = (
    "INSERT INTO pasts (market, asked_from_ms) VALUES (?, ?) "
    "ON CONFLICT (market) DO UPDATE SET asked_from_ms = excluded.asked_from_ms "
    "WHERE excluded.asked_from_ms < pasts.asked_from_ms"
)
_TIERS = (
    "INSERT INTO margin_tiers (market, taken_at_ms, source, document) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (market) DO UPDATE SET taken_at_ms = excluded.taken_at_ms, source = excluded.source, "
    "document = excluded.document"
)
_SAMPLE_COLUMNS = (
    "market, venue, symbol, happened_at_ms, seen_at_ms, price, mark_price, volume_base, open_interest_base, "
    "funding_rate, funding_interval_hours, next_funding_at_ms, long_short_ratio, taker_buy_ratio"
)
_SAMPLE = (
    f"INSERT INTO venue_samples ({_SAMPLE_COLUMNS}) VALUES ({', '.join('?' * 14)}) "  # noqa: S608 - names of this file
    "ON CONFLICT (market, venue, seen_at_ms) DO NOTHING"
)


def note_asked(connection: Connection, market: str, asked_from_ms: int) -> None:
    connection.execute(_ASKED, (market, asked_from_ms))


def reach(connection: Connection, market: str) -> StoredReach:
    (first,) = connection.execute(
        "SELECT MIN(bar_opened_at_ms) FROM snapshots WHERE market_id = (SELECT id FROM markets WHERE base = ?)",
        (market,),
    ).fetchone()
    asked = connection.execute("SELECT asked_from_ms FROM pasts WHERE market = ?", (market,)).fetchone()
    return StoredReach(first, asked[0] if asked else None)


def note_tiers(connection: Connection, market: str, tiers: StoredTiers) -> None:
    document = json.dumps([astuple(tier) for tier in tiers.tiers])
    connection.execute(_TIERS, (market, tiers.taken_at_ms, tiers.source, document))


def tiers(connection: Connection) -> dict[str, StoredTiers]:
    rows = connection.execute("SELECT market, document, source, taken_at_ms FROM margin_tiers")
    return {
        market: StoredTiers(tuple(MarginTier(*tier) for tier in json.loads(document)), source, taken_at_ms)
        for market, document, source, taken_at_ms in rows
    }


def note_samples(connection: Connection, samples: Mapping[str, Iterable[VenueSample]]) -> None:
    rows = [_sample_row(market, one) for market, told in samples.items() for one in told]
    connection.executemany(_SAMPLE, rows)


def _sample_row(market: str, one: VenueSample) -> tuple[object, ...]:
    return (market, *astuple(one))


def samples(connection: Connection, market: str, since_ms: int) -> list[VenueSample]:
    names = _SAMPLE_COLUMNS.partition(", ")[2]
    rows = connection.execute(
        f"SELECT {names} FROM venue_samples WHERE market = ? AND seen_at_ms >= ? ORDER BY seen_at_ms, venue",  # noqa: S608 - as above
        (market, since_ms),
    )
    return [VenueSample(*row) for row in rows]
