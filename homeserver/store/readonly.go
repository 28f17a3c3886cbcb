package store

import (
	"context"
	"fmt"

	"causeway/homeserver/sqldb"
)

// OpenReadOnly opens the database that target names for reading alone, whether a server has it open or not. It changes nothing:
// a database that is not of this program's version is refused. Errors: sqldb.ErrNoDatabase, sqldb.ErrNewer, sqldb.ErrOlder.
func OpenReadOnly(ctx context.Context, target string) (*DB, error) {
	db, err := sqldb.OpenReadOnly(ctx, target)
	if err != nil {
		return nil, err
	}
	d := &DB{sql: db, names: newNames(), rooms: newRoomVersions()}
	err = db.CheckVersion(ctx, migrations, "migrations")
	if err == nil {
		err = d.View(ctx, d.readStateKey)
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return d, nil
}

// readStateKey reads the key of the state sets, if there is one.
func (db *DB) readStateKey(tx *Tx) error {
	var key []byte
	_, err := tx.Row(`SELECT value FROM secrets WHERE name = 'state_sets'`, nil, &key)
	if err != nil {
		return fmt.Errorf("read the key of the state sets: %w", err)
	}
	copy(db.stateKey[:], key)
	return nil
}
