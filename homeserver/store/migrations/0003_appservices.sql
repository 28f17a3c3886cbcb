-- How far each application service has followed the stream. Events up to pos are done with: acknowledged, or of no interest.
-- txn is the number of the newest transaction; numbers only grow.
CREATE TABLE appservices (
  id TEXT PRIMARY KEY,
  pos INTEGER NOT NULL,
  txn INTEGER NOT NULL
);

-- The transaction that a service has not acknowledged yet, at most one, byte for byte. upto becomes pos when it has.
CREATE TABLE appservice_pending (
  id TEXT PRIMARY KEY,
  txn INTEGER NOT NULL,
  upto INTEGER NOT NULL,
  body BLOB NOT NULL
);
