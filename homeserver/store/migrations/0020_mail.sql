-- Messages to people by email (address) or text message (number), each kept for a day after it is done with, so that what one address gets
-- and what one requester causes can be counted. message is JSON, '' once it is done with: it may hold a token. requester is a user id or
-- an IP address. done_ts is NULL while the message waits; outcome is then 'sent', 'refused' or 'expired'.
CREATE TABLE outbox (
  nid INTEGER PRIMARY KEY,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  requester TEXT NOT NULL,
  message TEXT NOT NULL,
  created_ts INTEGER NOT NULL,
  next_ts INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  done_ts INTEGER,
  outcome TEXT
);
CREATE INDEX outbox_due ON outbox (next_ts) WHERE done_ts IS NULL;
CREATE INDEX outbox_done ON outbox (done_ts) WHERE done_ts IS NOT NULL;
CREATE INDEX outbox_address ON outbox (medium, address, created_ts);
CREATE INDEX outbox_requester ON outbox (requester, created_ts);

-- Proofs that somebody reads what comes to an address. purpose says what the proof is good for: 'register', 'add', 'password' or
-- 'identity'. secret and token are SHA-256 hashes; token is NULL where nothing would prove it. user_nid is who asked, 0 for a stranger.
-- wrong counts wrong tokens. modified_ts is when it began, or was validated.
CREATE TABLE threepid_sessions (
  sid TEXT PRIMARY KEY,
  purpose TEXT NOT NULL,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  secret BLOB NOT NULL,
  token BLOB,
  user_nid INTEGER NOT NULL,
  send_attempt INTEGER NOT NULL,
  next_link TEXT NOT NULL,
  wrong INTEGER NOT NULL,
  modified_ts INTEGER NOT NULL,
  validated_ts INTEGER
);
CREATE UNIQUE INDEX threepid_sessions_secret ON threepid_sessions (purpose, medium, address, secret, user_nid);
CREATE INDEX threepid_sessions_modified ON threepid_sessions (modified_ts);

-- The addresses and numbers of accounts, by which one can log in and have one's password reset.
CREATE TABLE threepids (
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  user_nid INTEGER NOT NULL,
  validated_ts INTEGER NOT NULL,
  added_ts INTEGER NOT NULL,
  PRIMARY KEY (medium, address)
) WITHOUT ROWID;
CREATE INDEX threepids_user ON threepids (user_nid, added_ts);

-- By which identity service a user's address was bound, to unbind it there.
CREATE TABLE threepid_binds (
  user_nid INTEGER NOT NULL,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  id_server TEXT NOT NULL,
  PRIMARY KEY (user_nid, medium, address, id_server)
) WITHOUT ROWID;
