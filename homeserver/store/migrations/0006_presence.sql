-- What users say of whether they are there, as of the last time that it changed: state is online, unavailable, offline or
-- org.matrix.msc3026.busy. last_active_ts is 0 when it is not known; pos is the position of the change in the stream.
CREATE TABLE presence (
  user_nid INTEGER PRIMARY KEY,
  state TEXT NOT NULL,
  status_msg TEXT NOT NULL,
  last_active_ts INTEGER NOT NULL,
  pos INTEGER NOT NULL
);
CREATE INDEX presence_pos ON presence (pos);

-- What is new in a room.
CREATE INDEX receipts_room_pos ON receipts (room_nid, pos);
