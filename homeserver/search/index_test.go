package search_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// talk is a user with a room.
type talk struct {
	*archive
	t   *testing.T
	txn int
}

func newTalk(t *testing.T, db *store.DB) *talk {
	s := testserver.New(t, db)
	k := &talk{archive: &archive{Server: s, reader: s.Register("ann")}, t: t}
	var out struct {
		RoomID id.RoomID `json:"room_id"`
	}
	s.OK("POST", "/_matrix/client/v3/createRoom", k.reader.Token, map[string]any{}, &out)
	k.rooms = append(k.rooms, out.RoomID)
	return k
}

func (k *talk) put(path string, body any) id.EventID {
	k.t.Helper()
	k.txn++
	var out struct {
		EventID id.EventID `json:"event_id"`
	}
	k.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/%s/%d", k.rooms[0], path, k.txn), k.reader.Token, body, &out)
	return out.EventID
}

func (k *talk) say(text string) id.EventID {
	k.t.Helper()
	return k.put("send/m.room.message", map[string]string{"msgtype": "m.text", "body": text})
}

func (k *talk) finds(term string, want int) {
	k.t.Helper()
	if got, _ := k.search(k.reader.Token, term, "recent"); got != want {
		k.t.Errorf("%s: found %d, want %d", term, got, want)
	}
}

// rows returns what the index has, by the words of each row.
func (k *talk) rows() (all []string) {
	k.t.Helper()
	query := `SELECT words FROM search_index`
	if k.DB.Engine() == sqldb.Postgres {
		query = `SELECT words::text FROM search_index`
	}
	err := k.DB.View(k.t.Context(), func(tx *store.Tx) error {
		return tx.Query(query, nil, func(scan func(...any) error) error {
			var words string
			err := scan(&words)
			all = append(all, words)
			return err
		})
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

// The index has what is said, and no more of it when it was redacted or purged; and never a word that could be read.
func TestIndex(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newTalk(t, db)
		early := k.say("secret early")
		k.put("redact/"+string(early), map[string]string{})
		k.say("secret kept")
		later := k.say("secret later")
		k.put("send/m.room.encrypted", map[string]string{"algorithm": "m.megolm.v1.aes-sha2", "body": "secret"})
		k.finds("secret", 2)
		rows := k.rows()
		if len(rows) != 2 || strings.Contains(strings.Join(rows, " "), "secret") {
			t.Errorf("the index has %q, want two rows without the word", rows)
		}
		k.put("redact/"+string(later), map[string]string{})
		if rows := k.rows(); len(rows) != 1 {
			t.Errorf("after a redaction there are %d rows, want 1", len(rows))
		}
		k.finds("secret", 1)
		last := k.say("the last one")
		k.finds("last", 1)
		orphans(t, db, 0)
		if _, err := k.Maintenance.PurgeHistory(t.Context(), k.rooms[0], homeserver.Before{EventID: last}); err != nil {
			t.Fatal(err)
		}
		k.finds("secret", 0)
		if rows := k.rows(); len(rows) != 1 {
			t.Errorf("after a purge of history there are %d rows, want 1", len(rows))
		}
		if _, err := k.Maintenance.PurgeRoom(t.Context(), k.rooms[0], true); err != nil {
			t.Fatal(err)
		}
		if rows := k.rows(); len(rows) != 0 {
			t.Errorf("after a purge of the room there are %d rows, want none", len(rows))
		}
		orphans(t, db, 0)
		insert := `INSERT INTO search_index (rowid, room_nid, words) VALUES (999999, 1, 'word')`
		if db.Engine() == sqldb.Postgres {
			insert = `INSERT INTO search_index (pos, room_nid, words) VALUES (999999, 1, 'word')`
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(insert); return err }); err != nil {
			t.Fatal(err)
		}
		orphans(t, db, 1)
	})
}

// What a large purge leaves in the index is deleted later, a little at a time.
func TestIndexAfterLargePurge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newTalk(t, db)
		const messages = 100
		for range messages {
			k.say("rubble")
		}
		last := k.say("the last one")
		k.finds("rubble", messages)
		if _, err := k.Maintenance.PurgeHistory(t.Context(), k.rooms[0], homeserver.Before{EventID: last}); err != nil {
			t.Fatal(err)
		}
		k.finds("rubble", 0)
		orphans(t, db, 0)
		for more := true; more; {
			err := db.Write(t.Context(), func(tx *store.Tx) (err error) { more, err = tx.UnindexSome(); return err })
			if err != nil {
				t.Fatal(err)
			}
		}
		if rows := k.rows(); len(rows) != 1 {
			t.Errorf("the index has %d rows, want 1", len(rows))
		}
		orphans(t, db, 0)
	})
}

// orphans counts the kinds of rows of the index that refer to nothing.
func orphans(t *testing.T, db *store.DB, want int) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		found, err := tx.AuditOrphans(5)
		if len(found) != want {
			t.Errorf("orphans: %+v, want %d", found, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was there before the index is found, whoever fills it, and however often that is cut short.
func TestIndexOfOldDatabase(t *testing.T) {
	const messages = 700
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newTalk(t, db)
		for i := range messages {
			k.say(fmt.Sprint("old message ", i))
		}
		// Each of these servers is ended while it fills the index, and the next one goes on.
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			ended := make(chan error, 1)
			s := testserver.New(t, db)
			go func() { ended <- s.Run(ctx) }()
			_ = s.Do("POST", "/_matrix/client/v3/search", k.reader.Token, `{"search_categories":{"room_events":{"search_term":"x"}}}`)
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
		k.finds("old", 500) // as far as is counted
		k.finds("message 699", 1)
		if rows := k.rows(); len(rows) != messages {
			t.Errorf("the index has %d rows, want %d", len(rows), messages)
		}
	})
}
