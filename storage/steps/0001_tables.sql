CREATE TABLE meta (name TEXT PRIMARY KEY, value{untyped}){compact};

CREATE TABLE markets (
    id {id},
    base TEXT NOT NULL UNIQUE,
    last_seq {int} NOT NULL DEFAULT 0,
    taken_at_ms {int},
    bar_opened_at_ms {int}
);
CREATE TABLE states (market_id {key} REFERENCES markets, blob {bytes} NOT NULL);
CREATE TABLE checkpoints (
    market_id {key} REFERENCES markets,
    seq {int} NOT NULL,
    bar_opened_at_ms {int} NOT NULL,
    blob {bytes} NOT NULL
);
CREATE TABLE views (id {id}, document TEXT NOT NULL UNIQUE);
CREATE TABLE snapshots (
    market_id {int} NOT NULL REFERENCES markets,
    seq {int} NOT NULL,
    view_id {int} NOT NULL REFERENCES views,
    taken_at_ms {int} NOT NULL,
    price {float},
    low {float},
    high {float},
    bar_opened_at_ms {int},
    bar_interval_ms {int},
    bar_open {float},
    bar_high {float},
    bar_low {float},
    bar_close {float},
    bar_volume_base {float},
    bar_taker_buy_volume_base {float},
    open_interest_taken_at_ms {int},
    open_interest_base {float},
    open_interest_interval_ms {int},
    extra TEXT,
    PRIMARY KEY (market_id, seq)
){compact};
CREATE UNIQUE INDEX snapshots_bar ON snapshots (market_id, bar_opened_at_ms) WHERE bar_opened_at_ms IS NOT NULL;

CREATE TABLE events (
    id {id},
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    market TEXT NOT NULL,
    subject TEXT NOT NULL,
    arming {int} NOT NULL,
    taken_at_ms {int} NOT NULL,
    revision {int} NOT NULL DEFAULT 0,
    spine TEXT NOT NULL
);
CREATE INDEX events_conversation ON events (market, kind, subject, arming);
CREATE TABLE revisions (
    event_id {int} NOT NULL REFERENCES events,
    revision {int} NOT NULL,
    spine TEXT NOT NULL,
    PRIMARY KEY (event_id, revision)
){compact};
CREATE TABLE alerts (event_id {key} REFERENCES events, evidence TEXT);

CREATE TABLE chats (
    id {id},
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    muted_until_ms {int},
    parked TEXT,
    UNIQUE (platform, chat_id)
);
CREATE TABLE subscriptions (
    chat {int} NOT NULL REFERENCES chats,
    market TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (chat, market)
){compact};

CREATE TABLE deliveries (
    id {id},
    event_id {int} NOT NULL REFERENCES events,
    chat {int} NOT NULL REFERENCES chats,
    taken_at_ms {int} NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts {int} NOT NULL DEFAULT 0,
    due_at_ms {int} NOT NULL DEFAULT 0,
    expires_at_ms {int},
    possible_repeat {int} NOT NULL DEFAULT 0,
    revision {int} NOT NULL DEFAULT 0,
    edit_due_at_ms {int},
    editable {int} NOT NULL DEFAULT 1,
    message_id TEXT,
    note TEXT,
    UNIQUE (event_id, chat)
);
CREATE INDEX deliveries_open ON deliveries (chat, id) WHERE state IN ('pending', 'sending', 'editing');
CREATE INDEX deliveries_edits ON deliveries (chat, id) WHERE edit_due_at_ms IS NOT NULL;
CREATE INDEX deliveries_chat ON deliveries (chat, taken_at_ms);

CREATE TABLE silences (
    day {int} NOT NULL,
    chat {int} NOT NULL REFERENCES chats,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    n {int} NOT NULL,
    PRIMARY KEY (day, chat, kind, reason)
){compact};
CREATE TABLE refusals (
    market TEXT NOT NULL, reason TEXT NOT NULL, n {int} NOT NULL, PRIMARY KEY (market, reason)
){compact};
