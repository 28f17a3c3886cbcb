-- The index of messages. words are keyed hashes of the words of an event, of its room and of the key that the text is of, so that
-- neither the index nor what a deletion may leave of it says anything. rowid is the event's position. With secure-delete, what is
-- deleted goes from the index at once, and not when it is merged some day.
CREATE VIRTUAL TABLE search_index USING fts5(words, room_nid UNINDEXED, tokenize='ascii', detail=none, columnsize=0);
INSERT INTO search_index (search_index, rank) VALUES ('secure-delete', 1);

-- The positions whose rows of the index have still to be deleted: with secure-delete each takes a millisecond or two, which is too long
-- for a purge that deletes many.
CREATE TABLE search_doomed (pos INTEGER PRIMARY KEY);

-- How far the index has followed the stream.
CREATE TABLE search_cursor (id INTEGER PRIMARY KEY, pos INTEGER NOT NULL);
INSERT INTO search_cursor (id, pos) VALUES (1, 0);

-- 1: anybody may join the room or read it, and so everybody may find those who are in it.
ALTER TABLE rooms ADD COLUMN open INTEGER NOT NULL DEFAULT 0;

-- The words by which users are found, and the users whose words have to be made anew.
CREATE TABLE user_words (word TEXT NOT NULL, user_nid INTEGER NOT NULL, PRIMARY KEY (word, user_nid)) WITHOUT ROWID;
CREATE INDEX user_words_user ON user_words (user_nid);
CREATE TABLE user_words_due (user_nid INTEGER PRIMARY KEY);
INSERT INTO user_words_due (user_nid) SELECT nid FROM users;
