package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"causeway/homeserver/sqldb"
	"causeway/homeserver/storetest"
)

var schema = fstest.MapFS{
	"m/0001_things.sql": {Data: []byte("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, raw BLOB) -- a comment; with a semicolon\n;\nINSERT INTO things (id, name) VALUES (1, 'one');\n")},
}

// each runs a test on each engine, with the table things in it.
func each(t *testing.T, test func(t *testing.T, target string, db *sqldb.DB)) {
	for _, engine := range []struct {
		name   string
		target func(testing.TB) string
	}{
		{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "test.db") }},
		{"postgres", storetest.PostgresURL},
	} {
		t.Run(engine.name, func(t *testing.T) {
			target := engine.target(t)
			db := open(t, target)
			if err := db.Migrate(t.Context(), schema, "m"); err != nil {
				t.Fatal(err)
			}
			test(t, target, db)
		})
	}
}

func open(t *testing.T, target string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func count(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	err := db.View(context.Background(), func(tx *sqldb.Tx) error {
		_, err := tx.Row(`SELECT COUNT(*) FROM things`, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(id int, name string) func(*sqldb.Tx) error {
	return func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO things (id, name) VALUES ($1, $2)`, id, name)
		return err
	}
}

// A write that fails takes nothing with it of the writes that share its commit, and the others lose nothing of theirs.
func TestWritesShareACommitButNotAnError(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		const writers = 200
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				name := fmt.Sprint("name", i)
				if i%10 == 0 {
					name = "one" // taken
				}
				errs[i] = db.Write(context.Background(), insert(i+2, name))
			})
		}
		wg.Wait()
		for i, err := range errs {
			if got, want := sqldb.IsUniqueViolation(err), i%10 == 0; got != want {
				t.Errorf("writer %d: unique violation %v, want %v (%v)", i, got, want, err)
			}
		}
		if got, want := count(t, db), 1+writers*9/10; got != want {
			t.Errorf("rows: %d, want %d", got, want)
		}
	})
}

// Writes of one goroutine run in order, and done is called for each before any later write runs singly.
func TestEnqueueKeepsOrder(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		var order []string
		finished := make(chan struct{})
		const n = 50
		for i := range n {
			err := db.Enqueue(context.Background(), func(tx *sqldb.Tx) error {
				if i == 20 {
					return errors.New("no")
				}
				return insert(i+2, fmt.Sprint(i))(tx)
			}, func(err error) {
				order = append(order, fmt.Sprint(i, err != nil))
				if i == n-1 {
					close(finished)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		<-finished
		for i, got := range order {
			if want := fmt.Sprint(i, i == 20); got != want {
				t.Errorf("done %d: %s, want %s", i, got, want)
			}
		}
	})
}

func TestPanicInAWriteIsItsOwnError(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		err := db.Write(context.Background(), func(tx *sqldb.Tx) error {
			_ = insert(2, "two")(tx)
			panic("oh")
		})
		if err == nil {
			t.Error("no error")
		}
		if got := count(t, db); got != 1 {
			t.Errorf("rows: %d, want 1", got)
		}
	})
}

func TestViewSeesOneSnapshotAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		err := db.View(t.Context(), func(tx *sqldb.Tx) error {
			var before, after int
			if _, err := tx.Row(`SELECT COUNT(*) FROM things`, nil, &before); err != nil {
				return err
			}
			if err := db.Write(context.Background(), insert(2, "two")); err != nil {
				return err
			}
			if _, err := tx.Row(`SELECT COUNT(*) FROM things`, nil, &after); err != nil {
				return err
			}
			if before != after {
				t.Errorf("a snapshot changed from %d to %d rows", before, after)
			}
			_, err := tx.Exec(`DELETE FROM things`)
			if !errors.Is(err, sqldb.ErrReadOnly) {
				t.Errorf("a write in a view: %v, want ErrReadOnly", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, db); got != 2 {
			t.Errorf("rows: %d, want 2", got)
		}
	})
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db := open(t, path)
	if _, err := sqldb.Open(t.Context(), path); !errors.Is(err, sqldb.ErrInUse) {
		t.Errorf("second opening: %v, want ErrInUse", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestMigrations(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		if err := db.Migrate(t.Context(), schema, "m"); err != nil {
			t.Errorf("the same migrations again: %v", err)
		}
		newer := fstest.MapFS{"m/0001_things.sql": schema["m/0001_things.sql"], "m/0002_bad.sql": {Data: []byte("CREATE TABLE more (id INTEGER);\nNONSENSE;\n")}}
		if err := db.Migrate(t.Context(), newer, "m"); err == nil {
			t.Error("a migration that fails gave no error")
		}
		newer["m/0002_bad.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE more (id INTEGER);\n")}
		if err := db.Migrate(t.Context(), newer, "m"); err != nil {
			t.Errorf("a migration that failed half-way left something behind: %v", err)
		}
		newer["m/0004_late.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE late (id INTEGER);\n")}
		if err := db.Migrate(t.Context(), newer, "m"); err == nil || !strings.Contains(err.Error(), "one is missing") {
			t.Errorf("a gap, in which a migration could come later and would never run: %v", err)
		}
		if err := db.Migrate(t.Context(), schema, "m"); !errors.Is(err, sqldb.ErrNewer) {
			t.Errorf("an older program: %v, want ErrNewer", err)
		}
	})
}

func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), insert(2, "two")); !errors.Is(err, sqldb.ErrClosed) {
			t.Errorf("write: %v, want ErrClosed", err)
		}
		if err := db.View(t.Context(), func(*sqldb.Tx) error { return nil }); !errors.Is(err, sqldb.ErrClosed) {
			t.Errorf("view: %v, want ErrClosed", err)
		}
	})
}

func TestIn(t *testing.T) {
	query, args := sqldb.In("SELECT x WHERE y = $1 AND z IN ", 2, []int{7, 8, 9})
	if want := "SELECT x WHERE y = $1 AND z IN ($2, $3, $4, $5)"; query != want {
		t.Errorf("query: %s, want %s", query, want)
	}
	if got, want := fmt.Sprint(args), "[7 8 9 9]"; got != want {
		t.Errorf("args: %s, want %s", got, want)
	}
}

// A statement that is held back and does not change the one row that it must fails its write, and only that.
func TestDeferOne(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		rename := func(id int) error {
			return db.Write(context.Background(), func(tx *sqldb.Tx) error {
				return tx.DeferOne(`UPDATE things SET name = 'uno' WHERE id = $1`, id)
			})
		}
		if err := rename(1); err != nil {
			t.Error(err)
		}
		if err := rename(2); !errors.Is(err, sqldb.ErrRows) {
			t.Errorf("no row: %v, want ErrRows", err)
		}
	})
}
