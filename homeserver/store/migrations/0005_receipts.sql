-- The newest receipt of each user in each room, by type and thread. thread is '' for a receipt without one, 'main', or the event id
-- of a thread's root. event_pos is that of the event, 0 while it has none here; pos is that of the receipt in the stream.
CREATE TABLE receipts (
  room_nid INTEGER NOT NULL,
  user_nid INTEGER NOT NULL,
  type TEXT NOT NULL,
  thread TEXT NOT NULL,
  event_id TEXT NOT NULL,
  event_pos INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  PRIMARY KEY (room_nid, user_nid, type, thread)
) WITHOUT ROWID;
CREATE INDEX receipts_pos ON receipts (pos);
