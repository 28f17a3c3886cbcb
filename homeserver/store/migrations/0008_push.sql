-- Whom an event concerns by the push rules, of the events that concern somebody of this server or that somebody of it sent. base is the
-- outcome of all who were in the room then, but for the sender and those in exceptions, which are pairs of varints: user (less the
-- user before) and outcome. NULL is no exceptions. thread_nid is that of the id of the thread's root in strings, 0 for the main
-- timeline. Of an outcome, bit 0 is notify and bit 1 highlight; what is above them says which the actions were.
CREATE TABLE push_actions (
  room_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  thread_nid INTEGER NOT NULL,
  sender_nid INTEGER NOT NULL,
  base INTEGER NOT NULL,
  exceptions BLOB,
  PRIMARY KEY (room_nid, pos)
) WITHOUT ROWID;
CREATE INDEX push_actions_threads ON push_actions (room_nid, thread_nid, pos, sender_nid) WHERE thread_nid <> 0;

-- The position since which the user has had this membership, whatever else changed in the member event.
ALTER TABLE memberships ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
