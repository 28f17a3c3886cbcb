package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresEnv names the environment variable with the URL of a PostgreSQL
// cluster on which tests may create and drop databases. The URL's own database
// is only connected to, never written.
const PostgresEnv = "CAUSEWAY_TEST_POSTGRES"

// postgresTimeout bounds each step against PostgreSQL that is not the test's
// own: starting a cluster, creating a database, dropping it.
const postgresTimeout = 60 * time.Second

// cluster returns the URL of a maintenance database. It is computed once for
// the whole test process.
var cluster = sync.OnceValues(func() (string, error) {
	if fromEnv := os.Getenv(PostgresEnv); fromEnv != "" {
		return fromEnv, nil
	}
	return startCluster()
})

// PostgresURL returns the URL of a new, empty database (UTF-8, C locale), which
// is dropped when t ends, even if connections to it are still open.
//
// The database is made on the cluster that CAUSEWAY_TEST_POSTGRES names, as
// "make test" sets it. Without that variable a temporary cluster is started,
// once per test process, and ends with the process, however that ends. A machine
// without PostgreSQL fails the test: a test that cannot run is not passed.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return newDatabase(t, createDatabase)
}

// migratedURL is PostgresURL for a database that has all tables already.
func migratedURL(t testing.TB) string {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	return newDatabase(t, func(name string) string { return "CREATE DATABASE " + name + " TEMPLATE " + from })
}

// newDatabase makes a database, and returns its URL.
func newDatabase(t testing.TB, create func(name string) string) string {
	t.Helper()
	maintenance, err := cluster()
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	name := "causeway_test_" + randomHex()
	if err := execMaintenance(maintenance, create(name)); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		if err := execMaintenance(maintenance, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	database, err := withDatabase(maintenance, name)
	if err != nil {
		t.Fatalf("%s: %v", PostgresEnv, err)
	}
	return database
}

// execMaintenance runs one statement on the maintenance database, on a
// connection of its own.
func execMaintenance(maintenance, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, maintenance)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// withDatabase returns the connection URL with its database replaced.
func withDatabase(connection, database string) (string, error) {
	u, err := url.Parse(connection)
	if err != nil {
		return "", err
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("%q is not a postgres:// URL", connection)
	}
	u.Path = "/" + database
	return u.String(), nil
}

// randomHex returns 16 hexadecimal digits, enough to keep apart the databases of
// test processes that share a cluster.
func randomHex() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
