-- status is of bits: 1 outlier, 2 rejected, 4 soft-failed. Events with a status are not in the timeline: their pos is NULL. reason
-- says why an event was rejected or soft-failed.
ALTER TABLE events ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN reason TEXT;

-- The auth events of every state event, as packed integers. An auth event has a smaller integer than the event that names it.
CREATE TABLE event_auth (event_nid INTEGER PRIMARY KEY, auth BLOB NOT NULL);

-- A set is content-addressed: hash is that of all that it holds, size how many places that is. seq is the number of steps since
-- the last set that was stored whole; the parent of step n is the step n less its lowest bit. An entry with event 0 takes the
-- place away. A set without a hash is of the packing before this migration.
ALTER TABLE state_sets RENAME COLUMN chain TO seq;
ALTER TABLE state_sets ADD COLUMN hash BLOB;
ALTER TABLE state_sets ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
DROP INDEX state_sets_room;
CREATE UNIQUE INDEX state_sets_hash ON state_sets (room_nid, hash);

-- The current state of a room from a position on. In a room with forks it is not the state after the event at that position.
CREATE TABLE room_states (
  room_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  state_id INTEGER NOT NULL,
  PRIMARY KEY (room_nid, pos)
) WITHOUT ROWID;
INSERT INTO room_states (room_nid, pos, state_id)
  SELECT room_nid, pos, state_after FROM events WHERE pos IS NOT NULL AND state_before <> state_after;

-- The events some of whose prev_events are not here, or have no place in the room, and which these are.
CREATE TABLE gaps (
  event_nid INTEGER NOT NULL,
  prev TEXT NOT NULL, -- event id
  room_nid INTEGER NOT NULL,
  PRIMARY KEY (event_nid, prev)
) WITHOUT ROWID;
CREATE INDEX gaps_prev ON gaps (prev);
CREATE INDEX gaps_room ON gaps (room_nid);

-- What redacted events said, until the time for which that is kept is over.
CREATE TABLE redacted_originals (
  event_nid INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  redacted_ts INTEGER NOT NULL,
  json TEXT NOT NULL
);
CREATE INDEX redacted_originals_ts ON redacted_originals (redacted_ts);

-- The redactions whose target is not here yet.
CREATE TABLE awaited_redactions (
  target TEXT NOT NULL, -- event id
  redaction_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  PRIMARY KEY (target, redaction_nid)
) WITHOUT ROWID;
CREATE INDEX awaited_redactions_room ON awaited_redactions (room_nid);

-- 1: the room is being purged, and nothing reads or writes it any more.
ALTER TABLE rooms ADD COLUMN purging INTEGER NOT NULL DEFAULT 0;

-- What of the room has been purged that has left something to sweep: 1 state sets to which nothing refers, 2 outliers, too.
ALTER TABLE rooms ADD COLUMN sweep INTEGER NOT NULL DEFAULT 0;

-- 1: who sees events of this user that were not there when they were sent sees them redacted.
ALTER TABLE users ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
CREATE INDEX users_erased ON users (nid) WHERE erased = 1;

-- The rooms that application services list under a network of theirs. rooms.published is the list of this server.
CREATE TABLE directory (network TEXT NOT NULL, room_nid INTEGER NOT NULL, PRIMARY KEY (network, room_nid)) WITHOUT ROWID;
CREATE INDEX directory_room ON directory (room_nid);

-- Random keys. 'state_sets' keys the hashes of state sets, so that nobody can make two sets that look the same.
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);

-- What has still to be done by the program to bring a database up to date.
CREATE TABLE chores (name TEXT PRIMARY KEY);
INSERT INTO chores (name) VALUES ('state_sets');
INSERT INTO chores (name) VALUES ('event_auth');
