-- v0 -> v1: Tokens and inbox
CREATE TABLE host_token (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- Every event that the homeserver has handed over: pending while done_ts is 0, and afterwards kept for a while
-- without its content, so that a repeated transaction is recognised.
CREATE TABLE host_inbox (
	event_id TEXT   PRIMARY KEY,
	seq      BIGINT NOT NULL,
	done_ts  BIGINT NOT NULL,
	event    TEXT   NOT NULL
);
CREATE INDEX host_inbox_done_idx ON host_inbox (done_ts, seq);
