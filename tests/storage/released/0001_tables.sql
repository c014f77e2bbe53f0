BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'clusterwatch','0001_tables','2026-11-26 13:11:17.563259+00:00');
CREATE TABLE alerts (event_id INTEGER PRIMARY KEY REFERENCES events, evidence TEXT);
INSERT INTO "alerts" VALUES(1,NULL);
INSERT INTO "alerts" VALUES(2,NULL);
INSERT INTO "alerts" VALUES(3,NULL);
INSERT INTO "alerts" VALUES(4,NULL);
CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    muted_until_ms INTEGER,
    parked TEXT,
    UNIQUE (platform, chat_id)
);
INSERT INTO "chats" VALUES(1,'console','bob',NULL,'blocked');
INSERT INTO "chats" VALUES(2,'console','alice',NULL,NULL);
CREATE TABLE checkpoints (
    market_id INTEGER PRIMARY KEY REFERENCES markets,
    seq INTEGER NOT NULL,
    bar_opened_at_ms INTEGER NOT NULL,
    blob BLOB NOT NULL
);
INSERT INTO "checkpoints" VALUES(1,1,1764547200000,X'6D6170');
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
INSERT INTO "deliveries" VALUES(1,1,2,1764547500000,'first','sent',1,0,NULL,0,0,0,1,'m1',NULL);
INSERT INTO "deliveries" VALUES(2,1,1,1764547500000,'first','sending',1,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(3,2,2,1764547800000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(4,2,1,1764547800000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(5,3,2,1764548100000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(6,3,1,1764548100000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(7,4,2,1764548400000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
INSERT INTO "deliveries" VALUES(8,4,1,1764548400000,'first','pending',0,0,NULL,0,0,NULL,1,NULL,NULL);
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
INSERT INTO "events" VALUES(1,'cluster_formed:BTC:s0:1:1764547200000','cluster_formed','BTC','s0',1,1764547500000,1,'{"kind":"cluster_formed","market":"BTC","venue":"binance","symbol":"BTC/USDT:USDT","subject":"s0","arming":1,"rung":null,"bar_opened_at_ms":1764547200000,"taken_at_ms":1764547500000,"side":"long","price":100.0,"notional_usd":5000000.0,"severity":1,"headline":"BTC long cluster","price_decimals":2,"simulated":false,"level":{"low":97.0,"high":98.0,"centre":97.5},"facts":[{"name":"build_class","value":"fast","unit":"text","label":"estimated","title":"","shown":true}]}');
INSERT INTO "events" VALUES(2,'cluster_formed:BTC:s1:1:1764547500000','cluster_formed','BTC','s1',1,1764547800000,0,'{"kind":"cluster_formed","market":"BTC","venue":"binance","symbol":"BTC/USDT:USDT","subject":"s1","arming":1,"rung":null,"bar_opened_at_ms":1764547500000,"taken_at_ms":1764547800000,"side":"long","price":100.0,"notional_usd":5000000.0,"severity":1,"headline":"BTC long cluster","price_decimals":2,"simulated":false,"level":{"low":97.0,"high":98.0,"centre":97.5},"facts":[{"name":"build_class","value":"fast","unit":"text","label":"estimated","title":"","shown":true}]}');
INSERT INTO "events" VALUES(3,'cluster_formed:BTC:s2:1:1764547800000','cluster_formed','BTC','s2',1,1764548100000,0,'{"kind":"cluster_formed","market":"BTC","venue":"binance","symbol":"BTC/USDT:USDT","subject":"s2","arming":1,"rung":null,"bar_opened_at_ms":1764547800000,"taken_at_ms":1764548100000,"side":"long","price":100.0,"notional_usd":5000000.0,"severity":1,"headline":"BTC long cluster","price_decimals":2,"simulated":false,"level":{"low":97.0,"high":98.0,"centre":97.5},"facts":[{"name":"build_class","value":"fast","unit":"text","label":"estimated","title":"","shown":true}]}');
INSERT INTO "events" VALUES(4,'cluster_formed:BTC:s3:1:1764548100000','cluster_formed','BTC','s3',1,1764548400000,0,'{"kind":"cluster_formed","market":"BTC","venue":"binance","symbol":"BTC/USDT:USDT","subject":"s3","arming":1,"rung":null,"bar_opened_at_ms":1764548100000,"taken_at_ms":1764548400000,"side":"long","price":100.0,"notional_usd":5000000.0,"severity":1,"headline":"BTC long cluster","price_decimals":2,"simulated":false,"level":{"low":97.0,"high":98.0,"centre":97.5},"facts":[{"name":"build_class","value":"fast","unit":"text","label":"estimated","title":"","shown":true}]}');
CREATE TABLE markets (
    id INTEGER PRIMARY KEY,
    base TEXT NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0,
    taken_at_ms INTEGER,
    bar_opened_at_ms INTEGER
);
INSERT INTO "markets" VALUES(1,'BTC',5,1764548700000,1764548400000);
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "meta" VALUES('heartbeat_at_ms',7);
INSERT INTO "meta" VALUES('source','recorded');
CREATE TABLE refusals (
    market TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (market, reason)
) WITHOUT ROWID;
INSERT INTO "refusals" VALUES('BTC','spike',2);
CREATE TABLE revisions (
    event_id INTEGER NOT NULL REFERENCES events,
    revision INTEGER NOT NULL,
    spine TEXT NOT NULL,
    PRIMARY KEY (event_id, revision)
) WITHOUT ROWID;
INSERT INTO "revisions" VALUES(1,1,'{"kind":"cluster_formed","market":"BTC","venue":"binance","symbol":"BTC/USDT:USDT","subject":"s0","arming":1,"rung":null,"bar_opened_at_ms":1764547200000,"taken_at_ms":1764547500000,"side":"long","price":100.0,"notional_usd":5000000.0,"severity":1,"headline":"swept","price_decimals":2,"simulated":false,"level":{"low":97.0,"high":98.0,"centre":97.5},"facts":[{"name":"build_class","value":"fast","unit":"text","label":"estimated","title":"","shown":true}]}');
CREATE TABLE silences (
    day INTEGER NOT NULL,
    chat INTEGER NOT NULL REFERENCES chats,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (day, chat, kind, reason)
) WITHOUT ROWID;
INSERT INTO "silences" VALUES(20423,1,'k','far',4);
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
INSERT INTO "snapshots" VALUES(1,1,1,1764547500000,NULL,NULL,NULL,1764547200000,300000,100.1,101.3,99.7,100.9,12.5,NULL,1764547500000,5000.25,300000,NULL);
INSERT INTO "snapshots" VALUES(1,2,1,1764547800000,NULL,NULL,NULL,1764547500000,300000,100.1,102.3,99.7,100.9,12.5,NULL,1764547800000,5001.25,300000,NULL);
INSERT INTO "snapshots" VALUES(1,3,1,1764548100000,NULL,NULL,NULL,1764547800000,300000,100.1,103.3,99.7,100.9,12.5,NULL,1764548100000,5002.25,300000,NULL);
INSERT INTO "snapshots" VALUES(1,4,1,1764548400000,NULL,NULL,NULL,1764548100000,300000,100.1,104.3,99.7,100.9,12.5,NULL,1764548400000,5003.25,300000,NULL);
INSERT INTO "snapshots" VALUES(1,5,1,1764548700000,NULL,NULL,NULL,1764548400000,300000,100.1,105.3,99.7,100.9,12.5,NULL,1764548700000,5004.25,300000,NULL);
CREATE TABLE states (market_id INTEGER PRIMARY KEY REFERENCES markets, blob BLOB NOT NULL);
INSERT INTO "states" VALUES(1,X'73746174652034');
CREATE TABLE subscriptions (
    chat INTEGER NOT NULL REFERENCES chats,
    market TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (chat, market)
) WITHOUT ROWID;
INSERT INTO "subscriptions" VALUES(2,'BTC','{"market":"BTC","kinds":null,"within_pct":3.0,"min_notional_usd":0.0,"build_class":null,"min_severity":1}');
CREATE TABLE views (id INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE);
INSERT INTO "views" VALUES(1,'{"base": "BTC", "symbol": "BTC/USDT:USDT", "venues": ["binance"], "open_interest_venues": ["binance"], "price_decimals": 2, "simulated": false}');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE UNIQUE INDEX snapshots_bar ON snapshots (market_id, bar_opened_at_ms) WHERE bar_opened_at_ms IS NOT NULL;
CREATE INDEX events_conversation ON events (market, kind, subject, arming);
CREATE INDEX deliveries_open ON deliveries (chat, id) WHERE state IN ('pending', 'sending', 'editing');
CREATE INDEX deliveries_edits ON deliveries (chat, id) WHERE edit_due_at_ms IS NOT NULL;
CREATE INDEX deliveries_chat ON deliveries (chat, taken_at_ms);
COMMIT;
