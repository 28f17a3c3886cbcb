package doctor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/doctor"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

func exec(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// has fails the test unless there are faults of one kind and of no other.
func has(t *testing.T, r *doctor.Report, kind doctor.Kind, text string) {
	t.Helper()
	if len(r.Faults) != 1 || r.Faults[0].Kind != kind || !strings.Contains(r.Faults[0].Examples[0].Text, text) {
		t.Errorf("found %+v, want %s with %q", r.Faults, kind, text)
	}
}

// A damaged page of an index is found by SQLite, and told even when nothing more can be looked at.
func TestADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "causeway.db")
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	newWorld(t, db).room("12")
	var page, size int64
	err = db.View(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Row(`SELECT rootpage FROM sqlite_master WHERE name = 'events_room_pos'`, nil, &page); err != nil {
			return err
		}
		_, err := tx.Row(`PRAGMA page_size`, nil, &size)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(slices.Repeat([]byte{0xff}, 400), page*size-400)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if db, err = store.OpenReadOnly(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := doctor.Run(t.Context(), db, doctor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Faults) == 0 || r.Faults[0].Kind != doctor.KindEngine {
		t.Errorf("found %+v, want damage told by the engine", r.Faults)
	}
}

// What PostgreSQL knows of its indexes is told, and columns whose order depends on the operating system are.
func TestPostgresIndexesAndCollations(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	newWorld(t, db).room("12")
	if r := sound(t, db); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "amcheck") {
		t.Errorf("notes %q, want one that amcheck is missing", r.Notes)
	}
	exec(t, db, `CREATE EXTENSION amcheck`)
	if r := sound(t, db); len(r.Notes) != 0 {
		t.Errorf("notes %q, want none with amcheck", r.Notes)
	}
	exec(t, db, `UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'events_pos'::regclass`)
	has(t, examine(t, db), doctor.KindEngine, "index events_pos of events is not valid")
	exec(t, db, `UPDATE pg_index SET indisvalid = TRUE WHERE indexrelid = 'events_pos'::regclass`,
		`ALTER TABLE aliases ALTER COLUMN creator TYPE TEXT COLLATE "default"`)
	has(t, examine(t, db), doctor.KindCollation, "aliases.creator has the collation default")
}

// An index that somebody has dropped is missed.
func TestAMissingIndex(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		exec(t, p.db, `DROP INDEX events_room_pos`)
		has(t, examine(t, p.db), doctor.KindSchema, "index events_room_pos is missing")
	})
}

// A room that is being purged is not looked at, however far the purge has come.
func TestARoomThatIsBeingPurged(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		w := newWorld(t, p.db)
		roomID := id.RoomID(w.room("12"))
		w.room("11")
		err := p.db.Write(t.Context(), func(tx *store.Tx) error {
			nid, err := tx.BeginPurge(roomID)
			if err != nil {
				return err
			}
			const some = `SELECT nid FROM events WHERE room_nid = $1 AND nid % 2 = 0`
			for _, query := range []string{
				`DELETE FROM edges WHERE prev_nid IN (` + some + `)`, `DELETE FROM event_auth WHERE event_nid IN (` + some + `)`,
				`DELETE FROM relations WHERE event_nid IN (` + some + `)`, `DELETE FROM threads WHERE root_nid IN (` + some + `)`,
				`DELETE FROM events WHERE nid IN (` + some + `)`,
			} {
				if _, err := tx.Exec(query, nid); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r := sound(t, p.db)
		if r.Checked.Rooms != 1 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "is being purged") }) {
			t.Errorf("looked at %+v, with %q", r.Checked, r.Notes)
		}
	})
}

// A database that is not there, or of another version of the program, is refused, and nothing of it is changed.
func TestOtherVersionsAreRefused(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		for _, test := range []struct {
			name, statement string
			want            error
		}{
			{"newer", `INSERT INTO migrations (number, name, ts) VALUES (9999, 'x', 0)`, sqldb.ErrNewer},
			{"older", `DELETE FROM migrations WHERE number > 3`, sqldb.ErrOlder},
		} {
			exec(t, p.db, test.statement)
			db, err := store.OpenReadOnly(t.Context(), p.target)
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
			if err == nil {
				_ = db.Close()
			}
		}
	})
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"no file": filepath.Join(t.TempDir(), "none.db"), "an empty file": empty, "an empty database": storetest.PostgresURL(t),
	} {
		if _, err := store.OpenReadOnly(t.Context(), target); !errors.Is(err, sqldb.ErrNoDatabase) {
			t.Errorf("%s: %v, want %v", name, err, sqldb.ErrNoDatabase)
		}
	}
}

// The examination sees a snapshot beside a server that goes on writing, and cannot write itself.
func TestBesideARunningServer(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		w := newWorld(t, p.db)
		w.room("12")
		db, err := store.OpenReadOnly(t.Context(), p.target)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		err = db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM rooms`); return err })
		if !errors.Is(err, sqldb.ErrReadOnly) {
			t.Errorf("a write: %v, want %v", err, sqldb.ErrReadOnly)
		}
		calls := 0
		r, err := doctor.Run(t.Context(), db, doctor.Options{ServerName: testserver.Name, Keys: keys, Progress: func(done, total int64) {
			if calls++; calls == 1 {
				w.room("11") // while it looks
			}
			if done > total {
				t.Errorf("%d of %d events are done", done, total)
			}
		}})
		if err != nil || !r.Sound() || r.Checked.Rooms != 1 || calls == 0 {
			t.Errorf("%+v, %v, after %d calls; want one sound room", r, err, calls)
		}
		if r, err = doctor.Run(t.Context(), db, doctor.Options{Keys: keys}); err != nil || !r.Sound() || r.Checked.Rooms != 2 {
			t.Errorf("afterwards: %+v, %v; want two sound rooms", r, err)
		}
	})
}

// What a compaction is said to free is about what it frees.
func TestWhatACompactionFrees(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		w := newWorld(t, p.db)
		roomID := w.post(w.alice, "/createRoom", object{})
		text := strings.Repeat("many words ", 30)
		for i := range 300 {
			w.put(w.alice, "/rooms/"+roomID+"/send/m.room.message/"+fmt.Sprint(i), object{"body": text})
		}
		exec(t, p.db, `DELETE FROM events WHERE state_key_nid IS NULL AND nid % 3 <> 0`)
		// On PostgreSQL much of a small database is the engine's own, and changes too.
		measure := func() (gain, bytes int64) {
			r, err := doctor.Run(t.Context(), p.db, doctor.Options{Quick: true})
			if err != nil {
				t.Fatal(err)
			}
			if p.db.Engine() == sqldb.SQLite {
				return r.Space.Gain, r.Space.Bytes
			}
			for _, table := range r.Tables {
				bytes += table.Bytes + table.IndexBytes
			}
			return r.Space.Gain, bytes
		}
		gain, before := measure()
		if err := p.db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, after := measure()
		if freed := before - after; freed < 100_000 || gain < freed-before/8 || gain > freed+before/8 {
			t.Errorf("%d bytes were said to be freed, and %d of %d were", gain, freed, before)
		}
	})
}
