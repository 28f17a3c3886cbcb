-- v4 -> v5: The rooms of what waits in the inbox
-- Those of a room that has too many to be held in memory are read from here, in their order. '' is for events of before
-- this version, until the next start.
ALTER TABLE host_inbox ADD COLUMN room_id TEXT NOT NULL DEFAULT '';
CREATE INDEX host_inbox_room_idx ON host_inbox (room_id, seq) WHERE done_ts=0;
