-- Until when a user has allowed that a device replaces the user's cross-signing keys without another proof (MSC4312), NULL for not at all.
-- Before, it was allowed to all of a user's devices at once; what was allowed lasted for ten minutes.
ALTER TABLE devices ADD COLUMN reset_until_ts INTEGER;
ALTER TABLE users DROP COLUMN reset_until_ts;
