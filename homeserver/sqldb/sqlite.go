package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver
)

// ErrInUse means that another process has the SQLite file open.
var ErrInUse = errors.New("the database is in use by another process")

func openSQLite(ctx context.Context, path string) (*DB, error) {
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	// The file holds password hashes and everybody's messages. SQLite makes the files beside it with the same mode.
	if err := protect(path); err != nil {
		unlock()
		return nil, err
	}
	q := url.Values{}
	for _, p := range []string{
		"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)", "foreign_keys(1)",
		"temp_store(MEMORY)", "cache_size(-4000)", "wal_autocheckpoint(4000)",
	} {
		q.Add("_pragma", p)
	}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		unlock()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(sqliteReaders + 1)
	pool.SetMaxIdleConns(sqliteReaders + 1)
	db := &DB{engine: SQLite, pool: pool, unlock: unlock}
	if err := db.fillReaders(ctx, sqliteReaders); err != nil {
		_ = db.release()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// protect makes the file if need be, and makes it its owner's alone.
func protect(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("protect %s: %w", path, err)
	}
	return nil
}

// lockFile takes an advisory lock for this process; the kernel releases it however the process ends.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (%s is locked)", ErrInUse, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
