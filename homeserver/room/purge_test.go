package room_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// server is a room service with two users, whose clock the test sets.
type server struct {
	*testing.T
	db *store.DB
	s  *room.Service

	mu  sync.Mutex // guards now
	now time.Time
}

const (
	ann = id.UserID("@ann:test")
	ben = id.UserID("@ben:test")
)

func newServer(t *testing.T, db *store.DB) *server {
	x := &server{T: t, db: db, now: time.UnixMilli(1_700_000_000_000)}
	x.s = room.New(room.Config{
		ServerName: "test", DB: db, Bus: new(notify.Local), KeepRedacted: time.Hour,
		Key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))},
		Now: func() time.Time {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.now = x.now.Add(time.Millisecond)
			return x.now
		},
	})
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, user := range []id.UserID{ann, ben} {
			if err := tx.InsertUser(&store.User{UserID: user}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *server) pass(d time.Duration) {
	x.mu.Lock()
	x.now = x.now.Add(d)
	x.mu.Unlock()
}

func (x *server) ok(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// create makes a room of ann's with an alias, in which ben is.
func (x *server) create(alias string) id.RoomID {
	x.Helper()
	roomID, err := x.s.Create(x.Context(), room.By{User: ann}, room.CreateRequest{Preset: "public_chat", AliasLocalpart: alias, Visibility: "public"})
	x.ok(err)
	_, err = x.s.Join(x.Context(), room.By{User: ben}, string(roomID), nil)
	x.ok(err)
	return roomID
}

func (x *server) say(roomID id.RoomID, text string) id.EventID {
	x.Helper()
	eventID, err := x.trySay(roomID, text)
	x.ok(err)
	return eventID
}

func (x *server) trySay(roomID id.RoomID, text string) (id.EventID, error) {
	content, _ := json.Marshal(map[string]string{"msgtype": "m.text", "body": text})
	return x.s.Send(x.Context(), room.By{User: ann}, roomID, "m.room.message", "", content)
}

func (x *server) redact(roomID id.RoomID, eventID id.EventID) id.EventID {
	x.Helper()
	redaction, err := x.s.Redact(x.Context(), room.By{User: ann}, roomID, eventID, "", "")
	x.ok(err)
	return redaction
}

func (x *server) stored(eventID id.EventID) (e *store.Event) {
	x.Helper()
	x.ok(x.db.View(x.Context(), func(tx *store.Tx) error {
		found, err := tx.EventsByID([]id.EventID{eventID})
		if len(found) > 0 {
			e = found[0]
		}
		return err
	}))
	return e
}

// rows returns how many rows each table has, but for those that know no rooms.
func (x *server) rows() map[string]int64 {
	x.Helper()
	tables := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'search_index_%'`
	if x.db.Engine() == sqldb.Postgres {
		tables = `SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`
	}
	counts := make(map[string]int64)
	x.ok(x.db.View(x.Context(), func(tx *store.Tx) error {
		err := tx.Query(tables, nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			counts[name] = 0
			return err
		})
		if err != nil {
			return err
		}
		delete(counts, "strings") // texts are kept for the next room, until the database is compacted
		for name := range counts {
			var n int64
			if _, err := tx.Row(`SELECT COUNT(*) FROM `+name, nil, &n); err != nil {
				return err
			}
			counts[name] = n
		}
		return nil
	}))
	return counts
}

// fill puts something of a room into every table.
func (x *server) fill(roomID id.RoomID) {
	x.Helper()
	hello := x.stored(x.say(roomID, "hello"))
	x.redact(roomID, x.say(roomID, "hush"))
	x.ok(x.db.Write(x.Context(), func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		if _, _, err := tx.SetAccountData(ann, roomNID, "m.tag", json.RawMessage(`{}`)); err != nil {
			return err
		}
		annNID, err := tx.LookupNID(string(ann))
		if err != nil {
			return err
		}
		if _, err := tx.SetReceipt(store.Receipt{RoomNID: roomNID, UserNID: annNID, Type: store.ReceiptRead, EventID: "$gone", EventPos: 1}); err != nil {
			return err
		}
		tips, err := tx.Extremities(roomNID)
		if err != nil {
			return err
		}
		if err := tx.InsertGap(roomNID, tips[0].NID, "$gone"); err != nil {
			return err
		}
		if err := tx.InsertSearchRow(store.SearchRow{NID: hello.NID, Pos: hello.Pos, Words: []string{"word"}}); err != nil {
			return err
		}
		if err := tx.AwaitRedaction(roomNID, "$nowhere", tips[0].NID); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO directory (network, room_nid) VALUES ('irc', $1)`, roomNID)
		return err
	}))
}

