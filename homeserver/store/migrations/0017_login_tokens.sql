-- Tokens by which a device that is logged in lets another log in (Client-Server API, POST /login/get_token). Of each there is but the
-- SHA-256. Its row goes when it has served.
CREATE TABLE login_tokens (
  hash BLOB PRIMARY KEY,
  user_nid INTEGER NOT NULL,
  expires_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX login_tokens_user ON login_tokens (user_nid);
CREATE INDEX login_tokens_expiry ON login_tokens (expires_ts);

-- Users whose account is deactivated, and who have yet to leave their rooms.
CREATE TABLE departures (user_nid INTEGER PRIMARY KEY);

-- Who still has a password hash from another server.
CREATE INDEX users_imported ON users (nid) WHERE SUBSTR(password, 1, 2) = '$2';

-- Which versions of which documents users have accepted, and when.
CREATE TABLE accepted_terms (
  user_nid INTEGER NOT NULL,
  policy TEXT NOT NULL,
  version TEXT NOT NULL,
  ts INTEGER NOT NULL,
  PRIMARY KEY (user_nid, policy, version)
) WITHOUT ROWID;
