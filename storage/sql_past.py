"""A market's past put before what is stored, and its tiers. Inside the caller's transaction."""

import json
from dataclasses import astuple

from detectors.leverage import MarginTier
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
