CREATE TABLE totals (
    topic TEXT NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    n {int} NOT NULL,
    PRIMARY KEY (topic, name, detail)
){compact};
INSERT INTO totals (topic, name, detail, n)
SELECT 'delivery', platform, state, count(*) FROM (
    SELECT c.platform AS platform, CASE WHEN d.state = 'editing' THEN 'sent' ELSE d.state END AS state
    FROM deliveries d JOIN chats c ON c.id = d.chat WHERE d.state IN ('sent', 'editing', 'dead', 'expired')
) ended GROUP BY platform, state;
INSERT INTO totals (topic, name, detail, n) SELECT 'silence', reason, '', sum(n) FROM silences GROUP BY reason;
