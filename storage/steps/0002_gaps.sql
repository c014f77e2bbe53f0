CREATE TABLE gaps (venue TEXT NOT NULL, since_ms {int} NOT NULL, until_ms {int}, PRIMARY KEY (venue, since_ms)){compact};
