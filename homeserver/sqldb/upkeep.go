package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// freeStep is how many free pages one step of Shrink gives back to the operating system, so that no step holds up the writers for
// long. A page of SQLite has 4096 bytes.
const freeStep = 1024

// Size returns how many bytes the database takes, free pages and indexes among them.
func (db *DB) Size(ctx context.Context) (bytes int64, err error) {
	query := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	if db.engine == Postgres {
		query = `SELECT pg_database_size(current_database())`
	}
	err = db.Peek(ctx, func(tx *Tx) error {
		_, err := tx.Row(query, nil, &bytes)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure the database: %w", err)
	}
	return bytes, nil
}

// Shrink frees what deleted rows have left behind, in the given tables: PostgreSQL vacuums and analyses them; SQLite gives the pages
// that are free back to the operating system, and empties its write-ahead log into the database, so that what was deleted is in
// neither file. Others write in the meantime. A SQLite database that was made without room for moving pages keeps its free
// pages for later rows until Compact has been run.
func (db *DB) Shrink(ctx context.Context, tables ...string) error {
	if db.engine == Postgres {
		for _, table := range tables {
			if err := db.statement(ctx, "VACUUM (ANALYZE) "+table); err != nil {
				return err
			}
		}
		return nil
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := db.alone(ctx, func(ctx context.Context, c *conn) (err error) {
			more, err = c.freeSome(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("free pages: %w", err)
		}
	}
	return db.checkpoint(ctx)
}

// Compact writes the whole database anew without its free space. Nobody else can write until it has ended, and on PostgreSQL nobody
// can read either: it is for a server that is stopped. It needs as much room on the disk as the database takes.
func (db *DB) Compact(ctx context.Context) error {
	if db.engine == Postgres {
		return db.statement(ctx, "VACUUM (FULL, ANALYZE)")
	}
	err := db.alone(ctx, func(ctx context.Context, c *conn) error {
		// The mode of a database that was made before it was the default changes with the next VACUUM.
		for _, statement := range []string{"PRAGMA auto_vacuum = INCREMENTAL", "VACUUM"} {
			if _, err := c.raw.ExecContext(ctx, statement); err != nil {
				return c.check(fmt.Errorf("%s: %w", strings.ToLower(statement), err))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return db.checkpoint(ctx)
}

// statement runs one that takes no transaction, beside those who write.
func (db *DB) statement(ctx context.Context, text string) error {
	return db.reader(ctx, func(c *conn) error {
		if _, err := c.raw.ExecContext(ctx, text); err != nil {
			return c.check(fmt.Errorf("%s: %w", strings.ToLower(text), err))
		}
		return nil
	})
}

// alone runs use on the connection that writes, when no transaction is open on it.
func (db *DB) alone(ctx context.Context, use func(context.Context, *conn) error) error {
	result := make(chan error, 1)
	if err := db.enqueue(ctx, &job{alone: use, done: func(err error) { result <- err }}); err != nil {
		return err
	}
	return <-result
}

// runAlone runs a job that has the writer's connection for itself.
func (db *DB) runAlone(c *conn, j *job) {
	err := c.usable(j.ctx, db.connectWriter)
	if err == nil {
		err = j.alone(j.ctx, c)
	}
	j.done(err)
}

// freeSome gives some free pages back to the operating system. more tells that there may be others.
func (c *conn) freeSome(ctx context.Context) (more bool, err error) {
	before, err := c.freePages(ctx)
	if err != nil || before == 0 {
		return false, err
	}
	// Each page is a row of the answer: what is not read is not freed.
	rows, err := c.raw.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", freeStep))
	if err != nil {
		return false, c.check(err)
	}
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		return false, c.check(err)
	}
	if err := rows.Close(); err != nil {
		return false, c.check(err)
	}
	after, err := c.freePages(ctx)
	return after > 0 && after < before, err
}

func (c *conn) freePages(ctx context.Context) (n int64, err error) {
	err = c.raw.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&n)
	return n, c.check(err)
}

// checkpointWait is how long an attempt to empty the write-ahead log waits for those who read an older snapshot. Nobody writes
// meanwhile.
const checkpointWait = time.Second

// checkpointTries bounds the attempts. Others write between them.
const checkpointTries = 3

// ErrLogKept means that somebody read an older snapshot of a SQLite database for so long that its write-ahead log still holds what was
// deleted. The next Shrink tries again.
var ErrLogKept = errors.New("the write-ahead log could not be emptied, because a reader holds on to an older state of the database")

// checkpoint moves all of the write-ahead log into the database and empties the log's file.
func (db *DB) checkpoint(ctx context.Context) error {
	for range checkpointTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		emptied := false
		err := db.alone(ctx, func(ctx context.Context, c *conn) (err error) {
			emptied, err = c.emptyLog(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("empty the write-ahead log: %w", err)
		}
		if emptied {
			return nil
		}
	}
	return ErrLogKept
}

func (c *conn) emptyLog(ctx context.Context) (emptied bool, err error) {
	if err := c.setBusyTimeout(ctx, checkpointWait); err != nil {
		return false, err
	}
	var busy, inLog, moved int64
	err = c.raw.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &inLog, &moved)
	return busy == 0, errors.Join(c.check(err), c.setBusyTimeout(ctx, busyTimeout))
}

func (c *conn) setBusyTimeout(ctx context.Context, d time.Duration) error {
	_, err := c.raw.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds()))
	return c.check(err)
}
