// Package store holds all SQL of the homeserver: methods on Tx, one file per family of tables. The services call it inside
// DB.Write and DB.View. It knows no rules of Matrix, publishes nothing, and does no network I/O but to the database.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"causeway/homeserver/sqldb"
)

// Errors that callers branch on.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrTooMany  = errors.New("too many")
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the homeserver's database.
type DB struct {
	sql   *sqldb.DB
	names *names
	rooms *roomVersions

	stateKey    stateKey
	newest      newest
	newestRooms newestRooms
	newestSeats newestSeats
	unsettled   unsettled

	watching []func(tx *Tx, userNID int64, dataType string) // see WatchAccountData
}

// Tx is a transaction on the homeserver's database. Its methods are the queries.
type Tx struct {
	*sqldb.Tx
	db *DB
}

// Open opens the database that target names (the path of a SQLite file or a postgres:// URL) and brings its tables up to
// date. Errors: sqldb.ErrInUse, sqldb.ErrNewer.
func Open(ctx context.Context, target string) (*DB, error) {
	db, err := sqldb.Open(ctx, target)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, migrations, "migrations"); err != nil {
		_ = db.Close()
		return nil, err
	}
	d := &DB{sql: db, names: newNames(), rooms: newRoomVersions()}
	if err := d.prepare(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	if err := d.View(ctx, d.learnNewest); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("read the newest position: %w", err)
	}
	return d, nil
}

// Close ends after the writes that are queued.
func (db *DB) Close() error { return db.sql.Close() }

// Engine tells which engine this is.
func (db *DB) Engine() sqldb.Engine { return db.sql.Engine() }

// Generation changes when another process may have written. See sqldb.DB.Generation.
func (db *DB) Generation() int64 { return db.sql.Generation() }

// View runs fn on one snapshot of the database.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.sql.View(ctx, func(tx *sqldb.Tx) error { return fn(&Tx{Tx: tx, db: db}) })
}

// Peek runs fn, which makes one query, without a transaction.
func (db *DB) Peek(ctx context.Context, fn func(*Tx) error) error {
	return db.sql.Peek(ctx, func(tx *sqldb.Tx) error { return fn(&Tx{Tx: tx, db: db}) })
}

// Write runs fn in a write transaction, which it may share with other callers' writes, and returns after the commit. fn may
// run more than once and touches rows only. See sqldb.DB.Write.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	return exists(db.sql.Write(ctx, func(tx *sqldb.Tx) error { return fn(&Tx{Tx: tx, db: db}) }))
}

// Enqueue puts fn into the queue of writes and returns; done gets the outcome on the writer's goroutine. See
// sqldb.DB.Enqueue.
func (db *DB) Enqueue(ctx context.Context, fn func(*Tx) error, done func(error)) error {
	return db.sql.Enqueue(ctx, func(tx *sqldb.Tx) error { return fn(&Tx{Tx: tx, db: db}) }, func(err error) { done(exists(err)) })
}

// exists makes ErrExists of the violation of a unique key, which may show only at the commit: see sqldb.Tx.Defer.
func exists(err error) error {
	if err != nil && !errors.Is(err, ErrExists) && sqldb.IsUniqueViolation(err) {
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	return err
}
