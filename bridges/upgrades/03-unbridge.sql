-- v2 -> v3: Unbridging
-- Rooms that the bridge is leaving. aliases is a JSON list of those that are to go, '' while they are not known.
CREATE TABLE host_unbridge (
	room_id  TEXT   PRIMARY KEY,
	asked_ts BIGINT NOT NULL,
	reason   TEXT   NOT NULL,
	aliases  TEXT   NOT NULL
);

-- Rooms in which nobody but the bridge was found, and since when.
CREATE TABLE host_deserted (
	room_id  TEXT   PRIMARY KEY,
	since_ts BIGINT NOT NULL
);
