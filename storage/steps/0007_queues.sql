CREATE TABLE queues (
    chat {key} REFERENCES chats,
    head {int} NOT NULL,
    due_at_ms {int} NOT NULL DEFAULT 0,
    busy {int} NOT NULL DEFAULT 0
);
CREATE INDEX queues_idle ON queues (head) WHERE busy = 0;
CREATE INDEX deliveries_claimed ON deliveries (chat, id) WHERE state IN ('sending', 'editing');
DROP INDEX deliveries_edits;
CREATE INDEX deliveries_edits ON deliveries (edit_due_at_ms, id) WHERE edit_due_at_ms IS NOT NULL;
CREATE INDEX chats_parked ON chats (id) WHERE parked IS NOT NULL;
INSERT INTO queues (chat, head, busy)
SELECT chat, min(id), max(CASE WHEN state = 'pending' THEN 0 ELSE 1 END) FROM deliveries
WHERE state IN ('pending', 'sending', 'editing') GROUP BY chat;
