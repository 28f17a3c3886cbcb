-- Who may be in a group call, since an access token for it was made: what is known of them when they lose what they need for it, by this
-- process or the next. delay_id is the delayed event that says that they have left, which is sent when they have; NULL for none.
CREATE TABLE call_seats (
  alias TEXT NOT NULL,       -- the call, as the SFU knows it
  identity TEXT NOT NULL,    -- the participant, as the SFU knows it
  room_nid INTEGER NOT NULL,
  user_nid INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  legacy INTEGER NOT NULL,   -- 1 for those who say by state that they are in the call
  until_ts INTEGER NOT NULL, -- until when a token is valid
  delay_id TEXT,
  delay_ms INTEGER NOT NULL,
  PRIMARY KEY (alias, identity)
) WITHOUT ROWID;
CREATE INDEX call_seats_room ON call_seats (room_nid);
CREATE INDEX call_seats_user ON call_seats (user_nid);

-- The device that asked for a token, which is of no use when the device is gone; NULL for none, and for tokens of before.
ALTER TABLE openid_tokens ADD COLUMN device_id TEXT;
