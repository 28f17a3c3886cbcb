package store

import (
	"crypto/ed25519"
	"testing"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// A database of before migration 12 does not say which event brought a room to the fore, nor of what type rooms are.
func TestRoomBumpsAreFilled(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir()+"/db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	version, err := event.LookupVersion("10")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		eventType, content string
		state              bool
	}
	rooms := []struct {
		name     string
		events   []row
		bump     int // which of the events, -1 for none
		roomType string
	}{
		{"a space", []row{{"m.room.create", `{"type":"m.space"}`, true}, {"m.room.message", `{}`, false}, {"x.y", `{}`, false}}, 1, "m.space"},
		{"a room", []row{{"m.room.create", `{}`, true}, {"m.room.topic", `{}`, true}}, 0, ""},
		{"no create event", []row{{"x.y", `{}`, false}}, -1, ""},
	}
	nids := make([]int64, len(rooms))
	bumps := make([]int64, len(rooms))
	err = db.Write(t.Context(), func(tx *Tx) error {
		for i, r := range rooms {
			roomID := id.RoomID("!" + r.name + ":test")
			if nids[i], err = tx.InsertRoom(roomID, version, false); err != nil {
				return err
			}
			for j, e := range r.events {
				b := event.Builder{RoomID: roomID, Sender: "@a:test", Type: e.eventType, Content: []byte(e.content), Depth: int64(j + 1)}
				if e.state {
					b.StateKey = new(string)
				}
				pdu, err := b.Build(version, testKey())
				if err != nil {
					return err
				}
				pos, err := tx.NextPos()
				if err != nil {
					return err
				}
				if err := tx.InsertEvent(&Event{PDU: pdu, NID: pos, Pos: pos, RoomNID: nids[i]}); err != nil {
					return err
				}
				if e.state {
					k, err := tx.StateNID(e.eventType, "")
					if err != nil {
						return err
					}
					if err := tx.SetCurrentState(nids[i], k, pos); err != nil {
						return err
					}
				}
				if j == r.bump {
					bumps[i] = pos
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, none int64) {
		t.Helper()
		err := db.View(t.Context(), func(tx *Tx) error {
			for i, r := range rooms {
				var bump int64
				var roomType string
				if _, err := tx.Row(`SELECT bump_pos, COALESCE(room_type, '') FROM rooms WHERE nid = $1`, []any{nids[i]}, &bump, &roomType); err != nil {
					return err
				}
				want := bumps[i]
				if r.bump < 0 {
					want = none
				}
				if bump != want || roomType != r.roomType {
					t.Errorf("%s: %s has bump_pos %d and type %q, want %d and %q", when, r.name, bump, roomType, want, r.roomType)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check("as events came", 0)
	err = db.Write(t.Context(), func(tx *Tx) error {
		for _, query := range []string{`UPDATE rooms SET bump_pos = 0, room_type = NULL`, `INSERT INTO chores (name) VALUES ('room_bumps')`} {
			if _, err := tx.Exec(query); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("filled", 1)
}

func testKey() *event.Key {
	return &event.Key{ServerName: "test", KeyID: "ed25519:t", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
}

// A room that is purged while an answer is written leaves no row.
func TestSlidingRoomsOfPurged(t *testing.T) {
	db, err := Open(t.Context(), t.TempDir()+"/db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	version, err := event.LookupVersion("10")
	if err != nil {
		t.Fatal(err)
	}
	var rooms []SlidingRoom
	err = db.Write(t.Context(), func(tx *Tx) error {
		for _, roomID := range []id.RoomID{"!there:test", "!going:test"} {
			nid, err := tx.InsertRoom(roomID, version, false)
			if err != nil {
				return err
			}
			rooms = append(rooms, SlidingRoom{RoomNID: nid, Seq: 1})
		}
		rooms = append(rooms, SlidingRoom{RoomNID: 9999, Seq: 1}, SlidingRoom{Seq: 1}) // gone, and none
		if _, err := tx.BeginPurge("!going:test"); err != nil {
			return err
		}
		if err := tx.InsertSlidingConnection(SlidingConnection{NID: 1, UserNID: 1, Configs: "{}"}, 1); err != nil {
			return err
		}
		return tx.InsertSlidingRooms(1, rooms)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx *Tx) error {
		_, got, err := tx.SlidingConnection(1, "", "")
		if len(got) != 2 || got[0].RoomNID != 0 || got[1].RoomNID != rooms[0].RoomNID {
			t.Errorf("got %+v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
