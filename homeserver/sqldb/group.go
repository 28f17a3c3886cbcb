package sqldb

import (
	"context"
	"fmt"
	"runtime/debug"
)

// job is one caller's write.
type job struct {
	ctx  context.Context
	fn   func(*Tx) error
	done func(error)

	alone func(context.Context, *conn) error // in the place of fn, of what needs the connection without a transaction
}

// writeLoop is the only writer: it takes what waits, runs it in one transaction, and reports after the commit.
func (db *DB) writeLoop(c *conn) {
	defer close(db.done)
	defer c.close()
	group := make([]*job, 0, maxGroup)
	for first := range db.jobs {
		group = append(group[:0], first)
	collect:
		for len(group) < maxGroup && group[len(group)-1].alone == nil {
			select {
			case j, ok := <-db.jobs:
				if !ok {
					break collect
				}
				group = append(group, j)
			default:
				break collect
			}
		}
		last := group[len(group)-1]
		if last.alone == nil {
			db.commitGroup(c, group)
			continue
		}
		if len(group) > 1 {
			db.commitGroup(c, group[:len(group)-1])
		}
		db.runAlone(c, last)
	}
}

// noTransaction is the failed job when there was no transaction to run any in.
const noTransaction = -1

// commitGroup runs the whole group in one transaction. When that fails, those before the one that failed share another, and so
// do those from it on, and so forth: an error reaches the one who made it and nobody else, and the others still commit together.
func (db *DB) commitGroup(c *conn, group []*job) {
	failed, err := db.commitTogether(c, group)
	switch {
	case err == nil || failed == noTransaction || len(group) == 1:
		for _, j := range group {
			j.done(err)
		}
	case failed == 0: // nothing ran before it
		group[0].done(err)
		db.commitGroup(c, group[1:])
	default:
		db.commitGroup(c, group[:failed])
		db.commitGroup(c, group[failed:])
	}
}

// commitTogether runs a group in one transaction. With an error it tells which job failed; when it was the commit, or a
// statement that was held back, that may have been any, and half of the group is the guess.
func (db *DB) commitTogether(c *conn, group []*job) (failed int, err error) {
	ctx := group[0].ctx
	start := "BEGIN IMMEDIATE"
	if db.engine == Postgres {
		start = "BEGIN"
	}
	if err := c.begin(ctx, start, db.connectWriter); err != nil {
		return noTransaction, err
	}
	tx := &Tx{conn: c, engine: db.engine, writable: true}
	for i, j := range group {
		tx.ctx, tx.outer = j.ctx, j.ctx
		if err := call(j.fn, tx); err != nil {
			c.rollback(ctx)
			return i, err
		}
	}
	if err := tx.commit(); err != nil {
		c.rollback(ctx)
		return len(group) / 2, err
	}
	for _, f := range tx.afterCommit {
		f()
	}
	return 0, nil
}

func (tx *Tx) commit() error {
	for _, f := range tx.beforeCommit {
		if err := f(); err != nil {
			return err
		}
	}
	if err := tx.flush(); err != nil {
		return err
	}
	return tx.conn.commit(tx.ctx)
}

// call runs fn; a panic undoes the transaction and becomes an error, because the writer serves everybody.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(tx)
}
