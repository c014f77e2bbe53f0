"""The SQLite schema, as numbered steps. Each step and its record are one transaction, so a kill between is safe.

A released step is never edited: add another. `APPLICATION_ID` marks a file as ours.
"""

from contextlib import closing

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from storage.errors import NotOurs

APPLICATION_ID = 0x436C7761  # "Clwa"

migrations = Migrations("clusterwatch")

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE markets (
    id INTEGER PRIMARY KEY,
    base TEXT NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0,
    taken_at_ms INTEGER,
    bar_opened_at_ms INTEGER
);
CREATE TABLE states (market_id INTEGER PRIMARY KEY REFERENCES markets, blob BLOB NOT NULL);
CREATE TABLE checkpoints (
    market_id INTEGER PRIMARY KEY REFERENCES markets,
    seq INTEGER NOT NULL,
    bar_opened_at_ms INTEGER NOT NULL,
    blob BLOB NOT NULL
);
CREATE TABLE views (id INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE);
CREATE TABLE snapshots (
    market_id INTEGER NOT NULL REFERENCES markets,
    seq INTEGER NOT NULL,
    view_id INTEGER NOT NULL REFERENCES views,
    taken_at_ms INTEGER NOT NULL,
    price REAL,
    low REAL,
    high REAL,
    bar_opened_at_ms INTEGER,
    bar_interval_ms INTEGER,
    bar_open REAL,
    bar_high REAL,
    bar_low REAL,
    bar_close REAL,
    bar_volume_base REAL,
    bar_taker_buy_volume_base REAL,
    open_interest_taken_at_ms INTEGER,
    open_interest_base REAL,
    open_interest_interval_ms INTEGER,
    extra TEXT,
    PRIMARY KEY (market_id, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX snapshots_bar ON snapshots (market_id, bar_opened_at_ms) WHERE bar_opened_at_ms IS NOT NULL;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    market TEXT NOT NULL,
    subject TEXT NOT NULL,
    arming INTEGER NOT NULL,
    taken_at_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    spine TEXT NOT NULL
);
CREATE INDEX events_conversation ON events (market, kind, subject, arming);
CREATE TABLE revisions (
    event_id INTEGER NOT NULL REFERENCES events,
    revision INTEGER NOT NULL,
    spine TEXT NOT NULL,
    PRIMARY KEY (event_id, revision)
) WITHOUT ROWID;
CREATE TABLE alerts (event_id INTEGER PRIMARY KEY REFERENCES events, evidence TEXT);

CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    muted_until_ms INTEGER,
    parked TEXT,
    UNIQUE (platform, chat_id)
);
CREATE TABLE subscriptions (
    chat INTEGER NOT NULL REFERENCES chats,
    market TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (chat, market)
) WITHOUT ROWID;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL REFERENCES events,
    chat INTEGER NOT NULL REFERENCES chats,
    taken_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at_ms INTEGER NOT NULL DEFAULT 0,
    expires_at_ms INTEGER,
    possible_repeat INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0,
    edit_due_at_ms INTEGER,
    editable INTEGER NOT NULL DEFAULT 1,
    message_id TEXT,
    note TEXT,
    UNIQUE (event_id, chat)
);
CREATE INDEX deliveries_open ON deliveries (chat, id) WHERE state IN ('pending', 'sending', 'editing');
CREATE INDEX deliveries_edits ON deliveries (chat, id) WHERE edit_due_at_ms IS NOT NULL;
CREATE INDEX deliveries_chat ON deliveries (chat, taken_at_ms);

CREATE TABLE silences (
    day INTEGER NOT NULL,
    chat INTEGER NOT NULL REFERENCES chats,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (day, chat, kind, reason)
) WITHOUT ROWID;
CREATE TABLE refusals (
    market TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (market, reason)
) WITHOUT ROWID;
"""


@migrations(name="0001_tables")
def tables(db: Database) -> None:
    db.executescript(_TABLES)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@migrations(name="0002_gaps")
def gaps(db: Database) -> None:
    db.execute(
        "CREATE TABLE gaps (venue TEXT NOT NULL, since_ms INTEGER NOT NULL, until_ms INTEGER, "
        "PRIMARY KEY (venue, since_ms)) WITHOUT ROWID"
    )


_MARKET_FACTS = """
CREATE TABLE pasts (market TEXT PRIMARY KEY, asked_from_ms BIGINT NOT NULL);
CREATE TABLE margin_tiers (
    market TEXT PRIMARY KEY, taken_at_ms BIGINT NOT NULL, source TEXT NOT NULL, document TEXT NOT NULL
);
CREATE TABLE venue_samples (
    market TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    happened_at_ms BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    price DOUBLE PRECISION,
    mark_price DOUBLE PRECISION,
    volume_base DOUBLE PRECISION,
    open_interest_base DOUBLE PRECISION,
    funding_rate DOUBLE PRECISION,
    funding_interval_hours DOUBLE PRECISION,
    next_funding_at_ms BIGINT,
    long_short_ratio DOUBLE PRECISION,
    taker_buy_ratio DOUBLE PRECISION,
    PRIMARY KEY (market, venue, seen_at_ms)
);
"""


@migrations(name="0005_market_facts")
def market_facts(db: Database) -> None:
    db.executescript(_MARKET_FACTS)


@migrations(name="0004_outcomes")
def outcomes(db: Database) -> None:
    db.executescript(
        """
        CREATE TABLE outcomes (
            event_id INTEGER PRIMARY KEY REFERENCES events,
            kind TEXT NOT NULL,
            market TEXT NOT NULL,
            grouped TEXT NOT NULL,
            side TEXT,
            taken_at_ms INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            decided_at_ms INTEGER NOT NULL,
            question_side TEXT,
            needed REAL,
            horizon_ms INTEGER,
            wanted INTEGER,
            chance REAL,
            chance_n INTEGER,
            facts TEXT NOT NULL
        );
        CREATE INDEX outcomes_taken ON outcomes (taken_at_ms);
        CREATE INDEX events_market_kind ON events (market, kind, taken_at_ms);
        """
    )


@migrations(name="0003_chat_settings")
def chat_settings(db: Database) -> None:
    db.executescript(
        """
        CREATE TABLE chat_settings (chat INTEGER PRIMARY KEY REFERENCES chats, document TEXT NOT NULL);
        CREATE TABLE holds (
            event_id INTEGER NOT NULL REFERENCES events,
            chat INTEGER NOT NULL REFERENCES chats,
            reason TEXT NOT NULL,
            until_ms BIGINT NOT NULL,
            PRIMARY KEY (event_id, chat)
        );
        CREATE INDEX holds_until ON holds (until_ms);
        CREATE INDEX holds_chat ON holds (chat, reason);
        CREATE INDEX events_subject ON events (market, subject);
        """
    )


@migrations(name="0003_chat_owners")
def chat_owners(db: Database) -> None:
    db.executescript(
        """
        CREATE TABLE chat_owners (chat INTEGER PRIMARY KEY REFERENCES chats, owner TEXT NOT NULL);
        CREATE INDEX chat_owners_owner ON chat_owners (owner);
        """
    )


def migrate(db: Database, where: str) -> None:
    """Bring the database to this version's schema. Raises NotOurs for a newer one."""
    with closing(Database(memory=True, execute_plugins=False)) as empty:
        known = {step.name for step in migrations.pending(empty)}
    unknown = sorted(step.name for step in migrations.applied(db) if step.name not in known)
    if unknown:
        raise NotOurs(f"{where} was written by a newer Clusterwatch ({', '.join(unknown)}): upgrade this one.")
    migrations.apply(db)
