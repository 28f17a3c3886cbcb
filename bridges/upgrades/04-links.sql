-- v3 -> v4: Links and requests
-- Chats that are bridged to rooms which the bridge has not made, each with whose consent. state is 0 while the link is
-- being made, 1 while it stands and 2 while it is being ended.
CREATE TABLE host_link (
	portal_id TEXT   PRIMARY KEY,
	room_id   TEXT   NOT NULL,
	state     BIGINT NOT NULL,
	asked_by  TEXT   NOT NULL,
	consent   TEXT   NOT NULL,
	since_ts  BIGINT NOT NULL
);
CREATE INDEX host_link_room_idx ON host_link (room_id);

-- Who has asked for a link, and what has come of that. code is a hash of what the answer has to repeat.
CREATE TABLE host_request (
	code       TEXT   PRIMARY KEY,
	portal_id  TEXT   NOT NULL,
	room_id    TEXT   NOT NULL,
	asked_by   TEXT   NOT NULL,
	whom       TEXT   NOT NULL,
	outcome    TEXT   NOT NULL,
	asked_ts   BIGINT NOT NULL,
	expires_ts BIGINT NOT NULL
);

-- What has been carried from a room to a chat that is not the room's portal, and what it is called there.
CREATE TABLE host_copy (
	event_id  TEXT   NOT NULL,
	portal_id TEXT   NOT NULL,
	remote_id TEXT   NOT NULL,
	done_ts   BIGINT NOT NULL,
	PRIMARY KEY (event_id, portal_id)
);
CREATE INDEX host_copy_remote_idx ON host_copy (remote_id);
CREATE INDEX host_copy_done_idx ON host_copy (done_ts);
