-- 1 while the service takes messages to devices with its transactions: those for devices of accounts that it made are kept until then,
-- however long that is.
ALTER TABLE appservices ADD COLUMN to_device INTEGER NOT NULL DEFAULT 0;

-- 1 for a device of an account that a service made which has asked /sync itself: its messages wait for that.
ALTER TABLE devices ADD COLUMN syncs INTEGER NOT NULL DEFAULT 0;

-- Those whose keys were taken.
CREATE INDEX key_counts_pos ON key_counts (pos);
CREATE INDEX users_appservice ON users (appservice) WHERE appservice IS NOT NULL;
