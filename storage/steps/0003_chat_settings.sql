CREATE TABLE chat_settings (chat {key} REFERENCES chats, document TEXT NOT NULL);
CREATE TABLE holds (
    event_id {int} NOT NULL REFERENCES events,
    chat {int} NOT NULL REFERENCES chats,
    reason TEXT NOT NULL,
    until_ms {int} NOT NULL,
    PRIMARY KEY (event_id, chat)
);
CREATE INDEX holds_until ON holds (until_ms);
CREATE INDEX holds_chat ON holds (chat, reason);
CREATE INDEX events_subject ON events (market, subject);
