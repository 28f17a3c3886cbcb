package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// IsPostgres tells whether target is a PostgreSQL URL rather than the path of a SQLite file.
func IsPostgres(target string) bool {
	return strings.HasPrefix(target, "postgres://") || strings.HasPrefix(target, "postgresql://")
}

func openPostgres(ctx context.Context, target string) (*DB, error) {
	db, err := postgresPool(target, postgresReaders+1, nil)
	if err != nil {
		return nil, err
	}
	if err := db.fillReaders(ctx, postgresReaders); err != nil {
		_ = db.release()
		return nil, err
	}
	return db, nil
}

// postgresPool prepares connections to a server, and makes none yet.
func postgresPool(target string, most int, params map[string]string) (*DB, error) {
	config, err := pgx.ParseConfig(target)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", redactURL(err))
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "causeway"
	}
	maps.Copy(config.RuntimeParams, params)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	pool := sql.OpenDB(stdlib.GetConnector(*config))
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	return &DB{engine: Postgres, pool: pool, place: "PostgreSQL at " + net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}, nil
}

// connectTimeout is how long a connection may take to be made, unless the URL says otherwise.
const connectTimeout = 10 * time.Second

// lockKey is the advisory lock of the one process that writes: "causeway" in ASCII.
const lockKey int64 = 0x6361757365776179

// lockWait is how long the server gets to notice that the process that held the lock before is gone.
const lockWait = 10 * time.Second

func (c *conn) lockPostgres(ctx context.Context) error {
	// The server is to notice within a minute, and not after hours, that the machine or the network behind the lock is gone.
	_, err := c.raw.ExecContext(ctx, fmt.Sprintf(`SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10;
		SET tcp_keepalives_count = 3; SET lock_timeout = %d`, lockWait.Milliseconds()))
	if err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	_, err = c.raw.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lockKey)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "55P03" { // lock_not_available
		return ErrInUse
	}
	if err == nil {
		_, err = c.raw.ExecContext(ctx, "SET lock_timeout = 0")
	}
	if err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	return nil
}

// redactURL drops the message of a parse error, which may quote the password.
func redactURL(err error) error {
	var perr *pgconn.ParseConfigError
	if errors.As(err, &perr) {
		return errors.New("it is not a valid postgres:// URL")
	}
	return err
}

func isConnectionLoss(err error) bool {
	if err == nil {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		// Class 57P: the server is going away. Class 08: connection exceptions.
		return strings.HasPrefix(pgErr.Code, "57P") || strings.HasPrefix(pgErr.Code, "08")
	}
	var netErr net.Error
	return errors.As(err, &netErr) || pgconn.SafeToRetry(err)
}
