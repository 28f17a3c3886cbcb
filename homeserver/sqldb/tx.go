package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrReadOnly is returned when a View writes.
var ErrReadOnly = errors.New("write in a read transaction")

// Tx is a transaction, used by one goroutine and only until the function that got it returns.
type Tx struct {
	conn     *conn
	ctx      context.Context // for statements; never cancelled
	outer    context.Context // the caller's
	engine   Engine
	writable bool

	pending      []statement // see Defer
	beforeCommit []func() error
	afterCommit  []func()
	values       map[any]any
}

// Context returns the caller's context.
func (tx *Tx) Context() context.Context { return tx.outer }

// Engine tells which engine the transaction runs on.
func (tx *Tx) Engine() Engine { return tx.engine }

// Writable tells whether the transaction may write.
func (tx *Tx) Writable() bool { return tx.writable }

// Exec runs a statement that returns no rows and tells how many rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	if !tx.writable {
		return 0, ErrReadOnly
	}
	if err := tx.outer.Err(); err != nil {
		return 0, err
	}
	if err := tx.flush(); err != nil {
		return 0, err
	}
	res, err := tx.conn.exec(tx.ctx, query, args...)
	if err != nil {
		return 0, describe(query, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, describe(query, err)
	}
	return n, nil
}

// Query runs a statement and calls scan for every row. scan gets the row's Scan method.
func (tx *Tx) Query(query string, args []any, scan func(scan func(...any) error) error) error {
	if err := tx.outer.Err(); err != nil {
		return err
	}
	if err := tx.flush(); err != nil {
		return err
	}
	stmt, err := tx.conn.prepare(tx.ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(tx.ctx, args...)
	if err != nil {
		return describe(query, tx.conn.check(err))
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return describe(query, tx.conn.check(err))
	}
	return nil
}

// Row runs a statement that returns at most one row and scans it into dest; found is false when there is none.
func (tx *Tx) Row(query string, args []any, dest ...any) (found bool, err error) {
	if err := tx.outer.Err(); err != nil {
		return false, err
	}
	if err := tx.flush(); err != nil {
		return false, err
	}
	stmt, err := tx.conn.prepare(tx.ctx, query)
	if err != nil {
		return false, err
	}
	err = stmt.QueryRowContext(tx.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, describe(query, tx.conn.check(err))
	}
	return true, nil
}

// BeforeCommit has f run in this transaction just before its commit, after all the writes that share it.
func (tx *Tx) BeforeCommit(f func() error) { tx.beforeCommit = append(tx.beforeCommit, f) }

// AfterCommit has f run after the commit, before any caller is told of it. It is not run when the transaction is undone.
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// Value returns what SetValue kept under key for the length of the transaction, shared by all the writes in it.
func (tx *Tx) Value(key any) any { return tx.values[key] }

// SetValue keeps a value for the length of the transaction.
func (tx *Tx) SetValue(key, value any) {
	if tx.values == nil {
		tx.values = make(map[any]any)
	}
	tx.values[key] = value
}

// In appends "($n, $n+1, …)" for the values to a query that has first-1 parameters already. The list is padded to a power
// of two with its last value, so that few distinct statements come to be prepared. values must not be empty.
func In[T any](query string, first int, values []T) (string, []any) {
	n := 1
	for n < len(values) {
		n *= 2
	}
	var b strings.Builder
	b.Grow(len(query) + 6*n)
	b.WriteString(query)
	args := make([]any, 0, n)
	for i := range n {
		if i == 0 {
			b.WriteString("($")
		} else {
			b.WriteString(", $")
		}
		b.WriteString(strconv.Itoa(first + i))
		args = append(args, values[min(i, len(values)-1)])
	}
	b.WriteByte(')')
	return b.String(), args
}

func describe(query string, err error) error {
	if len(query) > 60 {
		query = query[:60] + "…"
	}
	return fmt.Errorf("%s: %w", strings.Join(strings.Fields(query), " "), err)
}
