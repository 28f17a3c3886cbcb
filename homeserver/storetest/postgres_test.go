package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgresURL(t *testing.T) {
	ctx := t.Context()
	first, second := PostgresURL(t), PostgresURL(t)
	if first == second {
		t.Fatalf("two databases have one URL: %s", first)
	}
	for _, address := range []string{first, second} {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		// Left open on purpose: the database must be dropped all the same.
		t.Cleanup(func() { conn.Close(context.Background()) })
		var tables int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'").Scan(&tables); err != nil {
			t.Fatal(err)
		}
		if tables != 0 {
			t.Errorf("a new database has %d tables, want 0", tables)
		}
		if _, err := conn.Exec(ctx, "CREATE TABLE mine (id bigint)"); err != nil {
			t.Fatal(err)
		}
		var collation string
		if err := conn.QueryRow(ctx, "SELECT datcollate FROM pg_database WHERE datname = current_database()").Scan(&collation); err != nil {
			t.Fatal(err)
		}
		if collation != "C" {
			t.Errorf("collation is %q, want C", collation)
		}
	}
}

func TestPostgresURLIsDropped(t *testing.T) {
	var address string
	t.Run("use", func(t *testing.T) { address = PostgresURL(t) })
	conn, err := pgx.Connect(t.Context(), address)
	if err == nil {
		conn.Close(t.Context())
		t.Error("the database is still there after its test")
	}
}
