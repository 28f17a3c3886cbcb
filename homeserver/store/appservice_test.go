package store_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func TestAppServiceCursor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		read := func() (a store.AppService, err error) {
			err = db.View(t.Context(), func(tx *store.Tx) (err error) {
				a, err = tx.AppService("irc")
				return err
			})
			return a, err
		}
		if _, err := read(); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a service that was never seen: %v, want %v", err, store.ErrNotFound)
		}
		body := append([]byte("{\"events\":[]}"), 0xff, 0)
		for _, want := range []store.AppService{
			{ID: "irc", Pos: 5},
			{ID: "irc", Pos: 7, Txn: 1, Pending: &store.AppServiceTxn{Txn: 1, Upto: 9, Body: body}},
			{ID: "irc", Pos: 9, Txn: 1 << 40, Pending: &store.AppServiceTxn{Txn: 1 << 40, Upto: 11, Body: bytes.Repeat([]byte("x"), 1<<20)}},
			{ID: "irc", Pos: 11, Txn: 1 << 40},
		} {
			write(t, db, func(tx *store.Tx) error { return tx.SaveAppService(want) })
			if got, err := read(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("cursor is %+v, %v; want %+v", got, err, want)
			}
		}
	})
}

func write(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestMemberAt has members come and go, and asks at every position of the stream, of the final state, who was there.
func TestMemberAt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		version, err := event.LookupVersion("11")
		if err != nil {
			t.Fatal(err)
		}
		key := &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))}
		const roomID = "!r:test"
		var room int64
		write(t, db, func(tx *store.Tx) (err error) {
			room, err = tx.InsertRoom(roomID, version, false)
			return err
		})
		nids := make(map[id.UserID]int64) // of the current member events
		type moment struct {
			pos  int64
			here map[id.UserID]bool
		}
		var history []moment
		here := make(map[id.UserID]bool)
		for i, step := range strings.Fields("alice:join irc_a:invite irc_a:join irc_b:join irc_a:leave irc_bot:join irc_b:ban irc_a:join irc_bot:leave irc_a:leave irc_c:knock") {
			name, membership, _ := strings.Cut(step, ":")
			user := id.UserID("@" + name + ":test")
			stateKey := string(user)
			pdu, err := (&event.Builder{RoomID: roomID, Sender: user, Type: event.TypeMember, StateKey: &stateKey, Depth: int64(i + 1),
				Content: json.RawMessage(fmt.Sprintf(`{"membership":%q}`, membership))}).Build(version, key)
			if err != nil {
				t.Fatal(err)
			}
			var pos int64
			write(t, db, func(tx *store.Tx) error {
				if pos, err = tx.NextPos(); err != nil {
					return err
				}
				if err := tx.InsertEvent(&store.Event{PDU: pdu, NID: pos, Pos: pos, RoomNID: room, Replaces: nids[user]}); err != nil {
					return err
				}
				nid, err := tx.NID(stateKey)
				if err != nil {
					return err
				}
				return tx.SetMembership(store.Membership{RoomNID: room, UserNID: nid, Membership: membership, EventNID: pos, Pos: pos})
			})
			nids[user] = pos
			here[user] = membership == "join" || membership == "invite"
			now := make(map[id.UserID]bool)
			for user, is := range here {
				now[user] = is && strings.HasPrefix(string(user), "@irc_")
			}
			history = append(history, moment{pos, now})
		}
		for _, first := range []id.UserID{"", "@irc_bot:test", "@irc_never:test"} {
			for _, m := range history {
				checkMemberAt(t, db, room, m.pos, first, m.here)
			}
		}
	})
}

func checkMemberAt(t *testing.T, db *store.DB, room, pos int64, first id.UserID, here map[id.UserID]bool) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		nid, err := tx.MemberAt(room, pos, first, func(user id.UserID) bool { return strings.HasPrefix(string(user), "@irc_") })
		if err != nil {
			return err
		}
		anybody := false
		for _, is := range here {
			anybody = anybody || is
		}
		if nid == 0 {
			if anybody {
				t.Errorf("at %d nobody was found, want one of %v", pos, here)
			}
			return nil
		}
		name, err := tx.Text(nid)
		if err == nil && !here[id.UserID(name)] {
			t.Errorf("at %d %s was found, want one of %v", pos, name, here)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
