-- An access token may end by itself: expires_ts, NULL for never. refreshed is the hash of the refresh token by which it came, until it is
-- used for the first time: before that the client may not have had it, and may come with that refresh token again.
ALTER TABLE access_tokens ADD COLUMN expires_ts INTEGER;
ALTER TABLE access_tokens ADD COLUMN refreshed BLOB;

-- Refresh tokens. parent is the hash of the one by which it came, until it, or the access token that came with it, is used. used is 1 when
-- the one that came in its place has been used: who comes with it after that has stolen it, or was stolen from. client is the OAuth
-- client that it was given to, '' for none.
CREATE TABLE refresh_tokens (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  client TEXT NOT NULL,
  created_ts INTEGER NOT NULL,
  expires_ts INTEGER,
  parent BLOB,
  used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_nid, device_id, created_ts);
CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent) WHERE parent IS NOT NULL;

-- When and from where a device was last seen, in milliseconds, NULL for never since that is kept. oauth_client is the OAuth client that it
-- was made for, NULL for none.
ALTER TABLE devices ADD COLUMN last_seen_ts INTEGER;
ALTER TABLE devices ADD COLUMN last_seen_ip TEXT;
ALTER TABLE devices ADD COLUMN last_seen_agent TEXT;
ALTER TABLE devices ADD COLUMN oauth_client TEXT;

-- What an account may not do. A deactivated one nobody can use ever again; a locked one nobody can use for now; a suspended one may read,
-- and leave. valid_until_ts is NULL for an account without end.
ALTER TABLE users ADD COLUMN deactivated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN valid_until_ts INTEGER;
