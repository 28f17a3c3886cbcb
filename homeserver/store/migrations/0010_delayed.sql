-- Events to be sent later (MSC4140), and what became of those that were to be. delay_id is a secret: who knows it may send, cancel or
-- restart. content is '' once the event is sent: it is that of the event then. outcome is NULL while the event is scheduled, else
-- 'sent', 'cancelled' or 'failed', with the event's id or the error.
CREATE TABLE delayed_events (
  delay_id TEXT PRIMARY KEY,
  nid INTEGER NOT NULL,      -- in the order of their scheduling
  user_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  type TEXT NOT NULL,
  state_key TEXT,
  content TEXT NOT NULL,
  delay_ms INTEGER NOT NULL,
  since_ts INTEGER NOT NULL, -- when it was scheduled, or restarted last
  send_ts INTEGER NOT NULL,  -- since_ts + delay_ms
  event_ts INTEGER NOT NULL, -- the time that an application service wants the event to carry, 0 for none
  sticky_ms INTEGER,         -- how long the event is to be sticky, NULL when it is not
  device TEXT NOT NULL,
  appservice TEXT NOT NULL,
  txn_id TEXT,
  outcome TEXT,
  final_ts INTEGER,
  event_id TEXT,
  error TEXT
);
CREATE INDEX delayed_events_due ON delayed_events (send_ts) WHERE outcome IS NULL;
CREATE INDEX delayed_events_user ON delayed_events (user_nid, final_ts);
CREATE INDEX delayed_events_final ON delayed_events (final_ts) WHERE outcome IS NOT NULL;
CREATE INDEX delayed_events_room ON delayed_events (room_nid);
CREATE UNIQUE INDEX delayed_events_txn ON delayed_events (user_nid, device, txn_id, room_nid, type) WHERE txn_id IS NOT NULL;

-- What users report to the operator. room_nid and event_id, or about, are what it is about.
CREATE TABLE reports (
  nid INTEGER PRIMARY KEY,
  ts INTEGER NOT NULL,
  user_nid INTEGER NOT NULL, -- who reports
  room_nid INTEGER,
  event_id TEXT,
  about TEXT,                -- a user id
  score INTEGER,
  reason TEXT NOT NULL
);
CREATE INDEX reports_user ON reports (user_nid, ts);
CREATE INDEX reports_room ON reports (room_nid) WHERE room_nid IS NOT NULL;

-- Account data that is deleted keeps its row, with content '{}', for those who have not heard of it.
ALTER TABLE account_data ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- Tokens by which somebody proves to others who they are. Random and long, so that a plain SHA-256 hides them well.
CREATE TABLE openid_tokens (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  expires_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX openid_tokens_expiry ON openid_tokens (expires_ts);
CREATE INDEX openid_tokens_user ON openid_tokens (user_nid);

-- The fields of profiles but for displayname and avatar_url. value is JSON.
CREATE TABLE profile_fields (
  user_nid INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (user_nid, name)
) WITHOUT ROWID;

-- The sticky events (MSC4354) that have not run out.
CREATE TABLE sticky_events (
  event_nid INTEGER PRIMARY KEY,
  room_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  expires_ts INTEGER NOT NULL
);
CREATE INDEX sticky_events_room ON sticky_events (room_nid, pos);
CREATE INDEX sticky_events_expiry ON sticky_events (expires_ts);
