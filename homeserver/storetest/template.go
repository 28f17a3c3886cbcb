package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"causeway/homeserver/store"

	"github.com/jackc/pgx/v5"
)

// templateLock is the advisory lock of who makes the template.
const templateLock = 0x63617573

// template returns the name of a database with all tables and nothing in them, from which those of tests are copied: that is ten times
// as quick as to run the migrations. It is made once on a cluster for each state of the migrations, and stays there.
var template = sync.OnceValues(func() (string, error) {
	maintenance, err := cluster()
	if err != nil {
		return "", err
	}
	sum, err := migrationsSum()
	if err != nil {
		return "", err
	}
	name := "causeway_test_template_" + sum
	return name, makeTemplate(maintenance, name)
})

// emptyFile returns the bytes of an SQLite file with all tables and nothing in them. It is made once for a test process: to run the
// migrations for each test was a twentieth of what the tests cost.
var emptyFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "causeway-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "causeway.db")
	db, err := store.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // moves the log into the file
		return nil, err
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has a log after it was closed (%v)", path, err)
	}
	return os.ReadFile(path)
})

// migrationsSum is a hash of the migrations in the source.
func migrationsSum() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the source is not known")
	}
	h := sha256.New()
	root := os.DirFS(filepath.Join(filepath.Dir(file), "..", "store", "migrations"))
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// makeTemplate makes the template unless it is there. Other processes may want to make it at the same time, and one that was killed
// may have left half of one, under another name.
func makeTemplate(maintenance, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, maintenance)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return err
	}
	there := false
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return err
	}
	draft := "causeway_test_draft_" + randomHex()
	if _, err := conn.Exec(ctx, createDatabase(draft)); err != nil {
		return err
	}
	url, err := withDatabase(maintenance, draft)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, url)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		_, dropErr := conn.Exec(ctx, "DROP DATABASE "+draft+" WITH (FORCE)")
		return errors.Join(err, dropErr)
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name)
	return err
}

// createDatabase is the statement that makes an empty database. C locale and template0 make the order of text the same on every
// machine, and the same as SQLite's.
func createDatabase(name string) string {
	return "CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
}
