DROP INDEX deliveries_open;
CREATE INDEX deliveries_open ON deliveries (chat, id, taken_at_ms, expires_at_ms)
WHERE state IN ('pending', 'sending', 'editing');
