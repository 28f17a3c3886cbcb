-- The cross-signing keys of users. usage is "master", "self_signing" or "user_signing"; public_key is in unpadded base64; json is canonical,
-- without "unsigned". A master key has no signatures in it; the others have that of the master key, and no other.
CREATE TABLE cross_signing_keys (
  user_nid INTEGER NOT NULL,
  usage TEXT NOT NULL,
  public_key TEXT NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (user_nid, usage)
) WITHOUT ROWID;

-- The signatures of devices by their user's self-signing key. They go when that key does, or when the device's keys change.
CREATE TABLE device_signatures (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  signature TEXT NOT NULL,
  PRIMARY KEY (user_nid, device_id)
) WITHOUT ROWID;

-- The signatures of master keys by devices of the same user.
CREATE TABLE master_signatures (
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL, -- which has signed
  signature TEXT NOT NULL,
  PRIMARY KEY (user_nid, device_id)
) WITHOUT ROWID;

-- The signatures of master keys by another user's user-signing key. Only that user sees them.
CREATE TABLE user_signatures (
  signer_nid INTEGER NOT NULL,
  user_nid INTEGER NOT NULL, -- whose master key is signed
  signature TEXT NOT NULL,
  PRIMARY KEY (signer_nid, user_nid)
) WITHOUT ROWID;
CREATE INDEX user_signatures_user ON user_signatures (user_nid);

-- When something about about_nid changed that user_nid alone can see: the signature of a master key, or the user's own user-signing key.
CREATE TABLE signature_changes (
  user_nid INTEGER NOT NULL,
  about_nid INTEGER NOT NULL,
  pos INTEGER NOT NULL,
  PRIMARY KEY (user_nid, about_nid)
) WITHOUT ROWID;
CREATE INDEX signature_changes_pos ON signature_changes (user_nid, pos);

-- Which of a user's devices is dehydrated (MSC3814), and what a client needs to wake it, as it gave it.
CREATE TABLE dehydrated_devices (
  user_nid INTEGER PRIMARY KEY,
  device_id TEXT NOT NULL,
  data TEXT NOT NULL
);
