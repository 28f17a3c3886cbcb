-- 1: the account is a guest's, which may do little, and has no password. Client-Server API, "Guest Access".
ALTER TABLE users ADD COLUMN guest INTEGER NOT NULL DEFAULT 0;
CREATE INDEX users_guest ON users (nid) WHERE guest = 1;
