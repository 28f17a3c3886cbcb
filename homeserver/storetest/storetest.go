// Package storetest makes a fresh store for a test, on each engine. It is imported by tests only.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"causeway/homeserver/store"
)

// New opens an empty store on SQLite, closed when the test ends.
func New(t testing.TB) *store.DB {
	t.Helper()
	file, err := emptyFile()
	if err != nil {
		t.Fatalf("SQLite for tests: %v", err)
	}
	path := filepath.Join(t.TempDir(), "causeway.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// Each runs test as a sub-test on each engine, each with an empty store.
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, New(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, migratedURL(t))) })
}

// EachBench is Each for a benchmark.
func EachBench(b *testing.B, bench func(b *testing.B, db *store.DB)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { bench(b, New(b)) })
	b.Run("postgres", func(b *testing.B) { bench(b, open(b, migratedURL(b))) })
}

func open(t testing.TB, target string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), target)
	if err != nil {
		t.Fatalf("open a store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}
