package store

import (
	"context"

	"causeway/homeserver/sqldb"
)

// ErrLogKept means that what was deleted is still in the write-ahead log of a SQLite database, because somebody reads an older state.
var ErrLogKept = sqldb.ErrLogKept

// Size returns how many bytes the database takes, free pages and indexes among them.
func (db *DB) Size(ctx context.Context) (int64, error) { return db.sql.Size(ctx) }

// Shrink frees what purges have left behind, so that it is neither to be read in the database's files, as far as the engine can do that
// while others use them, nor takes room that is not used again. See sqldb.DB.Shrink. Errors: ErrLogKept.
func (db *DB) Shrink(ctx context.Context) error { return db.sql.Shrink(ctx, purgeTables...) }

// Compact writes the whole database anew, without texts that nothing refers to any more and without free space. It is for a server
// that is stopped.
func (db *DB) Compact(ctx context.Context) error {
	if err := db.sweepStrings(ctx); err != nil {
		return err
	}
	return db.sql.Compact(ctx)
}
