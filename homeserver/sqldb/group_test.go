package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"causeway/homeserver/sqldb"
	"causeway/homeserver/storetest"
)

// One write that fails has the others of its group committed in two parts, and not one by one. Where statements are held back,
// its error may come from another's statement or from the commit, which takes a few parts more.
func TestAFailureLeavesTheOthersTogether(t *testing.T) {
	each(t, func(t *testing.T, _ string, db *sqldb.DB) {
		const n, bad = 100, 40
		for _, test := range []struct {
			name string
			fail func(*sqldb.Tx) error
			most int // transactions
		}{
			{"at once", func(*sqldb.Tx) error { return errors.New("no") }, 4},
			{"held back", func(tx *sqldb.Tx) error { return tx.Defer(`INSERT INTO things (id, name) VALUES (1, 'again')`) }, 20},
		} {
			held, release := make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = db.Write(context.Background(), func(*sqldb.Tx) error { close(held); <-release; return nil })
			})
			<-held
			transactions, errs := make(map[*sqldb.Tx]bool), make([]error, n)
			for i := range n {
				wg.Add(1)
				err := db.Enqueue(context.Background(), func(tx *sqldb.Tx) error {
					transactions[tx] = true
					if i == bad {
						return test.fail(tx)
					}
					return tx.Defer(`INSERT INTO things (id, name) VALUES ($1, $2)`, i+2, fmt.Sprint(i))
				}, func(err error) { errs[i] = err; wg.Done() })
				if err != nil {
					t.Fatal(err)
				}
			}
			close(release)
			wg.Wait()
			for i, err := range errs {
				if (err != nil) != (i == bad) {
					t.Errorf("%s: write %d: %v", test.name, i, err)
				}
			}
			if got := len(transactions); got > test.most {
				t.Errorf("%s: %d transactions, want at most %d", test.name, got, test.most)
			}
			if got := count(t, db); got != n {
				t.Errorf("%s: rows: %d, want %d", test.name, got, n)
			}
			if err := db.Write(context.Background(), func(tx *sqldb.Tx) error { _, err := tx.Exec(`DELETE FROM things WHERE id > 1`); return err }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// When the server has cut all connections, the next transactions find new ones, and the writer its lock.
func TestLostConnectionsAreReplaced(t *testing.T) {
	db := open(t, storetest.PostgresURL(t))
	if err := db.Migrate(t.Context(), schema, "m"); err != nil {
		t.Fatal(err)
	}
	killer := open(t, storetest.PostgresURL(t))
	var name string
	err := db.View(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Row(`SELECT current_database()`, nil, &name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = killer.View(t.Context(), func(tx *sqldb.Tx) error {
		return tx.Query(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1`, []any{name},
			func(scan func(...any) error) error {
				var killed bool
				return scan(&killed)
			})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), insert(2, "two")); err != nil {
		t.Errorf("write: %v", err)
	}
	for range 20 { // all the readers get their turn, with and without a transaction
		if got := count(t, db); got != 2 {
			t.Errorf("rows: %d, want 2", got)
		}
		var things int
		err := db.Peek(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Row(`SELECT COUNT(*) FROM things`, nil, &things)
			return err
		})
		if err != nil || things != 2 {
			t.Errorf("peek: %d, %v; want 2", things, err)
		}
	}
	err = db.View(t.Context(), func(tx *sqldb.Tx) error {
		var locks int
		_, err := tx.Row(`SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()`, nil, &locks)
		if err == nil && locks != 1 {
			t.Errorf("%d locks, want 1", locks)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
