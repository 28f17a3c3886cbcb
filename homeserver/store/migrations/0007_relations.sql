-- How events of the timeline relate to others of their room. parent_nid is the event that event_nid relates to; 0 while that is not
-- here, and awaits is its event id then. A redacted event relates to nothing. fit is 0 for what lacks something that its rel_type
-- asks for; key_hash is of the key of an annotation, 0 for other types. The rest is as in events.
CREATE TABLE relations (
  event_nid INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  parent_nid INTEGER NOT NULL,
  awaits TEXT,
  rel_type TEXT NOT NULL,
  type_nid INTEGER NOT NULL,
  sender_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  origin_server_ts INTEGER NOT NULL,
  fit INTEGER NOT NULL,
  key_hash INTEGER NOT NULL
);
CREATE INDEX relations_parent ON relations (parent_nid, rel_type, pos);
CREATE INDEX relations_sender ON relations (parent_nid, rel_type, sender_nid);
-- Those of which readers of the parent are told.
CREATE INDEX relations_told ON relations (room_nid, parent_nid) WHERE rel_type IN ('m.replace', 'm.thread', 'm.reference');
CREATE INDEX relations_awaits ON relations (awaits) WHERE awaits IS NOT NULL;

-- The events to which others relate as to the root of a thread: how many, and the newest position of those.
CREATE TABLE threads (
  root_nid INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  latest INTEGER NOT NULL,
  events INTEGER NOT NULL
);
CREATE INDEX threads_room ON threads (room_nid, latest);

-- The timeline by the time that senders claim.
CREATE INDEX events_room_ts ON events (room_nid, origin_server_ts, pos) WHERE pos IS NOT NULL;

-- How far a chore has come, for those that go through a table in an order.
ALTER TABLE chores ADD COLUMN upto INTEGER NOT NULL DEFAULT 0;
INSERT INTO chores (name) VALUES ('relations');