// A room that was purged leaves no row in any table, and what was of other rooms is there as before.
func TestPurgeRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		other := x.create("other")
		x.fill(other)
		before := x.rows()
		roomID := x.create("gone")
		x.fill(roomID)
		for table, n := range x.rows() {
			if n <= before[table] && before[table] > 0 && !roomless[table] { // it would not show when they stay
				t.Errorf("%s has no row of the room", table)
			}
		}
		var occupied *room.Occupied
		if _, err := x.s.Purge(t.Context(), roomID, false, 0); !errors.As(err, &occupied) || occupied.Users != 2 {
			t.Errorf("a room with users in it: %v, want Occupied", err)
		}
		done, err := x.s.Purge(t.Context(), roomID, true, 0)
		x.ok(err)
		if done.Rooms != 1 || done.Events < 10 || done.StateSets < 5 || done.Originals != 1 || done.Bytes < 1000 {
			t.Errorf("done: %+v", done)
		}
		for table, n := range x.rows() {
			if n != before[table] {
				t.Errorf("%s: %d rows, want %d", table, n, before[table])
			}
		}
		if _, err := x.trySay(roomID, "anybody there?"); err == nil {
			t.Error("somebody could send into a room that is gone")
		}
		x.say(other, "still here")
		if _, err := x.s.Purge(t.Context(), roomID, true, 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("again: %v, want ErrNotFound", err)
		}
		if _, err := x.s.ResolveAlias(t.Context(), room.By{User: ann}, "#gone:test"); err == nil {
			t.Error("the alias is still there")
		}
		x.create("gone") // its name is free
	})
}

// roomless are tables that rooms have no rows in.
var roomless = map[string]bool{
	"stream": true, "secrets": true, "migrations": true, "server": true, "users": true,
	"search_cursor": true, "user_words_due": true,
}

// A purge that is interrupted has the room gone, and is ended later. Nobody who sends meanwhile puts anything into it.
func TestPurgeRoomInterrupted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		before := x.rows()
		roomID := x.create("gone")
		for i := range 1000 { // more than one transaction deletes
			x.say(roomID, fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		for range 4 {
			senders.Go(func() {
				for {
					if _, err := x.trySay(roomID, "more"); err != nil {
						return
					}
				}
			})
		}
		err := db.Write(ctx, func(tx *store.Tx) error { _, err := tx.BeginPurge(roomID); return err })
		x.ok(err)
		cancel()
		if _, err := x.s.Purge(ctx, roomID, true, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
		if _, err := x.s.Purge(t.Context(), roomID, false, 0); err != nil { // it fails the head, so that senders notice
			t.Error(err)
		}
		senders.Wait()
		x.ok(db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO rooms (nid, room_id, version, state_id, published, purging) VALUES (999999, '!half', '12', 0, 0, 1)`)
			return err
		}))
		done, err := x.s.ResumePurges(t.Context())
		x.ok(err)
		if done.Rooms != 1 {
			t.Errorf("%d rooms were ended, want 1", done.Rooms)
		}
		for table, n := range x.rows() {
			if n != before[table] && table != "stream" {
				t.Errorf("%s: %d rows, want %d", table, n, before[table])
			}
		}
	})
}

// Only rooms that nobody here has any interest in are forgotten rooms.
func TestPurgeForgotten(t *testing.T) {
	tests := []struct {
		name string
		do   func(x *server, roomID id.RoomID)
		gone bool
	}{
		{"joined", func(*server, id.RoomID) {}, false},
		{"one left", func(x *server, roomID id.RoomID) { x.leave(roomID, ben, true) }, false},
		{"not forgotten by one", func(x *server, roomID id.RoomID) { x.leave(roomID, ann, true); x.leave(roomID, ben, false) }, false},
		{"forgotten", func(x *server, roomID id.RoomID) { x.leave(roomID, ann, true); x.leave(roomID, ben, true) }, true},
		{"forgotten of late", func(x *server, roomID id.RoomID) {
			x.leave(roomID, ann, true)
			x.pass(time.Hour)
			x.leave(roomID, ben, true)
			x.pass(-time.Hour)
		}, false},
		{"invited", func(x *server, roomID id.RoomID) {
			x.leave(roomID, ben, true)
			x.ok(x.s.Invite(x.Context(), room.By{User: ann}, roomID, ben, ""))
			x.leave(roomID, ann, true)
		}, false},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		rooms := make([]id.RoomID, len(tests))
		for i, test := range tests {
			rooms[i] = x.create("")
			test.do(x, rooms[i])
		}
		x.pass(30 * time.Minute)
		if done, err := x.s.PurgeForgotten(t.Context(), time.Hour); err != nil || done.Rooms != 0 {
			t.Errorf("before the time: %d rooms, %v", done.Rooms, err)
		}
		x.pass(time.Hour)
		if _, err := x.s.PurgeForgotten(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
		for i, test := range tests {
			err := db.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Room(rooms[i]); return err })
			if gone := errors.Is(err, store.ErrNotFound); gone != test.gone {
				t.Errorf("%s: gone %v, want %v", test.name, gone, test.gone)
			}
		}
	})
}

func (x *server) leave(roomID id.RoomID, user id.UserID, forget bool) {
	x.Helper()
	x.ok(x.s.Leave(x.Context(), room.By{User: user}, roomID, ""))
	if forget {
		x.ok(x.s.Forget(x.Context(), room.By{User: user}, roomID))
	}
}
