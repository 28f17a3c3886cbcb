package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
)

// Errors of OpenReadOnly and CheckVersion.
var (
	// ErrOlder means that the database has not had all migrations of this program.
	ErrOlder = errors.New("the database was made by an older version of Causeway")
	// ErrNoDatabase means that there is nothing of Causeway's where the database should be.
	ErrNoDatabase = errors.New("there is no database")
)

// readOnlyReaders is how many transactions may read at the same time in a database that was opened by OpenReadOnly.
const readOnlyReaders = 2

// OpenReadOnly opens the database that target names for reading alone, beside a process that writes or without one: no lock is
// taken, and neither tables nor rows can be changed. Write and Enqueue return ErrReadOnly. Errors: ErrNoDatabase.
func OpenReadOnly(ctx context.Context, target string) (*DB, error) {
	var (
		db  *DB
		err error
	)
	if IsPostgres(target) {
		db, err = postgresPool(target, readOnlyReaders, map[string]string{"default_transaction_read_only": "on"})
	} else {
		db, err = readSQLite(target)
	}
	if err != nil {
		return nil, err
	}
	db.readOnly, db.done = true, make(chan struct{})
	if err := db.fillReaders(ctx, readOnlyReaders); err != nil {
		_ = db.release()
		return nil, fmt.Errorf("open the database to read it: %w", err)
	}
	return db, nil
}

func readSQLite(path string) (*DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is not there", ErrNoDatabase, path)
	}
	q := url.Values{"mode": {"ro"}}
	for _, p := range []string{"query_only(1)", "busy_timeout(10000)", "temp_store(MEMORY)", "cache_size(-32000)"} {
		q.Add("_pragma", p)
	}
	pool, err := sql.Open("sqlite", sqliteURL(path, q))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(readOnlyReaders)
	pool.SetMaxIdleConns(readOnlyReaders)
	return &DB{engine: SQLite, pool: pool}, nil
}

// CheckVersion tells whether the database has had just the migrations in dir of files, and changes nothing. Errors: ErrNewer,
// ErrOlder, ErrNoDatabase when it has had none.
func (db *DB) CheckVersion(ctx context.Context, files fs.FS, dir string) error {
	all, err := readMigrations(files, dir, db.engine)
	if err != nil {
		return err
	}
	known, have, tables := 0, 0, 0
	if len(all) > 0 {
		known = all[len(all)-1].number
	}
	list := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'`
	if db.engine == Postgres {
		list = `SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('migrations')`
	}
	err = db.View(ctx, func(tx *Tx) error {
		if _, err := tx.Row(list, nil, &tables); err != nil || tables == 0 {
			return err
		}
		_, err := tx.Row(`SELECT COALESCE(MAX(number), 0) FROM migrations`, nil, &have)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the database's version: %w", err)
	case tables == 0:
		return fmt.Errorf("%w of Causeway here: it has no tables", ErrNoDatabase)
	case have > known:
		return fmt.Errorf("%w: it has version %d, and this program knows up to %d", ErrNewer, have, known)
	case have < known:
		return fmt.Errorf("%w: it has version %d, and this program's is %d, to which the server brings it when it starts", ErrOlder, have, known)
	}
	return nil
}
