CREATE TABLE pasts (market TEXT PRIMARY KEY, asked_from_ms {int} NOT NULL);
CREATE TABLE margin_tiers (
    market TEXT PRIMARY KEY, taken_at_ms {int} NOT NULL, source TEXT NOT NULL, document TEXT NOT NULL
);
CREATE TABLE venue_samples (
    market TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    happened_at_ms {int} NOT NULL,
    seen_at_ms {int} NOT NULL,
    price {float},
    mark_price {float},
    volume_base {float},
    open_interest_base {float},
    funding_rate {float},
    funding_interval_hours {float},
    next_funding_at_ms {int},
    long_short_ratio {float},
    taker_buy_ratio {float},
    PRIMARY KEY (market, venue, seen_at_ms)
);
