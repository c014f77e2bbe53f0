CREATE TABLE chat_owners (chat {key} REFERENCES chats, owner TEXT NOT NULL);
CREATE INDEX chat_owners_owner ON chat_owners (owner);
