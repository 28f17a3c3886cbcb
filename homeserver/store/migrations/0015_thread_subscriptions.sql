-- Whether users follow threads (MSC4306). A row that is not subscribed says that the user has ended it, at the position pos: what was said
-- before does not begin it anew. root is the event id of the thread's root.
CREATE TABLE thread_subscriptions (
  user_nid INTEGER NOT NULL,
  room_nid INTEGER NOT NULL,
  root TEXT NOT NULL,
  subscribed INTEGER NOT NULL,
  automatic INTEGER NOT NULL, -- by a client on its own
  pos INTEGER NOT NULL,
  PRIMARY KEY (room_nid, root, user_nid)
) WITHOUT ROWID;
CREATE INDEX thread_subscriptions_user ON thread_subscriptions (user_nid, pos);
