-- v1 -> v2: Further identities of messages
-- What a network calls the further pieces of a message that it took as several, so that what refers to one of them finds
-- the message.
CREATE TABLE host_line (
	remote_id  TEXT   PRIMARY KEY,
	message_id TEXT   NOT NULL,
	added_ts   BIGINT NOT NULL
);
CREATE INDEX host_line_message_idx ON host_line (message_id);
CREATE INDEX host_line_added_idx ON host_line (added_ts);
