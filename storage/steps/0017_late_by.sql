ALTER TABLE deliveries ADD COLUMN late_by_ms {int};
