-- The backups that users have of their keys, encrypted by their devices. Versions count from 1 for each user. keys_nid names the set of
-- keys that the backup has now; etag changes whenever a key does; count and bytes are of its keys, bytes of their session_data.
CREATE TABLE key_backups (
  user_nid INTEGER NOT NULL,
  version INTEGER NOT NULL,
  algorithm TEXT NOT NULL,
  auth_data TEXT NOT NULL,
  keys_nid INTEGER NOT NULL,
  etag INTEGER NOT NULL,
  count INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (user_nid, version)
) WITHOUT ROWID;
CREATE UNIQUE INDEX key_backups_keys ON key_backups (keys_nid);

-- The newest version that a user ever had: what is not newer and not there was deleted.
CREATE TABLE key_backup_versions (user_nid INTEGER PRIMARY KEY, newest INTEGER NOT NULL);

-- The keys of backups. The room need not be one that this server knows.
CREATE TABLE key_backup_keys (
  keys_nid INTEGER NOT NULL,
  room_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  first_message_index INTEGER NOT NULL,
  forwarded_count INTEGER NOT NULL,
  is_verified INTEGER NOT NULL,
  session_data TEXT NOT NULL
);
CREATE UNIQUE INDEX key_backup_keys_session ON key_backup_keys (keys_nid, room_id, session_id);

-- The sets of keys of which no backup knows any more, and that are being deleted piece by piece.
CREATE TABLE key_backup_doomed (keys_nid INTEGER PRIMARY KEY);
