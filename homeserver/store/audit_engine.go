package store

import (
	"fmt"

	"causeway/homeserver/sqldb"
)

// AuditEngine returns what the database engine itself finds wrong, at most limit findings of each kind, and what it could not look at.
// It takes about as long as reading the whole database does.
func (tx *Tx) AuditEngine(limit int) (damage, unchecked []string, err error) {
	if tx.Engine() == sqldb.Postgres {
		return tx.auditPostgres(limit)
	}
	damage, err = tx.texts(fmt.Sprintf(`PRAGMA integrity_check(%d)`, limit))
	if len(damage) == 1 && damage[0] == "ok" {
		damage = nil
	}
	if AuditDamaged(err) {
		damage, err = append(damage, err.Error()), nil
	}
	return damage, nil, err
}

// AuditDamaged tells whether err says that the engine has found its own files damaged.
func AuditDamaged(err error) bool { return sqldb.IsDamaged(err) }

func (tx *Tx) texts(query string, args ...any) ([]string, error) {
	var all []string
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		all = append(all, s)
		return err
	})
	return all, err
}

// ourTables limits a query on pg_class c to the tables of this schema.
const ourTables = `c.relnamespace = current_schema()::regnamespace`

func (tx *Tx) auditPostgres(limit int) (damage, unchecked []string, err error) {
	invalid, err := tx.texts(`SELECT 'index ' || x.relname || ' of ' || c.relname || ' is not valid' FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		JOIN pg_class x ON x.oid = i.indexrelid WHERE `+ourTables+` AND NOT (i.indisvalid AND i.indisready) ORDER BY 1 LIMIT $1`, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("look for indexes that are not valid: %w", err)
	}
	var schema string
	found, err := tx.Row(`SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'`, nil, &schema)
	if err != nil {
		return nil, nil, fmt.Errorf("look for amcheck: %w", err)
	}
	if !found {
		return invalid, []string{"The indexes were not compared with their tables: the extension amcheck is not there (CREATE EXTENSION amcheck)."}, nil
	}
	check := quoteName(schema) + `.bt_index_check`
	var may bool
	if _, err := tx.Row(`SELECT has_function_privilege($1, 'EXECUTE')`, []any{check + `(regclass, boolean)`}, &may); err != nil {
		return nil, nil, fmt.Errorf("look for amcheck: %w", err)
	}
	if !may {
		return invalid, []string{"The indexes were not compared with their tables: the database's user may not (GRANT EXECUTE ON FUNCTION bt_index_check(regclass, boolean))."}, nil
	}
	indexes, err := tx.texts(`SELECT x.oid::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
		JOIN pg_am a ON a.oid = x.relam WHERE ` + ourTables + ` AND a.amname = 'btree' AND i.indisvalid ORDER BY x.relname`)
	if err != nil {
		return nil, nil, err
	}
	damage = invalid
	for _, oid := range indexes {
		// An error would end the transaction, and with it all other checks.
		if _, err := tx.Row(`SELECT `+check+`($1::oid::regclass, true)::text`, []any{oid}, new(string)); err != nil {
			return append(damage, err.Error()), []string{"The rest of the database: PostgreSQL stops at a damaged index"}, nil
		}
	}
	return damage, nil, nil
}

// AuditCollations returns the columns of text that are not compared byte by byte. An upgrade of the operating system can change the
// order of such a column, and with it damage its indexes. There are none on SQLite.
func (tx *Tx) AuditCollations() ([]string, error) {
	if tx.Engine() != sqldb.Postgres {
		return nil, nil
	}
	return tx.texts(`SELECT c.relname || '.' || a.attname || ' has the collation ' || l.collname FROM pg_attribute a
		JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation l ON l.oid = a.attcollation
		WHERE c.relkind = 'r' AND ` + ourTables + ` AND a.attnum > 0 AND NOT a.attisdropped AND l.collname NOT IN ('C', 'POSIX', 'ucs_basic')
		ORDER BY 1`)
}

// AuditChores returns what the program has still to do to bring the database up to date.
func (tx *Tx) AuditChores() ([]string, error) {
	return tx.texts(`SELECT name FROM chores ORDER BY name`)
}

// AuditServer returns the name of the server whose database this is, "" for none.
func (tx *Tx) AuditServer() (name string, err error) {
	_, err = tx.Row(`SELECT name FROM server WHERE id = 1`, nil, &name)
	return name, err
}

// auditCounters are the numbers that come from the one counter.
var auditCounters = []struct{ what, query string }{
	{"events.nid", `SELECT COALESCE(MAX(nid), 0) FROM events`},
	{"events.pos", `SELECT COALESCE(MAX(pos), 0) FROM events`},
	{"strings.nid", `SELECT COALESCE(MAX(nid), 0) FROM strings`},
	{"rooms.nid", `SELECT COALESCE(MAX(nid), 0) FROM rooms`},
	{"state_sets.id", `SELECT COALESCE(MAX(id), 0) FROM state_sets`},
	{"room_states.pos", `SELECT COALESCE(MAX(pos), 0) FROM room_states`},
	{"memberships.pos", `SELECT COALESCE(MAX(pos), 0) FROM memberships`},
	{"account_data.pos", `SELECT COALESCE(MAX(pos), 0) FROM account_data`},
	{"search_cursor.pos", `SELECT COALESCE(MAX(pos), 0) FROM search_cursor`},
	{"receipts.pos", `SELECT COALESCE(MAX(pos), 0) FROM receipts`},
	{"thread_subscriptions.pos", `SELECT COALESCE(MAX(pos), 0) FROM thread_subscriptions`},
	{"presence.pos", `SELECT COALESCE(MAX(pos), 0) FROM presence`},
	{"sticky_events.pos", `SELECT COALESCE(MAX(pos), 0) FROM sticky_events`},
	{"delayed_events.nid", `SELECT COALESCE(MAX(nid), 0) FROM delayed_events`},
	{"reports.nid", `SELECT COALESCE(MAX(nid), 0) FROM reports`},
	{"appservices.pos", `SELECT COALESCE(MAX(pos), 0) FROM appservices`},
	{"appservice_pending.upto", `SELECT COALESCE(MAX(upto), 0) FROM appservice_pending`},
}

// AuditStream returns what is wrong with the counter from which all numbers come: it must be there, and none may be beyond it.
func (tx *Tx) AuditStream() ([]string, error) {
	var pos int64
	found, err := tx.Row(`SELECT pos FROM stream WHERE id = 1`, nil, &pos)
	if err != nil {
		return nil, err
	}
	if !found {
		return []string{"the table stream has no row"}, nil
	}
	var wrong []string
	for _, c := range auditCounters {
		var most int64
		if _, err := tx.Row(c.query, nil, &most); err != nil {
			return nil, err
		}
		if most > pos {
			wrong = append(wrong, fmt.Sprintf("%s goes up to %d, and the counter is at %d", c.what, most, pos))
		}
	}
	return wrong, nil
}

// AuditDoublePositions returns the positions that more than one event has, at most limit of them.
func (tx *Tx) AuditDoublePositions(limit int) ([]int64, error) {
	return tx.ints(`SELECT pos FROM events WHERE pos IS NOT NULL GROUP BY pos HAVING COUNT(*) > 1 ORDER BY pos LIMIT ` + atLeast(limit))
}
