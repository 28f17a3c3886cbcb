package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver
)

// ErrInUse means that another process has the SQLite file open.
var ErrInUse = errors.New("the database is in use by another process")

// busyTimeout is how long a statement waits for one of another connection.
const busyTimeout = 10 * time.Second

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
		// What is deleted is overwritten with zeros. FAST would leave whole pages that became free as they were, and with them what long
		// events said; ON writes those too, which is not to be seen in the time that sending takes, for sending deletes next to nothing.
		"secure_delete(ON)",
		// New databases note for each page who refers to it, so that pages that become free can be given back. An older one gets
		// there by Compact. It has to be said before the first page is written.
		"auto_vacuum(INCREMENTAL)",
		"journal_mode(WAL)", "synchronous(NORMAL)", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "foreign_keys(1)",
		"temp_store(MEMORY)", "cache_size(-4000)", "wal_autocheckpoint(4000)",
	} {
		q.Add("_pragma", p)
	}
	pool, err := sql.Open("sqlite", sqliteURL(path, q))
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

// sqliteURL names a file with what SQLite is told of it.
func sqliteURL(path string, q url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
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
