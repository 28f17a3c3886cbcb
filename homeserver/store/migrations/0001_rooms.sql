-- The one counter from which event numbers and stream positions come. A transaction that takes numbers holds the row
-- until it commits, so positions become visible in order.
CREATE TABLE stream (id INTEGER PRIMARY KEY, pos INTEGER NOT NULL);
INSERT INTO stream (id, pos) VALUES (1, 0);

-- User ids, event types and state keys as integers.
CREATE TABLE strings (nid INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);

CREATE TABLE rooms (
  nid INTEGER PRIMARY KEY,
  room_id TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,
  state_id INTEGER NOT NULL, -- the current state, 0 before the create event
  published INTEGER NOT NULL -- 1: in the room directory
);

-- pos is NULL for outliers. state_before and state_after are state sets; they differ only for events that change state.
CREATE TABLE events (
  nid INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  pos INTEGER,
  event_id TEXT NOT NULL UNIQUE,
  type_nid INTEGER NOT NULL,
  state_key_nid INTEGER,
  sender_nid INTEGER NOT NULL,
  depth INTEGER NOT NULL,
  origin_server_ts INTEGER NOT NULL,
  state_before INTEGER NOT NULL,
  state_after INTEGER NOT NULL,
  replaces_nid INTEGER,     -- of a state event: the event whose place it took
  redacted_by INTEGER,      -- nid of the redaction
  txn_device TEXT,          -- device (or application service), transaction id and, of /redact, target of the request
  txn_id TEXT,
  txn_target TEXT,
  json TEXT NOT NULL
);
CREATE UNIQUE INDEX events_room_pos ON events (room_nid, pos);
CREATE INDEX events_pos ON events (pos);
CREATE UNIQUE INDEX events_txn ON events (sender_nid, txn_device, txn_id, room_nid, type_nid, txn_target) WHERE txn_id IS NOT NULL;

CREATE TABLE edges (prev_nid INTEGER NOT NULL, event_nid INTEGER NOT NULL, PRIMARY KEY (prev_nid, event_nid)) WITHOUT ROWID;

CREATE TABLE extremities (room_nid INTEGER NOT NULL, event_nid INTEGER NOT NULL, PRIMARY KEY (room_nid, event_nid)) WITHOUT ROWID;

-- A state set is its parent with entries put over it; chain is the number of ancestors. entries are triples of varints:
-- type, state key, event.
CREATE TABLE state_sets (
  id INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  parent INTEGER,
  chain INTEGER NOT NULL,
  entries BLOB NOT NULL
);
CREATE INDEX state_sets_room ON state_sets (room_nid);

CREATE TABLE current_state (
  room_nid INTEGER NOT NULL,
  type_nid INTEGER NOT NULL,
  state_key_nid INTEGER NOT NULL,
  event_nid INTEGER NOT NULL,
  PRIMARY KEY (room_nid, type_nid, state_key_nid)
) WITHOUT ROWID;

-- The current m.room.member events, by user.
CREATE TABLE memberships (
  user_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  membership TEXT NOT NULL,
  event_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  forgotten INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (user_nid, room_nid)
) WITHOUT ROWID;
CREATE INDEX memberships_room ON memberships (room_nid, membership);

CREATE TABLE aliases (
  alias TEXT PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  creator TEXT NOT NULL,
  ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX aliases_room ON aliases (room_nid);

-- Whose database this is.
CREATE TABLE server (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
