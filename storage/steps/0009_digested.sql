CREATE INDEX deliveries_digested ON deliveries (chat, id) WHERE state = 'pending' AND reason IN ('quiet', 'capped');
