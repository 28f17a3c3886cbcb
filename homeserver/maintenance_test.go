package homeserver_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

func withMaintenance(m homeserver.MaintenanceConfig) func(*homeserver.Config) {
	return func(c *homeserver.Config) { c.Maintenance = m }
}

// openFile opens a store in a SQLite file that the test knows.
func openFile(t *testing.T) (db *store.DB, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "causeway.db")
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, path
}

// talk is a user with a room, and a transaction id that grows.
type talk struct {
	*testserver.Server
	t      *testing.T
	user   testserver.User
	roomID id.RoomID
	txn    int
}

func newTalk(t *testing.T, s *testserver.Server) *talk {
	k := &talk{Server: s, t: t, user: s.Register(fmt.Sprintf("u%d", rand.Int64()))}
	var out struct {
		RoomID id.RoomID `json:"room_id"`
	}
	s.OK("POST", "/_matrix/client/v3/createRoom", k.user.Token, map[string]any{}, &out)
	k.roomID = out.RoomID
	return k
}

func (k *talk) put(path string, body any) id.EventID {
	k.t.Helper()
	k.txn++
	var out struct {
		EventID id.EventID `json:"event_id"`
	}
	k.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/%s/%d", k.roomID, path, k.txn), k.user.Token, body, &out)
	return out.EventID
}

func (k *talk) say(text string) id.EventID {
	k.t.Helper()
	return k.put("send/m.room.message", map[string]string{"msgtype": "m.text", "body": text})
}

// leave has the user leave the room.
func (k *talk) leave() {
	k.t.Helper()
	k.OK("POST", fmt.Sprintf("/_matrix/client/v3/rooms/%s/leave", k.roomID), k.user.Token, map[string]any{}, nil)
}

// found counts the secrets of which there is a trace in any file of a SQLite database.
func found(t *testing.T, path string, secrets []string) (n int) {
	t.Helper()
	var all []byte
	for _, name := range []string{path, path + "-wal"} {
		raw, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all = append(all, raw...)
	}
	for _, s := range secrets {
		if bytes.Contains(all, []byte(s)) {
			n++
		}
	}
	return n
}

// What was redacted is in no file any more when its time is over, and neither is what was kept of it in the meantime.
func TestRedactedContentLeavesTheFiles(t *testing.T) {
	for _, test := range []struct {
		name string
		keep time.Duration
		left bool
	}{{"kept for an hour", time.Hour, true}, {"kept not at all", 0, false}} {
		t.Run(test.name, func(t *testing.T) {
			db, path := openFile(t)
			s := testserver.New(t, db, withMaintenance(homeserver.MaintenanceConfig{RedactedKeep: test.keep}))
			k := newTalk(t, s)
			r := rand.New(rand.NewPCG(1, 1))
			var secrets []string
			var events []id.EventID
			for i := range 300 {
				// Some are longer than a page of the database.
				secrets = append(secrets, fmt.Sprintf("secret-%d-%x-", i, r.Uint64()))
				events = append(events, k.say(strings.Repeat("x", r.IntN(6000)*r.IntN(2))+secrets[i]))
			}
			for n, i := range r.Perm(len(events)) {
				k.put("redact/"+string(events[i]), map[string]string{})
				if n%7 == 0 {
					k.say("in between")
				}
			}
			out, err := s.Maintenance.All(t.Context())
			if err != nil || out.Held != nil {
				t.Fatal(err, out.Held)
			}
			if got := found(t, path, secrets) > 0; got != test.left {
				t.Errorf("before the time is over: found %v, want %v", got, test.left)
			}
			// The time is over for a server that keeps them for less.
			short := homeserver.NewMaintenance(homeserver.Config{ServerName: testserver.Name, DB: db})
			if out, err = short.PurgeRedacted(t.Context()); err != nil || out.Held != nil {
				t.Fatal(err, out.Held)
			}
			if test.left && out.Originals != int64(len(secrets)) {
				t.Errorf("%d originals were deleted, want %d", out.Originals, len(secrets))
			}
			if n := found(t, path, secrets); n > 0 {
				t.Errorf("%d of %d secrets are still in the files", n, len(secrets))
			}
		})
	}
}

