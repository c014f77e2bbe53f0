CREATE TABLE outcomes (
    event_id {key} REFERENCES events,
    kind TEXT NOT NULL,
    market TEXT NOT NULL,
    grouped TEXT NOT NULL,
    side TEXT,
    taken_at_ms {int} NOT NULL,
    outcome TEXT NOT NULL,
    decided_at_ms {int} NOT NULL,
    question_side TEXT,
    needed {float},
    horizon_ms {int},
    wanted {int},
    chance {float},
    chance_n {int},
    facts TEXT NOT NULL
);
CREATE INDEX outcomes_taken ON outcomes (taken_at_ms);
CREATE INDEX events_market_kind ON events (market, kind, taken_at_ms);
