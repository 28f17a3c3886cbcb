package store

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"causeway/homeserver/sqldb"
)

// AuditTable is how large a table is.
type AuditTable struct {
	Name       string `json:"name"`
	Rows       int64  `json:"rows"`
	Bytes      int64  `json:"bytes"`       // of the table itself
	IndexBytes int64  `json:"index_bytes"` // of its indexes
	Free       int64  `json:"free_bytes"`  // about how many of these a compaction would free
}

// AuditSpace is what a database takes on disk, in bytes.
type AuditSpace struct {
	Bytes int64 `json:"bytes"`               // all of it
	Log   int64 `json:"log_bytes"`           // of Bytes: the write-ahead log (SQLite)
	Free  int64 `json:"free_bytes"`          // of Bytes: pages that nothing uses (SQLite)
	Gain  int64 `json:"freed_by_compaction"` // about how much smaller a compaction would make it, Free among it
}

// AuditTables returns the tables, largest first.
func (tx *Tx) AuditTables() ([]AuditTable, error) {
	sizes := tx.sqliteTables
	if tx.Engine() == sqldb.Postgres {
		sizes = tx.postgresTables
	}
	tables, err := sizes()
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(tables))
	slices.SortFunc(all, func(a, b AuditTable) int {
		if c := compareInts(b.Bytes+b.IndexBytes, a.Bytes+a.IndexBytes); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

func (tx *Tx) sqliteTables() (map[string]AuditTable, error) {
	tables := make(map[string]AuditTable)
	// Of a page of leaves, VACUUM leaves about half of a cell empty, because the next one did not fit. Pages of one long row are as
	// full as can be.
	err := tx.Query(`SELECT m.tbl_name, m.type, SUM(s.pgsize), SUM(CASE WHEN s.pagetype = 'leaf' THEN s.unused ELSE 0 END),
		SUM(CASE WHEN s.pagetype = 'leaf' THEN 1 ELSE 0 END), SUM(CASE WHEN s.pagetype = 'leaf' THEN s.ncell ELSE 0 END),
		SUM(CASE WHEN s.pagetype = 'leaf' THEN s.payload ELSE 0 END), MAX(s.pgsize)
		FROM sqlite_master m JOIN dbstat('main') s ON s.name = m.name WHERE m.type IN ('table', 'index') GROUP BY m.name, m.tbl_name, m.type`,
		nil, func(scan func(...any) error) error {
			var (
				table, kind                               string
				size, unused, leaves, cells, filled, page int64
			)
			if err := scan(&table, &kind, &size, &unused, &leaves, &cells, &filled, &page); err != nil {
				return err
			}
			t := tables[table]
			t.Name = table
			if cells > 0 {
				unused -= leaves * (filled / cells) / 2
			}
			t.Free += max(0, min(unused, size-page)) / page * page
			if kind == "table" {
				t.Bytes += size
			} else {
				t.IndexBytes += size
			}
			tables[table] = t
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("measure the tables: %w", err)
	}
	for name, t := range tables {
		if _, err := tx.Row(`SELECT COUNT(*) FROM `+quoteName(name), nil, &t.Rows); err != nil {
			return nil, err
		}
		tables[name] = t
	}
	return tables, nil
}

// postgresTables estimates what VACUUM FULL would free from the sizes of the rows that are there: a row costs its size and a
// pointer of 4 bytes.
func (tx *Tx) postgresTables() (map[string]AuditTable, error) {
	tables := make(map[string]AuditTable)
	err := tx.Query(`SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`, nil, func(scan func(...any) error) error {
		var t AuditTable
		err := scan(&t.Name, &t.Bytes, &t.IndexBytes)
		tables[t.Name] = t
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure the tables: %w", err)
	}
	for name, t := range tables {
		var live int64
		if _, err := tx.Row(`SELECT COUNT(*), COALESCE(SUM(pg_column_size(t.*) + 4), 0) FROM `+quoteName(name)+` t`, nil, &t.Rows, &live); err != nil {
			return nil, err
		}
		t.Free = postgresSurplus(t.Bytes, live, t.Rows)
		if t.Free > 0 {
			t.Free += int64(float64(t.IndexBytes) * float64(t.Free) / float64(t.Bytes))
		}
		tables[name] = t
	}
	return tables, nil
}

// postgresPage is the size of a page of PostgreSQL, unless somebody compiled it otherwise; postgresHead is what a page takes for itself,
// and postgresMaps what the maps of free space and of visibility take of a table that is not large.
const (
	postgresPage = 8192
	postgresHead = 24
	postgresMaps = 5 * postgresPage
)

// postgresSurplus tells how many bytes of a table are more than its rows need. Of each page, about half of a row stays empty, because
// the next one did not fit.
func postgresSurplus(size, live, rows int64) int64 {
	needed := int64(postgresMaps)
	if rows > 0 {
		usable := max(postgresPage/2, postgresPage-postgresHead-live/rows/2)
		needed += (live + usable - 1) / usable * postgresPage
	}
	return max(0, size-needed)
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// AuditSpace returns what the database takes on disk.
func (tx *Tx) AuditSpace(tables []AuditTable) (AuditSpace, error) {
	var (
		s   AuditSpace
		err error
	)
	if tx.Engine() == sqldb.Postgres {
		_, err = tx.Row(`SELECT pg_database_size(current_database())`, nil, &s.Bytes)
	} else {
		err = tx.sqliteSpace(&s)
	}
	if err != nil {
		return s, fmt.Errorf("measure the database: %w", err)
	}
	s.Gain = s.Free + s.Log
	for _, t := range tables {
		s.Gain += t.Free
	}
	return s, nil
}

func (tx *Tx) sqliteSpace(s *AuditSpace) error {
	var pages, free, size int64
	for _, p := range []struct {
		pragma string
		into   *int64
	}{{"page_count", &pages}, {"freelist_count", &free}, {"page_size", &size}} {
		if _, err := tx.Row(`PRAGMA `+p.pragma, nil, p.into); err != nil {
			return err
		}
	}
	var file string
	if _, err := tx.Row(`SELECT file FROM pragma_database_list WHERE name = 'main'`, nil, &file); err != nil {
		return err
	}
	if info, err := os.Stat(file + "-wal"); err == nil {
		s.Log = info.Size()
	}
	s.Free = free * size
	s.Bytes = pages*size + s.Log
	return nil
}

// AuditRoomSize is what a room takes. The bytes are those of the contents, without what the engine adds.
type AuditRoomSize struct {
	NID            int64
	Events         int64
	EventBytes     int64 // of their JSON
	StateSets      int64
	StateSetBytes  int64
	CurrentState   int64 // places of the current state
	JoinedMembers  int64
	Members        int64 // with a membership of any kind
	OriginalsBytes int64 // of what redacted events said
}

// AuditRoomSizes returns what each room takes, in no order.
func (tx *Tx) AuditRoomSizes() ([]AuditRoomSize, error) {
	rooms := make(map[int64]*AuditRoomSize)
	for _, q := range []struct {
		query string
		into  func(*AuditRoomSize) []any
	}{
		{`SELECT room_nid, COUNT(*), COALESCE(SUM(OCTET_LENGTH(json)), 0) FROM events GROUP BY room_nid`,
			func(r *AuditRoomSize) []any { return []any{&r.Events, &r.EventBytes} }},
		{`SELECT room_nid, COUNT(*), COALESCE(SUM(OCTET_LENGTH(entries)), 0) FROM state_sets GROUP BY room_nid`,
			func(r *AuditRoomSize) []any { return []any{&r.StateSets, &r.StateSetBytes} }},
		{`SELECT room_nid, COUNT(*), 0 FROM current_state GROUP BY room_nid`,
			func(r *AuditRoomSize) []any { return []any{&r.CurrentState, new(int64)} }},
		{`SELECT room_nid, COUNT(*), SUM(CASE WHEN membership = 'join' THEN 1 ELSE 0 END) FROM memberships GROUP BY room_nid`,
			func(r *AuditRoomSize) []any { return []any{&r.Members, &r.JoinedMembers} }},
		{`SELECT room_nid, 0, COALESCE(SUM(OCTET_LENGTH(json)), 0) FROM redacted_originals GROUP BY room_nid`,
			func(r *AuditRoomSize) []any { return []any{new(int64), &r.OriginalsBytes} }},
	} {
		err := tx.Query(q.query, nil, func(scan func(...any) error) error {
			var nid, first, second int64
			if err := scan(&nid, &first, &second); err != nil {
				return fmt.Errorf("measure the rooms: %w", err)
			}
			if rooms[nid] == nil {
				rooms[nid] = &AuditRoomSize{NID: nid}
			}
			into := q.into(rooms[nid])
			*into[0].(*int64), *into[1].(*int64) = first, second
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	all := make([]AuditRoomSize, 0, len(rooms))
	for _, r := range rooms {
		all = append(all, *r)
	}
	return all, nil
}
