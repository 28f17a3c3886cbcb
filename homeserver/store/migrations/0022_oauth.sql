-- OAuth clients as they registered themselves (RFC 7591). hash is the SHA-256 of metadata: who registers the same again gets the same id.
-- used_ts is when somebody last set out to sign in by the client. One that no device was made for goes some time after that.
CREATE TABLE oauth_clients (
  id TEXT PRIMARY KEY,
  hash BLOB NOT NULL,
  metadata TEXT NOT NULL,
  created_ts INTEGER NOT NULL,
  used_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX oauth_clients_hash ON oauth_clients (hash);
CREATE INDEX oauth_clients_used ON oauth_clients (used_ts);
CREATE INDEX devices_oauth_client ON devices (oauth_client) WHERE oauth_client IS NOT NULL;

-- Authorization codes, by their SHA-256. challenge is that of PKCE, by S256. A code that was used stays for a while, so that its second use
-- is noticed.
CREATE TABLE oauth_codes (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  client TEXT NOT NULL,
  scope TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  challenge TEXT NOT NULL,
  expires_ts INTEGER NOT NULL,
  used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX oauth_codes_expires ON oauth_codes (expires_ts);
CREATE INDEX oauth_codes_user ON oauth_codes (user_nid, expires_ts);

-- Device codes and user codes (RFC 8628), by their SHA-256. state is 0 until the user has decided, then 1 for yes or 2 for no, by whom
-- user_nid says. poll_ts is when the client may ask next, interval_ms what it waits in between.
CREATE TABLE oauth_device_codes (
  hash BLOB PRIMARY KEY,
  user_code BLOB NOT NULL,
  client TEXT NOT NULL,
  device_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  state INTEGER NOT NULL,
  user_nid INTEGER,
  expires_ts INTEGER NOT NULL,
  poll_ts INTEGER NOT NULL,
  interval_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX oauth_device_codes_user ON oauth_device_codes (user_code);
CREATE INDEX oauth_device_codes_expires ON oauth_device_codes (expires_ts);

-- Browsers in which somebody is signed in to the server's own pages, by the SHA-256 of the cookie. authenticated_ts is when they last gave
-- their password.
CREATE TABLE browser_sessions (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  authenticated_ts INTEGER NOT NULL,
  expires_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX browser_sessions_user ON browser_sessions (user_nid, expires_ts);
CREATE INDEX browser_sessions_expires ON browser_sessions (expires_ts);

-- Until when a user has allowed that cross-signing keys are replaced without another proof (MSC4312), NULL for not at all.
ALTER TABLE users ADD COLUMN reset_until_ts INTEGER;
