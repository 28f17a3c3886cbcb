-- The accounts of this server. nid is that of the user id in strings. password is a PHC string, NULL when nobody can log in
-- with one; appservice is the id of the application service that made the account, NULL for people.
CREATE TABLE users (
  nid INTEGER PRIMARY KEY,
  password TEXT,
  admin INTEGER NOT NULL,
  appservice TEXT,
  created_ts INTEGER NOT NULL,
  displayname TEXT,
  avatar_url TEXT
);
CREATE INDEX users_people ON users (nid) WHERE appservice IS NULL;

CREATE TABLE devices (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  display_name TEXT,
  created_ts INTEGER NOT NULL,
  PRIMARY KEY (user_nid, device_id)
) WITHOUT ROWID;

-- Access tokens are random and long, so that a plain SHA-256 hides them well.
CREATE TABLE access_tokens (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  created_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX access_tokens_device ON access_tokens (user_nid, device_id);

-- uses_allowed and expires_ts are NULL for no limit. first marks the token for the first administrator.
CREATE TABLE registration_tokens (
  token TEXT PRIMARY KEY,
  uses_allowed INTEGER,
  uses INTEGER NOT NULL,
  expires_ts INTEGER,
  admin INTEGER NOT NULL,
  first INTEGER NOT NULL,
  created_ts INTEGER NOT NULL
) WITHOUT ROWID;

-- room_nid is 0 for what belongs to no room.
CREATE TABLE account_data (
  user_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  type TEXT NOT NULL,
  content TEXT NOT NULL,
  pos INTEGER NOT NULL,
  PRIMARY KEY (user_nid, room_nid, type)
) WITHOUT ROWID;
CREATE INDEX account_data_pos ON account_data (user_nid, pos);

-- json is canonical and hash its SHA-256, by which the same filter is found again.
CREATE TABLE filters (
  user_nid INTEGER NOT NULL,
  filter_id INTEGER NOT NULL,
  hash BLOB NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (user_nid, filter_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX filters_hash ON filters (user_nid, hash);
