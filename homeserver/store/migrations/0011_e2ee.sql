-- The messages that wait for devices, until these have acknowledged them. pos is that of the stream; ts is when the message came.
CREATE TABLE to_device (
  pos INTEGER PRIMARY KEY,
  user_nid INTEGER NOT NULL, -- whose device it is
  device_id TEXT NOT NULL,
  sender_nid INTEGER NOT NULL,
  type TEXT NOT NULL,
  content TEXT NOT NULL,
  ts INTEGER NOT NULL
);
CREATE UNIQUE INDEX to_device_device ON to_device (user_nid, device_id, pos);
CREATE UNIQUE INDEX to_device_sender ON to_device (user_nid, device_id, sender_nid, pos);

-- The requests to send such messages that were carried out, so that none is twice. device_id is the sender's device, or a scope of its
-- own for an application service.
CREATE TABLE to_device_txns (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  type TEXT NOT NULL,
  txn_id TEXT NOT NULL,
  ts INTEGER NOT NULL,
  PRIMARY KEY (user_nid, device_id, type, txn_id)
) WITHOUT ROWID;
CREATE INDEX to_device_txns_ts ON to_device_txns (user_nid, device_id, ts);

-- The identity keys of devices, as canonical JSON without "unsigned".
CREATE TABLE device_keys (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (user_nid, device_id)
) WITHOUT ROWID;

-- pos is that of the upload, by which keys are given out. claimed is 0, or the position at which the key was given out: the row is then
-- kept for a while, so that an upload that is repeated does not bring the key back.
CREATE TABLE one_time_keys (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  key_id TEXT NOT NULL,
  json TEXT NOT NULL,
  pos INTEGER NOT NULL,
  claimed INTEGER NOT NULL,
  PRIMARY KEY (user_nid, device_id, algorithm, key_id)
) WITHOUT ROWID;
CREATE INDEX one_time_keys_next ON one_time_keys (user_nid, device_id, algorithm, pos, key_id) WHERE claimed = 0;

-- used is 1 once the key has been given out.
CREATE TABLE fallback_keys (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  key_id TEXT NOT NULL,
  json TEXT NOT NULL,
  used INTEGER NOT NULL,
  PRIMARY KEY (user_nid, device_id, algorithm)
) WITHOUT ROWID;

-- How many one-time keys a device has left, and which fallback keys are unused, as the JSON that /sync has. pos is when somebody last took
-- one, 0 for never.
CREATE TABLE key_counts (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  pos INTEGER NOT NULL,
  one_time TEXT NOT NULL,
  fallback TEXT NOT NULL,
  PRIMARY KEY (user_nid, device_id)
) WITHOUT ROWID;

-- When the identity keys of a user's devices last changed.
CREATE TABLE device_changes (user_nid INTEGER PRIMARY KEY, pos INTEGER NOT NULL);
CREATE INDEX device_changes_pos ON device_changes (pos);
