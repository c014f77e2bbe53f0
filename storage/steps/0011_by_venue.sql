CREATE TABLE venue_symbols (id {id}, venue TEXT NOT NULL, symbol TEXT NOT NULL, UNIQUE (venue, symbol));
ALTER TABLE snapshots ADD COLUMN by_venue {bytes};
DROP TABLE venue_samples;
