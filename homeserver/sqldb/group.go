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
}

// writeLoop is the only writer: it takes what waits, runs it in one transaction, and reports after the commit.
func (db *DB) writeLoop(c *conn) {
	defer close(db.done)
	defer c.close()
	group := make([]*job, 0, maxGroup)
	for first := range db.jobs {
		group = append(group[:0], first)
	collect:
		for len(group) < maxGroup {
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
		db.commitGroup(c, group)
	}
}

// commitGroup runs the whole group in one transaction. When that fails, each runs again in a transaction of its own, so
// that an error reaches the one who made it and nobody else.
func (db *DB) commitGroup(c *conn, group []*job) {
	err := db.commitTogether(c, group)
	if err == nil || len(group) == 1 {
		for _, j := range group {
			j.done(err)
		}
		return
	}
	for _, j := range group {
		j.done(db.commitTogether(c, []*job{j}))
	}
}

func (db *DB) commitTogether(c *conn, group []*job) error {
	ctx := group[0].ctx
	if err := c.usable(ctx, db.connectWriter); err != nil {
		return err
	}
	start := "BEGIN IMMEDIATE"
	if db.engine == Postgres {
		start = "BEGIN"
	}
	if err := c.begin(ctx, start); err != nil {
		return err
	}
	tx := &Tx{conn: c, engine: db.engine, writable: true}
	for _, j := range group {
		tx.ctx, tx.outer = j.ctx, j.ctx
		if err := call(j.fn, tx); err != nil {
			c.rollback(ctx)
			return err
		}
	}
	for _, f := range tx.beforeCommit {
		if err := f(); err != nil {
			c.rollback(ctx)
			return err
		}
	}
	if err := tx.flush(); err != nil {
		c.rollback(ctx)
		return err
	}
	if err := c.commit(ctx); err != nil {
		c.rollback(ctx)
		return err
	}
	for _, f := range tx.afterCommit {
		f()
	}
	return nil
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
