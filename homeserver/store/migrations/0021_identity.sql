-- The built-in identity service. Its users may be those of other servers, so they are named by their ids. Access tokens are stored as their
-- SHA-256.
CREATE TABLE identity_tokens (
  hash BLOB PRIMARY KEY,
  user_id TEXT NOT NULL,
  created_ts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX identity_tokens_user ON identity_tokens (user_id, created_ts);

-- The addresses of the policies that users have accepted.
CREATE TABLE identity_accepted (
  user_id TEXT NOT NULL,
  url TEXT NOT NULL,
  ts INTEGER NOT NULL,
  PRIMARY KEY (user_id, url)
) WITHOUT ROWID;

-- What was published: that an address is a user's. hash is what a client asks for, by the pepper of now.
CREATE TABLE identity_bindings (
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  user_id TEXT NOT NULL,
  hash TEXT NOT NULL,
  ts INTEGER NOT NULL,
  PRIMARY KEY (medium, address)
) WITHOUT ROWID;
CREATE INDEX identity_bindings_hash ON identity_bindings (hash);
CREATE INDEX identity_bindings_user ON identity_bindings (user_id);

-- The pepper of now. There is one row at most.
CREATE TABLE identity_pepper (
  id INTEGER PRIMARY KEY,
  pepper TEXT NOT NULL,
  created_ts INTEGER NOT NULL
);

-- Invitations of people who have an address, and no account that is known. public_key is the ephemeral one, whose private half is in the
-- mail alone. user_id is NULL until the address is somebody's; done_ts until that one has the invitation. next_ts is when to try again.
CREATE TABLE identity_invites (
  token TEXT PRIMARY KEY,
  medium TEXT NOT NULL,
  address TEXT NOT NULL,
  room_id TEXT NOT NULL,
  sender TEXT NOT NULL,
  public_key TEXT NOT NULL,
  created_ts INTEGER NOT NULL,
  user_id TEXT,
  tries INTEGER NOT NULL,
  next_ts INTEGER NOT NULL,
  done_ts INTEGER
);
CREATE INDEX identity_invites_address ON identity_invites (medium, address) WHERE user_id IS NULL;
CREATE INDEX identity_invites_due ON identity_invites (next_ts) WHERE user_id IS NOT NULL AND done_ts IS NULL;
CREATE INDEX identity_invites_key ON identity_invites (public_key);
CREATE INDEX identity_invites_age ON identity_invites (created_ts);
CREATE INDEX identity_invites_room ON identity_invites (room_id);
