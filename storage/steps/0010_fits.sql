CREATE TABLE fits (
    market TEXT NOT NULL,
    fitted_at_ms {int} NOT NULL,
    applies_from_ms {int},
    since_ms {int} NOT NULL,
    until_ms {int} NOT NULL,
    prints {int} NOT NULL,
    accepted {int} NOT NULL,
    reason TEXT NOT NULL,
    gain {float} NOT NULL,
    gain_low {float},
    gain_high {float},
    realised_share {float},
    document TEXT NOT NULL,
    PRIMARY KEY (market, fitted_at_ms)
);
