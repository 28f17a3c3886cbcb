package bridges

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"go.mau.fi/util/dbutil"
)

func openStatements(t *testing.T) *dbutil.Database {
	t.Helper()
	db, err := openSQLite(Options{ID: "test", DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.RawDB.SetMaxOpenConns(1)
	if _, err := db.RawDB.Exec("CREATE TABLE words (n INTEGER, word TEXT); INSERT INTO words VALUES (1, 'one'), (2, 'two')"); err != nil {
		t.Fatal(err)
	}
	return db
}

func wordOf(t *testing.T, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, n int) string {
	t.Helper()
	var word string
	if err := q.QueryRowContext(t.Context(), "SELECT word FROM words WHERE n = ?", n).Scan(&word); err != nil {
		t.Fatal(err)
	}
	return word
}

// TestStatementsAreKept gives the same statement again and again: while its rows are being read, after the table has changed, after it
// has failed, and in a transaction.
func TestStatementsAreKept(t *testing.T) {
	db := openStatements(t).RawDB
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.Query("SELECT n FROM words ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		inner, err := tx.Query("SELECT n FROM words ORDER BY n")
		if err != nil {
			t.Fatal(err)
		}
		if !inner.Next() {
			t.Error("the inner rows are empty")
		}
		_ = inner.Close()
		got = append(got, wordOf(t, tx, n))
	}
	if err := errors.Join(rows.Err(), rows.Close(), tx.Commit()); err != nil || fmt.Sprint(got) != "[one two]" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := db.Exec("ALTER TABLE words ADD COLUMN more TEXT"); err != nil {
		t.Fatal(err)
	}
	if got := wordOf(t, db, 2); got != "two" {
		t.Errorf("got %q after a change of the table", got)
	}
	if _, err := db.Exec("CREATE UNIQUE INDEX once ON words (n)"); err != nil {
		t.Fatal(err)
	}
	const insert = "INSERT INTO words (n, word) VALUES (?, ?)"
	for n := 1; n <= 4; n++ {
		if _, err := db.Exec(insert, n, "again"); (err == nil) != (n > 2) {
			t.Errorf("insert %d: got %v", n, err)
		}
	}
	if got := wordOf(t, db, 4); got != "again" {
		t.Errorf("got %q after an insert that failed", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.ExecContext(ended, insert, 5, "never"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v of a context that has ended", err)
	}
}

// TestStatementsAreBounded gives more statements than are kept.
func TestStatementsAreBounded(t *testing.T) {
	db := openStatements(t).RawDB
	for i := range 3 * maxIdleStatements {
		if _, err := db.Exec(fmt.Sprintf("UPDATE words SET word = 'w' WHERE n = %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	err = conn.Raw(func(c any) error {
		if n := len(c.(*keepingConn).idle); n != maxIdleStatements {
			t.Errorf("%d statements are kept, want %d", n, maxIdleStatements)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
