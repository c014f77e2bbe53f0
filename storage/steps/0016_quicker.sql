{on_postgres} ALTER TABLE states SET (toast_tuple_target = 8160, fillfactor = 40);
DROP INDEX deliveries_open;
CREATE INDEX deliveries_open ON deliveries (chat, id, taken_at_ms, expires_at_ms, possible_repeat)
WHERE state IN ('pending', 'sending', 'editing');
