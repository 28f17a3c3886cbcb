package sqldb

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxPending bounds the statements that Defer holds back.
const maxPending = 512

// ErrRows means that a statement changed another number of rows than it must.
var ErrRows = errors.New("a statement did not change the one row that it must")

// statement is one that Defer holds back.
type statement struct {
	query string
	args  []any
	one   bool // it must change one row
}

// Defer runs a statement of which only failure matters, and that only before the commit. On PostgreSQL, where each statement
// costs a round trip, those that are deferred go to the server together, in order, ahead of the next statement that is not.
// An error then comes from that statement or from the commit, and undoes what any error would.
func (tx *Tx) Defer(query string, args ...any) error {
	return tx.hold(statement{query: query, args: args})
}

// DeferOne is Defer for a statement that must change one row, and fails with ErrRows when it does not.
func (tx *Tx) DeferOne(query string, args ...any) error {
	return tx.hold(statement{query: query, args: args, one: true})
}

func (tx *Tx) hold(s statement) error {
	if tx.engine != Postgres {
		n, err := tx.Exec(s.query, s.args...)
		if err != nil {
			return err
		}
		return s.check(n)
	}
	if !tx.writable {
		return ErrReadOnly
	}
	tx.pending = append(tx.pending, s)
	if len(tx.pending) < maxPending {
		return nil
	}
	return tx.flush()
}

// flush sends what Defer holds back.
func (tx *Tx) flush() error {
	if len(tx.pending) == 0 {
		return nil
	}
	pending := tx.pending
	tx.pending = tx.pending[:0]
	return tx.conn.raw.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T, not pgx's", driverConn)
		}
		batch := new(pgx.Batch)
		for _, s := range pending {
			batch.Queue(s.query, s.args...)
		}
		results := c.Conn().SendBatch(tx.ctx, batch)
		for _, s := range pending {
			tag, err := results.Exec()
			if err == nil {
				err = s.check(tag.RowsAffected())
			}
			if err != nil {
				_ = results.Close() // it repeats the error
				return describe(s.query, tx.conn.check(err))
			}
		}
		return tx.conn.check(results.Close())
	})
}

func (s *statement) check(changed int64) error {
	if s.one && changed != 1 {
		return fmt.Errorf("%d rows: %w", changed, ErrRows)
	}
	return nil
}
