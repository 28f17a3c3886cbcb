package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// ErrNewer means that the database was written by a newer version of the program.
var ErrNewer = errors.New("the database was made by a newer version of Causeway")

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+(\.sqlite|\.postgres)?\.sql$`)

type migration struct {
	number int
	name   string
	sql    string
}

// Migrate runs the migrations in dir of files that the database has not had, in the order of their numbers, each in a
// transaction of its own. A file is NNNN_name.sql, or a pair NNNN_name.sqlite.sql and NNNN_name.postgres.sql. They are
// written in SQLite's words; for PostgreSQL, INTEGER becomes BIGINT, BLOB BYTEA, TEXT gets collation "C" (so that no
// upgrade of an operating system changes the order of an index), and WITHOUT ROWID goes.
func (db *DB) Migrate(ctx context.Context, files fs.FS, dir string) error {
	all, err := readMigrations(files, dir, db.engine)
	if err != nil {
		return err
	}
	have := 0
	err = db.Write(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(tx.spell(`CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, ts INTEGER NOT NULL)`)); err != nil {
			return err
		}
		_, err := tx.Row(`SELECT COALESCE(MAX(number), 0) FROM migrations`, nil, &have)
		return err
	})
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if len(all) > 0 && have > all[len(all)-1].number {
		return fmt.Errorf("%w: it has version %d, and this program knows up to %d", ErrNewer, have, all[len(all)-1].number)
	}
	for _, m := range all {
		if m.number <= have {
			continue
		}
		if err := db.Write(ctx, m.run); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

func (m migration) run(tx *Tx) error {
	for _, statement := range strings.Split(m.sql, ";\n") {
		if strings.TrimSpace(stripComments(statement)) == "" {
			continue
		}
		// Not prepared: a statement that changes the schema is run once.
		if _, err := tx.conn.raw.ExecContext(tx.ctx, tx.spell(statement)); err != nil {
			return describe(statement, err)
		}
	}
	_, err := tx.Exec(`INSERT INTO migrations (number, name, ts) VALUES ($1, $2, $3)`, m.number, m.name, time.Now().UnixMilli())
	return err
}

var postgresWords = strings.NewReplacer("INTEGER", "BIGINT", "BLOB", "BYTEA", "TEXT", `TEXT COLLATE "C"`, "WITHOUT ROWID", "")

func (tx *Tx) spell(statement string) string {
	if tx.engine != Postgres {
		return statement
	}
	return postgresWords.Replace(stripComments(statement))
}

func stripComments(s string) string {
	lines := strings.Split(s, "\n")
	kept := lines[:0]
	for _, l := range lines {
		if before, _, found := strings.Cut(l, "--"); found {
			l = before
		}
		kept = append(kept, l)
	}
	return strings.Join(kept, "\n")
}

func readMigrations(files fs.FS, dir string, engine Engine) ([]migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var all []migration
	for _, e := range entries {
		m := migrationName.FindStringSubmatch(e.Name())
		if m == nil {
			return nil, fmt.Errorf("%s is not the name of a migration", e.Name())
		}
		if m[2] != "" && m[2] != "."+string(engine) {
			continue
		}
		number, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", e.Name(), err)
		}
		text, err := fs.ReadFile(files, dir+"/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", e.Name(), err)
		}
		all = append(all, migration{number: number, name: e.Name(), sql: string(text)})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].number < all[j].number })
	for i := 1; i < len(all); i++ {
		if all[i].number == all[i-1].number {
			return nil, fmt.Errorf("migrations %s and %s have the same number", all[i-1].name, all[i].name)
		}
		if all[i].number != all[i-1].number+1 { // one that is put there later would never run
			return nil, fmt.Errorf("between the migrations %s and %s one is missing", all[i-1].name, all[i].name)
		}
	}
	return all, nil
}
