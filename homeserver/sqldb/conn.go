package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// maxStatements bounds the prepared statements that one connection keeps.
const maxStatements = 512

// conn is one connection with its prepared statements. It has one user at a time.
type conn struct {
	raw    *sql.Conn
	stmts  map[string]*sql.Stmt
	broken bool
}

func (db *DB) connect(ctx context.Context) (*conn, error) {
	raw, err := db.pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return &conn{raw: raw, stmts: make(map[string]*sql.Stmt)}, nil
}

// usable replaces the connection with one from connect when its last use broke it.
func (c *conn) usable(ctx context.Context, connect func(context.Context) (*conn, error)) error {
	if !c.broken {
		return nil
	}
	c.close()
	fresh, err := connect(ctx)
	if err != nil {
		return err
	}
	*c = *fresh
	return nil
}

func (c *conn) close() {
	for _, s := range c.stmts {
		_ = s.Close() // the connection ends anyway
	}
	c.stmts = make(map[string]*sql.Stmt)
	_ = c.raw.Close()
}

func (c *conn) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	res, err := stmt.ExecContext(ctx, args...)
	return res, c.check(err)
}

func (c *conn) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		for q, s := range c.stmts {
			_ = s.Close()
			delete(c.stmts, q)
		}
	}
	s, err := c.raw.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.check(fmt.Errorf("prepare %q: %w", query, err))
	}
	c.stmts[query] = s
	return s, nil
}

// check remembers that the connection is of no use any more.
func (c *conn) check(err error) error {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || isConnectionLoss(err) {
		c.broken = true
	}
	return err
}

// begin starts a transaction by hand: database/sql would prepare its statements anew for every transaction. A connection that
// turns out to be lost, as after a restart of the server, is replaced by one from connect.
func (c *conn) begin(ctx context.Context, statement string, connect func(context.Context) (*conn, error)) error {
	var err error
	for range 2 {
		if err := c.usable(ctx, connect); err != nil {
			return err
		}
		if _, err = c.raw.ExecContext(ctx, statement); err == nil {
			return nil
		}
		if _ = c.check(err); !c.broken {
			break
		}
	}
	return fmt.Errorf("begin: %w", err)
}

func (c *conn) commit(ctx context.Context) error {
	if _, err := c.raw.ExecContext(ctx, "COMMIT"); err != nil {
		return c.check(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// rollback undoes the transaction. A connection that cannot do even that is replaced.
func (c *conn) rollback(ctx context.Context) {
	if _, err := c.raw.ExecContext(ctx, "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		c.broken = true
	}
}

func (db *DB) view(ctx context.Context, c *conn, fn func(*Tx) error) (err error) {
	// Statements run without cancellation: cancelling would cost a goroutine per statement on SQLite and the
	// connection on PostgreSQL. Tx looks at the caller's context between statements instead.
	inner := context.WithoutCancel(ctx)
	start := "BEGIN"
	if db.engine == Postgres {
		start = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	if err := c.begin(inner, start, db.connect); err != nil {
		return err
	}
	defer c.rollback(inner) // nothing was written
	return call(fn, &Tx{conn: c, ctx: inner, outer: ctx, engine: db.engine})
}
