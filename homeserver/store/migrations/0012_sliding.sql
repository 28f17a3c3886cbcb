-- What the room list of sliding sync asks of every room: the position of the newest event that brings a room to the fore (0 for none),
-- and the type that its create event gives it (NULL for none).
ALTER TABLE rooms ADD COLUMN bump_pos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN room_type TEXT;
INSERT INTO chores (name) VALUES ('room_bumps');

-- Connections of sliding sync. The device has the answer number base; the answer number seq, the newest, it may have or not. configs
-- holds the forms of required_state of which the rows of sliding_rooms are, as JSON.
CREATE TABLE sliding_connections (
  nid INTEGER PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  conn_id TEXT NOT NULL,
  base INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  used_ts INTEGER NOT NULL,
  configs TEXT NOT NULL
);
CREATE UNIQUE INDEX sliding_connections_key ON sliding_connections (user_nid, device_id, conn_id);
CREATE INDEX sliding_connections_used ON sliding_connections (used_ts);

-- What a device knows of a room by the answer seq of a connection, in the place of what it knew by earlier ones; room_nid is 0 for what
-- belongs to no room. Of the events, the account data and the receipts, it knows those up to a position each, 0 for none. held is how
-- many of the newest events it has been told in one piece, members whose m.room.member events it has by lazy loading, as packed integers.
CREATE TABLE sliding_rooms (
  conn_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  data_pos INTEGER NOT NULL,
  receipt_pos INTEGER NOT NULL,
  config INTEGER NOT NULL,
  held INTEGER NOT NULL,
  direct INTEGER NOT NULL,
  members BLOB,
  PRIMARY KEY (conn_nid, room_nid, seq)
) WITHOUT ROWID;
CREATE INDEX sliding_rooms_room ON sliding_rooms (room_nid);