// On PostgreSQL what was deleted is not in the tables' files after compacting.
func TestRedactedContentLeavesPostgres(t *testing.T) {
	db := openPostgres(t)
	s := testserver.New(t, db, withMaintenance(homeserver.MaintenanceConfig{RedactedKeep: time.Hour}))
	k := newTalk(t, s)
	secret := fmt.Sprintf("secret-%x", rand.Uint64())
	k.put("redact/"+string(k.say(secret)), map[string]string{})
	traces := func() (n int64) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(`CHECKPOINT`); err != nil {
				return err
			}
			n = 0
			for _, table := range []string{"events", "redacted_originals"} {
				var in int64
				_, err := tx.Row(`SELECT POSITION(convert_to($1, 'UTF8') IN pg_read_binary_file(pg_relation_filepath('`+table+`')))`, []any{secret}, &in)
				if err != nil {
					return err
				}
				n += min(in, 1)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if traces() != 2 {
		t.Fatal("the secret is not where it should be")
	}
	m := homeserver.NewMaintenance(homeserver.Config{ServerName: testserver.Name, DB: db})
	if _, err := m.PurgeRedacted(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := traces(); n != 0 {
		t.Errorf("the secret is still in %d tables' files", n)
	}
}

func openPostgres(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// The database is as small after a large room was purged as it was before, on PostgreSQL once it has been compacted.
func TestPurgesGiveSpaceBack(t *testing.T) {
	for _, engine := range []struct {
		name      string
		open      func(*testing.T) *store.DB
		compact   bool
		tolerance int64 // bytes
	}{
		{"sqlite", func(t *testing.T) *store.DB { db, _ := openFile(t); return db }, false, 400 << 10},
		{"postgres", openPostgres, true, 400 << 10},
	} {
		t.Run(engine.name, func(t *testing.T) {
			db := engine.open(t)
			s := testserver.New(t, db)
			small := newTalk(t, s)
			small.say("hello")
			if _, err := s.Maintenance.All(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, err := db.Size(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			big := newTalk(t, s)
			for range 3000 {
				big.say(strings.Repeat("x", 1000))
			}
			big.leave()
			out, err := s.Maintenance.PurgeRoom(t.Context(), big.roomID, false)
			if err != nil {
				t.Fatal(err)
			}
			if grown := out.SizeBefore - before; grown < 3<<20 || out.Bytes < 3<<20 || out.Events < 3000 {
				t.Errorf("the room took %d bytes: %+v", grown, out)
			}
			if engine.compact {
				if out, err = s.Maintenance.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if more := out.SizeAfter - before; more > engine.tolerance {
				t.Errorf("the database has %d bytes more than before", more)
			}
			small.say("still here")
		})
	}
}

// leastSize is what a database takes that has next to nothing in it, in bytes, and some more: each table and index has a page.
const leastSize = 800 << 10

// A database from before pages could be given back can do so once it has been compacted.
func TestCompactOldDatabase(t *testing.T) {
	db, path := openFile(t)
	s := testserver.New(t, db)
	k := newTalk(t, s)
	for range 500 {
		k.say(strings.Repeat("x", 1000))
	}
	// This is how older versions made the file.
	mustDo(t, db.Close())
	oldMode(t, path)
	db, err := store.Open(t.Context(), path)
	mustDo(t, err)
	defer db.Close()
	m := homeserver.NewMaintenance(homeserver.Config{ServerName: testserver.Name, DB: db})
	_, err = m.PurgeHistory(t.Context(), k.roomID, homeserver.Before{TS: time.Now().UnixMilli()})
	mustDo(t, err)
	size, err := db.Size(t.Context())
	mustDo(t, err)
	if size < 900_000 {
		t.Errorf("an old database gave back pages: %d bytes are left, so this test is of no use", size)
	}
	out, err := m.Compact(t.Context())
	mustDo(t, err)
	if out.SizeAfter > leastSize {
		t.Errorf("after compacting: %d bytes", out.SizeAfter)
	}
	s = testserver.New(t, db)
	k = newTalk(t, s)
	for range 500 {
		k.say(strings.Repeat("x", 1000))
	}
	k.put("send/m.secret.type", map[string]any{})
	k.leave()
	out, err = s.Maintenance.PurgeRoom(t.Context(), k.roomID, false)
	mustDo(t, err)
	if out.SizeBefore < 900_000 || out.SizeAfter > leastSize {
		t.Errorf("it does not give back pages now: it had %d bytes, and has %d", out.SizeBefore, out.SizeAfter)
	}
	// Texts that nothing uses any more go with the next compacting, and others stay.
	_, err = m.Compact(t.Context())
	mustDo(t, err)
	for text, want := range map[string]int{"m.room.message": 1, "m.secret.type": 0} {
		var got int
		mustDo(t, db.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Row(`SELECT COUNT(*) FROM strings WHERE value = $1`, []any{text}, &got)
			return err
		}))
		if got != want {
			t.Errorf("%s is there %d times, want %d", text, got, want)
		}
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oldMode makes a SQLite file as it was before pages could be given back.
func oldMode(t *testing.T, path string) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	mustDo(t, err)
	raw.SetMaxOpenConns(1)
	for _, statement := range []string{`PRAGMA auto_vacuum = NONE`, `VACUUM`} {
		_, err := raw.Exec(statement)
		mustDo(t, err)
	}
	mustDo(t, raw.Close())
}

func count(t *testing.T, db *store.DB, table string) (n int) {
	t.Helper()
	mustDo(t, db.View(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Row(`SELECT COUNT(*) FROM `+table, nil, &n)
		return err
	}))
	return n
}

// What is due is deleted at the time of the schedule after that, and the maintenance ends with its context.
func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.New(t)
		s := testserver.New(t, db, withMaintenance(homeserver.MaintenanceConfig{Schedule: "0 4 * * *", RedactedKeep: 12 * time.Hour}))
		k := newTalk(t, s)
		k.put("redact/"+string(k.say("secret")), map[string]string{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Maintenance.Run(ctx) }()
		now := time.Now()
		next := time.Date(now.Year(), now.Month(), now.Day(), 4, 0, 0, 0, time.Local)
		if next.Before(now) {
			next = next.AddDate(0, 0, 1)
		}
		// At the first four o'clock it may be too early, and at the second it is not.
		first := 0
		if next.Sub(now) < 12*time.Hour {
			first = 1
		}
		for _, at := range []struct {
			when time.Time
			want int
		}{{next.Add(-time.Minute), 1}, {next.Add(time.Minute), first}, {next.AddDate(0, 0, 1).Add(time.Minute), 0}} {
			<-time.After(time.Until(at.when))
			synctest.Wait()
			if got := count(t, db, "redacted_originals"); got != at.want {
				t.Errorf("at %s: %d originals, want %d", at.when, got, at.want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What a delayed event said is gone with its redaction, and what was to be said with its room.
func TestDelayedSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "causeway.db")
	db, err := store.Open(t.Context(), path)
	mustDo(t, err)
	defer db.Close()
	s := testserver.New(t, db)
	k := newTalk(t, s)
	said, unsaid := fmt.Sprintf("secret-%x", rand.Uint64()), fmt.Sprintf("secret-%x", rand.Uint64())
	later := func(text string) string {
		var out struct {
			DelayID string `json:"delay_id"`
		}
		s.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/delayed_event/m.room.message/%s", k.roomID, text), k.user.Token,
			map[string]any{"delay_ms": 60_000, "content": map[string]string{"body": text + "!"}}, &out)
		return out.DelayID
	}
	sent := "/_matrix/client/v1/delayed_events/" + later(said)
	s.OK("POST", sent+"/send", k.user.Token, map[string]any{}, nil)
	var out struct {
		Finalised struct {
			EventID id.EventID `json:"event_id"`
		} `json:"finalised"`
	}
	s.OK("GET", sent, k.user.Token, nil, &out)
	later(unsaid)
	k.put("redact/"+string(out.Finalised.EventID), map[string]string{})
	_, err = s.Maintenance.PurgeRedacted(t.Context())
	mustDo(t, err)
	if found(t, path, []string{said + "!"}) != 0 || found(t, path, []string{unsaid + "!"}) != 1 {
		t.Error("what was redacted is in the files, or what is scheduled is not")
	}
	_, err = s.Maintenance.PurgeRoom(t.Context(), k.roomID, true)
	mustDo(t, err)
	if n := found(t, path, []string{said, unsaid}); n != 0 {
		t.Errorf("%d secrets are in the files after the purge of the room", n)
	}
}

// A purge that was interrupted is ended when the server starts, whatever the schedule.
func TestResumedAtTheStart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := testserver.New(t, db)
		k := newTalk(t, s)
		mustDo(t, db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.BeginPurge(k.roomID); return err }))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- testserver.New(t, db).Maintenance.Run(ctx) }()
		// Who asks for something now gets his turn after that.
		for count(t, db, "rooms") > 0 {
			_, err := s.Maintenance.PurgeRedacted(t.Context())
			mustDo(t, err)
		}
		if n := count(t, db, "events"); n != 0 {
			t.Errorf("%d events are left", n)
		}
		cancel()
		mustDo(t, <-ended)
	})
}

// A schedule that makes no sense keeps the server from running, should nobody have looked at the configuration.
func TestBadSchedule(t *testing.T) {
	s := testserver.New(t, storetest.New(t), withMaintenance(homeserver.MaintenanceConfig{Schedule: "often"}))
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"often"`) {
		t.Errorf("got %v, want an error that names it", err)
	}
}
