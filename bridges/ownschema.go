package bridges

import (
	"context"
	"database/sql/driver"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"
)

// ownSchema has the tables of one schema of PostgreSQL be all that there are. dbutil, by which mautrix and its connectors upgrade their tables,
// asks for tables and columns by their names alone: it takes those of another bridge in the same database for this one's, and a second bridge
// does not start.
type ownSchema struct{ driver.Connector }

// Connect implements driver.Connector.
func (c ownSchema) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if pg, ok := conn.(*stdlib.Conn); ok {
		return ownSchemaConn{pg}, err
	}
	return conn, err
}

// ownSchemaConn is a connection of an ownSchema.
type ownSchemaConn struct{ *stdlib.Conn }

// QueryContext implements driver.QueryerContext.
func (c ownSchemaConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, inOwnSchema(query), args)
}

// inOwnSchema narrows the question whether there is a table or a column.
func inOwnSchema(query string) string {
	const begin, end = "SELECT EXISTS(SELECT 1 FROM information_schema.", ")"
	if !strings.HasPrefix(query, begin) || !strings.HasSuffix(query, end) {
		return query
	}
	return strings.TrimSuffix(query, end) + " AND table_schema=current_schema()" + end
}
