CREATE INDEX deliveries_sent ON deliveries (chat, taken_at_ms) WHERE state = 'sent';
