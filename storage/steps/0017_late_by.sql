ALTER TABLE deliveries ADD COLUMN late_by_ms {int};
UPDATE chats SET parked = 'moved' WHERE substr(parked, 1, 9) = 'moved to ';
