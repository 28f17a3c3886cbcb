package sqldb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver/sqldb"
)

// fill puts rows of about a kilobyte each into the table.
func fill(t *testing.T, db *sqldb.DB, rows int) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for i := range rows {
			if _, err := tx.Exec(`INSERT INTO things (id, name) VALUES ($1, $2)`, i+10, strings.Repeat("x", 1000)+string(rune(i+0x4000))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, db *sqldb.DB) int64 {
	t.Helper()
	n, err := db.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What deleted rows took is given back: by SQLite at once, by PostgreSQL where whole pages at the end are free, or when it is compacted.
func TestShrinkAndCompact(t *testing.T) {
	each(t, func(t *testing.T, target string, db *sqldb.DB) {
		fill(t, db, 1000)
		full := size(t, db)
		if _, err := os.Stat(target); err == nil {
			if err := db.Shrink(t.Context(), "things"); err != nil { // empties the log
				t.Fatal(err)
			}
			if info, err := os.Stat(target); err != nil || info.Size() != full || full < 1_000_000 {
				t.Errorf("the file has %v, and Size says %d (%v)", info.Size(), full, err)
			}
		}
		if err := db.Write(t.Context(), func(tx *sqldb.Tx) error { _, err := tx.Exec(`DELETE FROM things WHERE id > 9`); return err }); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"shrink", func() error { return db.Shrink(t.Context(), "things") }},
			{"compact", func() error { return db.Compact(t.Context()) }},
		} {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if now := size(t, db); now > full-900_000 {
				t.Errorf("%s: %d bytes, and full it had %d", step.name, now, full)
			}
		}
		if got := count(t, db); got != 1 {
			t.Errorf("%d rows, want 1", got)
		}
	})
}

// Others write while space is given back, and all of them get their turn in order.
func TestWritesBesideShrink(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := db.Write(context.Background(), insert(100+i, strings.Repeat("y", i+1))); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if i%10 == 0 {
					if err := db.Shrink(context.Background(), "things"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := count(t, db); got != 51 {
			t.Errorf("%d rows, want 51", got)
		}
	})
}

// Somebody who reads an older state keeps the log from being emptied, and not the space from being counted or others from writing.
func TestShrinkBesideAReader(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "test.db"))
	if err := db.Migrate(t.Context(), schema, "m"); err != nil {
		t.Fatal(err)
	}
	err := db.View(t.Context(), func(tx *sqldb.Tx) error {
		var n int
		if _, err := tx.Row(`SELECT COUNT(*) FROM things`, nil, &n); err != nil {
			return err
		}
		if err := db.Write(t.Context(), insert(2, "two")); err != nil {
			return err
		}
		if err := db.Shrink(t.Context()); !errors.Is(err, sqldb.ErrLogKept) {
			t.Errorf("got %v, want ErrLogKept", err)
		}
		return db.Write(t.Context(), insert(3, "three"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Shrink(t.Context()); err != nil {
		t.Errorf("after the reader has gone: %v", err)
	}
}
