// Package sqldb opens SQLite or PostgreSQL, runs migrations and transactions, and groups the writes that wait at the
// same moment into one commit. It is called by package store only. It knows no table but its own list of migrations,
// and never does network I/O other than to the database.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Engine names a database engine.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// ErrClosed is returned by View and Write after Close.
var ErrClosed = errors.New("the database is closed")

const (
	sqliteReaders   = 4
	postgresReaders = 8
	// maxGroup bounds the writes that share one commit.
	maxGroup = 256
	// writeQueue bounds the writes that wait; further callers block.
	writeQueue = 4096
)

// DB is an open database: one connection that writes and a pool of connections that read.
type DB struct {
	engine  Engine
	place   string // of a PostgreSQL server, for errors
	pool    *sql.DB
	readers chan *conn
	jobs    chan *job
	done    chan struct{} // closed when the writer has ended
	unlock  func()        // releases what keeps other processes out

	readOnly bool // there is no writer: see OpenReadOnly

	writers atomic.Int64 // connections that write, one after the other

	mu     sync.RWMutex // guards closed against senders on jobs
	closed bool
}

// Open opens the database that target names: a path of a SQLite file, or a postgres:// URL. The directory of a SQLite
// file must exist. A second process on the same file is refused with ErrInUse.
func Open(ctx context.Context, target string) (*DB, error) {
	var (
		db  *DB
		err error
	)
	if IsPostgres(target) {
		db, err = openPostgres(ctx, target)
	} else {
		db, err = openSQLite(ctx, target)
	}
	if err != nil {
		return nil, err
	}
	writer, err := db.connectWriter(ctx)
	if err != nil {
		_ = db.release()
		return nil, err
	}
	db.jobs = make(chan *job, writeQueue)
	db.done = make(chan struct{})
	go db.writeLoop(writer)
	return db, nil
}

// Engine tells which engine this is.
func (db *DB) Engine() Engine { return db.engine }

// Generation changes when the connection that writes was lost, and with it the lock: another process may have written since.
// What is kept in memory of rows that can change holds for one generation.
func (db *DB) Generation() int64 { return db.writers.Load() }

// View runs fn in a read transaction: one snapshot, which no write disturbs.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.reader(ctx, func(c *conn) error { return db.view(ctx, c, fn) })
}

// reader lends use a connection that reads.
func (db *DB) reader(ctx context.Context, use func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-db.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.done:
		return ErrClosed
	}
	defer func() { db.readers <- c }()
	if err := c.usable(ctx, db.connect); err != nil {
		return err
	}
	return use(c)
}

// Peek runs fn without a transaction: each statement is a snapshot of its own. It is for a single statement, which it spares
// the cost of beginning and ending one. Where a transaction finds out at its beginning that the connection was lost, as after a
// restart of the server, Peek finds out in fn, which then runs once more.
func (db *DB) Peek(ctx context.Context, fn func(*Tx) error) error {
	return db.reader(ctx, func(c *conn) error {
		tx := func() *Tx { return &Tx{conn: c, ctx: context.WithoutCancel(ctx), outer: ctx, engine: db.engine} }
		err := call(fn, tx())
		if err == nil || !c.broken {
			return err
		}
		if err := c.usable(ctx, db.connect); err != nil {
			return err
		}
		return call(fn, tx())
	})
}

// Write runs fn in a write transaction and returns once it is committed. Writes that wait at the same moment share one
// commit, and run in the order of their calls. fn may run more than once, so it must touch rows only: no network, no
// publishing, no change of memory that a second run would double. An error of fn undoes what fn did and nothing else.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	result := make(chan error, 1)
	if err := db.Enqueue(ctx, fn, func(err error) { result <- err }); err != nil {
		return err
	}
	return <-result
}

// Enqueue puts fn into the queue of writes and returns; done is called with the outcome, on the writer's goroutine, after
// the commit and before any later write runs singly. Calls from one goroutine run in order. done must not block.
func (db *DB) Enqueue(ctx context.Context, fn func(*Tx) error, done func(error)) error {
	return db.enqueue(ctx, &job{fn: fn, done: done})
}

func (db *DB) enqueue(ctx context.Context, j *job) error {
	j.ctx = context.WithoutCancel(ctx)
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		return ErrClosed
	}
	if db.readOnly {
		return ErrReadOnly
	}
	select {
	case db.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends after the writes that are queued, and closes the database.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	if db.readOnly {
		close(db.done)
	} else {
		close(db.jobs)
	}
	db.mu.Unlock()
	<-db.done
	for range cap(db.readers) {
		c := <-db.readers
		c.close()
	}
	return db.release()
}

// connectWriter opens the connection that writes. On PostgreSQL it holds a lock for as long as it lives, because what a
// process knows of rooms would be wrong if another wrote beside it; SQLite's file is locked when it is opened.
func (db *DB) connectWriter(ctx context.Context) (*conn, error) {
	c, err := db.connect(ctx)
	if err == nil && db.engine == Postgres {
		if err = c.lockPostgres(ctx); err != nil {
			c.close()
		}
	}
	if err != nil {
		return nil, err
	}
	db.writers.Add(1)
	return c, nil
}

func (db *DB) release() error {
	err := db.pool.Close()
	if db.unlock != nil {
		db.unlock()
	}
	if err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

func (db *DB) fillReaders(ctx context.Context, n int) error {
	db.readers = make(chan *conn, n)
	for range n {
		c, err := db.connect(ctx)
		if err != nil && db.place != "" {
			err = fmt.Errorf("%s: %w", db.place, err)
		}
		if err != nil {
			return err
		}
		db.readers <- c
	}
	return nil
}
