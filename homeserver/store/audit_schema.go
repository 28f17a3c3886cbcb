package store

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"causeway/homeserver/sqldb"
)

// schemaWord is a statement of a migration that makes or drops a table or an index.
var schemaWord = regexp.MustCompile(`(?m)^(CREATE|DROP) (?:UNIQUE |VIRTUAL )?(TABLE|INDEX) (\w+)`)

// schema returns the tables and indexes that the migrations leave on an engine, as "table events".
func schema(engine sqldb.Engine) ([]string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []string
	for _, file := range files {
		base := strings.TrimSuffix(file, ".sql")
		if pair := path.Ext(base); pair != "" && pair != "."+string(engine) {
			continue
		}
		text, err := fs.ReadFile(migrations, file)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", file, err)
		}
		for _, m := range schemaWord.FindAllStringSubmatch(string(text), -1) {
			name := strings.ToLower(m[2]) + " " + m[3]
			if m[1] == "CREATE" {
				all = append(all, name)
			} else {
				all = slices.DeleteFunc(all, func(s string) bool { return s == name })
			}
		}
	}
	return all, nil
}

// AuditSchema returns the tables and indexes that should be there and are not, as "index events_pos".
func (tx *Tx) AuditSchema() ([]string, error) {
	want, err := schema(tx.Engine())
	if err != nil {
		return nil, err
	}
	query := `SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('table', 'index')`
	if tx.Engine() == sqldb.Postgres {
		query = `SELECT CASE relkind WHEN 'r' THEN 'table ' ELSE 'index ' END || relname FROM pg_class c WHERE relkind IN ('r', 'i') AND ` + ourTables
	}
	have, err := tx.texts(query)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	return slices.DeleteFunc(want, func(name string) bool { return slices.Contains(have, name) }), nil
}
