package storetest

import (
	"testing"

	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
)

// Cut has the server cut all connections of a store, as its restart does, but for one that reads. The next write finds a new one, and
// begins another generation. SQLite has no server, and Cut tells so.
func Cut(t testing.TB, db *store.DB) bool {
	t.Helper()
	if db.Engine() != sqldb.Postgres {
		return false
	}
	const cut = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.Query(cut, nil, func(scan func(...any) error) error {
			var done bool
			return scan(&done)
		})
	})
	if err != nil {
		t.Fatalf("cut the connections: %v", err)
	}
	before := db.Generation()
	if err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.StreamPos(); return err }); err != nil {
		t.Fatalf("write after the connections were cut: %v", err)
	}
	if db.Generation() == before {
		t.Fatal("the generation is the same after the connections were cut")
	}
	return true
}
