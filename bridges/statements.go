package bridges

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// maxIdleStatements bounds the statements that a connection keeps. bridgev2 has about a hundred and fifty, a few of which are most of its work.
const maxIdleStatements = 100

// statementKeeper opens connections to SQLite that keep the statements they have prepared. bridgev2 gives each as text, and
// database/sql prepares it anew each time, which was an eighth of the work of a line.
type statementKeeper struct {
	driver driver.Driver
	dsn    string
}

// Connect implements driver.Connector.
func (k statementKeeper) Connect(context.Context) (driver.Conn, error) {
	c, err := k.driver.Open(k.dsn)
	if err != nil {
		return nil, err
	}
	inner, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection is a %T", c), c.Close())
	}
	return &keepingConn{sqliteConn: inner, idle: map[string]keptStatement{}}, nil
}

// Driver implements driver.Connector.
func (k statementKeeper) Driver() driver.Driver { return k.driver }

// sqliteConn is what the driver's connections can do. That keepingConn has no ExecContext and QueryContext makes database/sql
// prepare statements.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keptStatement is what the driver's statements can do.
type keptStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// keepingConn is a connection with its statements that are not in use. database/sql uses it from one goroutine at a time.
type keepingConn struct {
	sqliteConn
	idle map[string]keptStatement
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *keepingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if inner, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return &statement{keptStatement: inner, conn: c, query: query}, nil
	}
	s, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, ok := s.(keptStatement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's statement is a %T", s), s.Close())
	}
	return &statement{keptStatement: inner, conn: c, query: query}, nil
}

// Close implements driver.Conn.
func (c *keepingConn) Close() error {
	errs := []error{}
	for _, s := range c.idle {
		errs = append(errs, s.Close())
	}
	clear(c.idle)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// statement is one that goes back to its connection when it is closed.
type statement struct {
	keptStatement
	conn   *keepingConn
	query  string
	failed bool
}

// ExecContext implements driver.StmtExecContext. Statements are small and not broken off, for which the driver would start a goroutine each.
func (s *statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	res, err := s.keptStatement.ExecContext(context.WithoutCancel(ctx), args)
	s.failed = s.failed || err != nil
	return res, err
}

// QueryContext implements driver.StmtQueryContext, like ExecContext.
func (s *statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := s.keptStatement.QueryContext(context.WithoutCancel(ctx), args)
	s.failed = s.failed || err != nil
	return rows, err
}

// Close implements driver.Stmt. When there are too many, another goes, whichever: those that are in use come again.
func (s *statement) Close() error {
	idle := s.conn.idle
	if _, another := idle[s.query]; another || s.failed {
		return s.keptStatement.Close()
	}
	var err error
	if len(idle) >= maxIdleStatements {
		for query, other := range idle {
			err = other.Close()
			delete(idle, query)
			break
		}
	}
	idle[s.query] = s.keptStatement
	return err
}
